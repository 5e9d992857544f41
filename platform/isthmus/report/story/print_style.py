"""How the story looks on a screen, on a phone, and on A4."""

STYLE = """
h2 { font-size: 1.35rem; border-bottom: 2px solid #0072B2; padding-bottom: 0.2rem; }
h3 { font-size: 1.05rem; margin: 1.6rem 0 0.3rem; }
.chapter { margin-top: 3rem; }
.lead { margin: 1rem 0; }
.lead h3 { margin: 0.6rem 0 0.2rem; }
nav h2 { font-size: 1.05rem; border: 0; margin: 1.2rem 0 0.2rem; }
nav ol { margin: 0; padding-left: 1.4rem; columns: 20rem 2; }
nav li { margin: 0.15rem 0; }
nav a { margin: 0; }
a { color: #005A8C; }
a:focus-visible, .table:focus-visible { outline: 3px solid #E69F00; outline-offset: 2px; }
.skip { position: absolute; left: -100rem; }
.skip:focus { left: 1rem; top: 0.5rem; background: white; padding: 0.4rem 0.8rem; }
main:focus { outline: none; }
figure { margin: 1rem 0; }
figcaption { color: #555; font-size: 0.9rem; }
section > div[id^="figure-"] { min-width: 0; overflow-x: auto; }
@media (max-width: 40rem) {
  body { padding: 0.6rem; font-size: 16px; }
  h1 { font-size: 1.25rem; }
  nav ol { columns: 1; }
  nav li { margin: 0.45rem 0; }
}
@page { size: A4; margin: 15mm 13mm; }
@media print {
  html { font-size: 9.5pt; }
  body { max-width: none; margin: 0; padding: 0; font-size: 1rem; color: black; }
  .skip, .modebar-container, .updatemenu-container { display: none !important; }
  .chapter { break-before: page; margin-top: 0; }
  .chapter:first-of-type { break-before: auto; }
  h1, h2, h3, .reads, .not-shown { break-after: avoid; }
  section, figure, .lead, tr, img { break-inside: avoid; }
  .lead, .reads, .note, .not-shown { max-width: none; }
  .table { overflow: visible; }
  section > div[id^="figure-"] { overflow: visible; max-width: none !important; }
  table { font-size: 7pt; width: 100%; }
  th, td { padding: 0.1rem 0.25rem; overflow-wrap: break-word; }
  th { overflow-wrap: anywhere; }
  thead { display: table-header-group; }
  img { max-height: 235mm; }
  a { color: black; text-decoration: underline; }
  .leaky, .lead { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""

# A drawn chart has the width of the window that it was drawn in, so it is drawn anew for paper:
# 184 mm between the margins are 695 pixels, 267 mm are 1009, of which words take some.
FOR_PAPER = """<script>
const paper = {width: 690, height: 800};
const charts = () => document.querySelectorAll('[id^="figure-"]');
let onScreen = null;
addEventListener("beforeprint", () => {
  if (onScreen) return;
  onScreen = new Map();
  for (const chart of charts()) {
    if (!chart.layout) continue;
    onScreen.set(chart, chart.layout.height);
    Plotly.relayout(chart, {autosize: false, width: paper.width,
      height: Math.min(chart.layout.height || 450, paper.height)});
  }
});
addEventListener("afterprint", () => {
  for (const [chart, height] of onScreen || []) {
    Plotly.relayout(chart, {autosize: true, width: null, height: height});
  }
  onScreen = null;
});
</script>"""
