// Hypervolume over generations, and what was measured over what was predicted.

function historyPlot(holder, content) {
  const known = content.fronts.map((front, f) => ({ f, values: front.hypervolumes })).filter(({ values }) => values.length > 1);
  if (!known.length) {
    holder.replaceChildren(el("p", { class: "quiet" }, "The file does not say how the search went on: it is of an earlier version."));
    return;
  }
  const all = known.flatMap(({ values }) => values);
  const [low, high] = around(all);
  const longest = Math.max(...known.map(({ values }) => values.length - 1));
  const width = Math.max(holder.clientWidth, 280);
  const { root, area, X, Y } = axesOf({
    width, height: 260, x: { low: 0, high: longest, label: "generation" },
    y: { low, high, label: "hypervolume, share of the box" }, label: "Hypervolume of the front over generations",
  });
  for (const { f, values } of known) {
    const d = values.map((value, i) => `${i ? "L" : "M"}${X(i).toFixed(1)} ${Y(value).toFixed(1)}`).join("");
    area.append(svg("path", { class: `curve f${f % 6}`, d }));
  }
  const boxes = new Set(known.map(({ f }) => JSON.stringify([content.fronts[f].objectives, content.fronts[f].limits])));
  const note = boxes.size > 1 ? el("p", { class: "quiet" }, "The fronts have different limits, so that the box of each is another one.") : null;
  holder.replaceChildren(...[root, note].filter(Boolean));
}

// What models that had not seen a subnet foretold of it, and what the members of the front did.
function agreementPlot(holder, front, f) {
  const unseen = (front.held_out?.predicted ?? []).map((predicted, i) => [predicted, front.held_out.measured[i]]);
  const points = front.top1_predicted.map((predicted, i) => [predicted, front.top1_measured[i], front.top1_spread[i]])
    .filter(([predicted, measured]) => predicted !== null && measured !== null);
  const told = [...membersText(front.agreement)];
  if (front.scores.length) told.push(el("p", { class: "quiet" }, "On subnets that the predictor never saw:"));
  if (!unseen.length && !points.length) {
    holder.replaceChildren(...told);
    return;
  }
  const [low, high] = around([...unseen, ...points].flatMap(([predicted, measured]) => [predicted, measured]));
  const width = Math.max(holder.clientWidth, 280);
  const { root, area, X, Y } = axesOf({
    width, height: 260, x: { low, high, label: "predicted top-1 (%)" }, y: { low, high, label: "measured top-1 (%)" },
    label: "Measured over predicted top-1",
  });
  area.append(svg("line", { class: "diagonal", x1: X(low), y1: Y(low), x2: X(high), y2: Y(high) }));
  area.append(dots(unseen.map(([predicted, measured]) => [X(predicted), Y(measured)]), 2.6, "samples"));
  const bars = points.filter(([, , spread]) => spread !== null)
    .map(([p, m, s]) => `M${X(p - s).toFixed(1)} ${Y(m).toFixed(1)}H${X(p + s).toFixed(1)}`);
  area.append(svg("path", { class: `spread f${f % 6}`, d: bars.join(""), fill: "none" }));
  area.append(diamonds(points.map(([p, m]) => [X(p), Y(m)]), 5, "measured"));
  const key = unseen.length ? [el("p", { class: "quiet hint" }, `Dots: ${unseen.length.toLocaleString("en-US")} samples, each predicted by models that had not seen it.`)] : [];
  holder.replaceChildren(root, ...key, ...told);
}

function membersText(found) {
  if (!found) return [el("p", { class: "quiet" }, "No member of this front was measured.")];
  const tau = found.tau === null ? "" : `Kendall tau ${found.tau.toFixed(2)}, `;
  const bias = `predicted ${Math.abs(found.bias).toFixed(2)} points too ${found.bias > 0 ? "high" : "low"} on average`;
  const seen = found.n_samples ? ` Among the samples, to which the predictor may have been fitted: ${found.n_samples}.` : "";
  return [el("p", {}, `${found.n} measured members: ${tau}RMSE ${found.rmse.toFixed(2)} points, ${bias}.${seen}`)];
}
