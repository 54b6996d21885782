#!/usr/bin/env python3
"""Records, sweep files and results are what docs/schemas says, and docs/records.md explains every field of the schemas.

    tests/record_schemas_test.py [NORMQUANT]

Holds every committed line of reports/measured against its schema. With NORMQUANT also what that program writes today, and
that the program and the schema of sweep files accept and refuse the same files. Ends with 77, and the reason, where Python
has no jsonschema (Debian package python3-jsonschema).
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

try:
    import jsonschema
except ImportError:
    debian = "/usr/bin/python3"  # to which the Debian package belongs, whatever `python3` is here
    if os.path.realpath(sys.executable) != os.path.realpath(debian) and os.path.exists(debian) and subprocess.run(
            [debian, "-c", "import jsonschema"], stderr=subprocess.DEVNULL, check=False).returncode == 0:
        os.execv(debian, [debian, *sys.argv])
    print("record_schemas_test: SKIPPED: this Python has no jsonschema (scripts/setup.sh --checks installs it)")
    sys.exit(77)

ROOT = pathlib.Path(__file__).resolve().parent.parent
SCHEMAS = ROOT / "docs" / "schemas"
MEASURED = ROOT / "reports" / "measured"
EXPLAINED = ROOT / "docs" / "records.md"
SWEEPS = {  # text of a sweep file: whether it is one
    '{"cases": [{"op": "forward", "shapes": ["1x64"]}]}': True,
    '{"name": "mine", "about": "a line", "cases": [{"op": "norm_quant_backward", "rows": [1, 2], "columns": [64]}]}': True,
    '{"cases": [{"op": "weight_quant", "rows": [8, 9], "columns": [64, 65], "zip": true, "dtypes": ["f32"]}]}': True,
    '{"cases": [{"op": "forward", "shapes": ["1x64"], "forms": ["rms", "layer"]}]}': True,
    '{"cases": []}': False,
    '{"name": "no cases"}': False,
    '{"cases": [{"op": "forward"}]}': False,
    '{"cases": [{"op": "sideways", "shapes": ["1x64"]}]}': False,
    '{"cases": [{"op": "forward", "shapes": ["0x64"]}]}': False,
    '{"cases": [{"op": "forward", "shapes": []}]}': False,
    '{"cases": [{"op": "forward", "rows": [1]}]}': False,
    '{"cases": [{"op": "forward", "rows": [1.5], "columns": [64]}]}': False,
    '{"cases": [{"op": "forward", "shapes": ["1x64"], "dtypes": ["int8"]}]}': False,
    '{"cases": [{"op": "forward", "shapes": ["1x64"], "zip": "yes"}]}': False,
    '{"cases": [{"op": "forward", "shapes": ["1x64"], "shape": "2x64"}]}': False,
    '[]': False,
}
# Broken on purpose: a schema that lets these pass sees nothing.
BROKEN_TIMINGS = ({"median_us": "fast"}, {"verdict": "fine"}, {"unheard_of": 1}, {"samples": None}, {"verdict": "skipped"})


def schema(name):
    text = json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(text)
    return jsonschema.Draft202012Validator(text)


class Failures(list):
    def look(self, validator, value, where):
        """One sentence a value that is not as the schema says."""
        error = jsonschema.exceptions.best_match(validator.iter_errors(value))
        if error is None:
            return
        place = ".".join(str(part) for part in error.absolute_path)
        self.append(f"{where}: {place or 'it'}: {error.message[:300]} (describe a new field in docs/schemas and docs/records.md)")


def schema_of(line):
    return "triton" if line.get("impl") == "triton" else "mutant" if "mutant" in line else "record"


def of_kind(record):
    """The schema of one kind of record, whose errors name the field; that of any record names only all kinds."""
    definitions = record.schema["$defs"]
    return {kind: jsonschema.Draft202012Validator({**definitions[kind], "$defs": definitions}) for kind in definitions}


def look_at_lines(path, validators, kinds, failures):
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        line = json.loads(text)
        where = f"{path.relative_to(ROOT) if path.is_relative_to(ROOT) else path.name}:{number}"
        name = schema_of(line)
        failures.look(kinds.get(line.get("kind"), validators[name]) if name == "record" else validators[name], line, where)


def committed(validators, kinds, failures):
    files = sorted(MEASURED.rglob("*.jsonl"))
    if not files:
        failures.append("reports/measured holds no record file")
    for path in files:
        look_at_lines(path, validators, kinds, failures)
    for path in sorted(MEASURED.rglob("qualification.json")):
        failures.look(validators["qualification"], json.loads(path.read_text(encoding="utf-8")), path.relative_to(ROOT))
    for path in sorted(MEASURED.rglob("environment.json")):
        failures.look(kinds["environment"], json.loads(path.read_text(encoding="utf-8")), path.relative_to(ROOT))
    return len(files)


def broken_is_refused(kinds, failures):
    good = next(line for line in map(json.loads, (MEASURED / "h200" / "standing.jsonl").read_text().splitlines())
                if line["kind"] == "timing" and line["verdict"] == "pass")
    for change in BROKEN_TIMINGS:
        if kinds["timing"].is_valid({**good, **change}):
            failures.append(f"the schema of timings accepts {change}")


def names_in(part):
    """Every name of a property in a schema."""
    if isinstance(part, dict):
        for name in part.get("properties", {}) if isinstance(part.get("properties"), dict) else ():
            yield name
        for value in part.values():
            yield from names_in(value)
    elif isinstance(part, list):
        for value in part:
            yield from names_in(value)


def explained(validators, failures):
    text = EXPLAINED.read_text(encoding="utf-8")
    told = set(re.findall(r"`([A-Za-z_0-9]+)`", text))
    for name, validator in validators.items():
        for field in sorted(set(names_in(validator.schema)) - told):
            failures.append(f"docs/records.md does not explain the field {field} of docs/schemas/{name}.schema.json")


def run(program, *arguments):
    return subprocess.run([program, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)


def written_today(program, folder, validators, kinds, failures):
    records, products, results = folder / "records.jsonl", folder / "products.jsonl", folder / "results.json"
    for path, arguments in (
            (records, ("bench", "--device", "host", "--op", "forward", "--shape", "2x64", "--variant", "two_pass", "--out")),
            (products, ("products", "--device", "host", "--shape", "2x64x64", "--out")),
            (results, ("validate", "--op", "activation_quant", "--shape", "2x64", "--json"))):
        done = run(program, *arguments, str(path))
        if done.returncode != 0:
            failures.append(f"normquant {arguments[0]} ended with status {done.returncode}: {done.stderr.strip()[-300:]}")
            return
    look_at_lines(records, validators, kinds, failures)
    look_at_lines(products, validators, kinds, failures)
    failures.look(validators["validation"], json.loads(results.read_text(encoding="utf-8")), results.name)


def same_sweeps(program, folder, validator, failures):
    for number, (text, good) in enumerate(SWEEPS.items()):
        path = folder / f"{number}.json"
        path.write_text(text, encoding="utf-8")
        by_schema = validator.is_valid(json.loads(text))
        if by_schema != good:
            failures.append(f"the schema of sweep files {'accepts' if by_schema else 'refuses'} {text}")
        status = run(program, "bench", "--device", "host", "--list", "--sweep", str(path)).returncode
        if status != (0 if good else 2):
            failures.append(f"normquant bench ended with status {status} at the sweep file {text}")


def main():
    validators = {name: schema(name) for name in ("record", "sweep", "mutant", "triton", "validation", "qualification")}
    kinds, failures = of_kind(validators["record"]), Failures()
    files = committed(validators, kinds, failures)
    broken_is_refused(kinds, failures)
    explained(validators, failures)
    if len(sys.argv) > 1:
        with tempfile.TemporaryDirectory() as folder:
            written_today(sys.argv[1], pathlib.Path(folder), validators, kinds, failures)
            same_sweeps(sys.argv[1], pathlib.Path(folder), validators["sweep"], failures)
    for failure in failures[:40]:
        print(f"record_schemas_test: {failure}")
    print(f"record_schemas_test: {files} record files, {len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
