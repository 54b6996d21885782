#!/usr/bin/env python3
"""What scripts/slurm/submit.sh asks Slurm for, by stand-ins for sbatch and sinfo; tests/slurm/sweep_test.py has the real ones.

    tests/slurm/submit_test.py
"""
import json
import os
import pathlib
import subprocess
import tempfile
import unittest

SUBMIT = pathlib.Path(__file__).resolve().parent.parent.parent / "scripts/slurm/submit.sh"
SBATCH = """#!/usr/bin/env bash
[ -z "${REFUSE:-}" ] || { echo "sbatch: error: Invalid partition" >&2; exit 1; }
echo "$NORMQUANT_OUT|$NORMQUANT_SWEEPS|$NORMQUANT_TABLE|$*" >>"$CALLS"
wc -l <"$CALLS"
"""
SINFO = """#!/usr/bin/env bash
printf 'gpu:h100:8\\ngpu:a100:4(S:0-1),gpu:l40s:2(S:2)\\n(null)\\ngpu:h100:8\\n'
"""


class Submit(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name).resolve()
        for name, text in (("sbatch", SBATCH), ("sinfo", SINFO), ("normquant", "#!/bin/sh\n")):
            (self.folder / name).write_text(text)
            (self.folder / name).chmod(0o755)

    def submit(self, *options, status=0, **variables):
        environment = {**os.environ, "PATH": f"{self.folder}:{os.environ['PATH']}", "CALLS": str(self.folder / "calls"), **variables}
        done = subprocess.run([SUBMIT, *options], env=environment, cwd=self.folder, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        self.assertEqual(done.returncode, status, done.stdout)
        return done.stdout

    def calls(self):
        path = self.folder / "calls"
        return [line.split("|") for line in path.read_text().splitlines()] if path.exists() else []

    def write_shard(self, number, cases, records):
        tasks = self.folder / "out/tasks"
        tasks.mkdir(parents=True, exist_ok=True)
        first = json.dumps({"kind": "environment", "plan": {"sweep": "quick", "shard": "", "cases": cases}}, separators=(",", ":"))
        (tasks / f"quick.{number:05}.jsonl").write_text(first + "\n" + '{"kind":"timing"}\n' * records)

    def test_an_array_and_the_merge_behind_it(self):
        said = self.submit("--out", "out", "--shards", "4", "--", "--partition=gpu", "--time=10")
        (folder, sweeps, _, array), (_, _, _, merge) = self.calls()
        self.assertEqual((folder, sweeps), (str(self.folder / "out"), "quick"))
        for word in ("--array=1-4 ", "--partition=gpu --time=10 --gres=gpu:1 ", "sweep.sbatch"):
            self.assertIn(word, array)
        self.assertIn("--dependency=afterany:1 ", merge)
        self.assertIn("array 1, shards 1-4 of 4", said)

    def test_again_it_submits_what_is_not_finished(self):
        self.write_shard(1, 2, 2)
        self.write_shard(2, 2, 1)
        self.write_shard(4, 0, 0)
        self.submit("--out", "out", "--shards", "4")
        self.assertIn("--array=2-3 ", self.calls()[0][3])
        self.write_shard(2, 2, 2)
        self.write_shard(3, 2, 2)
        self.assertIn("all 4 shards are finished", self.submit("--out", "out", "--shards", "4"))
        self.assertEqual(len(self.calls()), 3, "the merge alone")
        self.assertNotIn("--dependency", self.calls()[2][3])

    def test_shards_are_written_as_ranges(self):
        for number in (2, 5):
            self.write_shard(number, 1, 1)
        self.assertIn("shards 1,3-4,6-9 of 9", self.submit("--out", "out", "--shards", "9", "--dry-run"))

    def test_a_fleet_is_an_array_and_a_table_a_kind(self):
        self.submit("--out", "out", "--kinds", "all", "--tune", "--shards", "2")
        arrays = [call for call in self.calls() if "sweep.sbatch" in call[3]]
        self.assertEqual([pathlib.Path(call[0]).name for call in arrays], ["a100", "h100", "l40s"])
        for call in arrays:
            kind = pathlib.Path(call[0]).name
            self.assertIn(f"--gres=gpu:{kind}:1", call[3])
            self.assertEqual(call[1:3], ["tuning held_out", f"{call[0]}/{kind}.table"])

    def test_kinds_by_constraint(self):
        self.submit("--out", "out", "--kind", "l40s=--constraint=l40s --gres=gpu:1")
        self.assertIn("--constraint=l40s --gres=gpu:1 ", self.calls()[0][3])

    def test_what_is_refused(self):
        for options, part in (([], "--out DIR is missing"), (["--out", "o", "--shards", "0"], "whole number"),
                              (["--out", "o", "--kind", "a"], "NAME=OPTIONS"), (["--out", "a b"], "blank"),
                              (["--out", "o", "--partition=x"], "behind --"), (["--out", "o", "--program", "none"], "no program")):
            self.assertIn(part, self.submit(*options, status=2))
        self.assertIn("sbatch refused", self.submit("--out", "out", REFUSE="1", status=5))
        self.assertEqual(self.calls(), [])

    def test_a_task_never_falls_back_to_the_cpu(self):
        (self.folder / "normquant").write_text('#!/bin/sh\necho "$@"\n')
        environment = {**os.environ, "NORMQUANT": str(self.folder / "normquant"), "NORMQUANT_OUT": str(self.folder / "out"),
                       "NORMQUANT_SHARDS": "4", "NORMQUANT_SWEEPS": "a b", "SLURM_ARRAY_TASK_ID": "3", "SLURM_JOB_ID": "7"}
        for options, device in (("", "--device cuda"), ("--quick --device host", "--quick --device host")):
            printed = subprocess.check_output(["bash", SUBMIT.with_name("sweep.sbatch")], text=True,
                                              env={**environment, "NORMQUANT_OPTIONS": options})
            out = f"--out {self.folder}/out/tasks"
            self.assertEqual(printed, f"bench --sweep a {out}/a.00003.jsonl --shard 3/4 --resume {device}\n"
                                      f"bench --sweep b {out}/b.00003.jsonl --shard 3/4 --resume {device}\n")

    def test_a_suite_is_validated_in_shards(self):
        tasks = self.folder / "out/tasks"
        tasks.mkdir(parents=True)
        for number, summary in ((1, {"passed": 3}), (3, {"passed": 2, "not_run": 1})):  # as normquant writes them
            (tasks / f"smoke.{number:05}.json").write_text(json.dumps({"cases": [], "summary": summary}, indent=1))
        self.submit("--out", "out", "--suite", "smoke", "--shards", "4")
        self.assertIn("--array=2-4 ", self.calls()[0][3])
        for options in (("--suite", "huge"), ("--suite", "smoke", "--tune"), ("--suite", "smoke", "--sweep", "quick")):
            self.submit("--out", "out", *options, status=2)
        (self.folder / "normquant").write_text('#!/bin/sh\necho "$@"\n')
        environment = {**os.environ, "NORMQUANT": str(self.folder / "normquant"), "NORMQUANT_OUT": str(self.folder / "out"),
                       "NORMQUANT_SHARDS": "4", "NORMQUANT_SUITE": "smoke", "SLURM_ARRAY_TASK_ID": "3", "SLURM_JOB_ID": "7"}
        printed = {name: subprocess.check_output(["bash", SUBMIT.with_name(name)], text=True, env=environment)
                   for name in ("sweep.sbatch", "merge.sbatch")}
        out = f"{self.folder}/out"
        self.assertEqual(printed["sweep.sbatch"],
                         f"validate --suite smoke --json {out}/tasks/smoke.00003.json --shard 3/4 --resume --device cuda\n")
        self.assertEqual(printed["merge.sbatch"], f"merge --force --out {out}/smoke.json --junit {out}/smoke.xml "
                                                  f"{out}/tasks/smoke.00001.json {out}/tasks/smoke.00003.json\n")

    def test_a_dry_run_submits_nothing(self):
        self.assertIn("--array=1-16", self.submit("--out", "out", "--dry-run"))
        self.assertEqual(self.calls(), [])


if __name__ == "__main__":
    unittest.main()
