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
  Object.assign(root.dataset, HERMES); // {language, built, plotly}: written into the page by ui/app.py
  const language = store.getItem("hermes.language") || HERMES.language || (/^zh/i.test(navigator.language) ? "zh" : "en");
  if (language !== HERMES.built) root.classList.add("settling");
  setTimeout(() => root.classList.remove("settling"), 8000); // never hide the page for longer than this

  // Gradio's sign of loading counts its seconds frame by frame for as long as the page lives, long after it was
  // taken away: sixty frames a second that show nothing, a tenth of a core where no GPU draws. No sign of this
  // page shows seconds, so its counter gets no frame.
  const counter = /^\(\)=>\{\w+\(\w+,\(performance\.now\(\)-\w+\(\w+\)\)\/1e3\),\w+&&\w+\(\)\}$/;
  const next = window.requestAnimationFrame.bind(window);
  window.requestAnimationFrame = (draw) => (counter.test(draw) ? 0 : next(draw));
})();
