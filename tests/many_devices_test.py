#!/usr/bin/env python3
"""Cases shared by several devices (--device cuda:all; here host:K): what one device finds, and nothing is lost or left behind when a
process dies.

    tests/many_devices_test.py NORMQUANT
"""
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import unittest

from program_case import ProgramCase
from record_times import without_times

SWEEP = ["--op", "activation_quant", "--shape", "24x4096", "--shape", "25x4096", "--shape", "3x40"]


def children(process):
    """Of a process, and theirs."""
    found = []
    for task in pathlib.Path(f"/proc/{process}/task").glob("*/children"):
        try:
            found += [int(child) for child in task.read_text().split()]
        except OSError:
            pass
    return found


def wait_until(condition, what, seconds=120):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := condition():
            return answer
        time.sleep(0.02)
    raise AssertionError(f"waited {seconds} s for: {what}")


class ManyDevices(ProgramCase):
    def start(self, *arguments):
        log = open(self.folder / "log", "w")
        self.addCleanup(log.close)
        process = subprocess.Popen([self.program, *arguments], cwd=self.folder, stdout=log, stderr=log)
        self.addCleanup(lambda: process.poll() is None and process.kill())
        return process

    def log(self):
        return (self.folder / "log").read_text()

    def records(self, name):
        return [json.loads(line) for line in (self.folder / name).read_text().splitlines()]

    def timings(self, name):
        """The timings in the order of the plan, without times and cards."""
        timings = sorted((record for record in self.records(name) if record["kind"] == "timing"), key=lambda record: record["index"])
        for record in timings:
            record.pop("card", None)
        return [without_times(json.dumps(record, separators=(",", ":"))) for record in timings]

    def test_bench_is_that_of_one_device(self):
        self.ask("bench", "--device", "host", *SWEEP, "--out", "one")
        self.ask("bench", "--device", "host:3", *SWEEP, "--out", "three")
        self.assertEqual(self.timings("one"), self.timings("three"))
        cards, of_case, last = [], {}, -1
        for record in self.records("three"):
            if record["kind"] == "environment":
                cards.append(record["card"])
                last = -1
                continue
            self.assertEqual(record["card"], cards[-1], "behind the environment of its device")
            self.assertGreater(record["index"], last, "in the order of the plan")
            last = record["index"]
            self.assertEqual(of_case.setdefault((record["shape"], record["form"]), record["card"]), record["card"],
                             "all variants of a case are timed on one device")
        self.assertGreater(len(set(of_case.values())), 1, "devices share the cases")
        said = self.ask("report", "three")
        self.assertIn("host host:0", said)
        self.ask("bench", "--device", "host:2", *SWEEP, "--out", "three", status=2)
        before = (self.folder / "three").read_bytes()
        self.ask("bench", "--device", "host:3", *SWEEP, "--resume", "--out", "three")
        self.assertEqual((self.folder / "three").read_bytes(), before, "nothing that had finished ran again")

    def test_a_worker_that_dies_loses_nothing(self):
        process = self.start("bench", "--device", "host:2", *SWEEP, "--out", "f")
        wait_until(lambda: len(self.records_so_far("f")) > 3, "some records")
        os.kill(children(process.pid)[0], signal.SIGKILL)
        self.assertEqual(process.wait(60), 0, self.log())
        self.assertRegex(self.log(), r"the process of host:[01] was ended by signal 9 \(Killed\); activation_quant/\S+ goes to another")
        self.ask("bench", "--device", "host", *SWEEP, "--out", "one")
        self.assertEqual(self.timings("one"), self.timings("f"))

    def records_so_far(self, name):
        path = self.folder / name
        return path.read_bytes().splitlines()[:-1] if path.exists() else []

    def test_a_parent_that_dies_takes_its_children_along(self):
        for arguments in (["bench", "--device", "host:2", *SWEEP, "--out", "f"],
                          ["validate", "--device", "host:2", "--op", "activation_quant", "--json", "v"]):
            process = self.start(*arguments)
            workers = wait_until(lambda: len(children(process.pid)) > 1 and children(process.pid), "processes")
            if arguments[0] == "bench":
                wait_until(lambda: len(self.records_so_far("f")) > 4, "some records")
            process.kill()
            process.wait()
            wait_until(lambda: not any(pathlib.Path(f"/proc/{worker}").exists() and
                                       " Z " not in pathlib.Path(f"/proc/{worker}/stat").read_text() for worker in workers),
                       "the end of its processes", 30)
        self.assertIn("were finished before", self.ask("bench", "--device", "host:2", *SWEEP, "--resume", "--out", "f"))

    def test_a_case_that_takes_too_long(self):
        said = self.ask("bench", "--device", "host:2", "--op", "activation_quant", "--shape", "2x64", "--shape", "2000x16384",
                        "--variant", "auto", "--case-timeout", "0.8", "--out", "f", status=5)
        self.assertIn("given up after 0.8 s (--case-timeout)", said)
        self.assertEqual([record["verdict"] for record in self.records("f") if record.get("shape") == "2x64"], ["pass", "pass"])

    def test_validate_is_that_of_one_device(self):
        question = ["validate", "--op", "activation_quant", "--shape", "3x40", "--shape", "5x64"]
        self.ask(*question, "--device", "host", "--json", "one")
        self.ask(*question, "--device", "host:2", "--json", "two")
        one, two = (json.loads((self.folder / name).read_text()) for name in ("one", "two"))
        cards = {entry.pop("card") for entry in two["cases"] + two["results"]}
        self.assertEqual(cards, {"host:0", "host:1"})
        for document in (one, two):
            for entry in document["cases"]:
                entry.pop("seconds")
        self.assertEqual({key: one[key] for key in one if key != "run"}, {key: two[key] for key in two if key != "run"})
        self.ask(*question, "--device", "host:2", "--resume", "--json", "two")

    def test_validate_goes_on_when_a_process_dies(self):
        process = self.start("validate", "--device", "host:2", "--op", "activation_quant", "--json", "f")
        worker = wait_until(lambda: len(children(process.pid)) > 1 and children(process.pid)[0], "processes")
        time.sleep(0.1)
        os.kill(worker, signal.SIGKILL)
        self.assertEqual(process.wait(120), 0, self.log())
        self.assertRegex(self.log(), r"a process of host:[01] was ended by signal 9 \(Killed\); op=\S.* goes to another")
        self.assertEqual(json.loads((self.folder / "f").read_text())["summary"]["errors"], 0)

    def test_tune_makes_a_table(self):
        (self.folder / "s.json").write_text(json.dumps({"name": "s", "about": "two", "cases": [
            {"op": "activation_quant", "shapes": ["2x64", "4x64"], "dtypes": ["bfloat16"], "forms": ["out"]}]}))
        said = self.ask("tune", "--device", "host:2", "--sweep", "s.json", "--out", "t", "--records", "r")
        self.assertIn("2 cells, written to t", said)
        self.assertEqual({record["card"] for record in self.records("r")}, {"host:0", "host:1"})

    def test_lists_that_mean_nothing(self):
        for device in ("host:0", "host:x", "host:65", "host:"):
            self.assertIn("is not a device", self.ask("bench", "--device", device, *SWEEP, status=2))
        self.assertIn("is for one device at a time", self.ask("bench", "--device", "host:2", *SWEEP, "--profiled", status=2))


if __name__ == "__main__":
    ProgramCase.program = str(pathlib.Path(sys.argv.pop(1)).resolve())
    unittest.main()
