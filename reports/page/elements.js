// Building the document. Texts become text nodes: whatever a record says is shown, never interpreted.

/** element("td", {class: "number"}, "3"): attributes that are null are left out; `on...` are listeners. */
function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat()) {
    if (child !== null && child !== undefined) made.append(child);
  }
  return made;
}

function isKnown(value) { return value !== null && value !== undefined; }

const unknown = "–";

function microseconds(value) {
  if (!isKnown(value)) return unknown;
  return value.toFixed(value < 100 ? 2 : 1);
}

function percent(value, digits = 0) { return isKnown(value) ? `${(value * 100).toFixed(digits)}%` : unknown; }

function rate(value) { return isKnown(value) ? Math.round(value).toString() : unknown; }

function times(value) { return isKnown(value) ? `${value.toFixed(2)}×` : unknown; }

function counted(count, noun) { return `${count} ${noun}${count === 1 ? "" : "s"}`; }

function megabytes(bytes) { return `${(bytes / 1e6).toFixed(bytes < 1e7 ? 2 : 1)} MB`; }

/** A bar of the width `share` (0 to 1) behind a text. */
function barCell(share, text) {
  const bar = element("span", {class: "bar"});
  bar.style.width = `${Math.max(0, Math.min(1, share)) * 100}%`;
  return element("span", {class: "bar-cell"}, bar, element("span", {class: "bar-text"}, text));
}

/** A link to a case, by its shape unless another text is given. */
function caseLink(c, text) { return element("a", {href: addressOf(c)}, text || c.shape); }

/** A part of the page that the contents list. */
function section(id, title, ...children) {
  return element("section", {id, "aria-labelledby": `${id}-title`},
                 element("h2", {id: `${id}-title`}, title), ...children);
}

function note(...children) { return element("p", {class: "note"}, ...children); }
