#!/usr/bin/env python3
"""Writes the page of scripts/edge_coverage.sh from gcc's counters: lines of the kernels that no case reached, and branches that
always went the same way.

    scripts/edge_coverage.py --build build/edges --suite standard --argued tests/edges_argued.txt --out edges.md

A template is compiled many times. A line counts as reached when one of its instances reached it; where others did not, the page names
them. An argument is a line `file | text of the source line | why` of --argued; one whose text is gone is an error. In place of the
text `function NAME` means all lines of functions of that name, in place of the file `*` means all files.
Status 0: every line that was not reached is argued. 1: some are not. 2: bad input.
"""
import argparse
import collections
import dataclasses
import gzip
import json
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDERS = ("norm_quant_forward", "norm_quant_backward", "activation_quant", "weight_quant", "bit_linear", "device")


def fail(sentence):
    print(f"edge_coverage.py: {sentence}", file=sys.stderr)
    sys.exit(2)


def reports_of(build):
    """What gcov says of every object file that ran."""
    counters = sorted(build.resolve().rglob("*.gcda"))
    if not counters:
        fail(f"{build} holds no counters (*.gcda): run scripts/edge_coverage.sh")
    with tempfile.TemporaryDirectory() as folder:
        for file in counters:
            subprocess.run(["gcov", "--json-format", "--branch-probabilities", str(file)], cwd=folder, check=True,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            for written in pathlib.Path(folder).glob("*.gcov.json.gz"):
                with gzip.open(written) as text:
                    yield json.load(text)
                written.unlink()


def kernel_of(name, build):
    """The file below kernels/ that gcov means by a name, or nothing."""
    path = pathlib.Path(name)
    path = path if path.is_absolute() else build.resolve() / path
    try:
        inner = path.resolve().relative_to(ROOT)
    except ValueError:
        return None
    wanted = inner.parts[0] == "kernels" and inner.parts[1] in FOLDERS and inner.suffix != ".hpp"
    return str(inner) if wanted else None


def short(name):
    """A demangled instance without namespaces and arguments."""
    name = re.sub(r"normquant::|host::|\(anonymous namespace\)::", "", name)
    return re.sub(r"\(.*", "", re.sub(r"^.*? (?=[a-z_]+<)", "", name))


class Line:
    """How often each instance came to a line, and which ways its branches went."""

    def __init__(self):
        self.counts = collections.Counter()
        self.branches = {}  # by the number of branches, since instances differ in it: how often each was taken

    def add(self, instance, count, branches):
        self.counts[instance] += count
        taken = [branch["count"] for branch in branches if not branch["throw"]]
        if count == 0 or not taken:
            return
        before = self.branches.setdefault(len(taken), [0] * len(taken))
        self.branches[len(taken)] = [a + b for a, b in zip(before, taken)]

    def in_function(self, name):
        return all(re.search(rf"\b{name}[(<\[]", one) for one in self.counts)

    def reached(self):
        return any(self.counts.values())

    def missed_by(self):
        return sorted({short(name) for name, count in self.counts.items() if count == 0} -
                      {short(name) for name, count in self.counts.items() if count > 0})

    def one_way(self):
        return bool(self.branches) and all(0 in taken for taken in self.branches.values())


@dataclasses.dataclass
class Stretch:
    """Lines of one function that follow each other in not being reached."""
    file: str
    lines: list
    text: str
    why: str
    functions: set

    def row(self):
        where = f"{self.file}:{self.lines[0]}" + (f" to {self.lines[-1]}" if len(self.lines) > 1 else "")
        return where, len(self.lines), code(self.text), self.why or "**not argued**"


def lines_of(build):
    lines = collections.defaultdict(lambda: collections.defaultdict(Line))
    for report in reports_of(build):
        for file in report["files"]:
            path = kernel_of(file["file"], build)
            if path is None:
                continue
            names = {one["name"]: one["demangled_name"] for one in file["functions"]}
            for line in file["lines"]:
                name = line.get("function_name", "")
                lines[path][line["line_number"]].add(names.get(name, name), line["count"], line["branches"])
    return lines


def arguments_of(path, sources):
    argued = {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        parts = [part.strip() for part in line.split(" | ")]
        if len(parts) != 3:
            fail(f"{path}:{number}: it must be: file | text of the source line | why")
        file, text, why = parts
        if not text.startswith("function ") and text not in [one.strip() for one in sources(file)]:
            fail(f"{path}:{number}: {file} has no line: {text}")
        argued[file, text] = why
    return argued


def table(head, rows):
    return ["", "| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |"] + [
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in rows]


def code(text):
    return f"`{text}`"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--suite", required=True)
    parser.add_argument("--argued", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    options = parser.parse_args()
    texts = {}

    def sources(file):
        if file not in texts:
            if not (ROOT / file).is_file():
                fail(f"there is no file {file}")
            texts[file] = (ROOT / file).read_text().splitlines()
        return texts[file]

    argued = arguments_of(options.argued, sources)
    lines = lines_of(options.build)
    never, some, one_way, totals, unargued = [], [], [], [], 0
    for file in sorted(lines):
        reached = [line for line in lines[file].values() if line.reached()]
        totals.append((code(file), len(lines[file]), len(reached)))
        for number, line in sorted(lines[file].items()):
            text = sources(file)[number - 1].strip()
            why = argued.get((file, text), "") or next(
                (why for (where, what), why in argued.items()
                 if where in ("*", file) and what.startswith("function ") and line.in_function(what[9:])), "")
            row = (f"{file}:{number}", code(text))
            if not line.reached():
                unargued += not why
                before = never[-1] if never else None
                if before and before.file == file and before.why == why and before.functions == set(line.counts):
                    before.lines.append(number)
                else:
                    never.append(Stretch(file, [number], text, why, set(line.counts)))
                continue
            missed = line.missed_by()
            if missed:
                few = ", ".join(code(name) for name in missed[:3]) + (f" and {len(missed) - 3} more" if len(missed) > 3 else "")
                some.append(row + (few, why))
            if line.one_way() and re.search(r"[a-z]", text):  # not of a closing brace
                one_way.append(row + (why,))

    page = ["# Edges of the kernels that the suite does not reach", "",
            "Measured with `scripts/edge_coverage.sh`: the host kernels with gcc's counters, "
            f"`normquant validate --device host --suite {options.suite}`, seed 1. Written by",
            "`scripts/edge_coverage.py`; arguments are from `tests/edges_argued.txt`.",
            "", f"Lines: {sum(t[1] for t in totals)}, reached by some instance: {sum(t[2] for t in totals)}."]
    page += table(("file", "lines", "reached"), totals)
    page += ["", "## Lines that no case reached"]
    page += table(("where", "lines", "the first", "why"), [one.row() for one in never]) if never else ["", "None."]
    page += ["", "## Lines that some instance of a template reached, and others did not"]
    page += table(("line", "text", "not by", "why"), some) if some else ["", "None."]
    page += ["", "## Branches that always went the same way", "",
             "In no instance of the line all branches were taken. Among them are those that the compiler folded into one."]
    page += table(("line", "text", "why"), one_way) if one_way else ["", "None."]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text("\n".join(page) + "\n")
    print(f"{options.out}: {sum(len(one.lines) for one in never)} lines not reached, {unargued} of them not argued; "
          f"{len(some)} reached by some instances only; {len(one_way)} one-way")
    return 1 if unargued else 0


if __name__ == "__main__":
    sys.exit(main())
