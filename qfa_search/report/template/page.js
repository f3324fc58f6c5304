// What is chosen, and everything drawn anew when it changes.

const content = JSON.parse(byId("content").textContent);
const state = {
  x: content.fronts[0].objectives.find((name) => name !== "top1"), y: "top1",
  log: false, spread: true, samples: true, hidden: new Set(), zoom: null,
  a: { f: 0, member: content.fronts[0].knee }, b: null, measure: 0,
};
const isSeveral = content.fronts.length > 1;
if (!content.fronts[0].objectives.includes("top1")) state.y = content.fronts[0].objectives[1];

function chosenMembers() {
  return ["a", "b"].filter((side) => state[side]).map((side) => ({ side, front: content.fronts[state[side].f], member: state[side].member }));
}

function choose(side, choice) {
  const front = content.fronts[choice.f], isOtherFront = side === "a" && choice.f !== state.a.f;
  state[side] = { f: choice.f, member: Math.min(Math.max(choice.member, 0), front.top1_predicted.length - 1) };
  drawFront();
  drawMembers();
  if (isOtherFront) drawRest();
  const { member } = state[side], top1 = valuesOf(front, "top1")[member];
  byId("told").textContent = `Member ${side.toUpperCase()}: ${isSeveral ? `${front.name}, ` : ""}${member}, top-1 ${percent(top1)} percent`;
}

function drawFront() {
  frontPlot(byId("front-plot"), content, state, choose, (zoom) => { state.zoom = zoom; drawFront(); });
  byId("whole").hidden = state.zoom === null;
  const third = content.fronts.map((front, f) => (state.hidden.has(f) ? null : thirdObjective(front, state))).find((name) => name);
  byId("third").hidden = !third;
  if (third) byId("third").textContent = `Three objectives: the stronger the colour of a member, the larger its ${axisLabel(content, third)}. One that lies behind others here is better in that.`;
}

function drawMembers() {
  const chosen = chosenMembers();
  drawPickers();
  const [a, b] = chosen;
  const isSameSpace = b && JSON.stringify(a.front.architecture.places) === JSON.stringify(b.front.architecture.places);
  byId("strips").replaceChildren(...chosen.flatMap(({ side, front, member }) => {
    const head = el("div", { class: "strip-head" }, el("b", { class: `key-${side}` }, side.toUpperCase()),
      el("span", {}, memberTitle(front, member)));
    return [head, strip(front, member, side === "b" && isSameSpace ? a : null)];
  }), bitKey(a.front));
  if (b && isSameSpace) byId("strips").lastChild.append(el("span", {}, "green: B differs from A"));
  byId("details").replaceChildren(...[costTable(content, chosen), classTables(chosen)].filter(Boolean));
  byId("commands").replaceChildren(...chosen.map((one) => commandLine(one, chosen.length === 2)));
  drawList();
}

function memberTitle(front, member) {
  const words = [isSeveral ? `${front.name}, member ${member}` : `member ${member}`];
  if (member === front.knee) words.push("the knee");
  words.push(`input ${front.architecture.resolution[member]} × ${front.architecture.resolution[member]}`);
  if (front.extrapolates.includes(member)) words.push(FAR);
  return words.join(", ");
}

// Made once and then only set, so that the keyboard stays where it is.
const pickers = {};

function drawPickers() {
  for (const side of ["a", "b"]) {
    pickers[side] ??= picker(side);
    const { select, number: input, range, rest, compare } = pickers[side];
    const choice = state[side];
    rest.hidden = !choice;
    if (compare) compare.textContent = choice ? "End comparing" : "Compare with another member";
    if (!choice) continue;
    const last = content.fronts[choice.f].top1_predicted.length - 1;
    if (select) select.value = choice.f;
    for (const control of [input, range]) {
      control.max = last;
      control.value = choice.member;
    }
  }
}

function picker(side) {
  const name = side.toUpperCase();
  const set = (member) => choose(side, { f: state[side].f, member });
  const onInput = (event) => { if (event.target.value !== "") set(Number(event.target.value)); };
  const found = {
    select: isSeveral ? el("select", { "aria-label": `Front of member ${name}`, onchange: (event) => {
      const f = Number(event.target.value);
      choose(side, { f, member: content.fronts[f].knee });
    } }, ...content.fronts.map((front, f) => el("option", { value: f }, front.name))) : null,
    number: el("input", { type: "number", min: 0, "aria-label": `Index of member ${name}`, onchange: onInput }),
    range: el("input", { type: "range", min: 0, "aria-label": `Member ${name}, from the cheapest to the dearest`, oninput: onInput }),
    compare: side === "b" ? el("button", { type: "button", onclick: () => {
      if (state.b) endComparing();
      else choose("b", { f: state.a.f, member: opposite(state.a) });
    } }) : null,
  };
  const button = (label, index) => el("button", { type: "button", onclick: () => set(index(content.fronts[state[side].f])) }, label);
  found.rest = el("span", { class: "picker rest" }, found.select, found.number, found.range,
    button("cheapest", () => 0), button("knee", (front) => front.knee), button("dearest", (front) => front.top1_predicted.length - 1));
  byId("pickers").append(el("div", { class: "picker" }, el("b", { class: `key-${side}` }, name), found.rest, found.compare));
  return found;
}

// Somewhere worth comparing with: the dearest member, or the knee of it.
function opposite({ f, member }) {
  const front = content.fronts[f], last = front.top1_predicted.length - 1;
  return member === last ? front.knee : last;
}

function endComparing() {
  state.b = null;
  drawFront();
  drawMembers();
}

function listed(front) {
  const n = front.top1_predicted.length, count = Math.min(19, n);
  const evenly = Array.from({ length: count }, (_, i) => Math.round(i * (n - 1) / Math.max(count - 1, 1)));
  const measured = front.top1_measured.flatMap((value, i) => (value === null ? [] : [i]));
  const rows = measured.length && measured.length <= 60 ? [...evenly, ...measured] : evenly;
  return [...new Set([...rows, front.knee])].sort((a, b) => a - b);
}

function drawList() {
  const { f } = state.a, front = content.fronts[f], rows = listed(front), n = front.top1_predicted.length;
  const isMeasured = front.top1_measured.some((value) => value !== null);
  const names = Object.keys(content.columns).filter((name) => front.costs[name]);
  byId("list-note").textContent = `${isSeveral ? `${front.name}: ` : ""}${rows.length === n ? `All ${n}` : `${rows.length} of ${n.toLocaleString("en-US")}`} members, cheapest first.`;
  const columns = [
    ...(isMeasured ? [["top-1 measured", (i) => percent(front.top1_measured[i])]] : []),
    ["top-1 predicted", (i) => percent(front.top1_predicted[i])],
    ...(front.top1_spread.some((value) => value !== null) ? [["spread", (i) => percent(front.top1_spread[i])]] : []),
    ...names.map((name) => [content.columns[name].heading, (i) => number(front.costs[name][i])]),
    ["input", (i) => String(front.architecture.resolution[i])],
  ];
  const head = el("tr", {}, el("th", { scope: "col" }, "index"), ...columns.map(([label]) => el("th", { scope: "col" }, ...broken(label))));
  const body = rows.map((i) => {
    const isChosen = (side) => state[side]?.f === f && state[side].member === i;
    const marks = ["a", "b"].filter(isChosen).map((side) => `chosen-${side}`).join(" ");
    const button = el("button", { type: "button", "aria-label": `Show member ${i}` }, String(i));
    return el("tr", { class: marks, onclick: (event) => choose(event.shiftKey ? "b" : "a", { f, member: i }) },
      el("th", { scope: "row" }, button, i === front.knee ? " knee" : ""), ...columns.map(([, read]) => el("td", {}, read(i))));
  });
  const focused = document.activeElement?.closest?.("#list") ? document.activeElement.textContent : null;
  byId("list").replaceChildren(el("thead", {}, head), el("tbody", {}, ...body));
  if (focused !== null) [...byId("list").querySelectorAll("button")].find((button) => button.textContent === focused)?.focus();
}

// A heading in two lines, so that columns stay narrow.
function broken(label) {
  const at = label.indexOf(" ");
  return at < 0 ? [label] : [label.slice(0, at), el("br"), label.slice(at + 1)];
}

function drawAlong() {
  const front = content.fronts[state.a.f], { along } = front;
  const measure = along.measures[state.measure] ?? along.measures[0];
  byId("along-note").textContent = `${isSeveral ? `${front.name}: ` : ""}Means over ${along.starts.length} groups of members of equal size, cheapest on the left; blank where no member has the block.`;
  byId("along-choice").replaceChildren(...along.measures.map(({ title }, i) => el("button", {
    type: "button", "aria-pressed": String(i === state.measure),
    onclick: () => { state.measure = i; drawAlong(); byId("along-choice").children[i].focus(); },
  }, title)), shadeKey(measure));
  alongPlot(byId("along-plot"), content, along, measure);
}

function drawRest() {
  drawAlong();
  historyPlot(byId("history-plot"), content);
  const front = content.fronts[state.a.f];
  agreementPlot(byId("agreement-plot"), front, state.a.f);
  byId("scores").replaceChildren(el("tbody", {}, ...(front.scores.length ? front.scores : [["scores", "none given"]])
    .map(([label, text]) => el("tr", {}, el("th", { scope: "row" }, label), el("td", {}, text)))));
}

function drawFacts() {
  const labels = [...new Set(content.fronts.flatMap((front) => front.facts.map(([label]) => label)))];
  const rows = labels.map((label) => el("tr", {}, el("th", { scope: "row" }, label),
    ...content.fronts.map((front) => el("td", {}, front.facts.find(([name]) => name === label)?.[1] ?? "–"))));
  const head = isSeveral ? [el("thead", {}, el("tr", {}, el("th", {}, ""), ...content.fronts.map((front) => el("th", { scope: "col" }, front.name))))] : [];
  byId("facts").replaceChildren(...head, el("tbody", {}, ...rows));
  const versions = Object.entries(content.written_by).map(([name, version]) => `${name} ${version}`);
  byId("written-by").textContent = `Page written by ${versions.join(", ")}.`;
}

function drawLegend() {
  const key = (mark, text) => el("span", {}, svg("svg", { viewBox: "0 0 26 14", "aria-hidden": "true" }, mark), text);
  const fronts = content.fronts.map((front, f) => {
    const mark = dots([[6, 7], [13, 7], [20, 7]], 5, `f${f % 6}`);
    if (!isSeveral) return key(mark, "predicted");
    const box = el("input", { type: "checkbox", checked: true, onchange: (event) => {
      state.hidden[event.target.checked ? "delete" : "add"](f);
      drawFront();
    } });
    return el("label", {}, box, " ", key(mark, front.name));
  });
  const hasMeasured = content.fronts.some((front) => front.agreement);
  const hasSpread = content.fronts.some((front) => front.top1_spread.some((value) => value !== null));
  const hasSamples = content.samples.length > 0;
  byId("samples-choice").hidden = !hasSamples;
  byId("legend").replaceChildren(...fronts, ...[
    hasSpread ? key(svg("path", { class: "spread f0", d: "M6 1V13M13 1V13M20 1V13" }), "spread of the prediction (one standard deviation)") : null,
    hasMeasured ? key(diamonds([[13, 7]], 5.5, "measured"), "measured on the validation split") : null,
    hasSamples ? key(dots([[6, 9], [13, 4], [20, 8]], 3.5, "samples"), "measured samples") : null,
    key(svg("circle", { class: "knee", cx: 13, cy: 7, r: 5.5 }), "knee"),
  ].filter(Boolean));
}

function axisChoice(id, axis) {
  const names = Object.keys(content.columns).filter((name) => content.fronts.some((front) => valuesOf(front, name)));
  const select = byId(id);
  select.replaceChildren(...names.map((name) => el("option", { value: name }, content.columns[name].label)));
  select.value = state[axis];
  select.addEventListener("change", () => {
    state[axis] = select.value;
    state.zoom = null;
    drawFront();
  });
}

function switchOf(id, name) {
  byId(id).addEventListener("change", (event) => {
    state[name] = event.target.checked;
    drawFront();
  });
}

byId("front-plot").addEventListener("keydown", (event) => {
  const side = event.shiftKey ? "b" : "a";
  if (event.key === "Escape" && state.b) endComparing();
  const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -25, PageDown: 25, Home: -Infinity, End: Infinity };
  if (!(event.key in steps) || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  const from = state[side] ?? state.a, last = content.fronts[from.f].top1_predicted.length - 1;
  choose(side, { f: from.f, member: Math.min(Math.max(from.member + steps[event.key], 0), last) });
});
byId("whole").addEventListener("click", () => { state.zoom = null; drawFront(); byId("front-plot").focus(); });

const total = content.fronts.reduce((sum, front) => sum + front.top1_predicted.length, 0);
const measuredTotal = content.fronts.reduce((sum, front) => sum + (front.agreement?.n ?? 0), 0);
byId("summary").textContent = `${total.toLocaleString("en-US")} subnets, none of which another one beats${isSeveral ? " in its front" : ""}; `
  + (measuredTotal === 0 ? "top-1 predicted" : `top-1 measured of ${measuredTotal === total ? "all" : measuredTotal}`) + ".";
axisChoice("x-axis", "x");
axisChoice("y-axis", "y");
switchOf("log-x", "log");
switchOf("show-spread", "spread");
switchOf("show-samples", "samples");
drawLegend();
drawFront();
drawMembers();
drawRest();
drawFacts();

let drawnWidth = innerWidth;
addEventListener("resize", () => {
  if (innerWidth === drawnWidth) return;
  drawnWidth = innerWidth;
  drawFront();
  drawRest();
});
