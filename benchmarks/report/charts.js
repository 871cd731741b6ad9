// The charts of the records that the table shows: latency, and minutes of load.

const MOST_RANGES = 30, MOST_SHARES = 6, MOST_SUSTAINED = 8;
const milliseconds = (us) => (known(us) ? us / 1000 : null);

function drawShown(shown) {
  const measured = shown.filter((row) => known(row.median));
  const ranges = measured.slice(0, MOST_RANGES);
  const shares = measured.filter((row) => row.quantiles).slice(0, MOST_SHARES);
  const { common } = labels(ranges);
  const cut = measured.length > ranges.length ? `The first ${ranges.length} of ${measured.length} in the table's order; filter or sort it to see others. ` : "";
  byId("latency-lead").textContent = cut + (common && ranges.length ? `All of them: ${common}.` : "");
  later("ranges", byId("plot-ranges"), () => drawRanges(byId("plot-ranges"), ranges));
  later("shares", byId("plot-shares"), () => drawShares(byId("plot-shares"), shares));
  const minutes = shown.filter((row) => row.sustained && row.sustained.seconds.length).slice(0, MOST_SUSTAINED);
  byId("sustained").hidden = !minutes.length;
  drawSustained(byId("plots-sustained"), minutes);
}

function hoverText(row) {
  const interval = known(row.low) ? ` (95 %: ${msText(row.low)} – ${msText(row.high)})` : "";
  const lines = [row.file, `${row.machine} · ${row.condition}`, `median ${msText(row.median)}${interval}`, `p90 ${msText(row.p90)} · p99 ${msText(row.p99)}`, `${row.runs} runs, ${row.samples} inferences`];
  if (row.synthetic) lines.push("◇ synthetic: no phone's number");
  lines.push(...row.warnings.slice(0, 4).map((sentence) => `! ${sentence}`));
  return lines.map((line) => plainText(shorter(line, 90))).join("<br>");
}

function drawRanges(element, list) {
  if (!list.length) return leaveEmpty(element, "Nothing to draw.");
  const { texts } = labels(list);
  const narrow = element.clientWidth < NARROW;
  // One trace for all lines of a kind: a trace per line takes the browser ten times as long.
  const lines = new Map();
  const line = (row, y, from, to, width, opacity) => {
    if (!known(from) || !known(to)) return;
    const dash = row.synthetic ? "2px,3px" : "solid", key = [row.precision, width, dash].join();
    if (!lines.has(key)) lines.set(key, { x: [], y: [], mode: "lines", hoverinfo: "skip", opacity, line: { color: colour(row.precision), width, dash } });
    lines.get(key).x.push(milliseconds(from), milliseconds(to), null);
    lines.get(key).y.push(y, y, null);
  };
  list.forEach((row, y) => {
    line(row, y, row.spread.p5, row.spread.p95, 2, 0.75);
    line(row, y, row.spread.p25, row.spread.p75, 8, 0.45);
  });
  const traces = [...lines.values()];
  traces.push({
    x: list.map((row) => milliseconds(row.median)), y: list.map((_, y) => y), mode: "markers", cliponaxis: false,
    marker: { size: 10, color: list.map((row) => colour(row.precision)), symbol: list.map((row) => (row.synthetic ? "diamond-open" : "circle")), line: { width: list.map((row) => (row.synthetic ? 2 : 1)), color: list.map((row) => (row.synthetic ? colour(row.precision) : style("--card"))) } },
    hovertext: list.map(hoverText), hoverinfo: "text",
  });
  const ends = list.map((row) => milliseconds(Math.max(row.spread.p95 ?? 0, row.median)));
  traces.push({
    x: ends, y: list.map((_, y) => y), mode: "text", text: list.map((row) => ` ${digits(row.median / 1000)}`), textposition: "middle right",
    textfont: { color: style("--quiet"), size: 11 }, hoverinfo: "skip", cliponaxis: false,
  });
  const starts = list.map((row) => milliseconds(row.spread.p5 ?? row.median));
  const short = texts.map((text) => shorter(text, narrow ? 54 : 90));
  const labelled = short.map(plainText);
  const above = narrow ? list.map((_, y) => ({ xref: "paper", x: 0, y: y - 0.42, text: labelled[y], showarrow: false, xanchor: "left", font: { size: 11, color: style("--ink") } })) : [];
  draw(element, traces, {
    height: list.length * (narrow ? 40 : 27) + 70,
    margin: { l: narrow ? 10 : widest(short) + 14, r: 44, t: narrow ? 16 : 6, b: 48 },
    annotations: above,
    xaxis: scaleOf([...starts, ...ends], "ms per inference"),
    yaxis: axis({ range: [list.length - 0.45, narrow ? -0.8 : -0.6], tickvals: narrow ? [] : list.map((_, y) => y), ticktext: labelled, tickfont: { color: style("--ink"), size: 12 }, showgrid: false, ticklabelstandoff: 8 }),
  }, `Latency of ${list.length} records: ${list.slice(0, 5).map((row, y) => `${texts[y]} ${msText(row.median)}`).join("; ")}`);
}

function drawShares(element, list) {
  if (!list.length) return leaveEmpty(element, "No record here holds samples.");
  const { texts } = labels(list);
  const shares = [...Array(100).keys()];
  const dashes = (row) => (row.synthetic ? "5px,4px" : "solid");
  const traces = list.map((row, index) => ({
    x: row.quantiles.slice(0, 100).map(milliseconds), y: shares, mode: "lines", name: plainText(texts[index]),
    line: { color: colour(row.precision), width: 2, dash: dashes(row) },
    hovertemplate: `${plainText(shorter(texts[index], 70))}<br>%{y} % within %{x:.3~g} ms<extra></extra>`,
  }));
  const scale = scaleOf(list.flatMap((row) => [row.quantiles[0], row.quantiles[99]].map(milliseconds)), "ms per inference");
  const highs = list.map((row) => milliseconds(row.quantiles[99])), lows = list.map((row) => milliseconds(row.quantiles[1]));
  if (scale.type !== "log") scale.range = [Math.max(0, Math.min(...lows) - 0.08 * (Math.max(...highs) - Math.min(...lows))), Math.max(...highs) + 0.06 * (Math.max(...highs) - Math.min(...lows))];
  const place = (value) => (scale.type === "log" ? Math.log10(value) : value);
  const middle = (scale.range[0] + scale.range[1]) / 2;
  const annotations = list.map((row, index) => {
    const share = Math.round(86 - (index * 72) / Math.max(list.length - 1, 1) * (list.length > 1 ? 1 : 0));
    const x = place(milliseconds(row.quantiles[share]));
    const left = x <= middle;
    return {
      x, y: share, text: plainText(shorter(texts[index], element.clientWidth < NARROW ? 26 : 60)), xanchor: left ? "left" : "right", showarrow: true, arrowhead: 0, arrowwidth: 1,
      arrowcolor: colour(row.precision), ax: left ? 16 : -16, ay: 0, font: { color: colour(row.precision), size: 11.5 }, bgcolor: style("--card"), borderpad: 1,
    };
  });
  draw(element, traces, {
    height: 360, annotations, xaxis: scale, margin: { l: 48, r: 14, t: 12, b: 44 },
    yaxis: axis({ range: [0, 101], tickvals: [0, 25, 50, 75, 99], ticktext: ["0", "25 %", "50 %", "75 %", "99 %"] }),
  }, `Share of the inferences over latency for ${list.length} records: ${texts.join("; ")}`);
}

function drawSustained(parent, list) {
  while (parent.childElementCount > list.length) parent.lastElementChild.remove();
  while (parent.childElementCount < list.length) {
    const figure = document.createElement("figure"), caption = document.createElement("figcaption"), plot = document.createElement("div");
    plot.className = "plot";
    caption.append(document.createElement("b"), document.createElement("span"));
    figure.append(caption, plot);
    parent.append(figure);
  }
  list.forEach((row, index) => {
    const figure = parent.children[index], plot = figure.querySelector(".plot");
    const point = row.sustained.point;
    figure.querySelector("b").textContent = FIELDS.slice(0, 5).map(([, of]) => of(row)).join(" · ");
    figure.querySelector("span").textContent = (row.synthetic ? "◇ synthetic. " : "") + (point
      ? `Throttles after ${(point.seconds / 60).toFixed(1)} min${known(point.celsius) ? ` at ${point.celsius.toFixed(1)} °C` : ""}, ${point.reason === "status" ? "as the phone says" : "by its latency"}: ${msText(point.before_us)} → ${msText(point.after_us)}, ${point.slowdown.toFixed(2)} ×.`
      : "Does not throttle in this time.");
    const description = figure.querySelector("figcaption").textContent;
    later(`sustained ${index}`, plot, () => drawMinutes(plot, row, description));
  });
}

function drawMinutes(element, row, description) {
  const { seconds, median, celsius, throttled, point } = row.sustained;
  const minutes = seconds.map((value) => value / 60);
  const shade = colour(row.precision), warm = style("--warn");
  const dash = row.synthetic ? "5px,4px" : "solid";
  const warmth = celsius.some(known);
  const symbols = throttled.map((hot) => (row.synthetic ? (hot ? "x-open" : "diamond-open") : hot ? "x" : "circle"));
  const traces = [{
    x: minutes, y: median.map(milliseconds), mode: "lines+markers", line: { color: shade, width: 1.5, dash }, marker: { size: minutes.length > 80 ? 4 : 6, symbol: symbols },
    hovertext: minutes.map((minute, index) => `${minute.toFixed(1)} min: ${msText(median[index])}${throttled[index] ? ", throttled" : ""}`), hoverinfo: "text",
  }];
  if (warmth) traces.push({ x: minutes, y: celsius, yaxis: "y2", mode: "lines", connectgaps: true, line: { color: warm, width: 2, dash }, hovertemplate: "%{x:.1f} min: %{y:.1f} °C<extra></extra>" });
  const shapes = [], annotations = [];
  if (point) {
    const at = point.seconds / 60, late = at > minutes.at(-1) * 0.6;
    shapes.push({ type: "line", x0: at, x1: at, yref: "paper", y0: 0, y1: 1, line: { color: warm, width: 1.5, dash: "4px,3px" } });
    annotations.push({ x: at, yref: "paper", y: warmth ? 0.38 : 0, yanchor: warmth ? "middle" : "bottom", xanchor: late ? "right" : "left", text: " throttling begins ", showarrow: false, font: { color: warm, size: 11.5 }, bgcolor: style("--card") });
  }
  const note = (y, text, color) => annotations.push({ xref: "paper", x: 0, xshift: -6, yref: "paper", y, xanchor: "left", yanchor: "bottom", text, showarrow: false, font: { size: 11.5, color } });
  note(1, "ms per inference (median of a run)", shade);
  if (warmth) note(0.3, "°C", warm);
  const high = Math.max(...median.filter(known).map(milliseconds));
  draw(element, traces, {
    height: warmth ? 340 : 260, margin: { l: 44, r: 14, t: 26, b: 44 }, shapes, annotations,
    xaxis: axis({ title: titled("minutes"), rangemode: "tozero", anchor: warmth ? "y2" : "y" }),
    yaxis: axis({ domain: warmth ? [0.46, 1] : [0, 1], range: [0, high * 1.15], nticks: 5 }),
    yaxis2: axis({ domain: [0, 0.3], nticks: 4 }),
  }, description);
}
