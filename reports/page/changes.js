// What changed against the baseline, most important first, with the interval of every ratio.

const changeMarks = {SLOWER: "▲", FASTER: "▼", SAME: "=", INCONCLUSIVE: "?"};

function changeWord(change) {
  return element("span", {class: `change ${change.toLowerCase()}`}, `${changeMarks[change] || ""} ${change}`);
}

/** The interval on a logarithmic scale from 1/1.3 to 1.3, the middle being no change. */
function intervalCell(row) {
  if (!isKnown(row.ratio_low)) return element("span", {class: "soft"}, "too few samples");
  const place = (ratio) => 50 + 50 * Math.max(-1, Math.min(1, Math.log(ratio) / Math.log(1.3)));
  const span = element("span", {class: "interval-span"});
  span.style.left = `${place(row.ratio_low)}%`;
  span.style.width = `${Math.max(1, place(row.ratio_high) - place(row.ratio_low))}%`;
  const track = element("span", {class: "interval", "aria-hidden": "true"}, element("span", {class: "interval-middle"}), span);
  return element("span", {class: "interval-cell"}, track, `${row.ratio_low.toFixed(3)} to ${row.ratio_high.toFixed(3)}`);
}

function changesTable(rows) {
  const place = new Map(facts.changes.map((row, at) => [row, at]));
  return sortableTable("Change of every case and variant, most important first", [
    {title: "verdict", value: (row) => place.get(row), cell: (row) => changeWord(row.change), hint: "by importance"},
    {title: "ratio", number: true, value: (row) => row.ratio, cell: (row) => times(row.ratio), hint: "time over the baseline's: above 1 is slower"},
    {title: "interval of the ratio", value: (row) => row.ratio_high, cell: intervalCell},
    {title: "operation", value: (row) => row.op},
    {title: "shape", value: (row) => row.shape, cell: (row) => { const c = caseOf(row); return c ? caseLink(c) : row.shape; }},
    {title: "type", value: (row) => row.dtype},
    {title: "form", value: (row) => row.form},
    {title: "variant", value: (row) => row.variant},
    {title: "baseline µs", number: true, value: (row) => row.baseline_us, cell: (row) => microseconds(row.baseline_us)},
    {title: "now µs", number: true, value: (row) => row.candidate_us, cell: (row) => microseconds(row.candidate_us)},
  ], rows, "No compared case passes the filters.");
}

function changeCounts(rows) {
  return element("ul", {class: "counts"}, Object.keys(changeMarks).map((change) =>
    element("li", {}, element("b", {}, String(rows.filter((row) => row.change === change).length)), " ", changeWord(change))));
}

/** Nothing when there is no baseline. */
function changesSection() {
  const comparison = facts.comparison;
  if (!comparison) return null;
  if (comparison.refusal) return section("changes", "What changed", note(`Not compared: ${comparison.refusal}.`));
  const rows = facts.changes.filter(passesFilters);
  return section("changes", "What changed",
                 note(`Changes below ${percent(comparison.min_effect, 1)} count as none; all intervals together hold with ${percent(comparison.confidence)} confidence. ${comparison.added} new.`),
                 facts.changes_left_out > 0 ? note(`${facts.changes_left_out} less important ones are left out to keep the page small; \`normquant report --section changes\` lists all.`) : null,
                 changeCounts(rows), changesTable(rows),
                 comparison.missing.length === 0 ? null : element("details", {},
                     element("summary", {}, `${comparison.missing.length} in the baseline only`),
                     element("ul", {}, comparison.missing.slice(0, 500).map((name) => element("li", {}, name)))));
}
