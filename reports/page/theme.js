// Light and dark, and the colours of the charts. They are told apart by colour-blind people (Okabe and Ito; viridis), and
// nothing is said by colour alone.

const themes = ["system", "light", "dark"];

function cssColour(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); }

/** What a chart is drawn with, in the theme of the moment. */
function chartColours() {
  return {
    text: cssColour("--text"), faint: cssColour("--line"), soft: cssColour("--soft-text"),
    best: cssColour("--best"), auto: cssColour("--auto"), other: cssColour("--other"),
    series: ["#009e73", "#cc79a7", "#d55e00", "#56b4e9"],
  };
}

function watchTheme(redraw) {
  const button = document.getElementById("theme");
  button.addEventListener("click", () => {
    const now = document.documentElement.dataset.theme || "system";
    const next = themes[(themes.indexOf(now) + 1) % themes.length];
    document.documentElement.dataset.theme = next;
    button.textContent = `Theme: ${next}`;
    redraw();
  });
  // On paper everything is light; the theme comes back afterwards.
  let before = "system";
  addEventListener("beforeprint", () => {
    before = document.documentElement.dataset.theme || "system";
    document.documentElement.dataset.theme = "light";
    redraw();
  });
  addEventListener("afterprint", () => {
    document.documentElement.dataset.theme = before;
    redraw();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
}

/** Classes of the share of the copy, least first; `colour` of viridis with a text colour that can be read on it. */
const shareClasses = [
  {below: 0.5, title: "below 50%", colour: "#440154", text: "#ffffff"},
  {below: 0.7, title: "50 to 70%", colour: "#443983", text: "#ffffff"},
  {below: 0.8, title: "70 to 80%", colour: "#31688e", text: "#ffffff"},
  {below: 0.9, title: "80 to 90%", colour: "#21918c", text: "#000000"},
  {below: 0.95, title: "90 to 95%", colour: "#35b779", text: "#000000"},
  {below: 1, title: "95 to 100%", colour: "#90d743", text: "#000000"},
  {below: Infinity, title: "100% and more", colour: "#fde725", text: "#000000"},
];

/** By the whole percent that is shown, so that a cell that says 100% has the colour of 100%. */
function shareClass(share) { return shareClasses.find((c) => Math.round(share * 100) / 100 < c.below); }
