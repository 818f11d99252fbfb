"use strict";
// Charts that know nothing of models: lines, bars, the complex plane, tables. Each can be read with
// the arrow keys, and as a table; those in `redraws` follow the width of the page.

const $ = (id) => document.getElementById(id);
const root = document.documentElement;
const redraws = []; // of charts, when width or colours change

function make(tag, attributes = {}, ...children) {
  const vector = ["svg", "g", "path", "line", "text", "circle", "rect"].includes(tag);
  const node = vector ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== false) node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

const css = (name) => getComputedStyle(root).getPropertyValue(name).trim();
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const colour = (k) => `var(--s${k % 6})`;
const DASHES = ["", "7 3", "2 3", "9 3 2 3", "12 4", "4 2"];

function short(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  if (size >= 1e6) return (value / 1e6).toPrecision(3).replace(/\.?0+$/, "") + "M";
  if (size >= 1e4) return (value / 1e3).toPrecision(3).replace(/\.?0+$/, "") + "k";
  if (size === 0 || (size >= 0.001 && Number.isInteger(value))) return String(value);
  return size < 0.001 ? value.toExponential(1) : String(Number(value.toPrecision(4)));
}

function visible(text) {
  return text.replace(/\n/g, "↵").replace(/\t/g, "⇥").replace(/^ +| +$/g, (s) => "␣".repeat(s.length)) || "␣";
}

function table(head, rows) {
  const line = (cells, tag) => make("tr", {}, ...cells.map((c) => make(tag, tag === "th" ? { scope: "col" } : {}, String(c ?? "–"))));
  return make("table", {}, make("thead", {}, line(head, "th")), make("tbody", {}, ...rows.map((r) => line(r, "td"))));
}

// The same figures as a table, made when it is opened.
function alternative(head, rows) {
  const details = make("details", {}, make("summary", {}, "As a table"));
  details.addEventListener("toggle", () => {
    if (details.open && details.children.length === 1) {
      details.append(make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Table" }, table(head, rows())));
    }
  });
  return details;
}

// ---------------------------------------------------------------------------------------- charts

function ticks(low, high, count) {
  const rough = (high - low || 1) / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough);
  const out = [];
  for (let v = Math.ceil(low / step) * step; v <= high + step * 1e-6; v += step) out.push(Math.abs(v) < step * 1e-6 ? 0 : Number(v.toPrecision(12)));
  return out;
}

// Ticks of a logarithmic axis: powers of ten, and 2 and 5 of each where there are few.
function decades(low, high) {
  const first = Math.floor(Math.log10(low)), last = Math.ceil(Math.log10(high)), out = [];
  const every = Math.max(1, Math.ceil((last - first) / 6)), within = last - first > 2 ? [1] : [1, 2, 5];
  for (let e = first; e <= last; e += every) for (const m of within) out.push(Number((m * 10 ** e).toPrecision(3)));
  return out.filter((v) => v >= low * 0.999 && v <= high * 1.001);
}

// Lines over a common x. series: {name, points: [[x, y]], colour, dash, faint}; a null y is a gap.
function lines(host, { label, x, y, series, log = false, marks = [], zero = false, top = null, height = 190, onpick }) {
  series = series.filter((s) => s.points.length);
  if (!series.length) return void host.replaceChildren(make("p", { class: "none" }, "Nothing was recorded."));
  const legend = make("ul", { class: "legend" }), readout = make("p", { class: "readout", role: "status", "aria-live": "polite" });
  for (const s of series.length > 1 ? series : []) {
    const line = make("svg", { width: 24, height: 8, viewBox: "0 0 24 8", "aria-hidden": "true" });
    line.append(make("line", { x1: 0, x2: 24, y1: 4, y2: 4, stroke: s.colour, "stroke-width": s.faint ? 1.2 : 2.2, "stroke-dasharray": s.dash || "", opacity: s.faint ? 0.6 : 1 }));
    legend.append(make("li", {}, line, s.name));
  }
  const good = (v) => v !== null && (!log || v > 0);
  const all = series.flatMap((s) => s.points).filter((p) => good(p[1]));
  const xs = [...new Set(all.map((p) => p[0]))].sort((a, b) => a - b);
  let at = null, draw;
  const say = () => {
    if (at === null) return void (readout.textContent = "");
    const parts = series.map((s) => {
      let best = null;
      for (const p of s.points) if (p[1] !== null && (best === null || Math.abs(p[0] - xs[at]) < Math.abs(best[0] - xs[at]))) best = p;
      return `${s.name} ${short(best ? best[1] : null)}`;
    });
    readout.textContent = `${x} ${xs[at].toLocaleString("en")}: ${parts.join(", ")}`;
  };
  const rows = () => {
    const maps = series.map((s) => new Map(s.points));
    return xs.map((v) => [v.toLocaleString("en"), ...maps.map((m) => (m.has(v) ? short(m.get(v)) : ""))]);
  };
  const place = make("div");
  host.replaceChildren(place, ...(series.length > 1 ? [legend] : []), readout, alternative([x, ...series.map((s) => s.name)], rows));
  draw = () => {
    const width = Math.max(240, host.clientWidth || 320), box = { l: 46, r: 12, t: 10, b: 34 };
    let low = Math.min(...all.map((p) => p[1]), ...marks.map((m) => m.y)), high = Math.max(...all.map((p) => p[1]), ...marks.map((m) => m.y));
    if (zero) low = Math.min(0, low);
    if (top !== null) high = top;
    if (low === high) { low -= log ? low / 2 : 1; high += log ? high : 1; }
    const scale = log ? Math.log10 : (v) => v, pad = (scale(high) - scale(low)) * 0.06, bottom = zero && low === 0 ? 0 : pad;
    const [x0, x1] = [xs[0], xs.length > 1 ? xs[xs.length - 1] : xs[0] + 1];
    const px = (v) => box.l + ((v - x0) / (x1 - x0)) * (width - box.l - box.r);
    const py = (v) => height - box.b - ((scale(v) - scale(low) + bottom) / (scale(high) - scale(low) + pad + bottom)) * (height - box.t - box.b);
    const picture = make("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", tabindex: 0, "aria-label": `${label}. ${series.length} line${series.length > 1 ? "s" : ""}: ${series.map((s) => s.name).join(", ")}. The arrow keys read the values.` });
    for (const v of log ? decades(low, high) : ticks(low, high, 4)) {
      picture.append(make("line", { class: "axis", x1: box.l, x2: width - box.r, y1: py(v), y2: py(v) }), make("text", { x: box.l - 6, y: py(v) + 4, "text-anchor": "end" }, short(v)));
    }
    for (const v of ticks(x0, x1, width < 420 ? 4 : 6)) picture.append(make("text", { x: px(v), y: height - box.b + 15, "text-anchor": "middle" }, short(v)));
    picture.append(make("text", { x: (box.l + width - box.r) / 2, y: height - 3, "text-anchor": "middle" }, x + (y ? "; " + y : "")));
    for (const m of marks) picture.append(make("line", { class: "mark", x1: box.l, x2: width - box.r, y1: py(m.y), y2: py(m.y) }), make("text", { x: width - box.r, y: py(m.y) - 4, "text-anchor": "end" }, m.label));
    for (const s of series) {
      let d = "", pen = "M";
      for (const p of s.points) {
        if (good(p[1])) { d += `${pen}${px(p[0]).toFixed(1)},${py(p[1]).toFixed(1)}`; pen = "L"; } else pen = "M";
      }
      picture.append(make("path", { d, fill: "none", stroke: s.colour, "stroke-width": s.faint || s.points.length > width ? 1.1 : 2, "stroke-dasharray": s.dash || "", "stroke-linejoin": "round", opacity: s.faint ? 0.6 : 1 }));
      if (s.points.length <= 25 && !s.faint) for (const p of s.points) if (good(p[1])) picture.append(make("circle", { cx: px(p[0]), cy: py(p[1]), r: 3, fill: s.colour }));
    }
    const cross = make("line", { class: "cross", y1: box.t, y2: height - box.b, visibility: "hidden" });
    picture.append(cross);
    const show = () => {
      cross.setAttribute("visibility", at === null ? "hidden" : "visible");
      if (at !== null) { cross.setAttribute("x1", px(xs[at])); cross.setAttribute("x2", px(xs[at])); }
      say();
    };
    const nearest = (event) => {
      const frame = picture.getBoundingClientRect(), value = x0 + (((event.clientX - frame.left) * width) / frame.width - box.l) / (width - box.l - box.r) * (x1 - x0);
      let best = 0;
      xs.forEach((v, k) => { if (Math.abs(v - value) < Math.abs(xs[best] - value)) best = k; });
      return best;
    };
    picture.addEventListener("pointermove", (event) => { at = nearest(event); show(); });
    picture.addEventListener("pointerleave", () => { at = null; show(); });
    if (onpick) picture.addEventListener("click", (event) => onpick(xs[nearest(event)]));
    picture.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity }[event.key];
      if (!step) return;
      event.preventDefault();
      at = clamp(at === null ? (step > 0 ? 0 : xs.length - 1) : at + step, 0, xs.length - 1);
      show();
    });
    place.replaceChildren(picture);
    show();
  };
  draw();
  host.redraw = draw;
  if (!redraws.includes(host)) redraws.push(host);
}

// Horizontal bars, one group a part, one bar a model.
function bars(host, { label, unit, groups }) {
  if (!groups.length) return void host.replaceChildren(make("p", { class: "none" }, "Nothing was recorded."));
  const names = [...new Set(groups.flatMap((g) => g.bars.map((b) => b.name)))];
  const place = make("div");
  host.replaceChildren(place, alternative(["part", ...names], () => groups.map((g) => [g.part, ...names.map((n) => g.bars.find((b) => b.name === n)?.value.toLocaleString("en") ?? "")])));
  const draw = () => {
    const width = Math.max(240, host.clientWidth || 320), most = Math.max(...groups.flatMap((g) => g.bars.map((b) => b.value)), 1e-9);
    const picture = make("svg", { role: "img", "aria-label": `${label}: ${groups.map((g) => g.part + " " + g.bars.map((b) => (names.length > 1 ? b.name + " " : "") + short(b.value)).join(", ")).join("; ")}` });
    let top = 0;
    for (const group of groups) {
      picture.append(make("text", { x: 0, y: top + 12 }, group.part));
      top += 17;
      for (const bar of group.bars) {
        const length = (bar.value / most) * (width - 150);
        picture.append(make("rect", { x: 0, y: top, width: Math.max(1, length), height: 11, rx: 2, fill: bar.colour }));
        picture.append(make("text", { x: Math.max(1, length) + 6, y: top + 10 }, `${short(bar.value)}${unit}${names.length > 1 ? " " + bar.name : ""}`));
        top += 14;
      }
      top += 7;
    }
    picture.setAttribute("viewBox", `0 0 ${width} ${top}`);
    place.replaceChildren(picture);
  };
  draw();
  host.redraw = draw;
  if (!redraws.includes(host)) redraws.push(host);
}

// Points in the complex plane.
function plane(host, points, label, fill) {
  if (!points.length) return void host.replaceChildren(make("p", { class: "none" }, "No eigenvalues: the matrix is not square, or too large."));
  const reach = Math.max(1.1, ...points.flat().map(Math.abs)) * 1.06, size = 300, half = size / 2, unit = half / reach;
  const picture = make("svg", { viewBox: `0 0 ${size} ${size}`, role: "img", "aria-label": label, style: "max-width: 22rem; margin: 0 auto" });
  picture.append(make("line", { class: "axis", x1: 0, x2: size, y1: half, y2: half }), make("line", { class: "axis", x1: half, x2: half, y1: 0, y2: size }));
  picture.append(make("circle", { class: "mark", cx: half, cy: half, r: unit, fill: "none" }), make("text", { x: half + unit + 3, y: half - 4 }, "1"));
  for (const [re, im] of points) picture.append(make("circle", { cx: half + re * unit, cy: half - im * unit, r: 2.6, fill, "fill-opacity": 0.6 }));
  host.replaceChildren(picture, alternative(["real", "imaginary", "size"], () => points.map(([re, im]) => [re, im, Math.hypot(re, im).toFixed(3)])));
}
