// How bits, kernels and the rest change from the cheapest member of a front to the dearest.

function alongPlot(holder, content, along, measure) {
  const width = Math.max(holder.clientWidth, 300), row = measure.rows.length > 30 ? 13 : 18;
  const left = 150, right = width - 4, top = 4, height = top + measure.rows.length * row + 40;
  const n = along.starts.length, step = (right - left) / n;
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img",
    "aria-label": `Mean ${measure.title} along the front` });
  const span = measure.greatest - measure.least || 1;
  const unit = content.columns[along.cost];
  measure.rows.forEach(({ name, means }, r) => {
    const y = top + r * row;
    const isLast = name.endsWith("project") || measure.rows.length <= 30 || !name.includes(" ");
    root.append(svg("text", { class: "end", x: left - 8, y: y + row - (row - 9) / 2 }, name));
    means.forEach((mean, i) => {
      const box = { x: (left + i * step).toFixed(1), y, width: (step - 1).toFixed(1), height: row - (isLast && measure.rows.length > 30 ? 3 : 1) };
      if (mean === null) return;
      const told = `${name}: mean ${measure.title} ${mean} from ${number(along.starts[i])} to ${number(along.ends[i])} ${unit.unit}`;
      root.append(svg("rect", { class: "cell", ...box, "fill-opacity": shade((mean - measure.least) / span) },
        svg("title", {}, told)));
    });
  });
  const labels = Math.max(2, Math.min(n, Math.floor((right - left) / 90)));
  for (let k = 0; k < labels; k++) {
    const i = Math.round(k * (n - 1) / (labels - 1 || 1));
    root.append(svg("text", { class: "middle", x: left + (i + 0.5) * step, y: height - 22 }, number((along.starts[i] + along.ends[i]) / 2)));
  }
  root.append(svg("text", { class: "name middle", x: (left + right) / 2, y: height - 4 }, axisLabel(content, along.cost)));
  holder.replaceChildren(root);
}

// The least value is still seen, so that only what is absent is blank.
function shade(share) {
  return (0.12 + 0.88 * share).toFixed(3);
}

function shadeKey(measure) {
  const cells = Array.from({ length: 6 }, (_, i) =>
    svg("rect", { class: "cell", x: i * 18, y: 0, width: 17, height: 12, "fill-opacity": shade(i / 5) }));
  const scale = svg("svg", { viewBox: "0 0 108 12", width: 108, height: 12, "aria-hidden": "true" }, ...cells);
  return el("span", { class: "shade-key" }, `${measure.least} `, scale, ` ${measure.greatest}`);
}
