#!/usr/bin/env bash
# The matrix of mechanical mutants (docs/mutants.md): makes them, builds a part of them, runs them on the host device, writes
# reports/measured/mutants/mechanical.csv and mechanical.md.
#
#   scripts/mechanical_mutants.sh [--part I/N] [--jobs N] [--most-seconds S] [--longest-case S] [--matrix]
#
#   --part I/N          every N-th, from the I-th on (default 1/3: about 2,500; one build holds as many)
#   --jobs N            compile and run that many at once (default: all cores)
#   --most-seconds S    of the processor, that a mutant may take in standard, and a quarter in smoke; what is cut short so
#                       is judged by reading (default 5; 0: whole suites, which takes days)
#   --longest-case S    cases of which more seconds are estimated are not run (default 3; 0: all are)
#   --matrix            build and run nothing: write the matrix anew of what was found, after judging
#   --help              this text
#
# All of it lies in build/mechanical. An interrupted run goes on there, unless kernels, suites or the part are others by then.
# Further findings of survivors (normquant-mutants run with other limits, or by --only-hints the cases of standard that the limits
# left out) count too when they lie there as found-*.jsonl; build/mechanical/about then is to say so.
# Status 0: all are caught or judged. 1: some are missed, and the page names them. 2, 5: as everywhere.
set -euo pipefail
# shellcheck source=scripts/steps.sh
source "$(dirname "${BASH_SOURCE[0]}")/steps.sh"

part=1/3 jobs=$(nproc) most_seconds=5 longest_case=3 only_matrix=no
while [ $# -gt 0 ]; do
  case $1 in
    --part) require_value "$@" && part=$2 && shift ;;
    --jobs) require_value "$@" && jobs=$2 && shift ;;
    --most-seconds) require_value "$@" && most_seconds=$2 && shift ;;
    --longest-case) require_value "$@" && longest_case=$2 && shift ;;
    --matrix) only_matrix=yes ;;
    --help | -h) usage_of "$0" && exit 0 ;;
    *) fail $exit_usage "there is no option $1; --help shows the options" ;;
  esac
  shift
done
require_count --jobs "$jobs"
[[ $part =~ ^[1-9][0-9]?/[1-9][0-9]?$ ]] || fail $exit_usage "--part $part: it must be like 1/3"
[[ $most_seconds =~ ^[0-9]+(\.[0-9]+)?$ ]] || fail $exit_usage "--most-seconds $most_seconds: it must be a number"
[[ $longest_case =~ ^[0-9]+(\.[0-9]+)?$ ]] || fail $exit_usage "--longest-case $longest_case: it must be a number"
cd "$root"
build=build/mechanical mechanical=tests/mutants/mechanical.py
mkdir -p $build

write_matrix() {
  local about=()
  [ -f $build/about ] || fail $exit_usage "nothing was run yet: $build/about is not there"
  mapfile -t about <$build/about
  python3 tests/mutants/mechanical_matrix.py --sites $build/sites.jsonl --run $build/part.jsonl --again $build/again.jsonl \
    --found $build/found*.jsonl $build/tests.jsonl --judged tests/mutants/mechanical_judged.txt --about "${about[@]}" \
    --out reports/measured/mutants
}
if [ $only_matrix = yes ]; then
  write_matrix
  exit
fi

if [ ! -f $build/sites.jsonl ] || [ -n "$(find kernels $mechanical tests/mutants/mechanical_sites.py -newer $build/sites.jsonl)" ]; then
  /usr/bin/python3 $mechanical sites --source . --out $build/sites.jsonl || exit $exit_usage
  touch $build/sites.jsonl
fi
python3 $mechanical part --sites $build/sites.jsonl --part "$part" --out $build/part.jsonl || exit $exit_usage
cmake --preset host-only -B $build -DNORMQUANT_LISTED_MUTANTS=OFF "-DNORMQUANT_MECHANICAL_MUTANTS=$PWD/$build/part.jsonl" \
  >$build/configure.log || fail $exit_infrastructure "CMake failed: $build/configure.log"

# What a compiler refuses is marked and left out of the next try.
for try in 1 2 3 4 5; do
  if cmake --build $build -j "$jobs" --target normquant-mutants -- -k 0 >$build/build.log 2>&1; then break; fi
  [ $try -lt 5 ] || fail $exit_infrastructure "the mutants do not compile: $build/build.log"
  python3 $mechanical failures --sites $build/part.jsonl --log $build/build.log --planted $build/tests/mutants/planted
done

# What was found of other kernels or by other suites says nothing of these.
of=$(find $build/tests/mutants/CMakeFiles/normquant_planted.dir $build/validate $build/reference -name '*.[oa]' -print0 |
  sort -z | xargs -0 cat | sha256sum)
if [ ! -f $build/of ] || [ "$(cat $build/of)" != "$of" ]; then
  rm -f $build/found*.jsonl $build/{again,tests}.jsonl $build/reach-*
  echo "$of" >$build/of
fi
changed=$(git status --porcelain -- kernels validate reference)
printf '%s\n' "commit $(git rev-parse --short HEAD)${changed:+ with changes}, $(date -u +%F)" \
  "part $part of all changes, in the order of files and places: every ${part#*/}th" \
  "suites of seed 1 on the host device; at most $most_seconds s of the processor a mutant in standard, a quarter in smoke, no case of more than $longest_case s" \
  "made by scripts/mechanical_mutants.sh --part $part --most-seconds $most_seconds --longest-case $longest_case" >$build/about

run_mutants() { # LOG OPTION...
  local log=$build/$1 status=0
  shift
  $build/tests/mutants/normquant-mutants run --jobs "$jobs" --most-silent 600 --resume "$@" >"$log" || status=$?
  [ $status -le 1 ] || fail $status "the run ended early: $log"
}
run_mutants run.log --reach --keep-reach $build/reach- --most-seconds "$most_seconds" \
  --longest-case "$longest_case" --out $build/found.jsonl
run_mutants again.log --hints $build/found.jsonl --only-hints --suite smoke --out $build/again.jsonl

# Unit tests speak of what both suites miss.
python3 - $build/found.jsonl >$build/survivors.txt <<'EOF'
import json, sys
findings = [json.loads(line) for line in open(sys.argv[1])]
caught = {finding["mutant"] for finding in findings if finding["caught"]}
print("\n".join(sorted({finding["mutant"] for finding in findings} - caught)))
EOF
cmake --build $build -j "$jobs" --target normquant-mutants-tests >>$build/build.log 2>&1 ||
  fail $exit_infrastructure "the unit tests do not compile: $build/build.log"
$build/tests/mutants/normquant-mutants-tests --names $build/survivors.txt --out $build/tests.jsonl --jobs "$jobs" >$build/tests.log
write_matrix
