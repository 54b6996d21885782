// The sections that are tables: regret of auto, cost of dweight, validation, what was left out, all cases, environment.

const caseColumns = [
  {title: "operation", value: (row) => row.op},
  {title: "shape", value: (row) => row.shape, cell: (row) => { const c = caseOf(row); return c ? caseLink(c) : row.shape; }, hint: "M x N"},
  {title: "type", value: (row) => row.dtype},
  {title: "form", value: (row) => row.form},
];

function regretSection(cases) {
  const known = cases.filter((c) => isKnown(c.auto_ratio) && c.time_kind !== "cpu_execution").sort((a, b) => b.auto_ratio - a.auto_ratio);
  const regrets = known.map((c) => c.auto_ratio - 1);
  const mean = regrets.reduce((sum, regret) => sum + regret, 0) / regrets.length;
  const most = Math.max(0.01, ...regrets.slice(0, 1));
  return section("regret", "Regret of auto",
                 known.length === 0 ? null : note(`What auto chose is slower than the fastest variant by ${percent(mean, 1)} in the mean of ${counted(known.length, "case")}, ` +
                     `by ${percent(regrets[0], 1)} at worst; above 3% in ${regrets.filter((regret) => regret > 0.03).length}.`),
                 cases.length > known.length ? note(`In ${counted(cases.length - known.length, "case")} what auto stands for was not timed on a GPU.`) : null,
                 sortableTable("Regret of auto, worst first", [
                   {title: "regret", number: true, value: (c) => c.auto_ratio, cell: (c) => barCell((c.auto_ratio - 1) / most, percent(c.auto_ratio - 1, 1)),
                    hint: "time of what auto chose over the fastest, less 1"},
                   ...caseColumns,
                   {title: "auto chose", value: (c) => c.auto_variant},
                   {title: "fastest", value: (c) => c.best_variant},
                   {title: "fastest µs", number: true, value: (c) => c.median_us, cell: (c) => microseconds(c.median_us)},
                 ], known.filter((c) => c.auto_ratio > 1), known.length > 0 ? "auto chose the fastest variant everywhere." : "What auto stands for was timed on a GPU in no case here."));
}

function sumsSection() {
  const rows = facts.sums.filter(passesFilters);
  const most = Math.max(0.01, ...rows.map((row) => row.extra_share));
  return section("sums", "Cost of dweight",
                 note("What dweight costs the backward. No form without it is timed. This is what the fastest variant declares to move beyond each tensor once " +
                      "(partial sums of dweight and dbias, rows read again), and how long a copy would take for it; beside it, how far the kernel is above the copy."),
                 sortableTable("Extra traffic of the backward's fastest variants", [
                   ...caseColumns.slice(1),
                   {title: "fastest", value: (row) => row.variant},
                   {title: "µs", number: true, value: (row) => row.median_us, cell: (row) => microseconds(row.median_us)},
                   {title: "extra bytes", number: true, value: (row) => row.extra_bytes, cell: (row) => megabytes(row.extra_bytes)},
                   {title: "extra / bytes", number: true, value: (row) => row.extra_share, cell: (row) => barCell(row.extra_share / most, percent(row.extra_share, 1))},
                   {title: "µs at the copy's rate", number: true, value: (row) => row.extra_us, cell: (row) => microseconds(row.extra_us)},
                   {title: "µs above the copy", number: true, value: (row) => row.above_copy_us, cell: (row) => microseconds(row.above_copy_us)},
                 ], rows, "No backward with known traffic is among these records."));
}

function skippedTable(caption, rows, whenEmpty) {
  return sortableTable(caption, [
    {title: "cases", number: true, value: (row) => row.cases},
    {title: "operation", value: (row) => row.op},
    {title: "variant", value: (row) => row.variant},
    {title: "reason", value: (row) => row.reason, cell: (row) => element("span", {class: "long", title: `for example ${row.example}`}, row.reason)},
  ], rows.filter(passesFilters), whenEmpty);
}

function failedTable(caption, rows) {
  const about = (row) => row.problem || `${row.shape} ${row.dtype} ${row.form}`;
  return sortableTable(caption, [
    {title: "outcome", value: (row) => row.outcome, cell: (row) => element("b", {class: "bad"}, row.outcome === "fail" ? "wrong" : row.outcome)},
    {title: "operation", value: (row) => row.op},
    {title: "variant", value: (row) => row.variant},
    {title: "reason", value: (row) => row.reason, cell: (row) => element("span", {class: "long"}, row.reason)},
    {title: "problem", value: about, cell: (row) => element("code", {class: "long"}, about(row))},
  ], rows.filter(passesFilters), "None.");
}

function validationTable(rows) {
  const count = (title, key, bad) => ({title, number: true, value: (row) => row[key],
                                       cell: (row) => (bad && row[key] > 0 ? element("b", {class: "bad"}, String(row[key])) : row[key])});
  return sortableTable("Validation by variant", [
    {title: "operation", value: (row) => row.op},
    {title: "variant", value: (row) => row.variant},
    {title: "ran on", value: (row) => row.ran_on},
    count("passed", "passed"), count("wrong", "wrong", true), count("errors", "errors", true), count("skipped", "skipped"),
    {title: "worst error / bound", number: true, value: (row) => row.worst_error_over_bound,
     cell: (row) => barCell(row.worst_error_over_bound, row.worst_error_over_bound.toFixed(3)), hint: "1 is the bound"},
    {title: "ambiguous codes", number: true, value: (row) => row.ambiguous_share, cell: (row) => percent(row.ambiguous_share, 4),
     hint: "codes with two admissible values, of those with random input"},
  ], rows, "No validated variant passes the filters.");
}

function validationSection() {
  if (!facts.validation_given) {
    return section("validation", "Validation", note("No validation results were given: nothing here says whether the variants are right beyond the checks that every timing makes. " +
        "`normquant report RESULTS… validate.json` adds them."));
  }
  const rows = facts.validation.filter(passesFilters);
  return section("validation", "Validation", validationTable(rows),
                 facts.validation_failed.length > 0 ? [element("h3", {}, "Wrong, or ended in an error"), failedTable("Failed cases", facts.validation_failed)] : null,
                 element("h3", {}, "Skipped, and why"),
                 facts.validation_details_known ? null : note("The printed table that was given has no reasons; the file of `validate --json` has them."),
                 facts.validation_details_known || facts.validation_skipped.length > 0
                     ? skippedTable("Cases skipped by validation", facts.validation_skipped, "Nothing was skipped, or nothing that passes the filters.") : null);
}

function leftOutSection() {
  const counts = facts.outcomes;
  return section("left-out", "Skipped or failed",
                 note(`${counts.pass} timed, ${counts.skipped} skipped, ${counts.wrong} wrong, ${counts.error} ended in an error.`),
                 facts.failed.length > 0 ? failedTable("Timings that failed", facts.failed) : null,
                 skippedTable("Cases skipped when timing", facts.skipped, "The records name no skipped case here."));
}

function casesSection(cases) {
  return section("cases", "All cases", sortableTable("Fastest variant of every case", [
    ...caseColumns,
    {title: "fastest", value: (c) => winnerOf(c).variant},
    {title: "µs", number: true, value: (c) => winnerOf(c).median_us, cell: (c) => microseconds(winnerOf(c).median_us), hint: "median of the samples"},
    {title: "±", number: true, value: (c) => (winnerOf(c).q3_us - winnerOf(c).q1_us) / 2 / winnerOf(c).median_us,
     cell: (c) => percent((winnerOf(c).q3_us - winnerOf(c).q1_us) / 2 / winnerOf(c).median_us, 1), hint: "half the distance of the quartiles"},
    {title: "GB/s", number: true, value: (c) => winnerOf(c).gb_per_s, cell: (c) => rate(winnerOf(c).gb_per_s)},
    {title: "of copy", number: true, value: (c) => winnerOf(c).share_of_copy,
     cell: (c) => (isKnown(winnerOf(c).share_of_copy) ? barCell(winnerOf(c).share_of_copy, percent(winnerOf(c).share_of_copy, 1)) : unknown)},
    {title: "copy µs", number: true, value: (c) => c.copy_us, cell: (c) => microseconds(c.copy_us)},
    {title: "2nd", number: true, value: (c) => c.second_ratio, cell: (c) => times(c.second_ratio), hint: "second fastest over the fastest"},
    {title: "auto", number: true, value: (c) => c.auto_ratio, cell: (c) => times(c.auto_ratio), hint: "what auto chose over the fastest"},
    {title: "others", number: true, value: (c) => c.runners_up, hint: "other variants that were timed"},
  ], cases, "No case was timed, or none passes the filters."));
}

/** The members of an environment as rows, nested ones with a dot. */
function flatMembers(object, prefix = "") {
  return Object.entries(object).flatMap(([key, value]) => (value !== null && typeof value === "object"
      ? flatMembers(value, `${prefix}${key}.`) : [{key: prefix + key, value: value === null ? unknown : String(value)}]));
}

function environmentSection() {
  return section("environment", "Environment", facts.environments.map((environment, at) =>
    element("details", {open: facts.environments.length === 1}, element("summary", {}, `Run ${at + 1}: commit ${environment.commit || unknown}, ${environment.time || unknown}`),
            sortableTable(`Environment of run ${at + 1}`, [{title: "what", value: (row) => row.key}, {title: "value", value: (row) => row.value}],
                          flatMembers(environment), "The record is empty."))),
                 facts.environments.length === 0 ? note("No record file was given.") : null);
}
