"""Invented records, and pages made of them by the program: what report_page_test.py opens."""
import json
import pathlib
import subprocess

ENVIRONMENT = {"kind": "environment", "suite": "normquant", "schema": 1, "time": "2026-01-01T00:00:00Z", "commit": "abc",
               "gpu": {"name": "NVIDIA Invented", "driver": "580.1", "power_limit_w": 700.0}, "launch_floor_us": 0.5}
HOSTILE = "<img src=x onerror=\"hacked=1\">'&</script><script>hacked=1</script>\" $& ../.." + "long" * 100


def timing(variant, us, shape="16x4096", op="norm_quant_forward", form="rms", **more):
    rows, columns = (shape.split("x") + ["0"])[:2]
    record = {"kind": "timing", "op": op, "variant": variant, "auto_variant": "one_pass", "shape": shape, "rows": rows,
              "columns": columns, "dtype": "bfloat16", "form": form, "time_kind": "steady", "verdict": "pass", "reason": "",
              "bytes": 1000000, "requested_bytes": 1200000, "median_us": us, "q1_us": us * 0.98, "q3_us": us * 1.02,
              "samples": [us * 0.98] * 7 + [us] * 10 + [us * 1.02] * 7, "gb_per_s": 1000 / us, "copy_us": 1.0, "share_of_copy": 1 / us}
    record = {**record, **more}
    for key, share in (("q1_us", 0.25), ("median_us", 0.5), ("q3_us", 0.75)):
        if key not in more:
            record[key] = quantile(record["samples"], share)
    return record


def quantile(samples, share):
    """Between the two samples in order that stand nearest, as the program takes it."""
    ordered = sorted(samples)
    at = share * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (at - low) * (ordered[high] - ordered[low])


def skipped(variant, reason, verdict="skipped"):
    return timing(variant, 1, verdict=verdict, reason=reason)


def usual_records():
    shapes = {"16x4096": 2.0, "4096x4096": 1.0, "4096x1024": 1.25, "4096x8192": 4.0, "1x4096": 8.0}
    records = [timing(v, us * f, s) for s, us in shapes.items() for v, f in [("one_pass", 1), ("two_pass", 1.3), ("split", 1.6)]]
    records += [timing("single", 3, s, "norm_quant_backward") for s in ["16x4096", "4096x4096"]]
    records += [timing("two_pass", 5, "4096x4096", form="layer"), timing("one_pass", 6, "4096x4096", form="layer")]
    return records + [skipped("cluster", "the row of 136 columns is too short"), skipped("broken", "codes differ", "wrong")]


class Pages:
    """Record files and the pages made of them, in a folder."""

    def __init__(self, program, folder):
        self.program, self.folder = program, pathlib.Path(folder)

    def records(self, name, timings, environment=None):
        path = self.folder / f"{name}.jsonl"
        lines = [environment or ENVIRONMENT, *timings]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        return str(path)

    def page(self, name, *arguments):
        out = str(self.folder / f"{name}.html")
        subprocess.run([self.program, "report", *map(str, arguments), "--out", out, "--force"], check=True)
        return out
