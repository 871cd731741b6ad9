// One network on one machine: what is smaller, faster and nearer to the float file, and what heads and bits cost.

const pickVariant = byId("pick-variant"), pickCondition = byId("pick-condition");
const filesBySha = new Map(data.files.map((file) => [file.sha256, file]));
const conditionOf = (row) => JSON.stringify([row.machine_id, row.condition, row.synthetic]);

function fillPicks() {
  const counts = new Map();
  for (const file of data.files) counts.set(file.variant, 0);
  for (const row of rows) counts.set(row.variant, (counts.get(row.variant) ?? 0) + 1);
  const variants = [...counts.keys()].sort((a, b) => counts.get(b) - counts.get(a) || a.localeCompare(b));
  pickVariant.append(...variants.map((variant) => new Option(`${shorter(variant)} (${counts.get(variant)})`, variant)));
  fillConditions();
  pickVariant.addEventListener("input", () => { fillConditions(); drawNetwork(); });
  pickCondition.addEventListener("input", drawNetwork);
}

function fillConditions() {
  const found = new Map();
  for (const row of rows) {
    if (row.variant !== pickVariant.value || row.mode !== "repeats" || !known(row.median)) continue;
    const text = `${row.synthetic ? "◇ synthetic: " : ""}${shorter(row.machine)} · ${row.condition}`;
    const entry = found.get(conditionOf(row)) ?? { text, count: 0, synthetic: row.synthetic };
    entry.count += 1;
    found.set(conditionOf(row), entry);
  }
  const keys = [...found.keys()].sort((a, b) => found.get(a).synthetic - found.get(b).synthetic || found.get(b).count - found.get(a).count);
  pickCondition.replaceChildren(...keys.map((key) => new Option(`${found.get(key).text} (${found.get(key).count})`, key)));
  pickCondition.disabled = keys.length < 2;
}

function drawNetwork() {
  const list = rows.filter((row) => row.variant === pickVariant.value && row.mode === "repeats" && known(row.median) && conditionOf(row) === pickCondition.value);
  const files = data.files.filter((file) => file.variant === pickVariant.value);
  later("size", byId("plot-size"), () => drawFront(byId("plot-size"), list.filter((row) => known(row.size_bytes)), (row) => row.size_bytes / 1e6, "file size, MB", null));
  drawError(list);
  drawHeads(list, files);
  drawAccuracy(files);
}

function fileLabels(list) {
  const heads = distinct(list.map((each) => each.heads)).length > 1, precision = distinct(list.map((each) => each.precision)).length > 1;
  return list.map((each) => [heads || !precision ? each.heads : "", precision || !heads ? each.precision : ""].filter(Boolean).join(" "));
}

// The points that no other beats in both directions, from fast to slow.
function front(list, height) {
  const best = [];
  for (const row of [...list].sort((a, b) => a.median - b.median || height(a) - height(b))) {
    if (!best.length || height(row) < height(best.at(-1))) best.push(row);
  }
  return best;
}

function drawFront(element, list, height, title, area) {
  if (!list.length) return leaveEmpty(element, "No latency of this network was measured.");
  const best = front(list, height), texts = fileLabels(list).map((text) => shorter(text, 34));
  const x = list.map((row) => row.median / 1000), y = list.map(height);
  const size = { width: element.clientWidth, height: 380 };
  const xaxis = axis({ title: titled("median, ms per inference"), range: [0, Math.max(...x) * 1.25] });
  const top = Math.max(...y) * 1.18 || 1;
  const yaxis = axis({ title: titled(title), range: [-0.05 * top, top], nticks: 6 });
  const pixels = list.map((_, index) => [(x[index] / xaxis.range[1]) * (size.width - 80), 330 * (1 - (y[index] + 0.05 * top) / (1.05 * top))]);
  const first = list.map((_, index) => index).sort((a, b) => best.includes(list[b]) - best.includes(list[a]));
  const places = placed(pixels, texts, first);
  const traces = [{
    x: best.map((row) => row.median / 1000), y: best.map(height), mode: "lines", line: { shape: "hv", color: style("--front"), width: 1.5, dash: list[0].synthetic ? "5px,4px" : "solid" }, hoverinfo: "skip",
  }, {
    x, y, mode: "markers+text", cliponaxis: false,
    text: texts.map((text, index) => (places[index] ? plainText(text) : "")), textposition: places.map((place) => place || "middle right"), textfont: { size: 11.5, color: list.map((row) => style(best.includes(row) ? "--ink" : "--quiet")) },
    marker: {
      symbol: list.map((row) => (row.synthetic ? "diamond-open" : "circle")), size: list.map((row) => (area ? Math.max(7, Math.sqrt(area(row)) * 9) : 11)),
      color: list.map((row) => colour(row.precision)), opacity: list.map((row) => (best.includes(row) ? 1 : 0.5)), line: { color: list.map((row) => (row.synthetic ? colour(row.precision) : style("--card"))), width: list.map((row) => (row.synthetic ? 2 : 1)) },
    },
    hovertext: list.map((row, index) => `${hoverText(row)}<br>${plainText(title)}: ${Number(y[index].toPrecision(3))}<br>${sizeText(row.size_bytes)}`), hoverinfo: "text",
  }];
  draw(element, traces, { height: size.height, xaxis, yaxis }, `${title} against latency: ${list.map((row, index) => `${texts[index]} ${msText(row.median)}, ${Number(y[index].toPrecision(3))}`).join("; ")}`);
}

function errorOf(row) {
  const file = filesBySha.get(row.sha256);
  if (!file) return null;
  return file.accuracy.length ? file.accuracy[0].value : file.exact ? 0 : null;
}

function drawError(list) {
  const judged = list.filter((row) => known(errorOf(row)));
  const figure = judged.map((row) => filesBySha.get(row.sha256).accuracy[0]).find(Boolean);
  byId("figure-error").hidden = !figure;
  if (!figure) return;
  const missing = list.length - judged.length;
  byId("error-note").textContent = `area: file size · error against the network's own float file${missing ? ` · ${missing} without a measured error left out` : ""}`;
  later("error", byId("plot-error"), () => drawFront(byId("plot-error"), judged, errorOf, `error: ${figure.title}`, (row) => row.size_bytes / 1e6));
}

function drawHeads(list, files) {
  const candidates = new Map();
  for (const each of [...files, ...list]) {
    const heads = candidates.get(each.precision) ?? new Map();
    const entry = heads.get(each.heads) ?? { heads: each.heads, precision: each.precision };
    entry.size ??= each.size_bytes;
    entry.macs ??= filesBySha.get(each.sha256)?.macs;
    entry.median ??= each.median;
    entry.synthetic ||= each.synthetic;
    heads.set(each.heads, entry);
    candidates.set(each.precision, heads);
  }
  const richest = [...candidates.entries()].sort((a, b) => b[1].size - a[1].size)[0];
  byId("figure-heads").hidden = !richest || richest[1].size < 2;
  if (byId("figure-heads").hidden) return;
  const entries = [...richest[1].values()].sort((a, b) => (b.heads === "all") - (a.heads === "all") || (b.macs ?? b.size) - (a.macs ?? a.size));
  byId("heads-note").textContent = `${richest[0]}, each against ${entries[0].heads}`;
  later("heads", byId("plot-heads"), () => drawHeadBars(byId("plot-heads"), entries));
}

function drawHeadBars(element, entries) {
  const panels = [["file size", (each) => each.size, sizeText], ["MACs", (each) => each.macs, macsText], ["median latency", (each) => each.median, msText]]
    .filter(([, of]) => entries.some((each) => known(of(each))));
  const narrow = element.clientWidth < 640, traces = [], layout = { annotations: [], bargap: 0.35 };
  panels.forEach(([title, of, text], number) => {
    const suffix = number ? String(number + 1) : "", base = of(entries[0]), stacked = narrow || !number;
    const from = number / panels.length, to = (number + 1) / panels.length;
    const relative = (each) => {
      if (each === entries[0] || !known(base) || !(base > 0)) return "";
      const percent = Math.round(100 * (of(each) / base - 1));
      return `  ${percent < 0 ? "−" : percent > 0 ? "+" : "±"}${Math.abs(percent)} %`;
    };
    const drawn = entries.filter((each) => known(of(each)));
    traces.push({
      type: "bar", orientation: "h", x: drawn.map(of), y: drawn.map((each) => entries.indexOf(each)), xaxis: `x${suffix}`, yaxis: `y${suffix}`, hoverinfo: "skip", cliponaxis: false,
      text: drawn.map((each) => ` ${text(of(each))}${relative(each)}`), textposition: "outside", textfont: { color: style("--ink"), size: 11.5 },
      marker: { color: drawn.map((each) => (each.synthetic && title.startsWith("median") ? "rgba(0,0,0,0)" : colour(each.precision))), opacity: 0.85, line: { color: colour(entries[0].precision), width: 1.2 } },
    });
    const most = Math.max(...drawn.map(of));
    layout[`xaxis${suffix}`] = axis({ domain: narrow ? [0, 1] : [from, to - 0.03], anchor: `y${suffix}`, range: [0, most * 1.65], showticklabels: false, showgrid: false });
    layout[`yaxis${suffix}`] = axis({ domain: narrow ? [1 - to, 1 - from - 0.09] : [0, 0.93], anchor: `x${suffix}`, range: [entries.length - 0.5, -0.5], showgrid: false, tickvals: entries.map((_, y) => y), ticktext: entries.map((each) => plainText(shorter(each.heads, 30))), showticklabels: stacked, tickfont: { color: style("--ink") }, ticklabelstandoff: 6 });
    layout.annotations.push({ xref: "paper", x: narrow ? 0 : from, xanchor: "left", yref: "paper", y: narrow ? 1 - from - 0.08 : 0.95, yanchor: "bottom", text: title, showarrow: false, font: { color: style("--quiet"), size: 12 } });
  });
  const rowsHigh = entries.length * 30 + 44, left = widest(entries.map((each) => shorter(each.heads, 30))) + 12;
  draw(element, traces, { ...layout, height: narrow ? rowsHigh * panels.length + 30 : rowsHigh + 16, margin: { l: left, r: 8, t: 8, b: 10 } }, `What removing heads buys: ${entries.map((each) => `${each.heads} ${sizeText(each.size)}, ${msText(each.median)}`).join("; ")}`);
}

function drawAccuracy(files) {
  const rank = (file) => PRECISIONS.indexOf(file.precision.split("_")[0]);
  const judged = files.filter((file) => file.accuracy.length).sort((a, b) => rank(a) - rank(b) || b.macs - a.macs);
  byId("accuracy").hidden = !judged.length;
  if (!judged.length) return;
  const over = distinct(judged.flatMap((file) => file.accuracy.map((figure) => figure.over))).filter(Boolean);
  byId("accuracy-note").textContent = `Each file against the float file of the network${over.length ? `, over ${over.join("; ")}` : ""}. Line: 95 % interval. │ the float file under ±1/255 noise and ╎ moved by one px: what is no worse than these cannot be told from float.`;
  const titles = distinct(judged.flatMap((file) => file.accuracy.filter((figure) => known(figure.value)).map((figure) => figure.title)));
  const parent = byId("plots-accuracy");
  while (parent.childElementCount > titles.length) parent.lastElementChild.remove();
  while (parent.childElementCount < titles.length) {
    const figure = document.createElement("figure");
    figure.append(document.createElement("figcaption"), document.createElement("div"));
    figure.lastElementChild.className = "plot";
    parent.append(figure);
  }
  titles.forEach((title, number) => {
    const points = judged.map((file) => ({ file, figure: file.accuracy.find((figure) => figure.title === title) })).filter(({ figure }) => figure && known(figure.value));
    const [caption, plot] = parent.children[number].children;
    const name = document.createElement("b");
    name.textContent = title;
    caption.replaceChildren(name, `${points[0].figure.sentence} ${points[0].figure.smaller_is_better ? "Smaller" : "Larger"} is better.`);
    later(`accuracy ${number}`, plot, () => drawFigure(plot, title, points));
  });
}

function drawFigure(element, title, points) {
  const texts = fileLabels(points.map(({ file }) => file)), short = texts.map((text) => shorter(text, 30));
  const y = points.map((_, index) => index), values = points.map(({ figure }) => figure.value), shades = points.map(({ file }) => colour(file.precision));
  const traces = points.filter(({ figure }) => known(figure.low) && known(figure.high)).map(({ file, figure }) => ({
    x: [figure.low, figure.high], y: [points.findIndex((point) => point.file === file), points.findIndex((point) => point.file === file)], mode: "lines", line: { color: colour(file.precision), width: 3 }, opacity: 0.45, hoverinfo: "skip",
  }));
  const control = (name, symbol, of) => traces.push({
    x: points.map(({ figure }) => of(figure)), y, mode: "markers", cliponaxis: false, marker: { symbol, size: 15, color: style("--quiet"), line: { width: 1.5, color: style("--quiet") } }, hovertemplate: `${name}: %{x:.3~g}<extra></extra>`,
  });
  control("float under ±1/255 noise", "line-ns", (figure) => figure.noise);
  control("float moved by 1 px", "line-ns-open", (figure) => figure.shift);
  traces.at(-1).marker.opacity = 0.45;
  traces.push({
    x: values, y, mode: "markers", cliponaxis: false, marker: { size: 10, color: shades, line: { color: style("--card"), width: 1 } },
    hovertext: points.map(({ file, figure }) => plainText(`${file.file}: ${figure.value.toFixed(figure.decimals)}${known(figure.low) ? ` (${figure.low.toFixed(figure.decimals)}–${figure.high.toFixed(figure.decimals)})` : ""}`)), hoverinfo: "text",
  });
  const all = points.flatMap(({ figure }) => [figure.value, figure.low, figure.high, figure.noise, figure.shift]).filter(known);
  const low = Math.min(...all), high = Math.max(...all), better = points[0].figure.smaller_is_better;
  const room = (high - low || Math.abs(high) || 1) * 0.08;
  traces.push({
    x: points.map(({ figure }) => Math.max(figure.value, figure.high ?? figure.value)), y, mode: "text", textposition: "middle right", text: points.map(({ figure }) => `  ${figure.value.toFixed(figure.decimals)}`), textfont: { color: style("--ink"), size: 11.5 }, hoverinfo: "skip", cliponaxis: false,
  });
  draw(element, traces, {
    height: points.length * 28 + 48, margin: { l: widest(short) + 12, r: 40, t: 6, b: 28 },
    xaxis: axis({ range: better ? [Math.min(0, low) - room / 2, high + room] : [low - room, high + room], nticks: 6 }),
    yaxis: axis({ range: [points.length - 0.5, -0.5], tickvals: y, ticktext: short.map(plainText), showgrid: false, tickfont: { color: style("--ink") }, ticklabelstandoff: 6 }),
  }, `${title}: ${points.map(({ figure }, index) => `${texts[index]} ${figure.value.toFixed(figure.decimals)}`).join("; ")}`);
}
