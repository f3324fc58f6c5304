// Elements and numbers. All text goes in as text nodes, so nothing in the data is ever markup.

const SVG_NAMES = "http://www.w3.org/2000/svg";

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

function el(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

function svg(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG_NAMES, name), attributes, children);
}

function byId(id) {
  return document.getElementById(id);
}

// About five digits, thousands apart: as the table on the command line.
function number(value) {
  if (value === null || value === undefined) return "–";
  if (value === 0) return "0";
  const digits = Math.min(Math.max(4 - Math.floor(Math.log10(Math.abs(value))), 0), 6);
  return value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

function percent(value) {
  return value === null || value === undefined ? "–" : value.toFixed(2);
}

function signed(text, value) {
  return value > 0 ? `+${text}` : text.replace("-", "−");
}

// A word of a POSIX shell, quoted where it must be.
function shellWord(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
