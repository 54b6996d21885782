#!/usr/bin/env python3
"""`normquant merge` of the files of `validate --shard I/N --json`: what an undivided run writes, prints and ends with, and a sentence for
everything that is no set of such files.

    tests/merge_results_test.py NORMQUANT [PLUGIN_WITH_MISTAKES]
"""
import json
import pathlib
import re
import signal
import subprocess
import sys
import time
import unittest

from program_case import ProgramCase

MISTAKES = ""
SMALL = ["--op", "activation_quant", "--shape", "3x20", "--shape", "4x16", "--variant", "one_pass_t32"]


def without_times(text):
    text = re.sub(r'"seconds": [0-9.e-]+', '"seconds": 0', text)
    return re.sub(r"checked, [0-9.]+ s", "checked", re.sub(r'time="[0-9.]+"', "", text))


class MergeResults(ProgramCase):
    def read(self, name):
        return json.loads((self.folder / name).read_text())

    def write(self, name, document):
        (self.folder / name).write_text(document if isinstance(document, str) else json.dumps(document))
        return name

    def shards(self, *options, of=3, statuses=(0,), prefix="s"):
        """The files of all shards."""
        names = [f"{prefix}{number}.json" for number in range(1, of + 1)]
        for number, name in enumerate(names, 1):
            done = subprocess.run([self.program, "validate", *options, "--shard", f"{number}/{of}", "--json", name], cwd=self.folder,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            self.assertIn(done.returncode, statuses, done.stdout)
        return names

    def compare_with_an_undivided_run(self, options, of=3, status=0, statuses=(0,), coverage=()):
        said = self.ask("validate", *options, *coverage, "--json", "u.json", "--junit", "u.xml", status=status)
        names = self.shards(*options, of=of, statuses=statuses)
        merged = self.ask("merge", *reversed(names), *coverage, "--out", "m.json", "--junit", "m.xml", status=status)
        for name in ("json", "xml"):
            one, other = ((self.folder / f"{which}.{name}").read_text() for which in "um")
            self.assertEqual(without_times(one), without_times(other), name)
        self.assertEqual(without_times(said).replace("normquant validate:", ""), without_times(merged).replace("normquant merge:", ""))
        return merged

    def test_the_whole_of_a_suite(self):
        said = self.compare_with_an_undivided_run(["--op", "activation_quant"], coverage=["--coverage"])
        self.assertRegex(said, r"classes met, 0 not met")
        self.assertRegex(said, r"\d+ passed, 0 wrong, 0 errors, \d+ skipped")

    def test_more_shards_than_cases(self):
        self.compare_with_an_undivided_run(["--op", "activation_quant", "--shape", "3x20", "--dtype", "float16"], of=60)

    def test_wrong_results_are_as_wrong(self):
        if not pathlib.Path(MISTAKES).is_file():
            self.skipTest("no plugin was built")
        self.compare_with_an_undivided_run([*SMALL[:-1], "mistakes:truncates|one_pass_t32", "--plugin", MISTAKES], status=1,
                                           statuses=(0, 1, 2))
        self.assertIn("<failure", (self.folder / "m.xml").read_text())

    def test_a_class_that_no_shard_met(self):
        """Errors of one shard leave classes unmet; the status is that of errors, and --coverage names the classes."""
        names = self.shards("--op", "activation_quant")
        broken = self.read(names[0])
        for entry in broken["cases"]:
            broken["results"].append({key: entry[key] for key in ("device", "variant", "problem", "index")} |
                                     {"op": "activation_quant", "outcome": "error", "reason": "out of memory"})
        count = len(broken["cases"])
        broken["summary"].update(passed=0, errors=count, elements_checked=0)
        broken["cases"] = []
        self.write(names[0], broken)
        said = self.ask("merge", *names, "--coverage", "--out", "m.json", status=5)
        self.assertIn("NOT MET", said)
        self.assertIn(f"{count} cases ended in an error", said)

    def test_all_that_is_missing_is_named(self):
        names = self.shards(*SMALL, of=5)
        one = self.read(names[2])
        kept = one["cases"][:-1]
        one["summary"]["passed"] -= 1
        one["summary"]["elements_checked"] -= one["cases"][-1]["elements_checked"]
        one["cases"] = kept
        self.write("cut.json", one)
        said = self.ask("merge", names[0], "cut.json", names[4], "--out", "m.json", status=2)
        self.assertRegex(said, r"the shards 2/5, 4/5 are missing; 1 of \d+ cases are missing: the shard 3/5 "
                               r"\(cut.json: \d+ of \d+ cases\) did not end; run it again with --resume")
        self.assertFalse((self.folder / "m.json").exists())
        said = self.ask("merge", names[0], names[1], "--out", "m.json", names[0], status=2)
        self.assertIn("the shard 1/5 is there twice, in s1.json too", said)

    def test_a_killed_shard_goes_on_and_merges(self):
        options = ["--op", "activation_quant", "--suite", "smoke", "--jobs", "1"]
        command = [self.program, "validate", *options, "--shard", "1/2", "--json", "s1.json"]
        process = subprocess.Popen(command, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and not (self.folder / "s1.json").exists():
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        self.ask("validate", *options, "--shard", "2/2", "--json", "s2.json")
        if self.read("s1.json")["summary"].get("not_run"):
            said = self.ask("merge", "s1.json", "s2.json", "--out", "m.json", status=2)
            self.assertIn("did not end; run it again with --resume", said)
        self.ask(*command[1:], "--resume")
        self.ask("merge", "s1.json", "s2.json", "--out", "m.json")

    def test_what_differs_is_refused_and_allowed(self):
        first, second = self.shards(*SMALL, of=2)
        for options, field in (([*SMALL, "--seed", "2"], "plan/seed"), ([*SMALL, "--suite", "standard"], "plan/suite"),
                               ([*SMALL, "--schedule-seed", "3"], "schedule_seed"), ([*SMALL, "--dtype", "float16"], "plan/dtypes"),
                               ([*SMALL[:-1], "t128"], "plan/variant"), (["--op", "weight_quant", *SMALL[2:-2]], "plan/ops"),
                               ([*SMALL[:4], *SMALL[-2:]], "plan/shapes")):
            other = f"other_{field.replace('/', '_')}.json"
            self.ask("validate", *options, "--shard", "2/2", "--json", other)
            said = self.ask("merge", first, other, "--out", "m.json", status=2)
            self.assertRegex(said, rf'{other}: "{field}" was .* and is .* \(in {first} before\), so these are not shards of one run\n')
        changed = self.read(second)
        for change, name in ((("plan", "commit", "0123456789ab"), "commit"), (("plan", "driver", "13.0"), "driver"),
                             (("run", "program", "f00"), "build")):
            document = json.loads(json.dumps(changed))
            document[change[0]][change[1]] = change[2]
            self.write("changed.json", document)
            said = self.ask("merge", first, "changed.json", "--out", "m.json", status=2)
            self.assertIn(f"; --allow {name} takes them all the same", said)
            self.ask("merge", first, "changed.json", "--allow", name, "--out", f"{name}.json")
        self.assertEqual(self.read("build.json")["run"]["program"], "", "no run goes on with results of two programs")
        self.ask("validate", *SMALL, "--resume", "--json", "build.json", status=2)
        self.assertIn("0123456789ab, ", self.read("commit.json")["plan"]["commit"])
        for field in ("warm", "after_others"):
            document = json.loads(json.dumps(changed))
            document["run"][field] = True
            self.write("changed.json", document)
            self.assertIn(f'"{field}" was false and is true', self.ask("merge", first, "changed.json", "--out", "m.json", status=2))
        document = json.loads(json.dumps(changed))
        document["plan"]["devices"][0]["sm_count"] = 7
        self.write("changed.json", document)
        self.assertIn('"plan/devices" was', self.ask("merge", first, "changed.json", "--out", "m.json", status=2))
        self.ask("merge", first, "changed.json", "--allow", "devices", "--out", "m.json", status=2)

    def test_a_gpu_may_have_another_number(self):
        names = self.shards(*SMALL, of=2)
        for number, name in enumerate(names):
            text = (self.folder / name).read_text().replace('"device": "host"', f'"device": "cuda:{number}"')
            document = json.loads(text)
            document["plan"]["devices"][0].update(name=f"cuda:{number}", kind="cuda", model="NVIDIA Invented")
            self.write(name, document)
        self.ask("merge", *names, "--out", "m.json")
        merged = self.read("m.json")
        self.assertEqual({entry["device"] for entry in merged["cases"] + merged["results"]}, {"cuda:0"})

    def test_the_merged_file_is_not_a_shard_and_can_be_gone_on_with(self):
        names = self.shards(*SMALL, of=2)
        self.ask("merge", *names, "--out", "m.json")
        self.assertIn("m.json: this is not the file of a shard", self.ask("merge", "m.json", "--out", "n.json", status=2))
        self.assertIn("cases were finished before", self.ask("validate", *SMALL, "--resume", "--json", "m.json"))
        self.assertIn("is there already", self.ask("merge", *names, "--out", "m.json", status=2))
        self.ask("merge", *names, "--out", "m.json", "--force")

    def test_records_and_results_are_not_mixed(self):
        self.ask("bench", "--device", "host", "--op", "activation_quant", "--shape", "3x40", "--variant", "auto", "--shard", "1/2",
                 "--out", "r.jsonl")
        name = self.shards(*SMALL, of=2)[1]
        for files in ((name, "r.jsonl"), ("r.jsonl", name)):
            said = self.ask("merge", *files, "--out", "m", status=2)
            self.assertIn(f"{name} is a file of `normquant validate --json` and r.jsonl is not", said)
        self.assertIn("--junit and --coverage", self.ask("merge", "r.jsonl", "--junit", "j.xml", "--out", "m", status=2))

    def test_what_is_no_file_of_results(self):
        first, second = self.shards(*SMALL, of=2)
        good = self.read(second)
        whole = (self.folder / second).read_text()

        def changed(*path, value):
            document = json.loads(json.dumps(good))
            place = document
            for key in path[:-1]:
                place = place[key]
            if value is None:
                del place[path[-1]]
            else:
                place[path[-1]] = value
            return document

        skipped = json.loads(json.dumps(good))
        skipped["results"] = []
        twice = json.loads(json.dumps(good))
        twice["cases"][1]["index"] = twice["cases"][0]["index"]
        both = json.loads(json.dumps(good))
        both["cases"].append(both["cases"][0])
        hostile = [whole[:len(whole) // 2], whole[:-3], '{"cases": ' + "[" * 100000, whole.replace(": 0,", ": nan,", 1),
                   whole.replace("activation_quant", "\x00\x01", 1), '{"' + "x" * 10**6, '{"cases": "' + "x" * 10**6 + '"}', skipped, twice,
                   both, changed("plan", value=None), changed("run", value=None), changed("plan", "shard", value="2/0"),
                   changed("plan", "shard", value="3/2"), changed("plan", "seed", value=-1), changed("plan", "seed", value=1.5),
                   changed("plan", "cases", value=10**30), changed("plan", "cases_of_shards", value=10**11),
                   changed("plan", "devices", value={}), changed("plan", "devices", 0, "sm_count", value=0),
                   changed("plan", "devices", 0, "name", value="cuda:7"), changed("plan", "suite", value="\x1b[31m"),
                   changed("cases", 0, "index", value=-1), changed("cases", 0, "index", value=10**9),
                   changed("cases", 0, "index", value=None), changed("cases", 0, "elements_checked", value=1e300),
                   changed("cases", 0, "elements_checked", value=2**63), changed("cases", 0, "elements_checked", value=True),
                   changed("cases", 0, "problem", value="op=forward shape=1x"), changed("cases", 0, "problem", value=7),
                   changed("cases", 0, "device", value="cuda:3"), changed("cases", 0, "worst_error_over_bound", value="nan"),
                   changed("cases", 0, "seconds", value=[]), changed("summary", "failed", value=1), changed("cases", value={}),
                   changed("cases", value=[[]]), changed("schema", value="normquant.validate/2"), changed("results", value=[{}])]
        for text in hostile:
            self.write("bad.json", text)
            for files in ((first, "bad.json"), ("bad.json", first)):
                said = self.ask("merge", *files, "--out", "m.json", status=2)
                self.assertRegex(said, r"^normquant merge: [ -~]+\n$", "a sentence")
                self.assertLess(len(said), 2000)
                self.assertFalse((self.folder / "m.json").exists())
        for name in ("absent.json", "."):
            for files in ((first, name), (name, first)):
                said = self.ask("merge", *files, "--out", "m.json", status=2)
                self.assertIn(f"cannot read {name}", said)


if __name__ == "__main__":
    ProgramCase.program = str(pathlib.Path(sys.argv.pop(1)).resolve())
    if len(sys.argv) > 1 and sys.argv[1].endswith(".so"):
        MISTAKES = str(pathlib.Path(sys.argv.pop(1)).resolve())
    unittest.main()
