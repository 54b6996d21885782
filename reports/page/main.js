// Puts the page together, draws it again when a filter or the case in focus changes, and follows addresses of cases.

let focused = null;

function caseOfAddress() {
  const path = location.hash.slice(1).split("/").map((part) => {
    try { return decodeURIComponent(part); } catch { return part; }
  }).join("/");
  return facts.casesByPath.get(path);
}

/** The case with most neighbours along M and N among the first group: it shows most. */
function caseToBeginWith(cases) {
  const group = cases.filter((c) => c.group === cases[0].group).slice(0, 2000);
  const count = (key) => { const n = new Map(); for (const c of group) n.set(c[key], (n.get(c[key]) || 0) + 1); return n; };
  const byRows = count("rows"), byColumns = count("columns");
  const score = (c) => byRows.get(c.rows) + byColumns.get(c.columns) + Math.min(byRows.get(c.rows), byColumns.get(c.columns));
  return group.reduce((best, c) => (score(c) > score(best) ? c : best));
}

function machineLine(environment) {
  const gpu = environment.gpu;
  const parts = gpu ? [`driver ${gpu.driver || unknown}`, `CUDA ${gpu.cuda_runtime || unknown}`, isKnown(gpu.power_limit_w) ? `${gpu.power_limit_w} W` : null,
                       isKnown(gpu.ecc) ? `ECC ${gpu.ecc ? "on" : "off"}` : null, isKnown(gpu.sm_clock_mhz) ? `${gpu.sm_clock_mhz} MHz` : null]
                    : [`${(environment.cpu || {}).model || "CPU unknown"}: CPU execution, not a GPU time`];
  return [...parts, `commit ${environment.commit || unknown}`, environment.time].filter(isKnown).join(" · ");
}

function tile(title, value, about) { return element("div", {class: "tile"}, element("dt", {}, title), element("dd", {}, element("b", {}, value), about)); }

function linkToPath(path) {
  const c = facts.casesByPath.get(path) || (path && facts.casesByPath.get(`${path}/${facts.devices[0]}`));
  return c ? element("a", {href: addressOf(c)}, `${c.op} ${c.shape} ${c.dtype} ${c.form}`) : "";
}

function tiles() {
  const s = facts.summary;
  const worst = facts.validation.reduce((most, row) => Math.max(most, row.worst_error_over_bound), 0);
  return [
    tile("Share of the copy, median", percent(s.share_median), s.share_cases > 0 ? `${s.share_at_least_95} of ${s.share_cases} cases at 95% and more` : "no copy was timed"),
    tile("Least share", percent(s.share_least), linkToPath(s.share_least_case)),
    tile("Regret of auto, mean", percent(s.regret_mean, 1), isKnown(s.regret_worst) ? [`${percent(s.regret_worst, 1)} at worst: `, linkToPath(s.regret_worst_case)] : "auto was not timed on a GPU"),
    tile("Worst error over its bound", facts.validation_given ? worst.toFixed(3) : unknown, facts.validation_given ? `${counted(facts.validation.length, "variant")} validated` : "no validation results were given"),
  ];
}

function showHead() {
  const devices = facts.devices.length > 0 ? facts.devices : [...new Set(facts.environments.map((e) => (e.gpu ? e.gpu.name : "host")))];
  const title = devices.length > 0 ? devices.join(", ") : "No device";
  document.title = `${title}: ${facts.verdict.title} - normquant report`;
  document.getElementById("device").textContent = title;
  const marks = {passed: "✓", wrong: "✗", error: "✗", slower: "▲", inconclusive: "?", refused: "?", empty: "–"};
  const verdict = document.getElementById("verdict");
  verdict.classList.add(facts.verdict.outcome);
  verdict.append(element("strong", {}, `${marks[facts.verdict.outcome] || ""} ${facts.verdict.title}`), " ", facts.verdict.sentence);
  document.getElementById("machine").append(...facts.environments.slice(0, 4).map((e) => element("span", {}, machineLine(e))));
  const left = facts.timings_left_out > 0 ? [`${facts.timings_left_out} timings of slower variants are left out to keep the page small; \`normquant report --format json\` has all.`] : [];
  document.getElementById("warnings").append(...[...facts.warnings, ...left].map((text) => element("li", {}, text)));
  document.getElementById("tiles").append(...tiles());
}

/** Which case to look at: by operation, type, form and shape. */
function caseChoice(cases) {
  const listed = cases.includes(focused) ? cases.slice(0, 1000) : [focused, ...cases.slice(0, 999)];
  const select = element("select", {id: "case-choice", onchange: () => { location.hash = select.value; }},
                         listed.map((c) => element("option", {value: addressOf(c), selected: c === focused}, `${c.op} ${c.shape} ${c.dtype} ${c.form}`)));
  return element("label", {class: "case-choice"}, "Case", select);
}

function caseSection(cases) {
  if (!focused) return section("case", "One case", note("There is no timed case to show."));
  return section("case", "One case", caseChoice(cases), barsOf(focused), curvesOf(focused, drawCase));
}

/** What shows the case in focus, and nothing else: tables keep their order. */
function drawCase() {
  document.getElementById("case").replaceWith(caseSection(filteredCases()));
  drawCharts();
  markFocused(focused);
}

function showContents(sections) {
  document.getElementById("contents").replaceChildren(...sections.map((s) =>
    element("a", {href: `#${s.id}`}, s.querySelector("h2").textContent)));
}

function draw() {
  const cases = filteredCases();
  if (cases.length > 0 && !(focused && cases.includes(focused))) focused = caseToBeginWith(cases);
  const sections = [changesSection(), sharesSection(cases, focused), caseSection(cases), regretSection(cases), sumsSection(),
                    validationSection(), leftOutSection(), casesSection(cases), environmentSection()].filter((s) => s !== null);
  document.getElementById("main").replaceChildren(...sections);
  drawCharts();
  showContents(sections);
  showFilteredCount(cases.length);
}

/** A filter that hides the case of an address gives way to it. */
function showCase(c) {
  focused = c;
  if (filteredCases().includes(c)) drawCase();
  else document.getElementById("filters").reset();
}

function followAddress(scrollTo) {
  const c = caseOfAddress();
  if (!c) return;
  showCase(c);
  // After the reset of the filters, which draws again.
  setTimeout(() => {
    const cell = scrollTo === "cell" ? document.getElementById(c.path) : null;
    if (cell) cell.scrollIntoView({block: "center", inline: "center"});
    else document.getElementById("case").scrollIntoView();
  });
}

function start() {
  Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
  showHead();
  showFilters(draw);
  watchTheme(drawCharts);
  draw();
  followAddress("cell");
  addEventListener("hashchange", () => followAddress("case"));
  document.documentElement.dataset.ready = "yes";
}

start();
