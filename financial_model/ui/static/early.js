// Runs before anything is drawn: the remembered theme, colours and language, so that nothing flashes.
(function () {
  const store = window.localStorage, root = document.documentElement;
  const theme = store.getItem("hermes.theme");
  const dark = theme ? theme === "dark" : window.matchMedia("(prefers-color-scheme: dark)").matches;
  root.classList.toggle("green-rises", store.getItem("hermes.rises") === "green");
  // Gradio sets the class from the address or the system while it mounts; ours is put back whenever it differs.
  const wanted = () => (store.getItem("hermes.theme") || (dark ? "dark" : "light")) === "dark";
  const hold = () => {
    if (document.body && document.body.classList.contains("dark") !== wanted())
      document.body.classList.toggle("dark", wanted());
  };
  const start = () => {
    hold();
    new MutationObserver(hold).observe(document.body, { attributes: true, attributeFilter: ["class"] });
  };
  document.addEventListener("DOMContentLoaded", start);
  // Written into the page by ui/first_script.py.
  const known = KNOWN, texts = TEXTS, now = NOW;
  const language = store.getItem("hermes.language") || known.language || (/^zh/i.test(navigator.language) ? "zh" : "en");
  root.dataset.plotly = known.plotly;
  root.dataset.language = language;
  root.dataset.mark = now.mark;
  root.lang = language === "zh" ? "zh-CN" : "en";
  // The page is made in one language. Its texts in another are put in their places before Gradio has read it:
  // an event that brought them afterwards would draw everything twice.
  let config;
  Object.defineProperty(window, "gradio_config", {
    configurable: true,
    get: () => config,
    set: (value) => {
      config = value;
      for (const { id, props } of value.components || [])
        for (const told of [texts[language], now.header[language]]) if (told && told[id]) Object.assign(props, told[id]);
    },
  });

  // Gradio's sign of loading counts its seconds frame by frame for as long as the page lives, long after it was
  // taken away: sixty frames a second that show nothing, a tenth of a core where no GPU draws. No sign of this
  // page shows seconds, so its counter gets no frame.
  const counter = /^\(\)=>\{\w+\(\w+,\(performance\.now\(\)-\w+\(\w+\)\)\/1e3\),\w+&&\w+\(\)\}$/;
  const next = window.requestAnimationFrame.bind(window);
  window.requestAnimationFrame = (draw) => (counter.test(draw) ? 0 : next(draw));
})();
