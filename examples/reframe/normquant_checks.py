"""Checks of normquant for sites that keep regression tests with ReFrame (https://reframe-hpc.readthedocs.io, PyPI: ReFrame-HPC).

    reframe -c examples/reframe -r -S program=$PWD/build/release/normquant
    reframe -c examples/reframe -r -S program=... -S device=host              # without a GPU
    reframe -c examples/reframe -r -n NormquantGate -S program=... -S baseline=FILE

What a check ends with is normquant's exit status (docs/exit_statuses.md); what it measures are performance variables in us.
docs/clusters.md explains them.
"""
import json
import os

import reframe as rfm
import reframe.utility.sanity as sn
from reframe.core.builtins import performance_function, run_after, run_before, sanity_function, variable

STATUSES = {1: "results were wrong", 2: "it was asked for something that cannot be", 3: "a case is slower than its baseline",
            4: "the gate could not decide", 5: "the machine failed, nothing was judged", 77: "there is no usable GPU"}


@rfm.simple_test
class NormquantBuild(rfm.CompileOnlyRegressionTest):
    """Builds the checkout that this file is in. Its program is NormquantBuild's stage folder + /build/normquant."""
    valid_systems = ["*"]
    valid_prog_environs = ["*"]
    build_system = "CustomBuild"
    sourcesdir = None
    checkout = variable(str, value=os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..")))
    tags = {"build"}

    @run_before("compile")
    def set_up(self):
        self.build_system.commands = [
            f"cmake -S {self.checkout} -B build -DCMAKE_BUILD_TYPE=Release -DNORMQUANT_TESTS=OFF",
            "cmake --build build -j 8 --target normquant"]

    @sanity_function
    def is_there(self):
        return sn.path_isfile(os.path.join(self.stagedir, "build", "normquant"))


class NormquantCheck(rfm.RunOnlyRegressionTest):
    """One call of normquant, whose exit status is what the check says."""
    valid_systems = ["*"]
    valid_prog_environs = ["*"]
    sourcesdir = None
    program = variable(str, value="normquant")  # on PATH, or where it was built
    device = variable(str, value="cuda")        # as of --device
    gres = variable(str, value="")              # as Slurm spells it, for example gpu:h100:1

    @run_after("init")
    def set_program(self):
        self.executable = self.program
        self.postrun_cmds = ['echo "status=$?"']

    @run_before("run")
    def ask_for_a_gpu(self):
        if self.gres:
            self.job.options += [f"--gres={self.gres}"]

    @sanity_function
    def ended_well(self):
        status = sn.extractsingle(r"^status=(\d+)$", self.stdout, 1, int)
        return sn.assert_eq(status, 0, msg=STATUSES.get(int(sn.evaluate(status)), "status {0}"))


@rfm.simple_test
class NormquantValidate(NormquantCheck):
    """Every variant against the float64 reference."""
    suite = variable(str, value="smoke")
    options = variable(str, value="")  # further ones of `normquant validate`
    tags = {"validate"}

    @run_after("init")
    def set_options(self):
        self.executable_opts = ["validate", "--device", self.device, "--suite", self.suite, "--json", "results.json",
                                *self.options.split()]
        self.keep_files = ["results.json"]

    @performance_function("cases", perf_key="passed")
    def passed(self):
        return sn.extractsingle(r'"passed": ?(\d+)', "results.json", 1, int)


@rfm.simple_test
class NormquantBench(NormquantCheck):
    """A sweep. For every case the fastest variant's time, in us; with `references` (a record file of this machine) within `most`
    of what it was. NormquantGate judges finer, by the scatter of each case."""
    sweep = variable(str, value="quick")
    options = variable(str, value="")     # further ones of `normquant bench`
    references = variable(str, value="")
    most = variable(float, value=0.1)
    tags = {"bench"}

    @run_after("init")
    def set_options(self):
        self.executable_opts = ["bench", "--device", self.device, "--sweep", self.sweep, "--out", "times.jsonl",
                                *self.options.split()]
        self.keep_files = ["times.jsonl"]

    @run_before("performance")
    def set_variables(self):
        best = best_times(os.path.join(self.stagedir, "times.jsonl"))
        before = best_times(self.references) if self.references else {}
        self.perf_variables = {case: sn.make_performance_function(sn.defer(time), "us") for case, time in best.items()}
        self.reference = {"*": {case: (before.get(case, 0), None, self.most if case in before else None, "us") for case in best}}


@rfm.simple_test
class NormquantGate(NormquantCheck):
    """The gate as the judge, in place of a fixed percentage: is any case slower than in the record file `baseline` (or in the folder
    of baselines, by GPU and driver)? `candidate` is the record file to judge; without it the same sweep is timed first."""
    baseline = variable(str, value="")
    candidate = variable(str, value="")
    sweep = variable(str, value="quick")
    tags = {"gate"}

    @run_after("init")
    def set_options(self):
        self.skip_if(not self.baseline, "no baseline is given: -S baseline=FILE")
        if not self.candidate:
            self.prerun_cmds = [f"{self.program} bench --device {self.device} --sweep {self.sweep} --out candidate.jsonl"]
        self.executable_opts = ["gate", "--baseline", self.baseline, "--candidate", self.candidate or "candidate.jsonl"]


def best_times(path):
    """{case: us of its fastest variant} of a record file, cases as names that ReFrame takes."""
    best = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            record = json.loads(line)
            if record["kind"] == "timing" and record["verdict"] == "pass":
                case = "_".join(record[key] for key in ("op", "shape", "dtype", "form")).replace("+", "_")
                best[case] = min(record["median_us"], best.get(case, record["median_us"]))
    return best
