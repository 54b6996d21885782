// The share of the copy as a table N x M for every operation, type and form, with the winner in each cell.

const mostColumns = 40;
const mostRows = 80;
const mostGroups = 60;
const openedGroups = new Set();

/** Groups of cases by device, operation, type and form, in order of appearance. */
function groupsOf(cases) {
  const groups = new Map();
  for (const c of cases) {
    if (!groups.has(c.group)) groups.set(c.group, []);
    groups.get(c.group).push(c);
  }
  return [...groups.values()];
}

/** The fastest of the wanted variants. */
function winnerOf(c) { return wantedTimings(c)[0]; }

function ascendingNumbers(list, key) { return distinct(list, key).sort((a, b) => a - b); }

function heatCell(c, focused) {
  const winner = winnerOf(c);
  const known = isKnown(winner.share_of_copy);
  const text = known ? percent(winner.share_of_copy) : `${microseconds(winner.median_us)} µs`;
  const link = element("a", {href: addressOf(c), "aria-current": c === focused ? "true" : null,
                             title: `${c.shape}: ${winner.variant}, ${microseconds(winner.median_us)} µs, ${percent(winner.share_of_copy, 1)} of the copy`},
                       element("strong", {}, text), element("span", {class: "winner"}, winner.variant));
  const cell = element("td", {id: c.path, class: "heat"}, link);
  if (known) {
    const shade = shareClass(winner.share_of_copy);
    cell.style.backgroundColor = shade.colour;
    cell.style.color = shade.text;
  }
  return cell;
}

/** Rows are N, columns are M: N has more values in most sweeps, and pages are longer than wide. */
function heatTable(given, focused) {
  const cases = given.filter((c) => c.columns > 0);
  const all = {rows: ascendingNumbers(cases, "columns"), columns: ascendingNumbers(cases, "rows")};
  const rows = all.rows.slice(0, mostRows), columns = all.columns.slice(0, mostColumns);
  const at = new Map(cases.map((c) => [`${c.rows}x${c.columns}`, c]));
  const head = element("tr", {}, element("th", {scope: "col", class: "corner"}, "N \\ M"),
                       columns.map((m) => element("th", {scope: "col"}, String(m))));
  const body = rows.map((n) => element("tr", {}, element("th", {scope: "row"}, String(n)), columns.map((m) => {
    const c = at.get(`${m}x${n}`);
    return c ? heatCell(c, focused) : element("td", {class: "none"});
  })));
  const table = element("table", {class: "heatmap"}, element("caption", {class: "hidden"}, "Share of the copy and fastest variant by N (down) and M (across)"),
                        element("thead", {}, head), element("tbody", {}, body));
  const left = all.rows.length - rows.length + all.columns.length - columns.length + given.length - cases.length;
  return [element("div", {class: "scroll", tabindex: "0", role: "region", "aria-label": "Heat map"}, table),
          left > 0 ? note(`${left} more values of M or N have no place here; the list of cases has all.`) : null];
}

function middleOf(ascending) {
  const half = Math.floor(ascending.length / 2);
  return ascending.length % 2 === 1 ? ascending[half] : (ascending[half - 1] + ascending[half]) / 2;
}

/** A strip whose parts are as wide as there are cases of each class of share. */
function shareStrip(shares) {
  const strip = element("span", {class: "strip", "aria-hidden": "true"});
  for (const shade of shareClasses) {
    const count = shares.filter((share) => shareClass(share) === shade).length;
    if (count === 0) continue;
    const part = element("span", {});
    part.style.flexGrow = count;
    part.style.backgroundColor = shade.colour;
    strip.append(part);
  }
  return strip;
}

function groupSummary(cases) {
  const {device, op, dtype, form} = cases[0];
  const shares = cases.map((c) => winnerOf(c).share_of_copy).filter(isKnown).sort((a, b) => a - b);
  const middle = shares.length === 0 ? "no copy was timed"
      : `median ${percent(middleOf(shares))}, least ${percent(shares[0])}`;
  return element("summary", {}, element("span", {class: "group-name"}, facts.devices.length > 1 ? `${device}: ` : "",
                                        element("b", {}, op), ` ${dtype} ${form}`),
                 shareStrip(shares), element("span", {class: "group-facts"}, `${counted(cases.length, "case")}, ${middle}`));
}

/** On narrow screens the table is wider than the page: it begins at the case in focus, not at empty cells. */
function showFocused(details) {
  const cell = details.querySelector("[aria-current]");
  if (!cell) return;
  const scroll = cell.closest(".scroll");
  scroll.scrollLeft = cell.parentElement.offsetLeft - scroll.clientWidth / 2;
}

/** Moves the mark of the case in focus, and opens its group. */
function markFocused(c) {
  for (const link of document.querySelectorAll(".heat [aria-current]")) link.removeAttribute("aria-current");
  const details = [...document.querySelectorAll("#shares .group")].find((group) => group.caseGroup === c.group);
  if (!details) return;
  details.open = true;
  details.fill();
  const cell = document.getElementById(c.path);
  if (cell) cell.querySelector("a").setAttribute("aria-current", "true");
}

function heatGroup(cases, open, focused) {
  const details = element("details", {class: "group", open}, groupSummary(cases));
  details.caseGroup = cases[0].group;
  let filled = false;
  details.fill = () => {
    if (filled || !details.open) return;
    filled = true;
    details.append(...heatTable(cases, focused).filter(isKnown));
    requestAnimationFrame(() => showFocused(details));
  };
  details.addEventListener("toggle", () => {
    if (details.open) openedGroups.add(cases[0].group);
    else openedGroups.delete(cases[0].group);
    details.fill();
  });
  details.fill();
  return details;
}

function legend() {
  return element("ul", {class: "legend"}, shareClasses.map((shade) => {
    const swatch = element("span", {class: "swatch"});
    swatch.style.backgroundColor = shade.colour;
    return element("li", {}, swatch, shade.title);
  }));
}

/** The variants that are fastest most often. */
function winsNote(cases) {
  const wins = new Map();
  for (const c of cases) wins.set(winnerOf(c).variant, (wins.get(winnerOf(c).variant) || 0) + 1);
  const most = [...wins].sort((a, b) => b[1] - a[1]);
  const more = most.length > 8 ? `, and ${most.length - 8} others` : "";
  return note("Fastest most often: ", most.slice(0, 8).map(([name, count]) => `${shortened(name, 40)} ${count}`).join(", "), more, ".");
}

/** Opens what was opened before, the group of the case in focus, and, when the filters leave few groups, all. */
function sharesSection(cases, focused) {
  const groups = groupsOf(cases);
  const isOpen = (group) => groups.length <= 2 || openedGroups.has(group[0].group) || (focused && group[0].group === focused.group);
  return section("shares", "Share of the copy",
                 note("Each cell names the fastest variant. Choose a cell to see all variants of that case; its address can be shared."),
                 cases.some((c) => isKnown(c.share_of_copy)) ? legend() : note("No plain copy was timed: cells show times."),
                 groups.length === 0 ? note("No case was timed, or none passes the filters.") : winsNote(cases),
                 groups.slice(0, mostGroups).map((group) => heatGroup(group, isOpen(group), focused)),
                 groups.length > mostGroups ? note(`${groups.length - mostGroups} more groups: narrow the filters.`) : null);
}
