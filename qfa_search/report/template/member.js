// One member or two: architecture as a strip, costs, accuracy by class, the command to export it.

function choiceAt(front, member, place) {
  const index = front.architecture.blocks[member][place];
  return index < 0 ? null : front.architecture.choices[index];
}

function bitText(bits) {
  return bits === 32 ? "f" : String(bits);
}

function strip(front, member, other) {
  const { places } = front.architecture;
  const stages = [];
  places.forEach((place, p) => {
    if (p === 0 || place.stage !== places[p - 1].stage) stages.push([]);
    const compared = other ? choiceAt(other.front, other.member, p) : undefined;
    stages.at(-1).push(block(place, choiceAt(front, member, p), compared));
  });
  const names = el("div", { class: "row-names", "aria-hidden": "true" }, el("span", {}, "weights"), el("span", {}, "activations"));
  return el("div", { class: "strip" }, names, ...stages.map((blocks) => el("div", { class: "stage" }, ...blocks)));
}

function block(place, choice, other) {
  if (!choice) {
    const cells = place.layers.flatMap(() => ["w", "a"].map((side) => el("span", { class: `bit ${side}` }, "·")));
    return el("div", { class: "block absent", role: "img", "aria-label": `${place.name}: absent`, title: `${place.name}: absent` },
      el("span", { class: "shape" }), ...cells);
  }
  const [kernel, expand, ...bits] = choice;
  const shape = place.layers.length === 3 ? `${kernel}×${kernel} e${expand}` : shortName(place.name);
  const differs = (i) => other !== undefined && (!other || other[i] !== choice[i]);
  const cells = place.layers.flatMap((layer, l) => ["w", "a"].map((side, s) => {
    const width = bits[2 * l + s];
    return el("span", { class: `bit ${side} b${width}${differs(2 + 2 * l + s) ? " other" : ""}` }, bitText(width));
  }));
  const told = blockText(place, choice);
  const isOther = place.layers.length === 3 && (differs(0) || differs(1));
  return el("div", { class: place.layers.length === 1 ? "block single" : "block", role: "img", "aria-label": told, title: told },
    el("span", { class: `shape${isOther ? " other" : ""}` }, shape), ...cells);
}

function shortName(name) {
  return { "first block": "first", "final expand": "exp", "feature mix": "mix", classifier: "cls" }[name] ?? name;
}

function blockText(place, [kernel, expand, ...bits]) {
  const layers = place.layers.map((layer, l) => {
    const [w, a] = [bits[2 * l], bits[2 * l + 1]];
    return `${layer} ${w === 32 && a === 32 ? "in floating point" : `${w}-bit weights, ${a}-bit activations`}`;
  });
  const shape = place.layers.length === 3 ? `kernel ${kernel}×${kernel}, expand ratio ${expand}, ` : "";
  return `${place.name}: ${shape}${place.width} channels; ${layers.join("; ")}`;
}

function bitKey(front) {
  const used = new Set(front.architecture.choices.flatMap((choice) => choice.slice(2)));
  const chips = [...used].sort((a, b) => a - b).map((bits) =>
    el("span", {}, el("span", { class: `bit b${bits}` }, bitText(bits)), bits === 32 ? "floating point" : `${bits} bits`));
  return el("div", { class: "key" }, ...chips,
    el("span", {}, "5×5 e4: kernel and expand ratio of a block; its layers are expansion, depthwise, projection"));
}

function costTable(content, chosen) {
  const rows = [
    ["top-1 measured (%)", ({ front, member }) => front.top1_measured[member], percent],
    ["top-1 predicted (%)", ({ front, member }) => front.top1_predicted[member], percent],
    ["spread of the prediction (points)", ({ front, member }) => front.top1_spread[member], percent],
    ["input resolution (pixels)", ({ front, member }) => front.architecture.resolution[member], String],
    ...Object.keys(content.columns).filter((name) => name !== "top1").map((name) =>
      [axisLabel(content, name), ({ front, member }) => front.costs[name]?.[member] ?? null, number]),
  ];
  const known = rows.map(([label, read, write]) => [label, chosen.map(read), write])
    .filter(([, values]) => values.some((value) => value !== null));
  const isPair = chosen.length === 2;
  const head = [el("th", {}, ""), ...chosen.map(({ side }) => el("th", { class: `key-${side}`, scope: "col" }, side.toUpperCase()))];
  if (isPair) head.push(el("th", { scope: "col" }, "B − A"), el("th", { scope: "col" }, "B / A"));
  const body = known.map(([label, values, write]) => {
    const cells = values.map((value) => el("td", {}, value === null ? "–" : write(value)));
    if (isPair) {
      const [a, b] = values, both = a !== null && b !== null, isShare = both && a !== 0 && !label.startsWith("top-1") && !label.startsWith("spread");
      cells.push(el("td", {}, both ? signed(write(b - a), b - a) : "–"), el("td", {}, isShare ? (b / a).toFixed(2) : ""));
    }
    return el("tr", {}, el("th", { scope: "row" }, label), ...cells);
  });
  return el("table", {}, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...body));
}

// Members of fronts with other classes stand in tables of their own.
function classTables(chosen) {
  const known = chosen.filter(({ front, member }) => front.class_top1[member]);
  if (!known.length) return null;
  const classes = ({ front, member }) => JSON.stringify([front.class_names, front.class_top1[member].length]);
  const kinds = [...new Set(known.map(classes))];
  return el("div", {}, el("h3", {}, "Top-1 by class, measured"),
    ...kinds.map((kind) => classTable(known.filter((one) => classes(one) === kind))));
}

function classTable(known) {
  const { front } = known[0];
  const n = front.class_top1[known[0].member].length;
  const rows = Array.from({ length: n }, (_, c) => {
    const values = known.map((one) => one.front.class_top1[one.member][c] ?? null);
    const bars = values.map((value, i) => {
      const bar = el("i", { class: `bar-${known[i].side}` });
      bar.style.width = `${value ?? 0}%`;
      return bar;
    });
    return el("tr", {}, el("th", { scope: "row" }, front.class_names[c] ?? `class ${c}`),
      el("td", { class: "bar", "aria-hidden": "true" }, el("div", { class: "bars" }, ...bars)),
      ...values.map((value) => el("td", {}, percent(value))));
  });
  const head = el("tr", {}, el("th", {}, "class"), el("th", {}, ""),
    ...known.map(({ side }) => el("th", { class: `key-${side}`, scope: "col" }, `${side.toUpperCase()} (%)`)));
  return el("table", { class: "classes" }, el("thead", {}, head), el("tbody", {}, ...rows));
}

// The front's file as a command line names it: where this page lies, wherever that is today.
function pathOf(file) {
  if (location.protocol !== "file:") return file;
  const path = decodeURIComponent(new URL(file.split("/").map(encodeURIComponent).join("/"), location).pathname);
  return /^\/[A-Za-z]:/.test(path) ? path.slice(1) : path;
}

function exportCommand(front, member, side) {
  // A front that a predictor alone gave knows of no supernet: the reader has to say which, and where
  // images are that have no name of their own.
  const supernet = ["--supernet", front.supernet ? shellWord(front.supernet) : "SUPERNET"];
  const data = front.images_have_a_name ? [] : ["--data", "IMAGES"];
  return ["qfa-search export", ...supernet, ...data, shellWord(`${pathOf(front.file)}:${member}`), "--format onnx", `--out subnet-${side}${member}.onnx`].join(" ");
}

function commandLine({ side, front, member }, isPair) {
  const text = exportCommand(front, member, isPair ? side : "");
  // Options stay in one piece when the line is broken; copied is the text.
  const words = text.split(" ").flatMap((word, i) => [i ? " " : "", word.startsWith("-") ? el("span", {}, word) : word]);
  const code = el("code", { tabindex: "0" }, ...words);
  const button = el("button", { type: "button", "aria-label": `Copy the command that exports member ${side.toUpperCase()}` }, "Copy");
  button.addEventListener("click", async () => {
    const isCopied = await copied(text, code);
    button.textContent = isCopied ? "Copied" : "Press Ctrl+C";
    setTimeout(() => { button.textContent = "Copy"; }, 1600);
  });
  return el("div", { class: "command" }, isPair ? el("b", { class: `key-${side}` }, side.toUpperCase()) : null, code, button);
}

async function copied(text, code) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    getSelection().selectAllChildren(code);
    return document.execCommand("copy");
  }
}
