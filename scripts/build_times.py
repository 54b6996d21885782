#!/usr/bin/env python3
"""Where the time of a build went: seconds by target, and the slowest files, from ninja's own log.

    scripts/build_times.py BUILD_DIR [--slowest N]

Seconds are those that each command took while others ran beside it, so they are comparable on an idle machine only.
Ends with status 2 and a sentence when the folder has no log of ninja.
"""
import argparse
import collections
import pathlib
import re
import sys


def seconds_by_output(log):
    """{output: seconds} of the latest time that each was made; commands with several outputs count once."""
    latest = {}
    for line in log.splitlines():
        fields = line.split("\t")
        if line.startswith("#") or len(fields) != 5:
            continue
        begin, end, _, output, command = fields
        latest[output] = (command, int(begin), int(end))
    first = {run: output for output, run in reversed(latest.items())}
    return {output: (end - begin) / 1000 for (_, begin, end), output in first.items()}


def target_of(output):
    found = re.search(r"CMakeFiles/([^/]+)\.dir/", output)
    if not found:
        return "link and others"
    return found.group(1) + (" (CUDA)" if output.endswith(".cu.o") else "")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--slowest", type=int, default=10, metavar="N")
    arguments = parser.parse_args()
    log = arguments.build / ".ninja_log"
    if not log.is_file():
        print(f"build_times.py: {log} is not there: name a folder that ninja built in", file=sys.stderr)
        return 2
    times = seconds_by_output(log.read_text(encoding="utf-8"))
    targets = collections.Counter()
    for output, seconds in times.items():
        targets[target_of(output)] += seconds
    print(f"{sum(times.values()):.0f} s of commands, {len(times)} of them; by target:")
    for name, seconds in targets.most_common(arguments.slowest):
        print(f"{seconds:8.1f}  {name}")
    print("slowest:")
    for output, seconds in sorted(times.items(), key=lambda item: -item[1])[: arguments.slowest]:
        print(f"{seconds:8.1f}  {output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
