// The front: members with error bars, samples behind them, limits, what is chosen.

const NEAR = 40; // pixels from a member that still mean it
const FAR = "far from all that the predictor was fitted to";
const APART = 5; // pixels between error bars, so that each can be seen
const SHADES = [0.25, 0.42, 0.6, 0.8, 1]; // of members by the third objective, the least first

// One column of a front: measured top-1 where there is one, as everywhere.
function valuesOf(front, name) {
  if (name !== "top1") return front.costs[name];
  return front.top1_predicted.map((value, i) => front.top1_measured[i] ?? value);
}

// Of three objectives the one on neither axis.
function thirdObjective(front, state) {
  const rest = front.objectives.filter((name) => name !== state.x && name !== state.y);
  return front.objectives.length === 3 && rest.length === 1 ? rest[0] : null;
}

function frontPlot(holder, content, state, onChoose, onZoom) {
  const width = Math.max(holder.clientWidth, 300), height = Math.max(300, Math.min(520, width * 0.48));
  const shown = content.fronts.map((front, f) => ({ front, f }))
    .filter(({ front, f }) => !state.hidden.has(f) && valuesOf(front, state.x) && valuesOf(front, state.y));
  const domain = state.zoom ?? wholeDomain(shown, state);
  const axes = axesOf({
    width, height,
    x: { ...domain.x, log: state.log && domain.x.low > 0, label: axisLabel(content, state.x) },
    y: { ...domain.y, label: axisLabel(content, state.y) },
    label: `Front: ${axisLabel(content, state.y)} over ${axisLabel(content, state.x)}`,
  });
  const { X, Y, area } = axes;
  const backgrounds = new Set(shown.map(({ front }) => front.samples).filter((index) => index !== null));
  if (state.samples) for (const index of backgrounds) area.append(samplesOf(content.samples[index], state, X, Y));
  for (const { front, f } of shown) if (state.spread) area.append(spreads(front, f, state, X, Y));
  const points = [];
  for (const { front, f } of shown) points.push(...members(front, f, state, axes));
  for (const { front } of shown) limits(front, state, axes);
  chosen(content, state, axes);
  holder.replaceChildren(axes.root);
  pointing(holder, content, state, axes, points, onChoose, onZoom);
}

function axisLabel(content, name) {
  const { label, unit } = content.columns[name];
  return unit ? `${label} (${unit})` : label;
}

// Around the members; the samples are a background and may lie outside.
function wholeDomain(shown, state) {
  const range = (name, away) => {
    const values = [];
    for (const { front } of shown) {
      for (const [i, value] of valuesOf(front, name).entries()) {
        if (value === null) continue;
        const reach = name === "top1" && state.spread ? front.top1_spread[i] ?? 0 : 0;
        if (name === "top1") values.push(front.top1_predicted[i] - reach, front.top1_predicted[i] + reach);
        values.push(value);
      }
    }
    if (!values.length) return { low: 0, high: 1 };
    const low = values.reduce((a, b) => Math.min(a, b)), high = values.reduce((a, b) => Math.max(a, b));
    const margin = (high - low) * 0.04 || Math.abs(high) * 0.04 || 1;
    const floor = low > 0 && low - margin <= 0 ? low * 0.8 : low - margin;
    return { low: floor - (away && floor > 0 ? Math.min((high - low) * 0.25, floor / 2) : 0), high: high + margin };
  };
  return { x: range(state.x, false), y: range(state.y, state.y === "top1" && state.samples && shown.some(({ front }) => front.samples !== null)) };
}

function samplesOf(samples, state, X, Y) {
  const x = samples[state.x], y = samples[state.y];
  if (!x || !y) return svg("g");
  const known = x.map((value, i) => [value, y[i]]).filter(([a, b]) => a !== null && b !== null);
  return dots(known.map(([a, b]) => [X(a), Y(b)]), 3, "samples");
}

function spreads(front, f, state, X, Y) {
  const upright = state.y === "top1";
  if (!upright && state.x !== "top1") return svg("g");
  const other = valuesOf(front, upright ? state.x : state.y);
  let last = null;
  const bars = front.top1_predicted.map((top1, i) => {
    const spread = front.top1_spread[i];
    if (spread === null || top1 === null || other[i] === null) return "";
    const at = upright ? [X(other[i]), Y(top1)] : [X(top1), Y(other[i])];
    if (last && Math.hypot(at[0] - last[0], at[1] - last[1]) < APART) return "";
    last = at;
    const [low, high] = [top1 - spread, top1 + spread];
    return upright
      ? `M${X(other[i]).toFixed(1)} ${Y(low).toFixed(1)}V${Y(high).toFixed(1)}`
      : `M${X(low).toFixed(1)} ${Y(other[i]).toFixed(1)}H${X(high).toFixed(1)}`;
  });
  return svg("path", { class: `spread f${f % 6}`, d: bars.join(""), fill: "none" });
}

// Draws the members and tells where each of them is.
function members(front, f, state, { X, Y, area, left, right, top, bottom }) {
  const at = (x, y) => x.map((value, i) => [value, y[i]]);
  const predicted = { ...front, top1_measured: front.top1_measured.map(() => null) };
  const isKnown = ([x, y]) => x !== null && y !== null;
  const drawn = at(valuesOf(predicted, state.x), valuesOf(predicted, state.y));
  const third = thirdObjective(front, state);
  const size = drawn.filter(isKnown).length <= 60 ? 6 : third ? 5 : 3.4;
  for (const { indices, opacity } of shades(predicted, third)) {
    const mark = dots(indices.map((i) => drawn[i]).filter(isKnown).map(([x, y]) => [X(x), Y(y)]), size, `f${f % 6}`);
    area.append(filled(mark, { opacity }, []));
  }
  const places = at(valuesOf(front, state.x), valuesOf(front, state.y));
  if (state.x === "top1" || state.y === "top1") {
    const measured = places.filter((place, i) => front.top1_measured[i] !== null && isKnown(place));
    area.append(diamonds(measured.map(([x, y]) => [X(x), Y(y)]), 5.5, "measured"));
  }
  const knee = places[front.knee];
  if (isKnown(knee)) area.append(svg("circle", { class: "knee", cx: X(knee[0]), cy: Y(knee[1]), r: 6.5 }));
  return places.map((place, member) => (isKnown(place) ? { f, member, x: X(place[0]), y: Y(place[1]) } : null))
    .filter((p) => p && p.x >= left - 1 && p.x <= right + 1 && p.y >= top - 1 && p.y <= bottom + 1);
}

// Members in groups of equal size by one column, each with its opacity; one group without a column.
function shades(front, name) {
  const indices = [...front.top1_predicted.keys()];
  if (name === null) return [{ indices, opacity: 1 }];
  const values = valuesOf(front, name), n = indices.length;
  indices.sort((i, j) => values[i] - values[j]);
  return SHADES.map((opacity, k) => ({
    indices: indices.slice(Math.floor(k * n / SHADES.length), Math.floor((k + 1) * n / SHADES.length)), opacity,
  }));
}

function limits(front, state, { X, Y, above, left, right, top, bottom }) {
  const limitOf = (name) => (name === "top1" ? front.min_top1 : front.limits[name]) ?? null;
  const x = limitOf(state.x), y = limitOf(state.y);
  if (x !== null) {
    const inside = X(x) <= right && X(x) >= left;
    if (inside) above.append(svg("line", { class: "limit", x1: X(x), x2: X(x), y1: top, y2: bottom }));
    const text = inside ? `limit ${x}` : `limit ${x} →`;
    const place = inside ? { class: "end", x: X(x) - 6, y: top + 12 } : { class: "end", x: right, y: bottom - 8 };
    if (inside || X(x) > right) above.append(svg("text", place, text));
  }
  if (y !== null && Y(y) >= top && Y(y) <= bottom) {
    above.append(svg("line", { class: "limit", x1: left, x2: right, y1: Y(y), y2: Y(y) }));
    above.append(svg("text", { x: left + 6, y: Y(y) - 6 }, `limit ${y}`));
  }
}

function chosen(content, state, { X, Y, above, left, right, top, bottom }) {
  for (const side of ["a", "b"]) {
    const choice = state[side];
    if (!choice || state.hidden.has(choice.f)) continue;
    const front = content.fronts[choice.f];
    const x = valuesOf(front, state.x)?.[choice.member] ?? null, y = valuesOf(front, state.y)?.[choice.member] ?? null;
    if (x === null || y === null) continue;
    const [cx, cy] = [X(x), Y(y)];
    if (cx < left - 1 || cx > right + 1 || cy < top - 1 || cy > bottom + 1) continue;
    above.append(svg("circle", { class: `mark mark-${side}`, cx, cy, r: 5 }));
    const above_it = cy > top + 30;
    above.append(svg("text", { class: `middle mark-${side}`, x: cx, y: cy + (above_it ? -12 : 22) }, side.toUpperCase()));
  }
}

// Hovering names a member, a click chooses it, dragging zooms.
function pointing(holder, content, state, axes, points, onChoose, onZoom) {
  const { root, X, Y, left, right, top, bottom } = axes;
  const note = el("div", { class: "note", hidden: true, "aria-hidden": "true" });
  const rubber = svg("rect", { class: "rubber", visibility: "hidden" });
  const ring = svg("circle", { class: "under", r: 4.5, visibility: "hidden" });
  holder.append(note);
  root.append(ring, rubber);
  let start = null;
  const place = (event) => {
    const box = root.getBoundingClientRect(), view = root.viewBox.baseVal;
    return [(event.clientX - box.left) * view.width / box.width, (event.clientY - box.top) * view.height / box.height];
  };
  const nearest = ([x, y]) => {
    let best = null, least = NEAR ** 2;
    for (const point of points) {
      const distance = (point.x - x) ** 2 + (point.y - y) ** 2;
      if (distance < least) [best, least] = [point, distance];
    }
    return best;
  };
  const inside = ([x, y]) => [Math.min(Math.max(x, left), right), Math.min(Math.max(y, top), bottom)];
  root.addEventListener("pointermove", (event) => {
    const at = place(event);
    if (start) {
      const [x, y] = inside(at);
      const corner = { x: Math.min(x, start[0]), y: Math.min(y, start[1]) };
      filled(rubber, { ...corner, width: Math.abs(x - start[0]), height: Math.abs(y - start[1]), visibility: "visible" }, []);
    }
    const point = start ? null : nearest(at);
    note.hidden = !point;
    ring.setAttribute("visibility", point ? "visible" : "hidden");
    if (point) filled(ring, { cx: point.x, cy: point.y }, []);
    if (point) tell(note, content.fronts[point.f], point, content, state, axes);
  });
  root.addEventListener("pointerleave", () => {
    note.hidden = true;
    ring.setAttribute("visibility", "hidden");
  });
  root.addEventListener("pointerdown", (event) => {
    if (event.pointerType !== "mouse" || event.button !== 0) return;
    event.preventDefault();
    holder.focus({ preventScroll: true });
    start = inside(place(event));
    root.setPointerCapture(event.pointerId);
  });
  root.addEventListener("pointerup", (event) => {
    const [x, y] = inside(place(event)), from = start;
    start = null;
    rubber.setAttribute("visibility", "hidden");
    if (from && Math.abs(x - from[0]) > 8 && Math.abs(y - from[1]) > 8) {
      const xs = [X.inverse(x), X.inverse(from[0])], ys = [Y.inverse(y), Y.inverse(from[1])];
      onZoom({
        x: { low: Math.min(...xs), high: Math.max(...xs) },
        y: { low: Math.min(...ys), high: Math.max(...ys) },
      });
      return;
    }
    const point = nearest(place(event));
    if (point) onChoose(event.shiftKey ? "b" : "a", { f: point.f, member: point.member });
  });
}

function tell(note, front, { member, x, y }, content, state, { root }) {
  const lines = [`${content.fronts.length > 1 ? `${front.name}, ` : ""}member ${member}`];
  const measured = front.top1_measured[member], predicted = front.top1_predicted[member];
  if (measured !== null) lines.push(`top-1 measured ${percent(measured)} %`);
  if (predicted !== null) {
    const spread = front.top1_spread[member];
    lines.push(`top-1 predicted ${percent(predicted)}${spread === null ? "" : ` ± ${percent(spread)}`} %`);
  }
  for (const name of new Set([state.x, state.y, ...front.objectives])) {
    if (name === "top1") continue;
    const { label, unit } = content.columns[name];
    lines.push(`${label}: ${number(front.costs[name][member])} ${unit}`);
  }
  if (front.extrapolates.includes(member)) lines.push(FAR);
  note.replaceChildren(...lines.map((line) => el("div", {}, line)), strip(front, member, null));
  const share = root.getBoundingClientRect().width / root.viewBox.baseVal.width;
  const left = x * share + 14;
  note.style.left = `${left + note.offsetWidth > root.getBoundingClientRect().width ? left - note.offsetWidth - 28 : left}px`;
  note.style.top = `${Math.max(y * share - note.offsetHeight - 8, 0)}px`;
}
