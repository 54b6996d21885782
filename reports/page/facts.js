"use strict";
// The facts that the program embedded, unpacked (the packing is described in reports/page.hpp).

function unpackColumn(column) {
  return Array.isArray(column) ? column : column.at.map((at) => (at === null ? null : column.texts[at]));
}

function unpackList(packed) {
  const list = Array.from({length: packed.count}, () => ({}));
  for (const [key, packedColumn] of Object.entries(packed.columns)) {
    unpackColumn(packedColumn).forEach((value, i) => { list[i][key] = value; });
  }
  return list;
}

function isPackedList(value) {
  return value !== null && typeof value === "object" && "count" in value && "columns" in value;
}

/** Every case gets its index, its path (the anchor) and its timings, fastest first. */
function connect(facts) {
  const devices = new Set(facts.cases.map((c) => c.device));
  facts.devices = [...devices];
  // "cuda:0": where a validation ran, no device's name to filter by.
  for (const row of facts.validation) {
    row.ran_on = row.device;
    delete row.device;
    row.worst_error_over_bound ??= Infinity;  // JSON has no number for it
  }
  facts.casesByPath = new Map();
  facts.cases.forEach((c, index) => {
    c.index = index;
    c.path = [c.op, c.dtype, c.form, c.shape, ...(devices.size > 1 ? [c.device] : [])].join("/");
    c.group = [c.device, c.op, c.dtype, c.form].join("\n");
    c.timings = [];
    facts.casesByPath.set(c.path, c);
  });
  for (const timing of facts.timings) facts.cases[timing.case].timings.push(timing);
  return facts;
}

function readFacts() {
  const facts = JSON.parse(document.getElementById("facts").textContent);
  for (const [key, value] of Object.entries(facts)) {
    if (isPackedList(value)) facts[key] = unpackList(value);
  }
  return connect(facts);
}

const facts = readFacts();

/** The case of a row that names operation, type, form and shape; undefined when it was not timed. */
function caseOf(row) {
  const path = [row.op, row.dtype, row.form, row.shape].join("/");
  return facts.casesByPath.get(path) || (facts.devices.length > 1 ? facts.casesByPath.get(`${path}/${facts.devices[0]}`) : undefined);
}

/** The address of a case within the page. */
function addressOf(c) {
  return "#" + c.path.split("/").map(encodeURIComponent).join("/");
}
