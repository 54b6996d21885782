#!/usr/bin/env python3
"""`normquant merge` of invented shards: all that is missing is named at once, what differs is refused unless it is allowed, and
several cards stay apart in the file and in the report.

    tests/merge_test.py NORMQUANT
"""
import json
import pathlib
import sys
import unittest

from program_case import ProgramCase


def environment(shard, cases, driver="580.1", card="GPU-a", **more):
    return {"kind": "environment", "suite": "normquant", "schema": 1, "version": "1", "time": "2026-01-01T00:00:00Z",
            "commit": "abc", "build": {}, "cpu": {"model": "x"}, "os": {}, "device": "cuda:0",
            "gpu": {"name": "NVIDIA Invented", "driver": driver, "ecc": True, "power_limit_w": 700.0}, "card": card,
            "plan": {"sweep": "s", "shard": shard, "cases": cases}, **more}


def timing(index, card="GPU-a", median=10.0):
    return {"kind": "timing", "op": "activation_quant", "variant": "v", "auto_variant": "v", "shape": f"{index + 1}x64", "rows": 1,
            "columns": 64, "dtype": "bfloat16", "form": "out", "problem": "", "time_kind": "steady", "verdict": "pass",
            "reason": "", "bytes": 1, "requested_bytes": 1, "index": index, "card": card, "median_us": median, "q1_us": median,
            "q3_us": median, "samples": [median]}


class Merge(ProgramCase):
    def write(self, name, *records, end="\n"):
        (self.folder / name).write_text("\n".join(map(json.dumps, records)) + end)
        return name

    def merged(self):
        return [json.loads(line) for line in (self.folder / "m").read_text().splitlines()]

    def test_all_that_is_missing_is_named(self):
        self.write("1", environment("1/6", 2), timing(0), timing(6))
        self.write("3", environment("3/6", 2), timing(2))
        self.write("4", environment("4/6", 1), end="")
        self.write("6", environment("6/6", 0))
        said = self.ask("merge", "1", "3", "4", "6", "--out", "m", status=2)
        self.assertIn("the shards 2/6, 5/6 are missing; 2 of 5 cases are missing: the shards 3/6 (3: 1 of 2 cases), "
                      "4/6 (4: its last line is cut off) did not end; run them again with --resume", said)
        self.assertFalse((self.folder / "m").exists())

    def test_what_differs_is_refused_and_allowed(self):
        self.write("1", environment("1/2", 1), timing(0))
        self.write("2", environment("2/2", 1, driver="581.2"), timing(1))
        said = self.ask("merge", "1", "2", "--out", "m", status=2)
        self.assertIn('2:1: "gpu/driver" was "580.1" and is "581.2", so these are not shards of one sweep; --allow driver takes', said)
        self.ask("merge", "1", "2", "--allow", "driver", "--out", "m")
        self.assertEqual([record.get("gpu", {}).get("driver", record.get("index")) for record in self.merged()],
                         ["580.1", 0, "581.2", 1])
        self.ask("merge", "1", "2", "--allow", "plan", "--out", "n", status=2)
        self.assertIn("is there already", self.ask("merge", "1", "2", "--allow", "driver", "--out", "m", status=2))

    def test_shards_of_two_cards_stay_apart(self):
        self.write("1", environment("1/2", 2), timing(0), timing(2))
        self.write("2", environment("2/2", 2, card="GPU-b"), timing(3, "GPU-b"), timing(1, "GPU-b"))
        self.ask("merge", "2", "1", "--out", "m")
        self.assertEqual([(record["card"], record.get("index")) for record in self.merged()],
                         [("GPU-b", None), ("GPU-b", 1), ("GPU-b", 3), ("GPU-a", None), ("GPU-a", 0), ("GPU-a", 2)])
        said = self.ask("report", "m")
        self.assertIn("NVIDIA Invented GPU-a", said)
        self.assertIn("NVIDIA Invented GPU-b", said)

    def test_a_shard_that_went_on_on_another_card(self):
        self.write("1", environment("1/1", 2), timing(0), environment("1/1", 2, card="GPU-b"), timing(1, "GPU-b"))
        self.ask("merge", "1", "--out", "m")
        self.assertEqual([(record["card"], record.get("index")) for record in self.merged()],
                         [("GPU-a", None), ("GPU-a", 0), ("GPU-b", None), ("GPU-b", 1)])

    def test_the_report_says_how_far_cards_lie_apart(self):
        self.write("1", environment("", 2), timing(0), timing(1, median=20.0))
        self.write("2", environment("", 2, card="GPU-b"), timing(0, "GPU-b", 10.1), timing(1, "GPU-b", 20.6))
        said = self.ask("report", "1", "2")
        self.assertIn("GPU-b takes 1.020 times as long as GPU-a in the median of 2 timings of both (1.010 to 1.030)", said)
        self.assertIn("4 timed", said, "nothing was pooled")
        self.assertNotIn("takes", self.ask("report", "1"))

    def test_a_case_twice(self):
        self.write("1", environment("1/2", 1), timing(0))
        self.write("2", environment("2/2", 1), timing(0))
        self.assertIn("2:2: this case is there twice", self.ask("merge", "1", "2", "--out", "m", status=2))

    def test_what_contradicts_itself_is_refused_and_named(self):
        """Of thousands of files the sentence names the one, and its line."""
        self.write("1", environment("1/2", 1), timing(0))
        changes = {"cases": ("many", -5, 10**30, 1e300, 1.5, None, 0), "shard": (2, None, "3/2", "0/2"), "repetitions": (0, "x", -1, 1.5, 10**20)}
        for key, values in changes.items():
            for value in values:
                record = environment("2/2", 1)
                record["plan"][key] = value
                self.write("2", record, timing(1))
                self.assertRegex(self.ask("merge", "1", "2", "--out", "m", status=2), r"^normquant merge: 2:[12]: [ -~]+\n$", (key, value))
        for key, value in (("plan", [1]), ("plan", None), ("kind", 3), ("suite", None), ("card", [1]), ("device", [1])):
            self.write("2", {**environment("2/2", 1), key: value}, timing(1))
            self.assertRegex(self.ask("merge", "1", "2", "--out", "m", status=2), r"^normquant merge: 2:1: [ -~]+\n$", (key, value))
        for key, value in (("index", -1), ("index", 2**63), ("index", 2**64 + 1), ("index", 1.5), ("index", "1"), ("index", None), ("card", 3),
                           ("kind", 3)):
            self.write("2", environment("2/2", 1), {**timing(1), key: value})
            self.assertRegex(self.ask("merge", "1", "2", "--out", "m", status=2), r"^normquant merge: 2:2: [ -~]+\n$", (key, value))
        for gpu in (7, "NVIDIA Invented", [1]):
            self.write("2", {**environment("1/1", 1), "gpu": gpu}, timing(1))
            for command in ("merge", "2", "--out", "m"), ("report", "2"):
                self.assertRegex(self.ask(*command, status=2), r'2:1: "gpu" [ -~]+\n$', (command, gpu))
        self.write("2", environment("2/2", 1), timing(1), timing(3))
        self.assertIn("2:3: this case is more than the 1 that the shard was planned to have",
                      self.ask("merge", "1", "2", "--out", "m", status=2))
        for text in ("hello", "\x00\x01\x02", "[" * 200000, "{" * 1000, "y" * 10**6 + "\n", '{"kind": nan}\n', '{"kind":"environment"}\n'):
            (self.folder / "2").write_text(text)
            said = self.ask("merge", "1", "2", "--out", "m", status=2)
            self.assertRegex(said, r"^normquant merge: 2:1: [ -~]+\n$", text[:10])
            self.assertLess(len(said), 500)
        self.assertFalse((self.folder / "m").exists())


if __name__ == "__main__":
    ProgramCase.program = str(pathlib.Path(sys.argv.pop(1)).resolve())
    unittest.main()
