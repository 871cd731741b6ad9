// The table: sorting, filters, the details of a record; the theme; and what is printed.

const rows = data.records.map((record) => ({ ...record, origin: record.synthetic ? "synthetic" : "measured", doubts: record.warnings.length, element: byId(`record-${record.id}`) }));
for (const row of rows) row.words = [row.file, row.variant, row.heads, row.precision, row.machine, row.delegate, row.condition, row.sha256, row.origin, row.mode].join(" ").toLowerCase();
const table = byId("records"), search = byId("search");
const selects = [...document.querySelectorAll("[data-filter]")];
const order = { key: null, up: true };
const NUMBERS_DOWN_FIRST = new Set(["doubts", "size_bytes", "memory", "cv"]);

for (const select of selects) {
  const name = select.dataset.filter;
  const counts = new Map();
  for (const row of rows) counts.set(String(row[name]), (counts.get(String(row[name])) ?? 0) + 1);
  const values = [...counts.keys()].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  select.append(new Option("all", ""), ...values.map((value) => new Option(`${shorter(value, 40)} (${counts.get(value)})`, value)));
  select.disabled = values.length < 2;
}

const compare = (a, b) => (known(a) && known(b) ? a - b : String(a).localeCompare(String(b), "en", { numeric: true }));
function sorted(list) {
  if (!order.key) return list;
  const value = (row) => row[order.key] ?? null;
  return [...list].sort((a, b) => {
    if (value(a) === null || value(b) === null) return (value(a) === null) - (value(b) === null) || a.id - b.id;
    return (order.up ? 1 : -1) * compare(value(a), value(b)) || a.id - b.id;
  });
}

let shown = rows, standing = rows;
function update() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const chosen = selects.filter((select) => select.value);
  for (const select of selects) select.classList.toggle("on", Boolean(select.value));
  const fits = (row) => words.every((word) => row.words.includes(word)) && chosen.every((select) => String(row[select.dataset.filter]) === select.value);
  const all = sorted(rows);
  shown = all.filter(fits);
  const visible = new Set(shown);
  for (const row of rows) row.element.hidden = !visible.has(row);
  if (all.some((row, index) => row !== standing[index])) table.append(...all.map((row) => row.element));
  standing = all;
  byId("shown").textContent = shown.length === rows.length ? `${rows.length} shown` : `${shown.length} of ${rows.length} shown`;
  byId("nothing").hidden = shown.length > 0;
  drawShown(shown);
}

table.tHead.addEventListener("click", (event) => {
  const head = event.target.closest("[data-sort]");
  if (!head) return;
  const key = head.dataset.sort;
  order.up = order.key === key ? !order.up : !NUMBERS_DOWN_FIRST.has(key);
  order.key = key;
  for (const other of table.tHead.querySelectorAll("[aria-sort]")) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", order.up ? "ascending" : "descending");
  update();
});

function facts(value) {
  if (Array.isArray(value)) return value.length ? value.map((item) => (typeof item === "object" ? JSON.stringify(item) : item)).join(", ") : "–";
  if (value === null || typeof value !== "object") return value === null || value === "" ? "–" : String(value);
  const list = document.createElement("dl");
  for (const [name, item] of Object.entries(value)) {
    const term = document.createElement("dt"), text = document.createElement("dd");
    term.textContent = name;
    text.append(facts(item));
    list.append(term, text);
  }
  return list.childElementCount ? list : "–";
}

table.addEventListener("click", (event) => {
  const button = event.target.closest(".more");
  if (!button) return;
  const body = button.closest("tbody");
  const opened = body.classList.toggle("open");
  button.setAttribute("aria-expanded", String(opened));
  const cell = body.querySelector(".about td");
  if (opened && !cell.querySelector("dl")) {
    const row = rows.find((each) => each.element === body);
    cell.append(facts({ record: row.path, "file's sha256": row.sha256, "machine's id": row.machine_id, samples: row.samples, "first inference": msText(row.first), ...row.provenance }));
  }
});

byId("filters").addEventListener("input", update);
byId("filters").addEventListener("submit", (event) => event.preventDefault());
byId("filters").addEventListener("reset", () => setTimeout(update));
document.addEventListener("keydown", (event) => {
  const writing = event.target.closest?.("input, select, textarea");
  if (event.key === "/" && !writing && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    search.focus();
  } else if (event.key === "Escape" && event.target === search && search.value) {
    search.value = "";
    update();
  }
});

// Theme: what the system says, until one is chosen. Some browsers keep nothing for local files.
const THEMES = ["auto", "light", "dark"];
let theme = "auto";
try {
  theme = localStorage.getItem("blazeport-theme") ?? "auto";
} catch { /* not kept */ }
function showTheme() {
  if (!THEMES.includes(theme)) theme = "auto";
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  byId("theme").textContent = `Theme: ${theme}`;
}
byId("theme").addEventListener("click", () => {
  theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
  try {
    localStorage.setItem("blazeport-theme", theme);
  } catch { /* not kept */ }
  showTheme();
  drawAll();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawAll());

function drawAll() {
  forgetStyles();
  drawShown(shown);
  drawNetwork();
}

let width = document.documentElement.clientWidth;
addEventListener("resize", () => {
  if (printing || width === document.documentElement.clientWidth) return;
  width = document.documentElement.clientWidth;
  drawAll();
});

// Paper is white and as wide as A4 across.
let printing = false;
addEventListener("beforeprint", () => {
  if (!window.Plotly) return;
  printing = true;
  document.documentElement.dataset.theme = "light";
  document.body.style.width = "1030px";
  drawAll();
  while (queue.size) drawNext();
});
addEventListener("afterprint", () => {
  printing = false;
  document.body.style.width = "";
  showTheme();
  drawAll();
});

showTheme();
fillPicks();
update();
drawNetwork();
performance.mark("interactive");
loadPlotly().then(pump, (error) => {
  for (const plot of document.querySelectorAll(".plot")) leaveEmpty(plot, `No charts: ${error.message}. The table is complete.`);
  document.documentElement.dataset.charts = "failed";
});
