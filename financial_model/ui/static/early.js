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
  // Gradio hands this script to the browser with its settings, often after the document has been read.
  if (document.body) start(); else document.addEventListener("DOMContentLoaded", start);
  Object.assign(root.dataset, HERMES); // {language, built, plotly}: written into the page by ui/app.py
  const language = store.getItem("hermes.language") || HERMES.language || (/^zh/i.test(navigator.language) ? "zh" : "en");
  if (language !== HERMES.built) root.classList.add("settling");
  setTimeout(() => root.classList.remove("settling"), 3000); // never hide the page for longer than this
})();
