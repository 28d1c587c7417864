"use strict";

// The theme: the system's until the button is used, then what was chosen, for as long as the browser remembers.
const root = document.documentElement;
const remembered = (store, key) => { try { return store.getItem(key); } catch { return null; } };
const remember = (store, key, value) => { try { store.setItem(key, value); } catch { /* private windows forget */ } };
const chosen = remembered(localStorage, "foregrad-theme");
if (chosen) root.dataset.theme = chosen;

// Charts: drawn when they come near the window, in the colours of the page.
const drawn = new Set();
function coloured(layout) {
  const style = getComputedStyle(root);
  const colour = (name) => style.getPropertyValue(name).trim();
  const themed = {
    ...layout, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: colour("--ink"), family: getComputedStyle(document.body).fontFamily, size: 13 },
    hoverlabel: { bgcolor: colour("--band"), bordercolor: colour("--line"), font: { color: colour("--ink") }, align: "left" },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("--faint"), activecolor: colour("--ink") },
  };
  for (const key of Object.keys(layout)) {
    if (/^[xy]axis/.test(key)) {
      themed[key] = { ...layout[key], gridcolor: colour("--line"), linecolor: colour("--faint"), showline: true, automargin: true };
    }
  }
  return themed;
}
// Epochs and blocks are whole numbers: a mark at each, as long as there is room.
function whole(figure) {
  for (const [key, axis] of Object.entries(figure.layout)) {
    if (!["epoch", "block"].includes(axis?.title?.text)) continue;
    const own = figure.data.filter((trace) => (trace.xaxis || "x") === key.replace("axis", ""));
    if (Math.max(...own.map((trace) => trace.x[trace.x.length - 1])) <= 16) axis.dtick = 1;
  }
}
function draw(chart) {
  const figure = JSON.parse(document.getElementById(chart.id + "-figure").textContent);
  whole(figure);
  const config = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["lasso2d", "select2d"],
    toImageButtonOptions: { format: "svg", filename: chart.id } };
  Plotly.react(chart, figure.data, coloured(figure.layout), config);
  drawn.add(chart);
}
const charts = [...document.querySelectorAll(".chart")];
const watcher = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (entry.isIntersecting) { watcher.unobserve(entry.target); draw(entry.target); }
  }
}, { rootMargin: "400px" });
charts.forEach((chart) => watcher.observe(chart));
window.addEventListener("beforeprint", () => charts.filter((chart) => !drawn.has(chart)).forEach(draw));

const system = matchMedia("(prefers-color-scheme: dark)");
const redraw = () => drawn.forEach(draw);
system.addEventListener("change", redraw);
document.getElementById("theme").addEventListener("click", () => {
  const isDark = root.dataset.theme ? root.dataset.theme === "dark" : system.matches;
  root.dataset.theme = isDark ? "light" : "dark";
  remember(localStorage, "foregrad-theme", root.dataset.theme);
  redraw();
});

// Tables: a click on a heading sorts by it, another one the other way round; what is no number comes last.
function sort(heading) {
  const table = heading.closest("table"), body = table.tBodies[0], column = heading.cellIndex;
  const isAscending = heading.getAttribute("aria-sort") !== "ascending";
  const key = (row) => row.cells[column].dataset.key;
  const number = (text) => (text === "" ? NaN : Number(text));
  const compare = (a, b) => {
    const [x, y] = [number(a), number(b)];
    if (!isNaN(x) && !isNaN(y)) return isAscending ? x - y : y - x;
    if (isNaN(x) !== isNaN(y)) return isNaN(x) ? 1 : -1;
    return isAscending ? a.localeCompare(b) : b.localeCompare(a);
  };
  [...body.rows].sort((a, b) => compare(key(a), key(b))).forEach((row) => body.append(row));
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", isAscending ? "ascending" : "descending");
}
document.querySelectorAll(".sortable th").forEach((heading) => {
  heading.querySelector("button").addEventListener("click", () => sort(heading));
});

// A live page: looks whether it has changed, and if so is loaded again with the same runs opened.
const interval = Number(document.body.dataset.interval || 0);
const opened = remembered(sessionStorage, "foregrad-opened");
if (interval && opened) JSON.parse(opened).forEach((id) => { const run = document.getElementById(id); if (run) run.open = true; });
if (interval) {
  let known = null;
  const look = async () => {
    try {
      const answer = await fetch(location.pathname, { cache: "no-store" });
      const text = await answer.text();
      if (known !== null && text !== known) {
        const open = [...document.querySelectorAll("details[open]")].map((run) => run.id);
        remember(sessionStorage, "foregrad-opened", JSON.stringify(open));
        location.reload();
      }
      known = text;
    } catch { document.getElementById("progress").textContent = "The study is no longer followed: its server has ended."; }
    setTimeout(look, 1000 * interval);
  };
  look();
}
