// One case: the time of every variant as a bar with its spread, the copy and the launch floor as limits.

const mostBars = 40;
const drawnCharts = [];

function destroyCharts() { while (drawnCharts.length > 0) drawnCharts.pop().destroy(); }

function drawCharts() {
  destroyCharts();
  for (const box of document.querySelectorAll(".chart")) box.draw();
}

/** A canvas of that height in pixels, and its chart once it stands in the page (drawCharts). */
function chart(label, height, configuration) {
  const canvas = element("canvas", {role: "img", "aria-label": label});
  const box = element("div", {class: "chart"}, canvas);
  box.style.height = `${height}px`;
  box.draw = () => drawnCharts.push(new Chart(canvas, configuration()));
  return box;
}

/** Whiskers: a thin line from the least to the most, a thick one between the quartiles. */
const spreadPlugin = {
  id: "spread",
  afterDatasetsDraw(drawn, _, options) {
    if (!options.timings) return;
    const {ctx: context, scales: {x, y}} = drawn;
    context.save();
    context.strokeStyle = options.colour;
    options.timings.forEach((timing, at) => {
      const height = y.getPixelForValue(at);
      for (const [low, high, width] of [[timing.least_us, timing.most_us, 1], [timing.q1_us, timing.q3_us, 5]]) {
        context.lineWidth = width;
        context.beginPath();
        context.moveTo(x.getPixelForValue(low), height);
        context.lineTo(Math.max(x.getPixelForValue(high), x.getPixelForValue(low) + 1), height);
        context.stroke();
      }
    });
    context.restore();
  },
};

/** Upright lines: {at, title, dash}. */
const limitsPlugin = {
  id: "limits",
  afterDatasetsDraw(drawn, _, options) {
    const {ctx: context, chartArea, scales: {x}} = drawn;
    context.save();
    context.fillStyle = context.strokeStyle = options.colour;
    context.font = `12px ${Chart.defaults.font.family}`;
    for (const limit of options.limits || []) {
      const place = x.getPixelForValue(limit.at);
      context.setLineDash(limit.dash);
      context.lineWidth = 2;
      context.beginPath();
      context.moveTo(place, chartArea.top);
      context.lineTo(place, chartArea.bottom);
      context.stroke();
      const before = place > (chartArea.left + chartArea.right) / 2;
      context.textAlign = before ? "right" : "left";
      context.fillText(limit.title, place + (before ? -4 : 4), chartArea.top - 6);
    }
    context.restore();
  },
};

function shortened(name, most) { return name.length > most ? `${name.slice(0, most - 1)}…` : name; }

/** "fastest", "auto", both or nothing. */
function marksOf(c, timing) {
  return [timing === c.timings[0] ? "fastest" : "", timing.variant === c.auto_variant ? "auto" : ""].filter((mark) => mark !== "");
}

/** `one_pass_e8 · fastest · auto`. */
function variantLabel(c, timing) { return [shortened(timing.variant, 40), ...marksOf(c, timing)].join(" · "); }

/** Beside a bar; on narrow screens the marks stand below the name. */
function barLabel(c, timing) {
  if (innerWidth >= 640) return variantLabel(c, timing);
  const marks = marksOf(c, timing);
  return marks.length === 0 ? shortened(timing.variant, 22) : [shortened(timing.variant, 22), marks.join(" · ")];
}

/** Times of the CPU are never taken for a GPU's. */
function timeTitle(c) { return c.time_kind === "cpu_execution" ? "µs of CPU execution, not a GPU time" : "µs a launch"; }

function limitsOf(c) {
  return [{at: c.copy_us, title: "copy", dash: [6, 4]}, {at: c.floor_us, title: "launch floor", dash: [2, 3]}]
      .filter((limit) => isKnown(limit.at));
}

function barsConfiguration(c, timings) {
  const colours = chartColours();
  const limits = limitsOf(c);
  const most = Math.max(...timings.map((timing) => timing.most_us), ...limits.map((limit) => limit.at));
  return {
    type: "bar",
    plugins: [spreadPlugin, limitsPlugin],
    data: {
      labels: timings.map((timing) => barLabel(c, timing)),
      datasets: [{data: timings.map((timing) => timing.median_us), barPercentage: 0.75, categoryPercentage: 0.95,
                  backgroundColor: timings.map((timing) => timing === c.timings[0] ? colours.best
                      : timing.variant === c.auto_variant ? colours.auto : colours.other)}],
    },
    options: {
      indexAxis: "y", animation: false, responsive: true, maintainAspectRatio: false,
      layout: {padding: {top: 18, right: 12}},
      plugins: {legend: {display: false}, spread: {timings, colour: colours.text}, limits: {limits, colour: colours.text},
                tooltip: {callbacks: {label: (item) => `${microseconds(timings[item.dataIndex].median_us)} µs, quartiles ` +
                    `${microseconds(timings[item.dataIndex].q1_us)} to ${microseconds(timings[item.dataIndex].q3_us)}`}}},
      scales: {
        x: {min: 0, max: most * 1.04, title: {display: true, text: timeTitle(c), color: colours.soft},
            ticks: {color: colours.soft, callback: (value, at, all) => (at === all.length - 1 ? "" : value)}, grid: {color: colours.faint}},
        y: {ticks: {color: colours.text, autoSkip: false}, grid: {display: false}},
      },
    },
  };
}

function variantTable(c, timings) {
  const best = c.timings[0].median_us;
  return sortableTable(`Variants of ${c.op} ${c.shape} ${c.dtype} ${c.form}`, [
    {title: "variant", value: (t) => t.variant, cell: (t) => variantLabel(c, t)},
    {title: "µs", number: true, value: (t) => t.median_us, cell: (t) => microseconds(t.median_us), hint: "median of the samples"},
    {title: "quartiles", value: (t) => t.q1_us, cell: (t) => `${microseconds(t.q1_us)} to ${microseconds(t.q3_us)}`, number: true},
    {title: "cold µs", number: true, value: (t) => t.cold_us, cell: (t) => microseconds(t.cold_us),
     hint: "one launch whose inputs are not in the L2; the other times are of launches back to back"},
    {title: "samples", number: true, value: (t) => t.samples},
    {title: "GB/s", number: true, value: (t) => t.gb_per_s, cell: (t) => rate(t.gb_per_s)},
    {title: "of copy", number: true, value: (t) => t.share_of_copy, cell: (t) => percent(t.share_of_copy, 1)},
    {title: "to the fastest", number: true, value: (t) => t.median_us / best, cell: (t) => times(t.median_us / best)},
  ], timings, "No variant of this case passes the filters.");
}

function barsOf(c) {
  const timings = wantedTimings(c);
  if (timings.length === 0) return [note("No variant of this case passes the filters.")];
  const shown = timings.slice(0, mostBars);
  return [chart(`Time of ${counted(shown.length, "variant")} of ${c.op} ${c.shape}; the table below has the numbers`,
                70 + 26 * shown.length, () => barsConfiguration(c, shown)),
          element("p", {class: "key"}, "Thick line: quartiles. Thin line: least to most."),
          timings.length > shown.length ? note(`${timings.length - shown.length} slower variants are in the table only.`) : null,
          variantTable(c, timings)];
}
