#!/usr/bin/env python3
"""Makes the mechanical mutants: one small change at every place of kernels/ that the host build compiles (docs/mutants.md).

    mechanical.py sites  --source DIR --out FILE [--include DIR...]       all of them, a JSON record a line
    mechanical.py sample --sites FILE --seed TEXT --count N --known FILE --out FILE [--hints FILE]    some, drawn by the seed
    mechanical.py part   --sites FILE --part I/N --known FILE --out FILE  every N-th, for builds that a compiler can hold; keeps
                                                                          what `failures` marked in --out
    mechanical.py failures --sites FILE --log FILE --planted DIR          marks those that a build's errors name

--known: the committed matrix (reports/measured/mutants/mechanical.csv). Mutants that it says do not compile are left out of both;
a sample is of those that the suites caught, and then again by the very case (`again`), which --hints gets: no crash, no hang,
nothing that another build or machine might not show. `plant.py --mechanical FILE` plants what these write.
Needs Debian's python3-clang-14 for `sites` alone. Status 2 and a sentence when something is missing.
"""
import argparse
import csv
import hashlib
import json
import multiprocessing
import pathlib
import random
import re
import sys

# What the host build compiles of kernels/. The host device itself and kernels that are plugins are no kernels of ours.
NOT_MUTATED = ("kernels/host/", "kernels/plugin/", "kernels/normquant/", "kernels/bit_linear/hopper/", "kernels/device_cuda.cpp",
               "kernels/bit_linear/cublaslt_products.cpp")
LAYER = ["bit_linear_forward", "bit_linear_backward"]
OPERATIONS = ["norm_quant_forward", "norm_quant_backward", "activation_quant", "weight_quant", *LAYER]


def sources_of(root):
    """The files that are compiled by themselves, and all that may have mutants, relative to the root."""
    files = [path.relative_to(root).as_posix() for path in sorted((root / "kernels").rglob("*"))
             if path.suffix in (".cu", ".cuh", ".hpp", ".cpp")]
    files = [file for file in files if not file.startswith(NOT_MUTATED)]
    return [file for file in files if file.endswith((".cu", ".cpp"))], set(files)


def operations_of(source):
    """The operations that run what is compiled in `source`."""
    folder = source.split("/")[1]
    return [folder] if folder in OPERATIONS else LAYER if folder == "bit_linear" else OPERATIONS


def named(mutants, texts):
    """Mutants with names that stay when lines move: by file, line, kind and change; the n-th of equals by its number."""
    seen, records = {}, []
    for mutant in sorted(mutants, key=lambda m: (m.file, m.begin, m.end, m.planted)):
        text = texts[mutant.file]
        line = text.count("\n", 0, mutant.begin) + 1
        key = "|".join((mutant.file, mutant.kind, text.splitlines()[line - 1].strip(), mutant.production, mutant.planted))
        seen[key] = seen.get(key, 0) + 1
        name = "m_" + hashlib.sha256(f"{key}|{seen[key]}".encode("latin-1")).hexdigest()[:10]
        records.append({"name": name, "kind": mutant.kind, "file": mutant.file, "line": line, "function": mutant.function,
                        "begin": mutant.begin, "end": mutant.end, "production": mutant.production,
                        "planted": mutant.planted})
    return records


def sites(options):
    import mechanical_sites  # needs libclang, which nothing else here does
    root = options.source.resolve()
    sources, wanted = sources_of(root)
    includes = [root / "kernels", root, *(options.include or ["/usr/include/eigen3"])]
    places, operations, left_out = {}, {}, {}
    with multiprocessing.Pool() as pool:
        of_sources = pool.starmap(mechanical_sites.places_of, [(source, root, includes, wanted) for source in sources], 1)
    for source, of_source in zip(sources, of_sources):
        for file, found in of_source.items():
            operations.setdefault(file, set()).update(operations_of(source))
            if file not in places:
                places[file] = found
                for why, count in found.left_out.items():
                    left_out[why] = left_out.get(why, 0) + count
    records = named([m for found in places.values() for m in found.mutants.values()],
                    {file: found.text for file, found in places.items()})
    for record in records:
        record["operations"] = sorted(operations[record["file"]], key=OPERATIONS.index)
    write(options.out, records)
    print(f"{len(records)} mutants in {len(places)} files; operators left out: "
          + ", ".join(f"{count} {why}" for why, count in sorted(left_out.items())))


def write(path, records):
    text = "".join(json.dumps(record) + "\n" for record in records)
    if not path.exists() or path.read_text() != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def matrix(path):
    """The rows of the committed matrix by mutant; empty where there is none yet."""
    if path is None or not path.exists():
        return {}
    with path.open(newline="") as file:
        return {row["mutant"]: row for row in csv.DictReader(line for line in file if not line.startswith("#"))}


def finding_of(row):
    """What caught a mutant, as `normquant-mutants run --hints` reads it."""
    return {"mutant": row["mutant"], "device": "host", "suite": row["suite"], "caught": True, "check": row["check"],
            "variant": row["variant"], "problem": row["problem"], "reason": "", "cases": 1, "elements": 0, "seconds": 0}


def some(options):
    rows = matrix(options.known)
    refused = {name for name, row in rows.items() if row["outcome"] == "does not compile"}
    records = [r for r in read(options.sites) if r["name"] not in refused]
    if options.command == "part":
        part, parts = (int(number) for number in options.part.split("/"))
        records = records[part - 1::parts]
        before = read(options.out) if options.out.exists() else []
        refused = {r["name"] for r in before if not r.get("compiles", True)}  # by the compiler, in an earlier try
        records = [{**r, "compiles": False} if r["name"] in refused else r for r in records]
    else:
        records = [r for r in records if r["file"] not in options.rewritten]
        if rows:  # a new one may not compile, which the next whole run finds out
            records = [r for r in records if rows.get(r["name"], {}).get("again") == "yes"]
        records = random.Random(options.seed).sample(records, min(options.count, len(records)))
        if options.hints:
            write(options.hints, [finding_of(rows[r["name"]]) for r in records if r["name"] in rows])
    write(options.out, sorted(records, key=lambda r: (r["file"], r["begin"], r["end"], r["planted"])))


def failures(options):
    """Marks in --sites the mutants whose lines the compiler's errors in --log name."""
    records, lines = read(options.sites), {}
    marks = set()
    for file, number in set(re.findall(r"planted/(kernels/[^:\s]+):(\d+):\d+: error", options.log.read_text())):
        if file not in lines:
            lines[file] = (options.planted / file).read_text().splitlines()
        at, near = int(number), set()
        while not near and at > 0:
            at -= 1
            near = {int(mark) for mark in re.findall(r"/\*(\d+)\*/", lines[file][at])} - {0}
            for first, count in re.findall(r"mutated_at\((\d+)U, (\d+)U\)", "" if near else lines[file][at]):
                near |= set(range(int(first), int(first) + int(count)))
        marks |= near
    for mark in marks:
        records[mark - 1]["compiles"] = False
    write(options.sites, records)
    print(f"{len(marks)} mutants do not compile: " + " ".join(records[mark - 1]["name"] for mark in sorted(marks)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("sites", "sample", "part"):
        command = commands.add_parser(name)
        command.add_argument("--out", type=pathlib.Path, required=True)
        if name == "sites":
            command.add_argument("--source", type=pathlib.Path, required=True)
            command.add_argument("--include", action="append")
            continue
        command.add_argument("--sites", type=pathlib.Path, required=True)
        command.add_argument("--known", type=pathlib.Path)
        if name == "part":
            command.add_argument("--part", required=True)
        else:
            command.add_argument("--seed", required=True)
            command.add_argument("--count", type=int, required=True)
            command.add_argument("--hints", type=pathlib.Path)
            command.add_argument("--rewritten", action="append", default=[], help="file since the matrix was measured: left out")
    command = commands.add_parser("failures")
    for name in ("--sites", "--log", "--planted"):
        command.add_argument(name, type=pathlib.Path, required=True)
    options = parser.parse_args()
    if options.command == "failures":
        return failures(options)
    sites(options) if options.command == "sites" else some(options)


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError) as failure:
        print(f"mechanical.py: {failure}", file=sys.stderr)
        sys.exit(2)
    except SystemExit as failure:
        if isinstance(failure.code, str):
            print(failure.code, file=sys.stderr)
            sys.exit(2)
        raise
