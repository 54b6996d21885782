#!/usr/bin/env python3
"""Makes the committed pages: reports/measured/DEVICE/report.html for every device, reports/measured/index.html, and the pictures of the
README and of docs/reports.md, from the records beside them.

    scripts/report_pages.py [--program PATH] [--out FOLDER] [--no-pictures]

A device is a folder of reports/measured/ whose README.md names the record files that its standing.md is made of; the page is made
of the same, and of the folder's validation results. Pictures need a Chromium; without one they stay as they are, which
is said, and the status is 77. Other statuses: docs/exit_statuses.md.
"""
import argparse
import html
import json
import pathlib
import re
import subprocess
import sys
import tempfile

import browser
import small_png

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAMS = ["build/release/normquant", "build/host-only/normquant"]
# Best first: only the files of --json say what was skipped and why.
VALIDATIONS = ["validate_exhaustive.json", "validate_exhaustive.txt", "validate_standard.json", "validate_standard.txt"]
STATUS_USAGE, STATUS_INFRASTRUCTURE, STATUS_SKIPPED = 2, 5, 77


def fail(status, sentence):
    print(f"report_pages.py: {sentence}", file=sys.stderr)
    sys.exit(status)


def program_path(asked):
    for path in [asked] if asked else [ROOT / name for name in PROGRAMS]:
        if pathlib.Path(path).is_file():
            return str(pathlib.Path(path).resolve())
    fail(STATUS_USAGE, f"there is no {asked or ' or '.join(PROGRAMS)}: build it, or give --program PATH")


def record_files(folder):
    """The record files that the folder's standing.md is made of, in that order; none when its README names none."""
    readme = folder / "README.md"
    text = readme.read_text(encoding="utf-8") if readme.is_file() else ""
    command = re.search(r"`scripts/standing\.py ([^`]+)`", text)
    words = command.group(1).split() if command else []
    return [folder / word for i, word in enumerate(words) if not word.startswith("--") and words[i - 1] != "--triton"]


def results_of(folder):
    """Record files, and the validation results when there are some."""
    validation = [folder / name for name in VALIDATIONS if (folder / name).is_file()][:1]
    return record_files(folder) + validation


def devices():
    """{name: folder} of the devices with committed records."""
    found = {folder.name: folder for folder in sorted((ROOT / "reports/measured").iterdir()) if folder.is_dir() and record_files(folder)}
    return found or fail(STATUS_USAGE, "no folder of reports/measured/ has a README.md that names record files")


def report(program, results, *options):
    """What `normquant report` prints."""
    command = [program, "report", *map(str, results), "--repeated", "first", *options]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        fail(answer.returncode, f"{' '.join(command)}: {answer.stderr.strip()}")
    return answer.stdout


def write(path, text):
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        fail(STATUS_INFRASTRUCTURE, f"cannot write {path}: {error}")


def percent(share, digits=0):
    return "–" if share is None else f"{share:.{digits}%}"


def index_row(name, facts):
    """One device: link, verdict, summary."""
    summary = facts["summary"]
    gpus = {(environment.get("gpu") or {}).get("name") or "host" for environment in facts["environments"]}
    worst = max((row["worst_error_over_bound"] for row in facts["validation"]), default=None)
    cells = [f'<a href="{html.escape(name)}/report.html">{html.escape(", ".join(sorted(gpus)))}</a>',
             html.escape(facts["verdict"]["title"]), str(len(facts["cases"])), percent(summary["share_median"]),
             f'{summary["share_at_least_95"]} of {summary["share_cases"]}', percent(summary["regret_mean"], 1),
             "–" if worst is None else f"{worst:.3f}", html.escape(", ".join(e.get("commit") or "–" for e in facts["environments"]))]
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def index_page(facts_by_device):
    style = (ROOT / "reports/page/page.css").read_text(encoding="utf-8")
    titles = ["device", "verdict", "cases", "median share of the copy", "cases at 95% and more", "regret of auto, mean",
              "worst error / bound", "commits"]
    rows = "\n".join(index_row(name, facts) for name, facts in facts_by_device.items())
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,">
<title>normquant: results by device</title>
<style>
{style}</style>
</head>
<body>
<h1>normquant: results by device</h1>
<div class="scroll"><table>
<thead><tr>{"".join(f'<th scope="col">{title}</th>' for title in titles)}</tr></thead>
<tbody>
{rows}
</tbody>
</table></div>
</body>
</html>
"""


def make_pages(program, out):
    facts_by_device = {}
    for name, folder in devices().items():
        results = results_of(folder)
        write(out / name / "report.html", report(program, results, "--format", "html"))
        facts_by_device[name] = json.loads(report(program, results, "--format", "json"))
    write(out / "index.html", index_page(facts_by_device))
    return facts_by_device


def box_of(page, first, last):
    """(x, y, width, height) from the top of one element to the bottom of another, over the width of the page."""
    return page.run(f"""(() => {{
      const top = document.querySelector({json.dumps(first)}).getBoundingClientRect().top + scrollY;
      const bottom = document.querySelector({json.dumps(last)}).getBoundingClientRect().bottom + scrollY;
      return [0, Math.max(0, top - 8), document.documentElement.clientWidth, bottom - Math.max(0, top - 8) + 8];
    }})()""")


def shrink(path):
    """The picture in 256 colours."""
    path.write_bytes(small_png.with_palette(path.read_bytes()))


def make_pictures(path, program, out, scratch):
    """The pictures, of the first device's page, and of its first record file against its last where there are several."""
    name, folder = next(iter(devices().items()))
    page_path = out / name / "report.html"
    pictures = ROOT / "docs/pictures"
    pictures.mkdir(exist_ok=True)
    taken = []
    with browser.Browser(path) as page:

        def take(picture, box):
            taken.append(pictures / picture)
            page.picture(taken[-1], box)

        page.use_scheme("light")
        page.resize(1320, 900)
        page.open(page_path)
        take("report_shares.png", box_of(page, ".head-line", "#shares .group"))
        take("report_case.png", box_of(page, "#case-title", "#case .figures"))
        page.use_scheme("dark")
        page.open(page_path)
        take("report_dark.png", box_of(page, ".head-line", "#filters"))
        page.use_scheme("light")
        page.resize(390, 844, phone=True)
        page.open(page_path)
        take("report_phone.png", (0, 0, 390, 1500))
        records = record_files(folder)
        if len(records) > 1:
            changes = scratch / "changes.html"
            changes.write_text(report(program, records[:1], "--baseline", str(records[-1]), "--format", "html"), encoding="utf-8")
            page.resize(1320, 900)
            page.open(changes)
            take("report_changes.png", (0, 0, 1320, 900))
    for picture in taken:
        shrink(picture)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", help="normquant (default: that of build/release, else build/host-only)")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "reports/measured",
                        help="where pages and index go (default: reports/measured/)")
    parser.add_argument("--no-pictures", action="store_true", help="pages and index only")
    arguments = parser.parse_args()
    program = program_path(arguments.program)
    made = make_pages(program, arguments.out)
    print(f"pages of {', '.join(made)} and the index: {arguments.out}")
    if arguments.no_pictures:
        return 0
    path, why = browser.find_browser()
    if not path:
        print(f"pictures: SKIPPED: {why}")
        return STATUS_SKIPPED
    with tempfile.TemporaryDirectory() as scratch:
        make_pictures(path, program, arguments.out, pathlib.Path(scratch))
    print("pictures: docs/pictures")
    return 0


if __name__ == "__main__":
    sys.exit(main())
