// What the browser does itself: theme, tabs by name, and charts that are redrawn in place.
window.Hermes = (function () {
  const store = window.localStorage;
  const charts = new Set();

  // ------------------------------------------------------------------ colours
  function parse(text) {
    text = text.trim();
    if (text[0] === "#") return [1, 3, 5].map((i) => parseInt(text.slice(i, i + 2), 16));
    return (text.match(/[\d.]+/g) || [0, 0, 0]).slice(0, 3).map(Number);
  }
  // "@up", "@accent*0.3", "@accent*fan-wide", "@flat~up*0.4": see ui/theme.py
  function color(token, style) {
    const read = (name) => style.getPropertyValue("--h-" + name).trim();
    const [names, amount] = token.slice(1).split("*");
    const share = amount === undefined ? 1 : isNaN(amount) ? Number(read(amount)) : Number(amount);
    const [first, second] = names.split("~");
    const a = parse(read(first));
    if (!second) return share === 1 ? read(first) : `rgba(${a.join(",")},${share})`;
    const b = parse(read(second));
    return `rgb(${a.map((x, i) => Math.round(x + (b[i] - x) * share)).join(",")})`;
  }
  function resolve(value, style) {
    if (typeof value === "string") return value[0] === "@" ? color(value, style) : value;
    if (Array.isArray(value)) {
      const isNumbers = value.length && typeof value[0] === "number" && typeof value[value.length - 1] === "number";
      return isNumbers ? value : value.map((item) => resolve(item, style));
    }
    if (value && typeof value === "object") {
      const out = {};
      for (const name in value) out[name] = resolve(value[name], style);
      return out;
    }
    return value;
  }

  // ------------------------------------------------------------------ plotly, once, from this server
  let plotly = null;
  function loadPlotly() {
    plotly = plotly || new Promise((done, fail) => {
      const script = document.createElement("script");
      script.src = document.documentElement.dataset.plotly || "hermes/plotly.min.js";
      script.onload = () => done(window.Plotly);
      script.onerror = () => { plotly = null; fail(new Error("plotly.min.js could not be read")); };
      document.head.appendChild(script);
    });
    return plotly;
  }

  // ------------------------------------------------------------------ texts
  // A browser breaks a line behind a hyphen: a date stays whole, as ui/widgets.py has it.
  const UNBROKEN = /((?<![\w/.-])(?:\d{4}-\d{2}-\d{2}|(?:SH|SZ|BJ)\d{6}|\d{6}\.(?:SH|SZ|BJ))(?![\w/-]))/;
  function tell(element, text) {
    element.replaceChildren(...(text || "").split(UNBROKEN).map((part, index) => {
      if (index % 2 === 0) return part;
      const kept = document.createElement("bdi");
      kept.className = "whole";
      kept.textContent = part;
      return kept;
    }));
  }

  // ------------------------------------------------------------------ a chart
  // A label that says how much of the x axis it has (`room`) is left out where it would not fit, and of dates
  // along the axis as many as stand clear of each other are named.
  const pen = document.createElement("canvas").getContext("2d");
  function fitted(layout, width) {
    const margin = layout.margin || {}, wide = width - (margin.l || 0) - (margin.r || 0);
    const widthOf = (text) => {
      pen.font = `11px ${getComputedStyle(document.body).fontFamily}`;
      return pen.measureText(text).width;
    };
    const annotations = (layout.annotations || []).filter(
      ({ room, text }) => room === undefined || widthOf(text) + 2 <= room * wide);
    const axis = layout.xaxis || {}, texts = axis.ticktext || [];
    if (!texts.length || !texts.every((text) => /^[\d-]+$/.test(text))) return { ...layout, annotations };
    const every = Math.ceil(texts.reduce((sum, text) => sum + widthOf(text) + 10, 0) / wide);
    const kept = (list) => list.filter((_, index) => index % every === 0);
    return { ...layout, annotations, xaxis: { ...axis, ticktext: kept(texts), tickvals: kept(axis.tickvals) } };
  }
  function chart(element, props, trigger, watch, height) {
    const $ = (selector) => element.querySelector(selector);
    const plot = $(".plot");
    let pending = false, bound = false, seen = false;

    function frame(value) {
      tell($("h3"), value.title);
      tell($(".sub"), value.subtitle);
      $(".mark").textContent = value.mark || "";
      $(".mark").hidden = !value.mark;
      tell($(".note"), value.note);
      $(".note").hidden = !value.note;
      const legend = $(".legend");
      legend.replaceChildren(...(value.legend || []).map(([text, token, kind]) => {
        const entry = document.createElement("span"), mark = document.createElement("i");
        mark.className = kind || "";
        mark.style.background = mark.style.color = color(token, getComputedStyle(document.body));
        entry.append(mark, text);
        return entry;
      }));
      const hasPicture = (value.traces || []).length > 0;
      const empty = $(".empty");
      // An emptied chart keeps its old picture, paler, under the sentence.
      tell(empty, value.empty);
      empty.hidden = !value.empty;
      $(".body").classList.toggle("old", Boolean(value.empty) && bound);
      element.querySelectorAll("[data-save]").forEach((button) => (button.hidden = !hasPicture));
      const compact = window.innerWidth < 600 ? 300 : value.height || height;
      plot.style.height = `${value.height ? Math.max(value.height, 60) : compact}px`;
      plot.style.visibility = hasPicture || bound ? "visible" : "hidden";
    }

    async function draw() {
      const value = props.value;
      if (!value) return;
      frame(value);
      if (!(value.traces || []).length) return;
      if (!element.isConnected || plot.offsetWidth === 0) return; // a hidden tab: the observer draws it later
      if (pending) return;
      pending = true;
      try {
        const Plotly = await loadPlotly();
        const now = props.value;
        if (!(now.traces || []).length) return;
        const style = getComputedStyle(document.body);
        const asked = { ...now.layout };
        if (window.innerWidth < 600) for (const axis in now.narrow) asked[axis] = { ...asked[axis], ...now.narrow[axis] };
        const layout = fitted(asked, plot.offsetWidth);
        await Plotly.react(plot, resolve(now.traces, style), resolve(layout, style), {
          responsive: false, displayModeBar: false, displaylogo: false, doubleClick: "reset+autosize",
          locale: "en", showTips: false,
        });
        if (!bound) {
          bound = true;
          plot.on("plotly_click", (event) => {
            const data = event.points && event.points[0] && event.points[0].customdata;
            if (data !== undefined && data !== null) trigger("click", { code: Array.isArray(data) ? data[0] : data });
          });
        }
      } finally {
        pending = false;
        if (props.value !== value) draw();
      }
    }

    element.addEventListener("click", (event) => {
      const kind = event.target.dataset && event.target.dataset.save;
      if (kind) save(kind, plot, props.value);
    });
    let width = 0;
    new ResizeObserver(() => {
      const wide = plot.offsetWidth;
      if (wide === width || wide === 0) { width = wide; return; }
      width = wide;
      // Drawn again as well: which labels fit is a matter of the width.
      if (bound) window.Plotly.Plots.resize(plot).then(draw); else draw();
    }).observe(plot);
    charts.add({ element, draw });
    watch("value", draw);
    draw();
  }

  function redraw() {
    for (const each of charts) if (each.element.isConnected) each.draw(); else charts.delete(each);
  }

  // ------------------------------------------------------------------ saving a chart
  function download(name, blob) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }
  function columns(value) {
    if (value.table) return value.table;
    const table = {};
    (value.traces || []).forEach((trace, index) => {
      const name = trace.name || `series ${index + 1}`;
      for (const part of ["x", "open", "high", "low", "close", "y", "z", "labels", "values"]) {
        if (Array.isArray(trace[part])) table[`${name} ${part}`] = trace[part];
      }
    });
    return table;
  }
  function cell(value) {
    let text = value === null || value === undefined ? "" : Array.isArray(value) ? value.join(" ") : String(value);
    if (/^[=+@\t\r]|^-[^\d.]/.test(text)) text = "'" + text; // a spreadsheet would run it as a formula
    return /[",\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
  }
  const WIDE_PX = 1280;
  function save(kind, plot, value) {
    if (kind === "csv") {
      const table = columns(value), names = Object.keys(table);
      const rows = Math.max(0, ...names.map((name) => table[name].length));
      const lines = [names.map(cell).join(",")];
      for (let row = 0; row < rows; row++) lines.push(names.map((name) => cell(table[name][row])).join(","));
      download(`${value.name}.csv`, new Blob(["\ufeff" + lines.join("\r\n") + "\r\n"], { type: "text/csv" }));
      return;
    }
    const style = getComputedStyle(document.body);
    const layout = resolve({ ...fitted(value.layout, WIDE_PX), paper_bgcolor: "@card", plot_bgcolor: "@card" }, style);
    layout.title = { text: plain([value.title, value.mark, value.subtitle].filter(Boolean).join(" · ")), font: { size: 14 }, x: 0.02 };
    layout.margin = { ...layout.margin, t: 40 };
    loadPlotly().then((Plotly) => Plotly.downloadImage(
      { data: resolve(value.traces, style), layout },
      { format: "png", filename: value.name, width: WIDE_PX, height: 640, scale: 2 }));
  }
  // Plotly reads a little HTML in its texts; what comes from data must not be read so.
  function plain(text) {
    return text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  }

  // ------------------------------------------------------------------ the frame
  function openTab(name) {
    const button = document.getElementById(`tab-${name}-button`);
    if (button) button.click();
  }
  function shownTab() {
    const button = document.querySelector("#tabs > .tab-wrapper .tab-container button[aria-selected=true]");
    return button ? button.id.replace(/^tab-|-button$/g, "") : "";
  }
  // ------------------------------------------------------------------ news
  // Asked for outside of Gradio, whose events each cost the browser a search through the whole page. Where the
  // mark has changed, the bells of the header and of the shown tab ring: Gradio then renders what lives there.
  const bells = {}, heard = {}, opened = {};
  let isAsking = false;
  function bell(place, trigger, isOpen) {
    bells[place] = trigger;
    opened[place] = isOpen;
    // What Gradio brings when the page is opened is newer than the mark that came with the page itself.
    if (isOpen) heard[place] = document.documentElement.dataset.mark;
  }
  async function ask() {
    if (document.hidden || isAsking) return;
    isAsking = true;
    try {
      const answer = await fetch("hermes/mark", { cache: "no-store" });
      const mark = answer.ok ? await answer.text() : null;
      for (const place of mark ? ["header", shownTab()] : []) {
        if (!bells[place] || heard[place] === mark) continue;
        heard[place] = mark;
        bells[place](opened[place] ? "click" : "select", {});
        opened[place] = true;
      }
    } catch { // the program does not answer: Gradio tells of it, and the next second asks again
    } finally {
      isAsking = false;
    }
  }
  setInterval(ask, 1000);
  // After a click that starts or stops something its news are a matter of moments.
  const SOON_MS = 200, SOON_FOR_MS = 3000;
  let soonUntil = 0;
  function soon() {
    const isAwake = Date.now() < soonUntil;
    soonUntil = Date.now() + SOON_FOR_MS;
    const again = () => { if (Date.now() < soonUntil) { ask(); setTimeout(again, SOON_MS); } };
    if (!isAwake) setTimeout(again, SOON_MS);
  }
  document.addEventListener("visibilitychange", ask);

  // ------------------------------------------------------------------ bringing into view
  // What a click has changed and which lies out of sight; below the header (`scroll-margin-top`).
  function reveal(element) {
    const top = element ? element.getBoundingClientRect().top : 0;
    if (!element || (top >= 0 && top < window.innerHeight / 3)) return;
    element.scrollIntoView({ block: "start" }); // at once: what is drawn meanwhile would end a smooth way halfway
  }
  // On a narrow screen results lie below their form: they come into view once what was started there has begun.
  const BEGINS_WITHIN_MS = 10000;
  document.addEventListener("click", (event) => {
    const button = event.target.closest && event.target.closest(".workbench .settings .primary-row button.primary");
    if (!button) return;
    const row = button.closest(".primary-row"), results = row.closest(".workbench").querySelector(".results");
    if (results.getBoundingClientRect().top < row.getBoundingClientRect().bottom) return; // beside the form
    const until = Date.now() + BEGINS_WITHIN_MS;
    const look = () => {
      const stop = row.querySelector(".stop-button");
      if (stop && stop.offsetWidth) reveal(results);
      else if (row.offsetWidth && Date.now() < until) setTimeout(look, SOON_MS);
    };
    setTimeout(look, SOON_MS);
  });

  // ------------------------------------------------------------------ names of fields
  // Gradio makes a field's help a part of its name, and gives some fields none: readers of a screen would hear
  // a paragraph, or nothing. The name is what stands over the field, the help describes it.
  let helps = 0;
  function nameField(told) {
    const block = told.closest(".block"), text = told.textContent.trim();
    if (!block || !text) return;
    const help = block.querySelector(".info-text");
    if (help && !help.id) help.id = `help-${++helps}`;
    const choices = block.querySelectorAll("input[type=radio]");
    if (choices.length) block.setAttribute("role", "radiogroup");
    for (const field of choices.length ? [block] : block.querySelectorAll("input, textarea, select")) {
      if (field.getAttribute("aria-label") !== text) field.setAttribute("aria-label", text);
      if (help) field.setAttribute("aria-describedby", help.id);
    }
  }
  const TOLD = "[data-testid=block-info]";
  new MutationObserver((changes) => {
    const found = new Set();
    for (const { target } of changes) {
      const element = target.nodeType === Node.ELEMENT_NODE ? target : target.parentElement;
      const own = element && element.closest(TOLD);
      if (own) found.add(own);
      else if (element) element.querySelectorAll(TOLD).forEach((told) => found.add(told));
    }
    found.forEach(nameField);
  }).observe(document.documentElement, { childList: true, subtree: true, characterData: true });

  // A tab that was just chosen shows what is new at once. On a narrow screen the strip of tabs scrolls: the
  // chosen one is brought into view once it has been drawn.
  let lastShown = "";
  function centerTab() {
    const button = document.getElementById(`tab-${lastShown}-button`);
    const strip = button && button.closest(".tab-container");
    if (strip) strip.scrollLeft = button.offsetLeft - (strip.clientWidth - button.offsetWidth) / 2;
  }
  new MutationObserver(() => {
    const name = shownTab();
    if (!name || name === lastShown) return;
    lastShown = name;
    ask();
    centerTab();
  }).observe(document.documentElement, { subtree: true, attributes: true, attributeFilter: ["aria-selected"] });
  function setTheme(theme) {
    store.setItem("hermes.theme", theme);
    document.body.classList.toggle("dark", theme === "dark");
    redraw();
  }
  function setRises(color) {
    store.setItem("hermes.rises", color);
    document.documentElement.classList.toggle("green-rises", color === "green");
    redraw();
  }
  // Called when the language has been switched, so that the next visit starts in it.
  function setLanguage(language) {
    store.setItem("hermes.language", language);
    document.documentElement.dataset.language = language;
    document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  }
  document.addEventListener("click", (event) => {
    const target = event.target.closest && event.target.closest("[data-open-tab],[data-theme-toggle],[data-copy]");
    if (!target) return;
    if (target.dataset.openTab) openTab(target.dataset.openTab);
    else if (target.dataset.themeToggle !== undefined) setTheme(document.body.classList.contains("dark") ? "light" : "dark");
    else if (target.dataset.copy !== undefined) {
      const text = target.parentElement.querySelector("code").textContent;
      navigator.clipboard.writeText(text).then(() => {
        target.classList.add("copied");
        setTimeout(() => target.classList.remove("copied"), 1500);
      });
    }
  });
  // Gradio tells of a lost connection in English alone.
  const LOST = /Connection to the server was lost/, LOST_ZH = "与程序的连接断了，正在重连。若已关闭程序窗口，请重新启动。";
  setInterval(() => {
    if (document.documentElement.dataset.language !== "zh") return;
    for (const told of document.querySelectorAll(".toast-text")) if (LOST.test(told.textContent)) told.textContent = LOST_ZH;
  }, 1000);
  window.addEventListener("resize", () => { redraw(); centerTab(); });

  // A row of a table that is a choice: click or Enter tells the server which.
  function rows(element, trigger, event) {
    const tell = (told) => {
      const row = told.target.closest("[data-code]");
      if (!row || !element.contains(row)) return;
      if (told.type === "keydown" && told.key !== "Enter" && told.key !== " ") return;
      told.preventDefault();
      trigger(event, { code: row.dataset.code });
    };
    element.addEventListener("click", tell);
    element.addEventListener("keydown", tell);
  }
  return { chart, rows, reveal, redraw, openTab, shownTab, bell, soon, setTheme, setRises, setLanguage };
})();
