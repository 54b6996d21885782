#!/usr/bin/env bash
# The matrix of mechanical mutants (docs/mutants.md): makes them, builds a part of them, runs them on the host device, writes
# reports/measured/mutants/mechanical.csv and mechanical.md.
#
#   scripts/mechanical_mutants.sh [--part I/N] [--jobs N] [--most-seconds S]
#
#   --part I/N          every N-th, from the I-th on (default 1/3: about 2,500; one build holds as many)
#   --jobs N            compile and run that many at once (default: all cores)
#   --most-seconds S    of the processor, that a mutant may take which cheap cases do not catch (default 0: the whole suites)
#   --help              this text
#
# All of it lies in build/mechanical, which an interrupted run leaves behind: found.jsonl has what was found until then.
# Status 0: all are caught or judged. 1: some are missed, and the page names them. 2, 5: as everywhere.
set -euo pipefail
# shellcheck source=scripts/steps.sh
source "$(dirname "${BASH_SOURCE[0]}")/steps.sh"

part=1/3 jobs=$(nproc) most_seconds=0
while [ $# -gt 0 ]; do
  case $1 in
    --part) require_value "$@" && part=$2 && shift ;;
    --jobs) require_value "$@" && jobs=$2 && shift ;;
    --most-seconds) require_value "$@" && most_seconds=$2 && shift ;;
    --help | -h) usage_of "$0" && exit 0 ;;
    *) fail $exit_usage "there is no option $1; --help shows the options" ;;
  esac
  shift
done
require_count --jobs "$jobs"
[[ $part =~ ^[1-9][0-9]?/[1-9][0-9]?$ ]] || fail $exit_usage "--part $part: it must be like 1/3"
[[ $most_seconds =~ ^[0-9]+(\.[0-9]+)?$ ]] || fail $exit_usage "--most-seconds $most_seconds: it must be a number"
cd "$root"
build=build/mechanical mechanical=tests/mutants/mechanical.py
mkdir -p $build

/usr/bin/python3 $mechanical sites --source . --out $build/sites.jsonl || exit $exit_usage
python3 $mechanical part --sites $build/sites.jsonl --part "$part" --out $build/part.jsonl || exit $exit_usage
cmake --preset host-only -B $build -DNORMQUANT_LISTED_MUTANTS=OFF "-DNORMQUANT_MECHANICAL_MUTANTS=$PWD/$build/part.jsonl" \
  >$build/configure.log || fail $exit_infrastructure "CMake failed: $build/configure.log"

# What a compiler refuses is marked and left out of the next try.
for try in 1 2 3 4 5; do
  if cmake --build $build -j "$jobs" --target normquant-mutants -- -k 0 >$build/build.log 2>&1; then break; fi
  [ $try -lt 5 ] || fail $exit_infrastructure "the mutants do not compile: $build/build.log"
  python3 $mechanical failures --sites $build/part.jsonl --log $build/build.log --planted $build/tests/mutants/planted
done

status=0
$build/tests/mutants/normquant-mutants run --reach --jobs "$jobs" --most-seconds "$most_seconds" --out $build/found.jsonl \
  >$build/run.log || status=$?
[ $status -le 1 ] || fail $status "the run ended early: $build/run.log"
python3 tests/mutants/mechanical_matrix.py --sites $build/sites.jsonl --run $build/part.jsonl --found $build/found.jsonl \
  --judged tests/mutants/mechanical_judged.txt --out reports/measured/mutants
