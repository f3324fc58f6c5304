// Axes: scales, round ticks, grid and labels around an area that the figures draw into.

function roundTicks(low, high, wanted) {
  const raw = (high - low) / wanted;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 2.5, 5, 10].find((factor) => factor * power >= raw * 0.999);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) found.push(i * step || 0); // not -0
  return found;
}

function logTicks(low, high, wanted) {
  const found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
    for (const factor of [1, 2, 5]) {
      const value = factor * 10 ** power;
      if (value >= low && value <= high) found.push(value);
    }
  }
  return found.length < 2 ? roundTicks(low, high, wanted) : found;
}

function tickText(value, ticks) {
  if (Math.abs(value) >= 1e6) return `${+(value / 1e6).toPrecision(4)}M`;
  const gap = ticks.length > 1 ? Math.abs(ticks[1] - ticks[0]) : Math.abs(value) || 1;
  const digits = Math.min(Math.max(Math.ceil(-Math.log10(gap) - 1e-9), 0), 6);
  const exact = (gap * 10 ** digits) % 1 > 1e-6 ? digits + 1 : digits;
  return value.toLocaleString("en-US", { maximumFractionDigits: exact });
}

function scaled(axis, from, to) {
  const f = axis.log ? Math.log : (value) => value;
  const [low, high] = [f(axis.low), f(axis.high)];
  const to_pixel = (value) => from + ((f(value) - low) / (high - low || 1)) * (to - from);
  to_pixel.inverse = (pixel) => {
    const value = low + ((pixel - from) / (to - from)) * (high - low);
    return axis.log ? Math.exp(value) : value;
  };
  return to_pixel;
}

function around(values, share = 0.04) {
  const low = Math.min(...values), high = Math.max(...values);
  const margin = (high - low) * share || Math.abs(high) * share || 1;
  return [low - margin, high + margin];
}

let clipNumber = 0;

// An SVG with axes; `area` is clipped to the axes, `top` is not.
function axesOf({ width, height, x, y, label }) {
  const yTicks = roundTicks(y.low, y.high, height / 55);
  const yTexts = yTicks.map((tick) => tickText(tick, yTicks));
  const left = 34 + 7 * Math.max(2, ...yTexts.map((text) => text.length)), right = width - 12;
  const top = 12, bottom = height - 44;
  const X = scaled(x, left, right), Y = scaled(y, bottom, top);
  const clip = `area-${clipNumber++}`;
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label });
  root.append(svg("clipPath", { id: clip }, svg("rect", { x: left, y: top, width: right - left, height: bottom - top })));
  const xTicks = (x.log ? logTicks : roundTicks)(x.low, x.high, Math.max(width / 100, 4));
  for (const [i, tick] of yTicks.entries()) {
    root.append(svg("line", { class: "grid", x1: left, x2: right, y1: Y(tick), y2: Y(tick) }));
    root.append(svg("text", { class: "end", x: left - 8, y: Y(tick) + 4 }, yTexts[i]));
  }
  for (const tick of xTicks) {
    root.append(svg("line", { class: "axis", x1: X(tick), x2: X(tick), y1: bottom, y2: bottom + 5 }));
    const digits = x.log ? String(+tick.toPrecision(3)) : tickText(tick, xTicks);
    root.append(svg("text", { class: "middle", x: X(tick), y: bottom + 18 }, digits));
  }
  root.append(svg("line", { class: "axis", x1: left, x2: right, y1: bottom, y2: bottom }));
  root.append(svg("text", { class: "name middle", x: (left + right) / 2, y: height - 6 }, x.label));
  root.append(svg("text", { class: "name middle", transform: `translate(13 ${(top + bottom) / 2}) rotate(-90)` }, y.label));
  const area = svg("g", { "clip-path": `url(#${clip})` }), above = svg("g");
  root.append(area, above);
  return { root, area, above, X, Y, left, right, top, bottom };
}

// Thousands of dots as one element: strokes of no length with round ends.
function dots(points, size, classes) {
  const d = points.map(([x, y]) => `M${x.toFixed(1)} ${y.toFixed(1)}h0`).join("");
  return svg("path", { class: `dots ${classes}`, d, "stroke-width": size });
}

function diamonds(points, radius, classes) {
  const r = radius;
  const d = points.map(([x, y]) => `M${x.toFixed(1)} ${(y - r).toFixed(1)}l${r} ${r}l${-r} ${r}l${-r} ${-r}z`);
  return svg("path", { class: classes, d: d.join("") });
}
