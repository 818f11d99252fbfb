// Draws the page from the JSON in it. One chosen place (model, layer, series, unit, token) is shared
// by the text, the heat map and the unit's line; `choose` changes it and redraws what depends on it.

const models = JSON.parse($("data").textContent).models;
const chosen = { model: 0, layer: 0, series: "h", row: 0, token: 0 };

// -------------------------------------------------------------------------------------- learning

function smooth(points) {
  if (points.length < 12) return points;
  const out = [], rest = 1 - Math.min(0.5, 12 / points.length);
  let mean = points[0][1];
  for (const [step, value] of points) { mean = rest * mean + (1 - rest) * value; out.push([step, mean]); }
  return out;
}

function learning() {
  const several = models.length > 1, name = (m, what) => (several ? `${m.name}, ${what}` : what);
  const loss = [];
  models.forEach((m, k) => {
    const train = m.curves.train;
    if (train.length >= 12) loss.push({ name: name(m, "training, each logged step"), points: train, colour: colour(k), faint: true });
    loss.push({ name: name(m, train.length >= 12 ? "training, smoothed" : "training"), points: smooth(train), colour: colour(k), dash: "5 3" });
    loss.push({ name: name(m, "validation"), points: m.curves.valid, colour: several ? colour(k) : colour(k + 1) });
  });
  lines($("loss-chart"), { label: "Training and validation loss by step", x: "step", y: "nats a token", series: loss, height: 230 });
  const each = (key) => models.map((m, k) => ({ name: several ? m.name : { rate: "rate", norm: "norm", clipped: "share" }[key], points: m.curves[key], colour: colour(k), dash: DASHES[k % 6] }));
  lines($("rate-chart"), { label: "Learning rate by step", x: "step", series: each("rate"), zero: true });
  const clips = [...new Set(models.map((m) => m.curves.clip).filter((c) => c))];
  lines($("norm-chart"), { label: "Gradient norm by step", x: "step", series: each("norm"), zero: true, marks: clips.map((c) => ({ y: c, label: `limit ${c}` })) });
  lines($("clip-chart"), { label: "Share of steps clipped", x: "step", series: each("clipped"), zero: true, top: 1 });
}

function writing() {
  const box = make("div", { class: "samples", tabindex: 0, role: "region", "aria-label": "Texts" });
  for (const m of [models[chosen.model]]) {
    for (const s of m.samples) {
      const text = make("p", {});
      if (s.prefix) text.append(make("b", {}, s.prefix));
      text.append(s.text);
      box.append(make("article", {}, make("h3", {}, s.when), text));
    }
  }
  $("samples").replaceChildren(box);
}

// --------------------------------------------------------------------------------- the chosen place

const model = () => models[chosen.model];
const layer = () => model().layers[chosen.layer];
const series = () => layer().series[chosen.series];
const length = () => model().text.tokens.length;

function bytes(s) {
  if (!s.bytes) s.bytes = Uint8Array.from(atob(s.data), (c) => c.charCodeAt(0));
  return s.bytes;
}

function value(row, token) {
  const s = series();
  return s.low + (bytes(s)[row * length() + token] / 255) * (s.high - s.low);
}

// Part of the full colour: 0 to 1 for surprise and gates, -1 to 1 for what has a sign.
function strength(v, s) { return s.low < 0 ? v / s.high : (v - s.low) / (s.high - s.low); }
function tint(part) { return `rgb(var(--${part < 0 ? "cool" : "hot"}) / calc(${Math.abs(part).toFixed(3)} * var(--most)))`; }

let spans = [];

function text() {
  const t = model().text, host = $("text");
  spans = t.tokens.map(([, word], k) => {
    const span = make("span", { role: "option", id: `t${k}`, "aria-selected": "false", class: (word === "</s>" ? "end" : "") + (t.known[k] ? "" : " unk") });
    span.textContent = word === "\n" ? "↵" : word;
    const nats = t.nats[k];
    span.setAttribute("aria-label", `${visible(word)}, ${nats === null ? "not predicted" : nats.toFixed(2) + " nats"}`);
    return span;
  });
  const parts = [];
  t.tokens.forEach(([space, word], k) => {
    parts.push(space, spans[k]);
    if (word === "\n" || word === "</s>") parts.push("\n");
  });
  host.replaceChildren(...parts);
  paint();
}

function paint() {
  const unit = document.querySelector("input[name=paint]:checked").value === "unit", t = model().text, s = series();
  spans.forEach((span, k) => {
    const part = unit ? strength(value(chosen.row, k), s) : t.nats[k] === null ? 0 : Math.min(1, t.nats[k] / t.full);
    span.style.background = tint(part);
  });
  scale($("scale"), unit ? s.low : 0, unit ? s.high : t.full, unit ? "" : " nats", unit ? "" : "+", "var(--most)");
}

function scale(host, low, high, unit, more, most) {
  const bar = make("i"), part = (v) => `rgb(var(--${v < 0 ? "cool" : "hot"}) / calc(${Math.abs(v)} * ${most}))`;
  bar.style.background = `linear-gradient(90deg, ${low < 0 ? `${part(-1)}, ${part(0)}, ${part(1)}` : `${part(0)}, ${part(1)}`})`;
  host.replaceChildren(`${short(low)}`, bar, `${short(high)}${more}${unit}`);
}

function token() {
  const t = model().text, k = chosen.token, nats = t.nats[k], word = t.tokens[k][1], host = $("token");
  spans.forEach((span, j) => span.setAttribute("aria-selected", j === k));
  $("text").setAttribute("aria-activedescendant", `t${k}`);
  const cost = nats === null ? "Nothing comes before it: it was not predicted." : `${nats.toFixed(2)} nats, probability ${short(Math.exp(-nats))}${t.known[k] ? "" : "; not in the vocabulary, read as <unk>"}`;
  host.replaceChildren(make("h3", {}, visible(word)), make("p", {}, cost));
  const guesses = t.best[k].map(([w, p]) => [w, p]);
  if (nats !== null && guesses.length) {
    host.append(make("p", {}, "Expected in its place:"));
    for (const [w, p] of guesses) {
      const bar = make("i");
      bar.style.width = `${Math.max(0.5, p * 100)}%`;
      const right = w === word || (w === word.toLowerCase() && Math.abs(p - Math.exp(-nats)) < 1e-3);
      host.append(make("div", { class: "guess" + (right ? " right" : "") }, make("b", {}, visible(w)), make("span", {}, (p * 100).toFixed(1) + " %"), bar));
    }
  }
}

// -------------------------------------------------------------------------------------- heat map

const CELL = { width: 6, height: 5 };
let rows = []; // rows of the data in the order shown

function heat() {
  const l = layer(), T = length(), canvas = $("cells");
  rows = l.units.map((_, k) => k);
  if ($("order").value === "number") rows.sort((a, b) => l.units[a] - l.units[b]);
  canvas.width = T; canvas.height = rows.length;
  canvas.style.width = `${T * CELL.width}px`; canvas.style.height = `${rows.length * CELL.height}px`;
  const s = series(), data = bytes(s), context = canvas.getContext("2d"), image = context.createImageData(T, rows.length);
  const rgb = (name) => css(name).split(/\s+/).map(Number), hex = css("--card");
  const paper = [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16)), hot = rgb("--hot"), cool = rgb("--cool");
  const shades = Array.from({ length: 256 }, (_, b) => {
    const part = strength(s.low + (b / 255) * (s.high - s.low), s), to = part < 0 ? cool : hot;
    return paper.map((v, k) => v + (to[k] - v) * Math.min(1, Math.abs(part)));
  });
  rows.forEach((row, y) => {
    for (let x = 0; x < T; x++) {
      const shade = shades[data[row * T + x]], at = (y * T + x) * 4;
      image.data[at] = shade[0]; image.data[at + 1] = shade[1]; image.data[at + 2] = shade[2]; image.data[at + 3] = 255;
    }
  });
  context.putImageData(image, 0, 0);
  scale($("heat-scale"), s.low, s.high, "", "", "1");
}

function cell(scroll) {
  const l = layer(), y = rows.indexOf(chosen.row), x = chosen.token, T = length(), t = model().text.tokens;
  const set = (node, left, top, width, height) => Object.assign(node.style, { left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px` });
  set($("row-line"), -1, y * CELL.height - 1, T * CELL.width + 2, CELL.height + 2);
  set($("column-line"), x * CELL.width - 1, -1, CELL.width + 2, rows.length * CELL.height + 2);
  const before = t.slice(Math.max(0, x - 6), x).map(([s, w]) => s + w).join("");
  $("cell").textContent = `Unit ${l.units[chosen.row]} of ${chosen.series}, layer ${chosen.layer + 1}, at token ${x + 1} of ${T}: ${value(chosen.row, x).toFixed(2)} after “…${before}${t[x][0]}[${visible(t[x][1])}]”`;
  if (scroll) {
    const box = $("heat"), show = (place, size, edge) => { const at = place * size; if (at < box[edge] || at > box[edge] + (edge === "scrollLeft" ? box.clientWidth : box.clientHeight) - 2 * size) box[edge] = at - 60; };
    show(x, CELL.width, "scrollLeft"); show(y, CELL.height, "scrollTop");
  }
}

function unitLine() {
  const l = layer(), s = series(), points = Array.from({ length: length() }, (_, k) => [k + 1, value(chosen.row, k)]);
  const name = `unit ${l.units[chosen.row]} of ${chosen.series}`;
  $("unit-title").textContent = `${name[0].toUpperCase()}${name.slice(1)}, layer ${chosen.layer + 1}, along the text`;
  lines($("unit-chart"), { label: `${name} at each token`, x: "token", series: [{ name, points, colour: colour(chosen.model) }], zero: true, marks: s.low < 0 ? [{ y: 0, label: "" }] : [], height: 150, onpick: (x) => choose({ token: x - 1 }) });
}

function menus() {
  const fill = (id, options, at) => { $(id).replaceChildren(...options.map(([value, name]) => make("option", { value }, name))); $(id).value = at; };
  fill("layer", model().layers.map((_, k) => [k, k + 1]), chosen.layer);
  const names = { i: "i, input gate", f: "f, forget gate", o: "o, output gate", g: "g, candidate", r: "r, reset gate", z: "z, update gate", n: "n, candidate", c: "c, cell state", h: "h, hidden state" };
  fill("series", Object.keys(layer().series).map((s) => [s, names[s]]), chosen.series);
  const units = layer().units.map((unit, row) => [row, unit]);
  fill("unit", $("order").value === "number" ? units.sort((a, b) => a[1] - b[1]) : units, chosen.row);
}

function follows() {
  $("chance").textContent = `The best of as many units that follow nothing would reach about ${model().chance} here.`;
  $("follows").replaceChildren(...model().follows.map((row) => {
    const box = make("div", {}, make("h4", {}, row.feature[0].toUpperCase() + row.feature.slice(1)));
    if (!row.units.length) box.append(make("p", { class: "hint" }, "Too little of it in this text."));
    for (const [k, name, unit, r] of row.units) {
      const at = model().layers[k].units.indexOf(unit);
      if (at < 0) continue;
      box.append(make("button", { type: "button", "aria-label": `unit ${unit} of ${name}, layer ${k + 1}, correlation ${r}`, onclick: () => {
        document.querySelector("input[name=paint][value=unit]").checked = true;
        choose({ layer: k, series: name, row: at });
        paint(); // the unit may have been the chosen one before
      } }, `${name}${model().layers.length > 1 ? k + 1 : ""} ${unit}  ${r > 0 ? "+" : "−"}${Math.abs(r).toFixed(2)}`));
    }
    return box;
  }));
}

function choose(change, scroll = true) {
  const before = { ...chosen };
  Object.assign(chosen, change);
  chosen.layer = Math.min(chosen.layer, model().layers.length - 1);
  if (!(chosen.series in layer().series)) chosen.series = "h";
  chosen.row = clamp(chosen.row, 0, layer().units.length - 1);
  chosen.token = clamp(chosen.token, 0, length() - 1);
  const other = (...keys) => keys.some((key) => chosen[key] !== before[key]);
  if (other("model")) { text(); writing(); follows(); weights(); }
  if (other("model", "layer", "series")) heat();
  if (other("model", "layer", "series", "row")) { menus(); paint(); unitLine(); }
  token(); cell(scroll);
}

function listen() {
  $("text").addEventListener("click", (event) => {
    const at = spans.indexOf(event.target.closest("[role=option]"));
    if (at >= 0) choose({ token: at });
  });
  $("text").addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -10, ArrowDown: 10, Home: -Infinity, End: Infinity }[event.key];
    if (!step) return;
    event.preventDefault();
    choose({ token: clamp(chosen.token + step, 0, length() - 1) });
    spans[chosen.token].scrollIntoView({ block: "nearest" });
  });
  $("cells").addEventListener("click", (event) => {
    const frame = $("cells").getBoundingClientRect();
    const x = Math.floor((event.clientX - frame.left) / CELL.width), y = Math.floor((event.clientY - frame.top) / CELL.height);
    choose({ token: x, row: rows[clamp(y, 0, rows.length - 1)] }, false);
  });
  $("heat").addEventListener("keydown", (event) => {
    const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1], Home: [-Infinity, 0], End: [Infinity, 0], PageUp: [0, -10], PageDown: [0, 10] }[event.key] || [];
    if (dx === undefined) return;
    event.preventDefault();
    choose({ token: clamp(chosen.token + dx, 0, length() - 1), row: rows[clamp(rows.indexOf(chosen.row) + dy, 0, rows.length - 1)] });
  });
  for (const radio of document.querySelectorAll("input[name=paint]")) radio.addEventListener("change", paint);
  $("model").addEventListener("change", (event) => choose({ model: Number(event.target.value), layer: 0, row: 0 }));
  $("layer").addEventListener("change", (event) => choose({ layer: Number(event.target.value), row: 0 }));
  $("series").addEventListener("change", (event) => choose({ series: event.target.value }));
  $("unit").addEventListener("change", (event) => choose({ row: Number(event.target.value) }));
  $("order").addEventListener("change", () => { menus(); heat(); cell(true); });
  $("gate").addEventListener("change", spectrum);
  $("table").addEventListener("change", neighbours);
  $("find").addEventListener("input", neighbours);
}

// --------------------------------------------------------------------------------- lag, weights, size

function lag() {
  const all = models.map((m, k) => ({ name: m.name, points: m.lag.map((v, j) => [j, v]), colour: colour(k), dash: DASHES[k % 6] }));
  lines($("lag-chart"), { label: "Gradient norm by lag, logarithmic", x: "lag, steps", series: all, log: true, height: 260 });
}

function weights() {
  const gate = $("gate"), at = gate.value;
  gate.replaceChildren(...model().spectra.map((s, k) => make("option", { value: k }, `${s.gate}, layer ${s.layer + 1}`)));
  gate.value = at in model().spectra ? at : model().spectra.length - 1;
  const near = $("table"), shown = near.value;
  near.replaceChildren(...model().neighbours.map((t, k) => make("option", { value: k }, t.table)));
  near.value = shown in model().neighbours ? shown : model().neighbours.length - 1;
  spectrum(); neighbours();
}

function spectrum() {
  const s = model().spectra[Number($("gate").value)], what = `${s.gate} of layer ${s.layer + 1}`;
  lines($("singular-chart"), { label: `Singular values of ${what}`, x: "number", series: [{ name: "singular value", points: s.singular.map((v, k) => [k + 1, v]), colour: colour(chosen.model) }], zero: true, marks: [{ y: 1, label: "1" }], height: 300 });
  const outside = s.eigen.filter(([re, im]) => Math.hypot(re, im) > 1).length;
  plane($("eigen-chart"), s.eigen, `Eigenvalues of ${what}: ${s.eigen.length}, ${outside} of them outside the unit circle`, colour(chosen.model));
}

function neighbours() {
  const wanted = $("find").value.trim().toLowerCase(), all = model().neighbours[Number($("table").value)].rows;
  const found = all.filter((n) => n.token.toLowerCase().includes(wanted) || n.near.some(([t]) => t.toLowerCase() === wanted));
  $("neighbours").replaceChildren(found.length ? table(["token", "times", "nearest first"], found.map((n) => [visible(n.token), n.count.toLocaleString("en"), n.near.map(([t, c]) => `${visible(t)} ${c.toFixed(2)}`).join("   ")])) : make("p", { class: "none" }, "It is not among the frequent ones."));
}

function size() {
  const grouped = (list, key) => {
    const parts = [...new Set(models.flatMap((m) => m[list].map((p) => p.part)))];
    return parts.map((part) => ({ part, bars: models.flatMap((m, k) => m[list].filter((p) => p.part === part).map((p) => ({ name: m.name, value: p[key], colour: colour(k) }))) }));
  };
  bars($("parts-chart"), { label: "Parameters by part", unit: "", groups: grouped("parts", "parameters") });
  bars($("work-chart"), { label: "Multiply-adds a token by part", unit: "", groups: grouped("parts", "work") });
  bars($("times-chart"), { label: "Microseconds a token", unit: " µs", groups: grouped("times", "microseconds") });
}

// ------------------------------------------------------------------------------------------ begin

function theme(name) {
  root.dataset.theme = name;
  $("theme").textContent = name === "dark" ? "Light" : "Dark";
  $("theme").setAttribute("aria-label", `Change to ${name === "dark" ? "light" : "dark"} colours`);
}

const dark = matchMedia("(prefers-color-scheme: dark)");
theme(dark.matches ? "dark" : "light");
dark.addEventListener("change", () => { theme(dark.matches ? "dark" : "light"); heat(); });
$("theme").addEventListener("click", () => { theme(root.dataset.theme === "dark" ? "light" : "dark"); heat(); });
$("model").replaceChildren(...models.map((m, k) => make("option", { value: k }, m.name)));
$("which").hidden = models.length < 2;

learning(); lag(); size();
text(); writing(); follows(); weights(); menus(); heat(); unitLine(); listen();
choose({ token: Math.min(1, length() - 1) }, false);
let width = innerWidth;
addEventListener("resize", () => {
  if (innerWidth === width) return;
  width = innerWidth;
  for (const host of redraws) host.redraw();
});
root.dataset.ready = "yes";
