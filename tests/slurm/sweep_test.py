#!/usr/bin/env python3
"""A sweep by scripts/slurm on a real Slurm of this machine, while a node dies, a task is preempted, one finds no room for its file
and the controller is restarted: the merged file is that of an undivided run but for times, and no finished case ran again.

    tests/slurm/sweep_test.py NORMQUANT

Ends with 77 where Slurm is not installed. Takes about a minute.
"""
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

from cluster import Cluster, wait_until, why_not

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from record_times import without_times  # noqa: E402

SHARDS, FULL = 6, 3  # the shard FULL finds no room at first
SWEEP = {"name": "tiny", "about": "small cases of long enough a time", "cases": [
    {"op": "activation_quant", "shapes": ["40x4096", "44x4096", "48x4096", "52x4096", "56x4096", "60x4096"],
     "dtypes": ["bfloat16"], "forms": ["out", "codes"]}]}
# What every site has a file for: modules. This one leaves one task room for 4 KiB in a file.
SETUP = f"""\
if [ "$SLURM_ARRAY_TASK_ID" = {FULL} ] && [ ! -e "$NORMQUANT_OUT/room" ]; then
  trap '' XFSZ
  ulimit -f 4
fi
"""


class Run:
    """What the parts of the test share."""

    def __init__(self, folder, program):
        self.folder, self.program = pathlib.Path(folder), program
        self.out = self.folder / "out"
        self.cluster = Cluster(folder, ["small", "small", "small", "large"])
        self.seen = {}  # {file: whole lines that were there before something happened to its task}
        (self.folder / "tiny.json").write_text(json.dumps(SWEEP))
        (self.folder / "setup.sh").write_text(SETUP)

    def submit(self):
        """{"array": job, "merge": job} of submit.sh, and what it printed."""
        printed = self.ask_to_submit("--out", self.out, "--shards", str(SHARDS), "--sweep", self.folder / "tiny.json", "--setup",
                                     self.folder / "setup.sh", "--kind", "=--gres=gpu:small:1")
        return dict(re.findall(r"(array|merge) (\d+)", printed)), printed

    def ask_to_submit(self, *options):
        done = subprocess.run([ROOT / "scripts/slurm/submit.sh", "--program", self.program, "--bench", "--device host", *options, "--",
                               "--partition=low"],
                              env=self.cluster.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def lines(self, shard):
        path = self.out / "tasks" / f"tiny.{shard:05}.jsonl"
        content = path.read_bytes() if path.exists() else b""
        return content[:content.rfind(b"\n") + 1].splitlines()

    def planned(self, shard):
        return json.loads(self.lines(shard)[0])["plan"]["cases"]

    def freeze_a_task(self, avoid=()):
        """Stops a task in the midst of its cases: (shard, job, node)."""
        def one():
            for shard in range(1, SHARDS + 1):
                if shard == FULL or shard in avoid or not 3 <= len(self.lines(shard)) <= self.planned(shard):
                    continue
                try:
                    path = self.out / "tasks" / f"tiny.{shard:05}.jsonl"
                    process = int(path.with_suffix(".jsonl.lock").read_text().split()[1])
                    os.kill(process, signal.SIGSTOP)
                    job, _, node = path.with_suffix(".jsonl.job").read_text().split()[:3]
                except (OSError, IndexError, ValueError):
                    continue  # it ended meanwhile
                self.seen[shard] = self.lines(shard)
                return shard, job, node
            return None
        return wait_until(one, "a task in the midst of its cases")

    def say(self, text):
        print(f"{time.monotonic() - self.began:5.1f} s  {text}", flush=True)

    def play(self):
        self.began = time.monotonic()
        self.cluster.start_all()
        self.say("the cluster is up")
        jobs, _ = self.submit()
        self.machines_fail()
        wait_until(lambda: not self.cluster.queued(jobs["array"] + "," + jobs["merge"]) or None, "the array's end", 120)
        self.say("the array has ended")
        said = (self.out / "logs/merge.txt").read_text()
        assert not (self.out / "tiny.jsonl").exists() and f"{FULL}/{SHARDS}" in said, said
        assert "File too large" in (self.out / f"logs/{FULL}.txt").read_text()
        self.say(f"the merge refused and named the shard {FULL}")

        self.seen[FULL] = self.lines(FULL)
        finished = {shard: self.lines(shard) for shard in range(1, SHARDS + 1) if shard != FULL}
        (self.out / "room").touch()
        jobs, printed = self.submit()
        assert f"shards {FULL} of {SHARDS}" in printed, printed
        wait_until((self.out / "report.html").exists, "the page", 60)
        self.say("submitted again: merged")
        assert all(self.lines(shard) == lines for shard, lines in finished.items()), "a finished shard was written to"

    def machines_fail(self):
        shard, job, node = self.freeze_a_task()
        self.another_array_is_refused(shard, job, node)
        other, other_job, other_node = self.freeze_a_task(avoid=[shard])
        self.cluster.kill(node)
        self.say(f"{node} died with the shard {shard} in its midst")
        high = self.cluster.ask("sbatch", "--parsable", "--partition=high", f"--nodelist={other_node}", "--output=/dev/null",
                                "--wrap", "sleep 1")
        assert high, "the job of high priority was refused"
        wait_until(lambda: self.restarted(other_job), "preemption")
        self.say(f"the shard {other} was preempted on {other_node}")
        self.controller_restarts()
        self.start_undivided()
        wait_until(lambda: self.restarted(job), "the death being noticed", 90)
        self.say(f"the death was noticed, the shard {shard} requeued")

    def another_array_is_refused(self, shard, job, node):
        """A task of a second array for the same folder, while the first one's runs."""
        environment = {**self.cluster.environment, "NORMQUANT": str(self.program), "NORMQUANT_OUT": str(self.out),
                       "NORMQUANT_SHARDS": str(SHARDS), "NORMQUANT_SWEEPS": str(self.folder / "tiny.json"),
                       "NORMQUANT_OPTIONS": "--device host", "SLURM_ARRAY_TASK_ID": str(shard), "SLURM_JOB_ID": "999999"}
        done = subprocess.run(["bash", ROOT / "scripts/slurm/sweep.sbatch"], env=environment, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        assert done.returncode == 5 and f"is being written by job {job} on {node} since 20" in done.stdout, done.stdout
        self.say(f"a second array is refused, and is told of job {job} on {node}")

    def restarted(self, job):
        return "Restarts=1" in self.cluster.ask("scontrol", "show", "job", job)

    def controller_restarts(self):
        self.cluster.stop("slurmctld")
        self.cluster.start_controller()
        self.say("the controller was stopped and started again")

    def start_undivided(self):
        self.undivided = subprocess.Popen([self.program, "bench", "--device", "host", "--sweep", self.folder / "tiny.json", "--out",
                                           self.folder / "whole.jsonl"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def fleet(self):
        """An array, a merge and a table for each of the two kinds of GPU that sinfo shows."""
        out = self.folder / "fleet"
        (self.folder / "mini.json").write_text(json.dumps({"name": "mini", "about": "two", "cases": [
            {"op": "activation_quant", "shapes": ["2x64", "4x64"], "dtypes": ["bfloat16"], "forms": ["out"]}]}))
        self.ask_to_submit("--out", out, "--shards", "2", "--sweep", self.folder / "mini.json", "--kinds", "all", "--tune")
        for kind in ("small", "large"):
            wait_until((out / kind / f"{kind}.table").exists, f"the table of {kind}", 60)
        self.say("a fleet of two kinds: a table for each")

    def compare(self):
        whole, merged = self.folder / "whole.jsonl", self.out / "tiny.jsonl"
        assert self.undivided.wait(120) == 0
        expected, found = without_times(whole.read_text()), without_times(merged.read_text())
        assert expected == found, "the merged file is another than an undivided run's:\n" + "\n".join(
            f"{a}\n{b}" for a, b in zip(expected.splitlines(), found.splitlines()) if a != b)
        lines = set(merged.read_bytes().splitlines())
        for shard, seen in self.seen.items():
            again = [line for line in seen[1:] if line not in lines]
            assert len(seen) > 1 and not again, f"{len(again)} finished cases of the shard {shard} ran again"
        self.say(f"{len(lines) - 1} records are those of an undivided run; {sum(map(len, self.seen.values())) - len(self.seen)}"
                 " that were finished before something happened to their tasks did not run again")


def main():
    if reason := why_not():
        print(f"skipped: {reason}")
        return 77
    program = pathlib.Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory(prefix="nqs") as folder:
        os.chmod(folder, 0o755)
        run = Run(folder, program)
        try:
            run.play()
            run.fleet()
            run.compare()
        except BaseException:
            for path in [*sorted((run.out / "logs").glob("*")), run.folder / "slurmctld.log"]:
                print(f"--- {path.name}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-40:]))
            print(run.cluster.ask("squeue"), run.cluster.ask("sinfo"))
            raise
        finally:
            run.cluster.end()
    return 0


if __name__ == "__main__":
    sys.exit(main())
