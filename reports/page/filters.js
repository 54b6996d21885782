// The filters: device, operation, type, form, and a part of the variant's name. They hold for every section.

const filters = {device: "", op: "", dtype: "", form: "", variant: ""};
const filterTitles = {device: "Device", op: "Operation", dtype: "Type", form: "Form"};

/** The parts that a variant's name may hold, one of which is enough: "staged, single". */
function wantedVariants() {
  return filters.variant.split(",").map((part) => part.trim()).filter((part) => part !== "");
}

function variantWanted(variant) {
  const wanted = wantedVariants();
  return wanted.length === 0 || wanted.some((part) => variant.includes(part));
}

/** Whether a row passes the filters, as far as it has what they ask about. */
function passesFilters(row) {
  for (const key of Object.keys(filterTitles)) {
    if (filters[key] !== "" && isKnown(row[key]) && row[key] !== filters[key]) return false;
  }
  return !isKnown(row.variant) || variantWanted(row.variant);
}

/** The wanted timings of a case, fastest first. */
function wantedTimings(c) {
  return filters.variant === "" ? c.timings : c.timings.filter((timing) => variantWanted(timing.variant));
}

/** The cases that pass and of which some wanted variant was timed. */
function filteredCases() { return facts.cases.filter((c) => passesFilters(c) && wantedTimings(c).length > 0); }

function distinct(list, key) { return [...new Set(list.map((row) => row[key]).filter(isKnown))]; }

function selectFilter(key, changed) {
  const values = distinct([...facts.cases, ...facts.validation, ...facts.failed], key);
  if (key === "device" && values.length < 2) return null;
  const select = element("select", {id: `filter-${key}`, onchange: () => { filters[key] = select.value; changed(); }},
                         element("option", {value: ""}, "all"),
                         values.map((value) => element("option", {value}, value)));
  return element("label", {}, filterTitles[key], select);
}

function variantFilter(changed) {
  const names = distinct([...facts.timings, ...facts.validation], "variant").sort();
  const input = element("input", {id: "filter-variant", type: "search", list: "variants", autocomplete: "off",
                                  placeholder: "part of a name, …",
                                  oninput: () => { filters.variant = input.value; changed(); }});
  const list = element("datalist", {id: "variants"}, names.slice(0, 200).map((name) => element("option", {value: name})));
  return element("label", {}, "Variant", input, list);
}

/** Fills the form; `changed` is called after every change. */
function showFilters(changed) {
  const form = document.getElementById("filters");
  const reset = element("button", {type: "reset", class: "quiet"}, "Reset");
  form.append(...[...Object.keys(filterTitles).map((key) => selectFilter(key, changed)), variantFilter(changed), reset,
                  element("output", {id: "filtered", "aria-live": "polite"})].filter((part) => part !== null));
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(() => {
    for (const key of Object.keys(filters)) filters[key] = "";
    changed();
  }));
}

function showFilteredCount(count) {
  document.getElementById("filtered").textContent = count === facts.cases.length
      ? counted(count, "case") : `${count} of ${counted(facts.cases.length, "case")}`;
}
