"use strict";
(() => {
  const root = document.documentElement;
  const colour = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();
  const figures = () => [...document.querySelectorAll("[data-figure]")];

  function theme() {
    const axis = {
      gridcolor: colour("faint"), linecolor: colour("soft"), zerolinecolor: colour("faint"),
      tickcolor: colour("soft"), automargin: true, fixedrange: true,
    };
    return { layout: {
      font: { color: colour("ink"), family: getComputedStyle(document.body).fontFamily, size: 12 },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", xaxis: axis, yaxis: axis,
      hoverlabel: { bgcolor: colour("card"), bordercolor: colour("soft"), font: { color: colour("ink") } },
    } };
  }

  function draw(holder, look, width) {
    let text = document.getElementById(holder.dataset.figure).textContent;
    for (const name of ["ink", "faint", "paper", "soft"])
      text = text.replaceAll(`"@${name}"`, JSON.stringify(colour(name)));
    const { traces, layout } = JSON.parse(text);
    layout.template = look;
    if (width) layout.width = holder.closest(".panels") ? width / 2 - 12 : width;
    // Anew: in a drawing that grows wider, plotly 6 leaves a legend that gets lower over the picture.
    Plotly.purge(holder);
    Plotly.newPlot(holder, traces, layout, { displayModeBar: false });
  }

  // A figure is drawn when it comes near the window, and all are before they are printed.
  let near = null;
  function watch() {
    const look = theme();
    near?.disconnect();
    near = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        if (!isIntersecting) continue;
        near.unobserve(target);
        draw(target, look);
      }
    }, { rootMargin: "800px" });
    for (const holder of figures()) near.observe(holder);
  }

  let width = root.clientWidth;
  let waiting = 0;
  function resize() {
    if (root.clientWidth === width || root.classList.contains("printing")) return;
    width = root.clientWidth;
    clearTimeout(waiting);
    waiting = setTimeout(watch, 100);
  }

  function print() {
    root.classList.add("printing");
    const look = theme();
    for (const holder of figures()) draw(holder, look, 660);
  }

  const element = (name, text, parent, style) => {
    const made = document.createElement(name);
    if (text) made.textContent = text;
    if (style) made.className = style;
    parent.append(made);
    return made;
  };

  function list(title, rows, into) {
    const box = element("div", "", into, "list");
    element("h3", title, box);
    const ranks = element("ol", "", box);
    for (const [name, value, hit] of rows) {
      const row = element("li", "", ranks, hit ? "hit" : "");
      element("span", name, row);
      row.append(" ");
      const end = element("span", "", row, "value");
      if (hit) element("b", "hit", end);
      end.append(`${hit ? " " : ""}${value}`);
    }
  }

  const value = (score) => Number.isInteger(score) ? score.toLocaleString("en") : score.toFixed(3);

  function person(data, lists, into) {
    const lines = element("div", "", into, "lists");
    data.lists.forEach((title, n) => {
      const [items, scores, hits] = lists[n];
      const rows = items.map((item, at) => [data.names[item], value(scores[at]), hits.includes(at)]);
      list(title, rows, lines);
    });
  }

  // No form: a frame that forbids forms, as MLflow shows the page in, would not submit it.
  for (const box of document.querySelectorAll("[data-lookup]")) {
    const input = box.querySelector("input");
    let data = null;
    const look = () => {
      data ??= JSON.parse(document.getElementById(box.dataset.lookup).textContent);
      const id = input.value.trim();
      const found = document.getElementById(`${box.dataset.lookup}-found`);
      found.replaceChildren();
      const user = data.users.find((each) => each[0] === id);
      element("p", user ? `${data.user} ${id}` : `${data.missing}: ${id}`, found, "note");
      if (user) person(data, user[1], found);
    };
    box.querySelector("button").addEventListener("click", look);
    input.addEventListener("keydown", (event) => { if (event.key === "Enter") look(); });
  }

  if (!window.Plotly) return;
  watch();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", watch);
  addEventListener("resize", resize);
  addEventListener("beforeprint", print);
  addEventListener("afterprint", () => { root.classList.remove("printing"); watch(); });
})();
