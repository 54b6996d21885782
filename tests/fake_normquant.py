#!/usr/bin/env python3
"""Stands in for normquant in tests of the gate: `bench` that writes the records of a GPU that is not there.

Times are 20 us a case, with scatter from process to process. Environment variables: FAKE_FACTOR (times as long, default 1),
FAKE_NOISE (relative deviation of a process, default 0.002), FAKE_SEED (a file that counts processes), FAKE_GPU, FAKE_DRIVER,
FAKE_WRONG (an operation whose results are wrong), FAKE_STATUS (ends with it), FAKE_TEXT (what the record file holds),
FAKE_LAUNCHES (knows `launches`).
"""
import json
import os
import sys

NAMES = {"forward": "norm_quant_forward", "backward": "norm_quant_backward"}

def count():
    """How many processes ran before, by the file FAKE_SEED."""
    path = os.environ.get("FAKE_SEED")
    if not path:
        return os.getpid()
    number = int(open(path, encoding="utf-8").read() or 0) if os.path.exists(path) else 0
    with open(path, "w", encoding="utf-8") as file:
        file.write(str(number + 1))
    return number


def nearly_normal(seed):
    """Numbers of mean 0 and deviation 1: sums of twelve uniform ones. Not `random`, whose import takes longer than all else."""
    state = seed * 2654435761 + 12345
    while True:
        total = -6.0
        for _ in range(12):
            state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
            total += (state >> 33) / 2**31
        yield total


def launches(options):
    """`launches`: an operation has one kernel, which bears its name, in an object file of its own."""
    if "FAKE_LAUNCHES" not in os.environ:
        return 109  # as programs that do not know the command
    with open(options["--sweep"], encoding="utf-8") as file:
        cases = json.load(file)["cases"]
    answer = {"kind": "launches", "schema": 1,
              "environment": {"gpu": {"compute_capability": "9.0", "cuda_runtime": "13.0"}}, "launch_code": [], "cases": []}
    for case in cases:
        op = NAMES.get(case["op"], case["op"])
        answer["launch_code"].append({"object": op + "/one.cu", "digest": "0", "kernels": ["kernel_" + op]})
        launch = {"kernel": "kernel_" + op, "grid": [1, 1, 1], "block": [32, 1, 1], "shared_bytes": 0, "attributes": ""}
        answer["cases"].append({"case": " ".join([op, case["shapes"][0], case["dtypes"][0], case["forms"][0],
                                                  options["--variant"]]), "variant": "v", "launches": [launch]})
    print(json.dumps(answer))
    return 0


def main():
    if sys.argv[1:3] == ["bench", "--help"]:
        print("" if os.environ.get("FAKE_OLD") else "--lean")
        return 0
    options = dict(zip(sys.argv[2:], sys.argv[3:]))  # every option is followed by its value, or by the next option
    if sys.argv[1] == "launches":
        return launches(options)
    if os.environ.get("FAKE_STATUS"):
        print("fake: as asked")
        return int(os.environ["FAKE_STATUS"])
    if "FAKE_TEXT" in os.environ:
        with open(options["--out"], "w", encoding="utf-8") as file:
            file.write(os.environ["FAKE_TEXT"])
        return 0
    noise = nearly_normal(count())
    shares = [float(share) for share in options.get("--extra-work", "0").split(",")]
    gpu = {"name": os.environ.get("FAKE_GPU", "NVIDIA Invented"), "driver": os.environ.get("FAKE_DRIVER", "580.1"),
           "ecc": True, "power_limit_w": 700.0}
    lines = [{"kind": "environment", "suite": "normquant", "schema": 1, "time": "2026-01-01T00:00:00Z", "commit": "fake",
              "gpu": gpu}]
    with open(options["--sweep"], encoding="utf-8") as file:
        cases = json.load(file)["cases"]
    for index, case in enumerate(cases):
        share = shares[index % len(shares)]
        median = 20.0 * float(os.environ.get("FAKE_FACTOR", 1)) * (1 + share)
        median *= 1 + next(noise) * float(os.environ.get("FAKE_NOISE", 0.002))
        record = {"kind": "timing", "op": NAMES.get(case["op"], case["op"]), "variant": options["--variant"],
                  "shape": case["shapes"][0], "dtype": case["dtypes"][0], "form": case["forms"][0], "time_kind": "steady"}
        if os.environ.get("FAKE_WRONG") == record["op"]:
            record.update({"verdict": "wrong", "reason": "codes differ"})
        else:
            record.update({"verdict": "pass", "reason": "", "samples": [median] * 10, "median_us": median, "q1_us": median,
                           "q3_us": median})
        lines.append(record)
    with open(options["--out"], "w", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
    return 1 if os.environ.get("FAKE_WRONG") else 0


if __name__ == "__main__":
    sys.exit(main())
