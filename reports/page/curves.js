// Time and GB/s over N and over M, through the case in focus, with the copy and the launch floor as limits.

let curvesShowRate = true;

/** Cases of the same device, operation, type and form that differ from `c` in `along` ("rows" or "columns") only. */
function neighbours(c, along) {
  const fixed = along === "rows" ? "columns" : "rows";
  return facts.cases.filter((other) => other.group === c.group && other[fixed] === c[fixed] && other[along] > 0)
      .sort((a, b) => a[along] - b[along]);
}

/** Microseconds of one case as what is drawn. */
function drawnValue(c, us) {
  if (!isKnown(us)) return null;
  return curvesShowRate ? c.bytes / us / 1e3 : us;
}

/** The variants that are drawn beside the fastest: those asked for, else those that are fastest most often. */
function drawnVariants(cases) {
  const wins = new Map();
  for (const c of cases) {
    for (const timing of wantedTimings(c)) {
      wins.set(timing.variant, (wins.get(timing.variant) || 0) + (timing === c.timings[0] ? 1000 : 1));
    }
  }
  return [...wins].sort((a, b) => b[1] - a[1]).slice(0, 4).map(([name]) => name);
}

function points(cases, along, timeOf) {
  return cases.map((c) => ({x: c[along], y: drawnValue(c, timeOf(c))})).filter((point) => isKnown(point.y));
}

function timeOfVariant(name) {
  return (c) => { const found = c.timings.find((timing) => timing.variant === name); return found && found.median_us; };
}

function curveDatasets(cases, along) {
  const colours = chartColours();
  const marks = ["rect", "triangle", "rectRot", "crossRot"];
  const line = (label, timeOf, style) => ({label, data: points(cases, along, timeOf), borderWidth: 2, pointRadius: 4, ...style});
  const limit = {pointRadius: 0, borderColor: colours.text, backgroundColor: colours.text, pointStyle: "line"};
  return [
    line("fastest", (c) => (winnerOf(c) || {}).median_us, {borderColor: colours.best, backgroundColor: colours.best, borderWidth: 3, pointRadius: 5}),
    line("auto", (c) => (isKnown(c.auto_ratio) ? c.median_us * c.auto_ratio : null),
         {borderColor: colours.auto, backgroundColor: colours.auto, pointStyle: "star", pointRadius: 7, pointBorderWidth: 2, showLine: false, order: -1}),
    ...drawnVariants(cases).map((name, at) => line(name, timeOfVariant(name),
        {borderColor: colours.series[at], backgroundColor: colours.series[at], pointStyle: marks[at], borderWidth: 1})),
    line("copy (dashed)", (c) => c.copy_us, {...limit, borderDash: [6, 4]}),
    line("launch floor (dotted)", (c) => c.floor_us, {...limit, borderDash: [2, 3]}),
  ].filter((dataset) => dataset.data.length > 0);
}

/** The launch floor alone would allow any rate for large cases: the axis ends a little above the copy. */
function highestRate(cases) {
  const rates = cases.flatMap((c) => [drawnValue(c, c.median_us), drawnValue(c, c.copy_us)]).filter(isKnown);
  return 1.15 * Math.max(...rates);
}

/** The values along x whose labels have room, about 45 pixels, on an axis of two columns or of a narrow screen. */
function spacedTicks(values) {
  const width = innerWidth < 736 ? innerWidth - 110 : Math.min(innerWidth, 1312) / 2 - 110;
  const least = (values[values.length - 1] / values[0]) ** (45 / width);
  const kept = [];
  for (const value of values) {
    if (kept.length === 0 || value > kept[kept.length - 1] * least) kept.push(value);
  }
  return kept.map((value) => ({value}));
}

function shortNumber(value) {
  if (value >= 1 << 20) return `${value / (1 << 20)}Mi`;
  return value >= 1024 && value % 1024 === 0 ? `${value / 1024}Ki` : String(value);
}

function curveConfiguration(cases, along) {
  const colours = chartColours();
  const xs = cases.map((c) => c[along]);
  const datasets = curveDatasets(cases, along);
  const ys = datasets.flatMap((dataset) => dataset.data.map((point) => point.y));
  const axis = (text, more) => ({type: "logarithmic", title: {display: true, text, color: colours.soft}, grid: {color: colours.faint}, ...more});
  const rateAxis = axis("GB/s", {type: "linear", min: 0, max: highestRate(cases), ticks: {color: colours.soft, includeBounds: false}});
  const timeAxis = axis(timeTitle(cases[0]), {min: Math.min(...ys) * 0.8, max: Math.max(...ys) * 1.2, ticks: {color: colours.soft,
      callback: (value) => (/^[125]0*$/.test(String(Number(value.toPrecision(6))).replace(/^0\.0*/, "")) ? value : "")}});
  return {
    type: "line",
    data: {datasets},
    options: {
      animation: false, responsive: true, maintainAspectRatio: false, layout: {padding: {right: 14}}, interaction: {mode: "nearest", intersect: false},
      plugins: {legend: {position: "bottom", labels: {color: colours.text, usePointStyle: true, boxHeight: 7}}},
      scales: {
        x: axis(along === "rows" ? "M (rows)" : "N (columns)", {
          min: Math.min(...xs) / 1.1, max: Math.max(...xs) * 1.1,
          afterBuildTicks: (scale) => { scale.ticks = spacedTicks(xs); },
          ticks: {color: colours.soft, callback: (value) => shortNumber(value)}}),
        y: curvesShowRate ? rateAxis : timeAxis,
      },
    },
  };
}

function curveFigure(c, along) {
  const title = along === "columns" ? `Over N, M = ${c.rows}` : `Over M, N = ${c.columns}`;
  const cases = c.columns > 0 ? neighbours(c, along) : [];
  const figure = element("figure", {}, element("figcaption", {}, title));
  if (cases.length < 2) {
    figure.append(note("No other case differs in this alone."));
    return figure;
  }
  figure.append(chart(`${curvesShowRate ? "GB/s" : "Time"} ${title}; the list of cases has the numbers`, 360,
                      () => curveConfiguration(cases, along)));
  return figure;
}

function curvesOf(c, redraw) {
  const choice = (title, showRate) => element("button", {type: "button", "aria-pressed": String(curvesShowRate === showRate),
      onclick: () => { curvesShowRate = showRate; redraw(); }}, title);
  return [element("h3", {}, "Over N and over M"),
          element("div", {class: "choice", role: "group", "aria-label": "What the curves show"}, choice("GB/s", true), choice("time", false)),
          element("div", {class: "figures"}, curveFigure(c, "columns"), curveFigure(c, "rows"))];
}
