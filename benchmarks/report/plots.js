"use strict";
// What all charts share: the library, colours, labels, axes, and a queue that draws one chart after the other.

const byId = (id) => document.getElementById(id);
const data = JSON.parse(byId("data").textContent);
const NARROW = 560;
const FONT = getComputedStyle(document.body).fontFamily;

// The library reads a little HTML in texts; names of files and machines are no HTML.
const plainText = (text) =>
  String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/\$/g, "&#36;");
const shorter = (text, most = 60) => (text.length <= most ? text : `${text.slice(0, most - 1)}…`);
const threads = (count) => `${count} thread${count === 1 ? "" : "s"}`;
const known = (value) => typeof value === "number";
const distinct = (values) => [...new Set(values)];

function digits(value) {
  return value >= 99.95 ? value.toFixed(0) : value >= 9.995 ? value.toFixed(1) : value >= 0.9995 ? value.toFixed(2) : value.toFixed(3);
}
const msText = (us) => (known(us) ? `${digits(us / 1000)} ms` : "–");
const sizeText = (bytes) => (known(bytes) ? (bytes >= 999500 ? `${(bytes / 1e6).toFixed(2)} MB` : `${(bytes / 1e3).toFixed(0)} kB`) : "–");
const macsText = (macs) => (macs >= 999.5e6 ? `${(macs / 1e9).toFixed(2)} G` : `${(macs / 1e6).toFixed(0)} M`);

// Asked once per theme: each question makes the browser lay the page out.
let styles = new Map();
const forgetStyles = () => { styles = new Map(); };
function style(name) {
  if (!styles.has(name)) styles.set(name, getComputedStyle(document.documentElement).getPropertyValue(name).trim());
  return styles.get(name);
}
const PRECISIONS = ["fp32", "fp16", "int8", "int16x8", "mixed", "dynamic"];
function colour(precision) {
  return style(`--${PRECISIONS.find((name) => String(precision).split("_")[0] === name) ?? "other"}`);
}

// The fields in which these records differ, so that a label says no more than it must; the others go into a title.
const FIELDS = [
  ["variant", (row) => row.variant],
  ["heads", (row) => (row.heads === "all" ? "all heads" : row.heads)],
  ["precision", (row) => row.precision],
  ["machine", (row) => row.machine],
  ["condition", (row) => row.condition],
  ["mode", (row) => (row.mode === "sustained" ? "sustained" : "")],
];
function labels(rows) {
  const differing = FIELDS.filter(([, of]) => distinct(rows.map(of)).length > 1);
  const shown = differing.length ? differing : FIELDS.slice(1, 3);
  const common = FIELDS.filter((field) => !differing.includes(field)).map(([, of]) => (rows.length ? of(rows[0]) : ""));
  const words = rows.map((row) => shown.map(([, of]) => of(row)).filter(Boolean).join(" · "));
  const texts = rows.map((row, index) => {
    // Two files may be alike in all of it: another calibration, other weights.
    const alike = words.some((other, number) => other === words[index] && rows[number].sha256 !== row.sha256);
    return words[index] + (alike ? ` · ${row.sha256.slice(0, 6)}` : "") + (row.synthetic ? " ◇ synthetic" : "");
  });
  return { texts, common: common.filter(Boolean).join(" · ") };
}

// The library can find margins by itself, by drawing everything twice.
const ruler = document.createElement("canvas").getContext("2d");
function widest(texts, size = 12) {
  ruler.font = `${size}px ${FONT}`;
  return Math.max(0, ...texts.map((text) => ruler.measureText(text).width));
}

function axis(more = {}) {
  const line = style("--line");
  return { gridcolor: line, linecolor: line, zeroline: false, tickfont: { color: style("--quiet") }, fixedrange: true, ...more };
}

const titled = (text) => ({ text: plainText(text), font: { color: style("--quiet"), size: 12 }, standoff: 8 });

// From zero where that leaves something to see, else logarithmic with ticks at 1, 2 and 5.
function scaleOf(values, title) {
  const positive = values.filter((value) => known(value) && value > 0);
  const low = Math.min(...positive), high = Math.max(...positive);
  if (!positive.length || high / low < 15) {
    return axis({ title: titled(title), range: [0, (positive.length ? high : 1) * 1.12], nticks: 7 });
  }
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
    for (const step of [1, 2, 5]) ticks.push(step * 10 ** power);
  }
  const text = ticks.map((tick) => String(Number(tick.toPrecision(1))));
  return axis({ title: titled(`${title}, logarithmic`), type: "log", range: [Math.log10(low / 1.25), Math.log10(high * 1.45)], tickvals: ticks, ticktext: text });
}

function draw(element, traces, layout, description) {
  const all = {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: FONT, size: 12, color: style("--ink") },
    margin: { l: 58, r: 14, t: 12, b: 44 },
    showlegend: false,
    dragmode: false,
    hovermode: "closest",
    hoverlabel: { bgcolor: style("--card"), bordercolor: style("--line"), font: { color: style("--ink") }, align: "left" },
    width: element.clientWidth,
    ...layout,
  };
  element.querySelector(".empty")?.remove();
  element.setAttribute("role", "img");
  element.setAttribute("aria-label", description);
  Plotly.react(element, traces, all, { displayModeBar: false });
  element.dataset.drawn = String(Number(element.dataset.drawn ?? 0) + 1);
}

function leaveEmpty(element, sentence) {
  if (window.Plotly) Plotly.purge(element);
  const note = document.createElement("p");
  note.className = "empty";
  note.textContent = sentence;
  element.replaceChildren(note);
  element.removeAttribute("data-drawn");
}

// Charts are drawn one after the other, those near the view first and the others when nothing else is to do. What is
// asked for twice is drawn once.
const queue = new Map();
const near = new Set();
const watcher = new IntersectionObserver((entries) => {
  for (const entry of entries) near[entry.isIntersecting ? "add" : "delete"](entry.target);
  pump();
}, { rootMargin: "300px" });
let pumping = false;

function later(name, element, task) {
  queue.set(name, { element, task });
  watcher.observe(element);
  pump();
}

function pump() {
  if (pumping || !window.Plotly) return;
  const visible = [...queue.values()].some(({ element }) => near.has(element));
  document.documentElement.dataset.charts = visible ? "drawing" : queue.size ? "waiting" : "drawn";
  if (!visible) markOnce(queue.size ? "view drawn" : "charts drawn");
  if (!queue.size) return;
  pumping = true;
  const go = () => {
    pumping = false;
    drawNext();
    pump();
  };
  // A browser that shows nothing new may not find the time to be idle.
  if (visible || !window.requestIdleCallback) setTimeout(go);
  else requestIdleCallback(go, { timeout: 200 });
}

function drawNext() {
  const entries = [...queue.entries()];
  const found = entries.find(([, { element }]) => near.has(element)) ?? entries[0];
  if (!found) return;
  const [name, { element, task }] = found;
  queue.delete(name);
  try {
    task();
  } catch (error) {
    console.error(error);
    leaveEmpty(element, `This chart could not be drawn: ${error.message}`);
  }
}

function markOnce(name) {
  if (!performance.getEntriesByName(name).length) performance.mark(name);
}

async function loadPlotly() {
  const packed = atob(byId("plotly").textContent);
  const bytes = new Uint8Array(packed.length);
  for (let index = 0; index < packed.length; index += 1) bytes[index] = packed.charCodeAt(index);
  const unpacked = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(unpacked).text();
  document.head.append(script);
  performance.mark("library ready");
  if (!window.Plotly) throw new Error("the plotting library did not start");
}

// Where the label of each point can stand without covering another; "" where it cannot.
function placed(points, texts, first) {
  const taken = points.map(([x, y]) => [x - 7, y - 7, x + 7, y + 7]);
  const places = { "middle right": [9, -8], "top right": [5, -22], "bottom right": [5, 6], "middle left": [-9, -8], "top center": [0, -24], "bottom center": [0, 8] };
  const found = points.map(() => "");
  for (const index of first) {
    const [x, y] = points[index];
    const width = 6.6 * texts[index].length + 4;
    for (const [name, [right, down]] of Object.entries(places)) {
      const left = name.includes("center") ? x - width / 2 : right < 0 ? x + right - width : x + right;
      const box = [left, y + down, left + width, y + down + 16];
      const free = taken.every((other, number) => number === index || box[0] > other[2] || box[2] < other[0] || box[1] > other[3] || box[3] < other[1]);
      if (free && box[0] > 0) {
        found[index] = name;
        taken.push(box);
        break;
      }
    }
  }
  return found;
}
