#!/usr/bin/env python3
"""The page in a real browser: loads without errors and requests, draws, filters, sorts, links, shows hostile texts as text.

    tests/report_page_test.py NORMQUANT [--huge]

--huge opens a page of 100,000 records instead. Status 77 when there is no browser.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
import browser  # noqa: E402
from invented_pages import ENVIRONMENT, HOSTILE, Pages, skipped, timing, usual_records  # noqa: E402

failures = []


def expect(condition, what):
    if not condition:
        failures.append(what)
        print(f"FAILED: {what}")


def expect_equal(actual, expected, what):
    expect(actual == expected, f"{what}: {actual!r}, not {expected!r}")


def expect_clean(b, path, what):
    """No error, no request but for the page itself, nothing wider than the window."""
    expect_equal(b.errors, [], f"{what}: console errors")
    expect_equal([url for url in b.requests if not url.startswith("data:")], ["file://" + path], f"{what}: requests")
    wide = b.run("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    expect(wide <= 0, f"{what}: {wide} pixels wider than the window")


def text_of(b, selector):
    return b.run(f"(document.querySelector({json.dumps(selector)}) || {{textContent: 'nothing'}}).textContent")


def texts_of(b, selector):
    return b.run(f"[...document.querySelectorAll({json.dumps(selector)})].map(e => e.textContent)")


def choose(b, name, value, event="change"):
    b.run(f"(() => {{ const e = document.getElementById('filter-{name}'); e.value = {json.dumps(value)};"
          f" e.dispatchEvent(new Event('{event}')); }})()")


def colours_drawn(b):
    """Distinct colours in every chart."""
    return b.run("""[...document.querySelectorAll("canvas")].map(c => {
      const pixels = new Uint32Array(c.getContext("2d").getImageData(0, 0, c.width, c.height).data.buffer);
      return new Set(pixels).size;
    })""")


def test_facts_are_shown(b, page):
    b.open(page)
    expect_clean(b, page, "usual page")
    expect(text_of(b, "#verdict").startswith("✗ WRONG RESULTS"), f"verdict: {text_of(b, '#verdict')}")
    expect("NVIDIA Invented" in text_of(b, "h1"), "the device is the title")
    expect("580.1" in text_of(b, "#machine"), "the environment is shown")
    cell = text_of(b, "[id='norm_quant_forward/bfloat16/rms/4096x4096']")
    expect_equal(cell, "100%one_pass", "heat map cell")
    expect("20.0%" in text_of(b, "#sums"), "the cost of dweight is shown")
    expect("codes differ" in text_of(b, "#left-out") and "136 columns" in text_of(b, "#left-out"), "reasons are shown")
    expect("No validation results were given" in text_of(b, "#validation"), "missing validation is said")
    expect("20.0%" in text_of(b, "#regret"), "regret of auto is shown")
    expect("Fastest most often: one_pass 5, single 2, two_pass 1." in text_of(b, "#shares"), "wins are counted")


def test_charts_are_drawn(b, page):
    b.open(page)
    colours = colours_drawn(b)
    expect_equal(len(colours), 3, "charts: bars, over N, over M")
    expect(all(count > 10 for count in colours), f"charts have colours: {colours}")
    before = b.run("document.querySelectorAll('canvas')[1].toDataURL()")
    b.run("document.querySelector('.choice button[aria-pressed=false]').click()")
    expect(b.run("document.querySelectorAll('canvas')[1].toDataURL()") != before, "time and GB/s look different")
    expect_equal(b.errors, [], "errors when redrawn")


def test_filters(b, page):
    b.open(page)
    expect_equal(text_of(b, "#filtered"), "8 cases", "count without filters")
    choose(b, "op", "norm_quant_backward")
    expect_equal(text_of(b, "#filtered"), "2 of 8 cases", "count of the backward")
    expect_equal(set(texts_of(b, "#cases tbody td:first-child")), {"norm_quant_backward"}, "cases of the backward")
    expect("single" in text_of(b, "#case .chart + *  ~ .table"), "the case in focus follows the filter")
    choose(b, "op", "")
    choose(b, "variant", "two, split", "input")
    expect_equal(text_of(b, "[id='norm_quant_forward/bfloat16/rms/4096x4096'] .winner"), "two_pass", "winner of the wanted variants")
    choose(b, "variant", "no such", "input")
    expect_equal(text_of(b, "#filtered"), "0 of 8 cases", "count of nothing")
    expect("none passes the filters" in text_of(b, "#shares"), "an empty choice is said")
    b.run("document.querySelector('#filters [type=reset]').click()")
    b.run("new Promise(done => setTimeout(done, 50))")
    expect_equal(text_of(b, "#filtered"), "8 cases", "count after the reset")
    expect_equal(b.errors, [], "errors when filtered")


def test_sorting(b, page):
    b.open(page)
    times = "#cases tbody td:nth-child(6)"
    b.run("document.querySelectorAll('#cases th button')[5].click()")
    falling = [float(text) for text in texts_of(b, times)]
    expect_equal(falling, sorted(falling, reverse=True), "sorted by time, largest first")
    expect_equal(b.run("document.querySelectorAll('#cases th')[5].getAttribute('aria-sort')"), "descending", "aria-sort")
    # By keyboard: the button kept the focus.
    b.press("Enter")
    rising = [float(text) for text in texts_of(b, times)]
    expect_equal(rising, sorted(falling), "sorted the other way by the Enter key")
    b.run("document.querySelectorAll('#cases th button')[1].click()")
    order = texts_of(b, "#cases tbody td:nth-child(2)")
    expect_equal(order[0], "1x4096", "shapes sort by their numbers")
    b.run("document.querySelector('#cases tbody a').click()")
    b.run("new Promise(done => setTimeout(done, 50))")
    expect_equal(texts_of(b, "#cases tbody td:nth-child(2)"), order, "choosing a case keeps the order")


def test_links(b, page):
    b.open(page, "#norm_quant_forward/bfloat16/layer/4096x4096")
    b.run("new Promise(done => setTimeout(done, 50))")
    expect("4096x4096 bfloat16 layer" in b.run("document.getElementById('case-choice').selectedOptions[0].textContent"), "the address chooses the case")
    expect(b.run("document.querySelector('[aria-current]').closest('td').id").endswith("layer/4096x4096"), "its cell is marked")
    top = b.run("document.querySelector('[aria-current]').getBoundingClientRect().top")
    expect(0 <= top < b.run("innerHeight"), f"its cell is in view: {top}")
    b.run("document.querySelector(\"[id='norm_quant_forward/bfloat16/rms/16x4096'] a, #cases a[href$='rms/16x4096']\").click()")
    b.run("new Promise(done => setTimeout(done, 50))")
    expect(b.run("location.hash").endswith("rms/16x4096"), "a cell's address is the page's")
    expect("16x4096 bfloat16 rms" in text_of(b, "#case .table caption"), "its variants are shown")
    lost = b.run("[...document.querySelectorAll('#contents a, .skip')].filter(a => !document.querySelector(a.getAttribute('href'))).length")
    expect_equal(lost, 0, "links of the contents that lead nowhere")
    expect_equal(b.errors, [], "errors when following links")


def test_keyboard_reaches_everything(b, page):
    b.open(page)
    reached = set()
    for _ in range(40):
        b.press("Tab")
        reached.add(b.run("document.activeElement.id || document.activeElement.className || document.activeElement.tagName"))
        outline = b.run("getComputedStyle(document.activeElement).outlineStyle")
        expect(outline != "none", f"the focus is seen on {b.run('document.activeElement.outerHTML.slice(0, 80)')}")
    expect({"skip", "theme", "filter-op", "filter-variant", "SUMMARY"} <= reached, f"reached by Tab: {reached}")


def test_themes(b, page):
    ground = "getComputedStyle(document.body).backgroundColor"
    b.use_scheme("dark")
    b.open(page)
    dark = b.run(ground)
    expect_clean(b, page, "dark")
    b.run("document.getElementById('theme').click()")
    expect(b.run(ground) != dark, "the button changes dark to light")
    b.use_scheme("light")
    b.open(page)
    expect(b.run(ground) != dark, "light is not dark")


def test_phone(b, page):
    for width in [390, 320]:
        b.resize(width, 844, phone=True)
        b.open(page)
        expect_clean(b, page, f"{width} pixels wide")
        small = b.run("[...document.querySelectorAll('.heat a')].filter(e => e.getBoundingClientRect().height < 40).length")
        expect_equal(small, 0, "cells too small for a finger")
    b.resize(1366, 900)


def test_print(b, page):
    b.open(page)
    expect(b.pdf().startswith(b"%PDF"), "printing gives a document")
    expect_equal(b.errors, [], "errors when printed")


def test_changes(b, pages):
    def still(variant, us):
        return timing(variant, us, samples=[us] * 24)

    before = pages.records("before", [still("one_pass", 10), still("two_pass", 10), still("split", 10), still("gone", 10)])
    after = pages.records("after", [still("one_pass", 10), still("two_pass", 8), still("split", 15)])
    page = pages.page("changes", after, "--baseline", before)
    b.open(page)
    expect_clean(b, page, "two sets")
    expect(text_of(b, "#verdict").startswith("▲ SLOWER"), "the verdict is the gate's")
    expect_equal([text.split()[-1] for text in texts_of(b, "#changes tbody td:first-child")], ["SLOWER", "FASTER", "SAME"], "by importance")
    expect_equal(texts_of(b, "#contents a")[0], "What changed", "what changed comes first")
    expect("gone" in text_of(b, "#changes details"), "what is missing is named")
    document = json.loads(subprocess.run([pages.program, "report", after, "--baseline", before, "--format", "json"],
                                         check=True, capture_output=True, text=True).stdout)
    expect(document["verdict"]["sentence"] in text_of(b, "#verdict"), "page and JSON have the same verdict")


def test_validation(b, pages):
    document = {"schema": "normquant.validate/1", "variants": [
        {"device": "host", "op": "norm_quant_forward", "variant": "one_pass", "passed": 7, "failed": 0, "skipped": 2, "errors": 0,
         "codes_checked": 1000, "codes_ambiguous": 1, "worst_error_over_bound": 0.625}],
        "results": [{"outcome": "skipped", "op": "norm_quant_forward", "variant": "one_pass", "reason": "odd rows", "problem": "p"}]}
    path = pages.folder / "validate.json"
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    page = pages.page("validation", path)
    b.open(page)
    expect_clean(b, page, "validation alone")
    expect(text_of(b, "#verdict").startswith("✓ PASSED"), f"verdict of a validation: {text_of(b, '#verdict')}")
    text = text_of(b, "#validation")
    expect("0.625" in text and "0.1000%" in text and "odd rows" in text, f"validation is shown: {text}")


def test_hostile_texts(b, pages):
    names = [HOSTILE, "__proto__", "constructor", "", "\u202e\u0000\u2028\ud83d\ude00"]
    timings = [timing(name or "v", 2 + i, shape=name or "1x1", op=name or "o", form=name or "f", dtype=name or "d", auto_variant=name) for i, name in enumerate(names)]
    timings += [skipped(HOSTILE, HOSTILE), skipped("w", HOSTILE, "wrong"), timing(HOSTILE, 3)]
    environment = {**ENVIRONMENT, "gpu": {"name": HOSTILE, "driver": HOSTILE}, "commit": HOSTILE, "build": {HOSTILE: HOSTILE}}
    page = pages.page("hostile", pages.records("hostile", timings, environment))
    for fragment in ["", "#%E0%A4%A", "#" + "x/" * 50, "#__proto__"]:
        b.open(page, fragment)
        expect_equal(b.errors, [], f"errors at {fragment[:20]}")
    b.open(page)
    expect_clean(b, page, "hostile texts")
    expect_equal(b.run("typeof hacked"), "undefined", "no text was run")
    expect_equal(b.run("document.images.length"), 0, "no text became an image")
    expect_equal(b.run("document.scripts.length"), 3, "no text became a script")
    expect(HOSTILE in text_of(b, "#cases"), "the text is shown as it is")


def test_sets_that_are_empty_partial_or_mixed(b, pages):
    page = pages.page("empty", pages.records("empty", []))
    b.open(page)
    expect_clean(b, page, "empty")
    expect(text_of(b, "#verdict").startswith("– NOTHING TIMED"), "an empty set is said to be empty")
    bare = {key: value for key, value in timing("v", 3).items() if key not in ("gb_per_s", "copy_us", "share_of_copy", "bytes", "auto_variant")}
    cut = pathlib.Path(pages.records("partial", [bare, timing("w", 4)], {"kind": "environment", "suite": "normquant", "schema": 1}))
    cut.write_text(cut.read_text(encoding="utf-8")[:-30], encoding="utf-8")
    page = pages.page("partial", cut)
    b.open(page)
    expect_clean(b, page, "partial")
    expect("cut off" in text_of(b, "#warnings"), "the cut-off line is said")
    expect("no copy was timed" in text_of(b, "#tiles"), "no share is claimed without a copy")
    other = {**ENVIRONMENT, "gpu": {"name": "NVIDIA Other"}}
    page = pages.page("mixed", pages.records("one", [timing("a", 2)]), pages.records("two", [timing("b", 3)], other))
    b.open(page)
    expect_clean(b, page, "two devices")
    expect_equal(text_of(b, "#filtered"), "2 cases", "cases of two devices stay apart")
    choose(b, "device", "NVIDIA Other")
    expect_equal(texts_of(b, "#shares .winner"), ["b"], "the filter of devices")


def test_committed_pages_open(b):
    committed = sorted(ROOT.glob("reports/measured/*/report.html")) + [ROOT / "reports/measured/index.html"]
    expect(len(committed) > 1, "there are committed pages")
    for page in committed:
        expect(page.stat().st_size < 3e6, f"{page} is under 3 MB")
        b.open(page)
        expect_clean(b, str(page), page.parent.name)


def test_nothing_can_be_fetched(b, page):
    b.open(page)
    refused = b.run("fetch('data:text/plain,x').then(() => 'fetched', () => 'refused')")
    expect_equal(refused, "refused", "the page's policy lets nothing through")


def seconds_of_known_work(b):
    """What this machine's browser takes, at this moment, to write, read and sort 100,000 invented records."""
    return b.run("""(() => {
      const began = performance.now();
      const records = [];
      for (let i = 0; i < 100000; ++i) records.push({shape: `${i % 50}x${i}`, variant: `variant_${i % 20}`, samples: [1 + i / 7, i]});
      JSON.parse(JSON.stringify(records)).sort((a, b) => a.shape < b.shape ? -1 : 1);
      return (performance.now() - began) / 1000;
    })()""")


def test_huge(b, pages):
    """5,000 cases of 20 variants."""
    shapes = [f"{m}x{64 * n}" for m in range(1, 51) for n in range(1, 51)]
    timings = [timing(f"variant_{v}", 1 + 0.01 * v, shape, op, samples=[1 + 0.01 * v] * 2) for op in ["norm_quant_forward", "norm_quant_backward"]
               for shape in shapes for v in range(20)]
    expect_equal(len(timings), 100000, "records")
    page = pages.page("huge", pages.records("huge", timings))
    size = pathlib.Path(page).stat().st_size
    # A slow machine, or one with other work, is slow at known work too.
    opened, known = zip(*((b.open(page), seconds_of_known_work(b)) for _ in range(3)))
    seconds, work = min(opened), min(known)
    print(f"100,000 records: a page of {size / 1e6:.1f} MB opens in {seconds:.2f} s, known work takes {work:.2f} s")
    expect_clean(b, page, "huge")
    expect(seconds < max(3, 15 * work), f"it opens in {seconds:.1f} s, not under 3 or 15 times the known work's {work:.2f} s")
    expect(size < 3e6, f"it has {size} bytes, not under 3 MB")
    expect("left out" in text_of(b, "#warnings"), "what is left out is said")
    choose(b, "op", "norm_quant_backward")
    expect_equal(text_of(b, "#filtered"), "2500 of 5000 cases", "filters work")


def run_all(b, pages):
    usual = pages.page("usual", pages.records("usual", usual_records()))
    for test in [test_facts_are_shown, test_charts_are_drawn, test_filters, test_sorting, test_links, test_keyboard_reaches_everything,
                 test_themes, test_phone, test_print, test_nothing_can_be_fetched]:
        test(b, usual)
    for test in [test_changes, test_validation, test_hostile_texts, test_sets_that_are_empty_partial_or_mixed]:
        test(b, pages)
    test_committed_pages_open(b)


def main():
    program, huge = sys.argv[1], "--huge" in sys.argv
    path, why = browser.find_browser()
    if not path:
        print(f"SKIPPED: {why}")
        return 77
    with tempfile.TemporaryDirectory() as folder, browser.Browser(path) as b:
        b.resize(1366, 900)
        b.use_scheme("light")
        pages = Pages(program, folder)
        test_huge(b, pages) if huge else run_all(b, pages)
    print(f"{len(failures)} expectations failed" if failures else "all expectations hold")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
