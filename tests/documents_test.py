#!/usr/bin/env python3
"""The documents hold together: every link leads somewhere, every page is reached from README.md, prose is 100 characters
wide, the files, options and functions that pages name are there, and times and targets are those of standing.md.

    tests/documents_test.py [NORMQUANT]

Pages that programs make (reports/measured) are looked at for their links only. Options are looked up with NORMQUANT.
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
WIDTH = 100
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
COMMAND = re.compile(r"(?:^|[\s`./])normquant (list|validate|check|bench|merge|products|env|tune|report|gate|oracle)\b([^`|#]*)")
# Places that a page may name: a folder of the tree, then a path without wild cards.
PATH = re.compile(r"(?<![\w./~{-])((?:app|bench|cmake|docs|examples|kernels|reference|reports|scripts|tests|validate)/[\w./+-]*\w)")
# Made by a build or by the reader.
MADE = ("docs/pictures/", "reports/measured/DEVICE")


def is_generated(path):
    return path.is_relative_to(ROOT / "reports" / "measured")


def anchors_of(path):
    """The names that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def without_code(text):
    """The text with every block of code and table taken out, line for line."""
    lines, fenced = [], False
    for line in text.splitlines():
        fenced ^= line.startswith("```")
        lines.append("" if fenced or line.startswith(("    ", "|", "```")) else line)
    return lines


def links_of(path, failures):
    """The pages that a page links to; broken links are failures."""
    for target in LINK.findall(path.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        to = (path.parent / name).resolve() if name else path
        if not to.exists():
            failures.append(f"{path.relative_to(ROOT)}: the link to {target} leads nowhere")
        elif anchor and to.suffix == ".md" and anchor not in anchors_of(to):
            failures.append(f"{path.relative_to(ROOT)}: {target}: that page has no such heading")
        elif to.is_dir():
            yield to / "README.md"
        else:
            yield to


def look_at_widths(path, failures):
    for number, line in enumerate(without_code(path.read_text(encoding="utf-8")), 1):
        if len(line) > WIDTH and not LINK.search(line):
            failures.append(f"{path.relative_to(ROOT)}:{number}: {len(line)} characters, more than {WIDTH}"
                            " (scripts/wrap_prose.py mends it)")


def look_at_wrapping(failures):
    """scripts/wrap_prose.py fills paragraphs and list items, and leaves code, tables and headings alone."""
    sys.path.insert(0, str(ROOT / "scripts"))
    sys.dont_write_bytecode = True
    from wrap_prose import wrapped
    kept = "# head\n\n    code " + "word " * 30 + "\n\n| cell " + "word " * 30 + "|\n```\n" + "word " * 30 + "\n```\n"
    if wrapped(kept) != kept:
        failures.append("scripts/wrap_prose.py changes code, tables or headings")
    text = wrapped("1. " + "word " * 30 + "\n   more\n2. next\n\n" + "word " * 30 + "end\n")
    if max(map(len, text.split("\n"))) > WIDTH or not re.search(r"\n   word .*more\n2\. next\n\nword", text, re.DOTALL):
        failures.append("scripts/wrap_prose.py does not wrap paragraphs and list items")
    if re.search(r"^[-+] ", wrapped(" ".join("ab + cd - e" for _ in range(40))), re.MULTILINE):
        failures.append("scripts/wrap_prose.py makes a list of a sum")


def look_at_paths(path, failures):
    text = re.sub(r"\]\([^)]*\)", "]", path.read_text(encoding="utf-8"))
    for name in sorted(set(PATH.findall(text))):
        made = name.startswith(MADE) or "NAME" in name or "TOPIC" in name or "DATE" in name
        if not made and not (ROOT / name).exists() and not list(ROOT.glob(name + ".*")):
            failures.append(f"{path.relative_to(ROOT)}: there is no {name}")


def look_at_options(path, program, helps, failures):
    for command, rest in COMMAND.findall(path.read_text(encoding="utf-8")):
        if command not in helps:
            helps[command] = subprocess.run([program, command, "--help"], stdout=subprocess.PIPE, text=True, check=True).stdout
        for option in re.findall(r"(?<![\w-])--[a-z][a-z_-]*", rest.split("\n")[0]):
            if not option.startswith("--benchmark_") and not re.search(re.escape(option) + r"[\s,]", helps[command]):
                failures.append(f"{path.relative_to(ROOT)}: normquant {command} has no option {option}")


def look_at_names(failures):
    """The functions and tests that docs/operations.md names under "In the code" are in the sources."""
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    parts = re.findall(r"\*\*In the code\.\*\*.*?(?=\n## )", text, re.DOTALL)
    names = set(re.findall(r"`(?:threads\.)?([a-z]\w+)`|\b([A-Z][a-z]+[A-Z]\w+)", "\n".join(parts)))
    sources = "\n".join(path.read_text(encoding="utf-8") for folder in ("kernels", "reference", "tests")
                        for path in (ROOT / folder).rglob("*.*") if path.suffix in (".cu", ".cuh", ".cpp", ".hpp"))
    for name in sorted(lower or upper for lower, upper in names):
        if not re.search(rf"\b{name}\b", sources):
            failures.append(f"docs/operations.md, In the code: nothing in kernels, reference or tests is called {name}")


def targets_of(path, columns):
    """{target: numbers} of the table whose head begins with `target`."""
    rows = re.search(r"^\| target \|.*\n\|.*\n((?:\|.*\n)+)", path.read_text(encoding="utf-8"), re.MULTILINE).group(1)
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows.splitlines()]
    return {row[0]: tuple(int(row[column]) for column in columns) for row in cells}


def look_at_targets(failures):
    """docs/performance.md counts the targets as the pages that scripts/standing.py makes."""
    told = targets_of(ROOT / "docs" / "performance.md", (1, 2, 3))
    h100, h200 = (targets_of(ROOT / "reports" / "measured" / gpu / "standing.md", (2, 1)) for gpu in ("h100", "h200"))
    measured = {target: (asked, met, h200.get(target, (asked, None))[1]) for target, (asked, met) in h100.items()}
    if told != measured:
        failures.append(f"docs/performance.md: its targets differ from standing.md: {sorted(set(told.items()) ^ set(measured.items()))}")


def look_at_problems(failures):
    """docs/problems.md explains every key of a problem and every kind of values, as validate/problem.cpp reads them."""
    source = (ROOT / "validate" / "problem.cpp").read_text(encoding="utf-8")
    told = set(re.findall(r"`(\w+)[^`]*`", (ROOT / "docs" / "problems.md").read_text(encoding="utf-8")))
    read = re.findall(r'key == "(\w+)"|\{"(\w+)", &p\.|\{Values::\w+, "(\w+)"\}', source)
    if not read:
        failures.append("validate/problem.cpp: where are the keys of a problem?")
    for name in sorted(set(filter(None, (name for names in read for name in names))) - told):
        failures.append(f"docs/problems.md does not explain {name}")


def rows_of(path):
    """The cells of every table row that begins with an operation's name."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if re.match(r"\| \w+_quant\w* \|", line)]


def look_at_figures(failures):
    """README.md's table of times is an extract of the H100's standing.md."""
    standing = {(op, shape, form, variant, us, f"{float(share.rstrip('%')):.0f}%", triton, ratio)
                for op, shape, dtype, form, variant, us, share, *_, triton, ratio in rows_of(ROOT / "reports/measured/h100/standing.md")
                if dtype == "bfloat16"}
    told = [tuple(row) for row in rows_of(ROOT / "README.md") if len(row) == 8]
    if not told:
        failures.append("README.md: there is no table of times")
    for row in told:
        if row not in standing:
            failures.append(f"README.md: reports/measured/h100/standing.md does not say: {' | '.join(row)}")


def main():
    pages = [path for path in ROOT.rglob("*.md")
             if not any(part.startswith(".") or part.startswith("build") or part == "out" for part in path.relative_to(ROOT).parts)]
    failures, helps, reached = [], {}, set()
    links = {path: set(links_of(path, failures)) for path in pages}
    to_visit = [ROOT / "README.md"]
    while to_visit:
        page = to_visit.pop()
        if page not in reached:
            reached.add(page)
            to_visit += links.get(page, ())
    look_at_wrapping(failures)
    look_at_targets(failures)
    look_at_names(failures)
    look_at_figures(failures)
    look_at_problems(failures)
    for path in pages:
        if is_generated(path):
            continue
        if path not in reached:
            failures.append(f"{path.relative_to(ROOT)}: no page that README.md leads to links to it")
        look_at_widths(path, failures)
        if path.name != "CHANGELOG.md" and "experiments" not in path.parts:  # those speak of what was
            look_at_paths(path, failures)
            if len(sys.argv) > 1:
                look_at_options(path, sys.argv[1], helps, failures)
    for failure in failures:
        print(f"documents_test: {failure}")
    print(f"documents_test: {len(pages)} pages, {len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
