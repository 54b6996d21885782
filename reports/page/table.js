// Tables that sort by any column. Long ones show their first rows until asked for more.

const rowsAtFirst = 50;
const rowsMore = 500;

/** Unknown values come last, whatever the direction. */
function compareValues(a, b, direction) {
  if (!isKnown(a) || !isKnown(b)) return Number(isKnown(b)) - Number(isKnown(a));
  if (typeof a === "number" && typeof b === "number") return (a - b) * direction;
  return String(a).localeCompare(String(b), "en", {numeric: true}) * direction;
}

/** The rows in a new order; those that compare equal keep theirs. */
function sortedRows(rows, column, direction) {
  return rows.map((row, at) => ({row, at, value: column.value(row)}))
      .sort((a, b) => compareValues(a.value, b.value, direction) || a.at - b.at)
      .map((entry) => entry.row);
}

function tableHead(columns, order, sortBy) {
  const cells = columns.map((column, at) => {
    const sorted = order.column === at;
    const mark = sorted ? (order.direction > 0 ? " ▲" : " ▼") : "";
    const button = element("button", {type: "button", title: column.hint, onclick: () => sortBy(at)},
                           column.title, element("span", {class: "mark", "aria-hidden": "true"}, mark));
    return element("th", {scope: "col", class: column.number ? "number" : null,
                          "aria-sort": sorted ? (order.direction > 0 ? "ascending" : "descending") : "none"}, button);
  });
  return element("thead", {}, element("tr", {}, cells));
}

function tableRow(columns, row) {
  return element("tr", {}, columns.map((column) => {
    const shown = column.cell ? column.cell(row) : column.value(row);
    const cut = typeof shown === "string" && shown.length > 50 ? shown : null;  // the style cuts it; the tip has it all
    return element("td", {class: column.number ? "number" : null, title: cut}, isKnown(shown) ? shown : unknown);
  }));
}

/**
 * A sortable table. `columns`: {title, value(row) to sort by, cell(row) to show (default: the value), number, hint}.
 * `rows` stand in the order given until a column is chosen.
 */
function sortableTable(caption, columns, rows, whenEmpty) {
  if (rows.length === 0) return note(whenEmpty);
  const order = {column: -1, direction: 1};
  let shown = rowsAtFirst;
  const table = element("table", {}, element("caption", {}, element("span", {}, caption)));
  const more = element("button", {type: "button", class: "more", onclick: () => { shown += rowsMore; draw(); }});
  function sortBy(at) {
    // Numbers begin with the largest, as one looks for the worst or the best.
    const first = columns[at].number ? -1 : 1;
    order.direction = order.column === at ? -order.direction : first;
    order.column = at;
    draw();
    table.querySelectorAll("th button")[at].focus();
  }
  function draw() {
    const sorted = order.column < 0 ? rows : sortedRows(rows, columns[order.column], order.direction);
    const body = element("tbody", {}, sorted.slice(0, shown).map((row) => tableRow(columns, row)));
    table.replaceChildren(table.caption, tableHead(columns, order, sortBy), body);
    more.hidden = shown >= rows.length;
    more.textContent = `Show more of ${rows.length} rows (${Math.min(shown, rows.length)} are shown)`;
  }
  draw();
  return element("div", {class: "table"}, element("div", {class: "scroll", tabindex: "0", role: "region", "aria-label": caption}, table), more);
}
