#!/usr/bin/env python3
"""The checks of examples/reframe, by ReFrame's local scheduler and, where Slurm is installed, by a Slurm of this machine.

    tests/slurm/reframe_test.py NORMQUANT

Ends with 77 where ReFrame is not installed (scripts/setup.sh --reframe does).
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from cluster import Cluster, why_not

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SITE = """
site_configuration = {
    "systems": [{"name": "here", "descr": "this machine", "hostnames": [".*"], "partitions": [
        {"name": "part", "descr": "", "scheduler": "%s", "launcher": "local", "access": %r, "environs": ["builtin"]}]}],
    "environments": [{"name": "builtin", "cc": "cc", "cxx": "c++", "ftn": ""}],
    "logging": [{"handlers": [{"type": "stream", "name": "stdout", "level": "info", "format": "%%(message)s"}],
                 "handlers_perflog": []}]}
"""


def reframe_program():
    own = ROOT / "build" / "reframe" / "bin" / "reframe"
    return str(own) if own.exists() else shutil.which("reframe")


def records(factor):
    """A record file of a GPU that is not there."""
    environment = {"kind": "environment", "suite": "normquant", "schema": 1, "version": "1", "time": "2026-01-01T00:00:00Z",
                   "commit": "fake", "gpu": {"name": "NVIDIA Invented", "driver": "580.1"}}
    samples = [round(20 * factor * (1 + 0.001 * (i % 5)), 4) for i in range(41)]
    ordered = sorted(samples)
    timing = {"kind": "timing", "op": "norm_quant_forward", "variant": "auto", "auto_variant": "one_pass_e8", "shape": "16x4096",
              "rows": 16, "columns": 4096, "dtype": "bfloat16", "form": "rms", "time_kind": "steady", "verdict": "pass",
              "reason": "", "bytes": 1, "requested_bytes": 1, "samples": samples, "median_us": ordered[20],
              "q1_us": ordered[10], "q3_us": ordered[30]}
    return json.dumps(environment) + "\n" + json.dumps(timing) + "\n"


class Checks:
    def __init__(self, folder, program, reframe):
        self.folder, self.program, self.reframe = pathlib.Path(folder), program, reframe

    def run(self, site, *arguments, environment=None, status=0):
        done = subprocess.run([self.reframe, "-C", self.folder / site, "-c", ROOT / "examples/reframe", "-r", "--prefix",
                               self.folder / "rfm", "--performance-report", "--nocolor", "-S", f"program={self.program}", "-S", "device=host",
                               *arguments], env=environment or os.environ, cwd=self.folder, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=300)
        assert (done.returncode != 0) == (status != 0), done.stdout
        return done.stdout

    def locally(self):
        (self.folder / "local.py").write_text(SITE % ("local", []))
        narrow = "--op activation_quant --shape 3x40"
        said = self.run("local.py", "-n", "^NormquantValidate|^NormquantBench", "-S", f"NormquantValidate.options={narrow}",
                        "-S", f"NormquantBench.options={narrow}", "-S", "NormquantBench.sweep=host")
        assert re.search(r"Ran 2/2 test case.*\(0 failure", said), said
        assert re.search(r"activation_quant_3x40_bfloat16_codes", said), said
        print("local: validate and bench pass, with a time a case")
        said = self.run("local.py", "-n", "^NormquantValidate", "-S", "NormquantValidate.options=--op no_such", status=1)
        assert "it was asked for something that cannot be" in said, said
        print("local: status 2 fails, and says what it means")
        for name, factor in (("base.jsonl", 1), ("same.jsonl", 1), ("slow.jsonl", 1.2)):
            (self.folder / name).write_text(records(factor))
        gate = ["-n", "^NormquantGate", "-S", f"baseline={self.folder}/base.jsonl", "-S"]
        self.run("local.py", *gate, f"candidate={self.folder}/same.jsonl")
        said = self.run("local.py", *gate, f"candidate={self.folder}/slow.jsonl", status=1)
        assert "a case is slower than its baseline" in said, said
        print("local: the gate passes what is the same, and fails what is slower")

    def by_slurm(self):
        with tempfile.TemporaryDirectory(prefix="nqs") as folder:
            os.chmod(folder, 0o755)
            cluster = Cluster(folder, ["small"])
            try:
                cluster.start_all()
                (self.folder / "slurm.py").write_text(SITE % ("squeue", ["--partition=low"]))
                said = self.run("slurm.py", "-n", "^NormquantValidate", "-S", "gres=gpu:small:1",
                                "-S", "NormquantValidate.options=--op activation_quant --shape 3x40",
                                environment=cluster.environment)
                assert re.search(r"Ran 1/1 test case.*\(0 failure", said), said
                print("Slurm: validate passes")
            finally:
                cluster.end()


def main():
    reframe = reframe_program()
    if reframe is None:
        print("skipped: ReFrame is not installed (scripts/setup.sh --reframe, or PyPI: ReFrame-HPC)")
        return 77
    with tempfile.TemporaryDirectory() as folder:
        checks = Checks(folder, pathlib.Path(sys.argv[1]).resolve(), reframe)
        checks.locally()
        if reason := why_not():
            print(f"skipped by Slurm: {reason}")
        else:
            checks.by_slurm()
    return 0


if __name__ == "__main__":
    sys.exit(main())
