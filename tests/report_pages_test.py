#!/usr/bin/env python3
"""The committed pages and their index say what the committed records say: made anew, they differ in nothing but the chart
library (each distribution has its own) and the last digits of numbers.

    tests/report_pages_test.py NORMQUANT
"""
import json
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
LIBRARY = re.compile(r'<script id="chart-library">.*?</script>', re.DOTALL)
FACTS = re.compile(r'<script type="application/json" id="facts">(.*?)</script>', re.DOTALL)


def parts_of(path):
    """(facts, everything else but the chart library) of a page."""
    text = path.read_text(encoding="utf-8")
    facts = FACTS.search(text)
    return (json.loads(facts.group(1)) if facts else None), FACTS.sub("", LIBRARY.sub("", text))


def alike(a, b):
    """Equal, fractions to 5 significant digits."""
    if isinstance(a, float) or isinstance(b, float):
        return isinstance(a, (int, float)) and isinstance(b, (int, float)) and abs(a - b) <= 1e-5 * max(abs(a), abs(b))
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(alike(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(alike, a, b))
    return a == b


def main():
    stale = []
    with tempfile.TemporaryDirectory() as folder:
        made = pathlib.Path(folder)
        subprocess.run([sys.executable, ROOT / "scripts/report_pages.py", "--program", sys.argv[1], "--out", made, "--no-pictures"],
                       check=True)
        pages = sorted(path.relative_to(made) for path in made.rglob("*.html"))
        if not any(page.name == "report.html" for page in pages):
            print("no page was made")
            return 1
        for page in pages:
            committed = ROOT / "reports" / "measured" / page
            if not committed.is_file() or not all(map(alike, parts_of(committed), parts_of(made / page))):
                stale.append(f"reports/measured/{page}")
    for page in stale:
        print(f"{page} is not what its records and reports/page/ make: run scripts/report_pages.py and commit the pages")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
