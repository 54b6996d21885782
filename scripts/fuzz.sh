#!/usr/bin/env bash
# Builds the fuzzers (tests/fuzz/, preset fuzz) and runs each for some seconds, side by side.
#
#   scripts/fuzz.sh [--seconds N] [--jobs N] [--corpus DIR]
#
#   --seconds N    each fuzzer runs so long (default: 20)
#   --jobs N       compile that many files at once (default: all cores)
#   --corpus DIR   keep what they find here, and begin with it (default: build/fuzz/corpus, begun anew)
#   --help         this text
#
# Ends with 0 when nothing was found, 1 when something was: the input lies in build/fuzz/found/, and
# `build/fuzz/tests/fuzz/<fuzzer> FILE` shows it again.
set -euo pipefail
# shellcheck source=scripts/steps.sh
source "$(dirname "${BASH_SOURCE[0]}")/steps.sh"

seconds=20 jobs=$(nproc) corpus=''
while [ $# -gt 0 ]; do
  case $1 in
    --seconds) require_value "$@" && seconds=$2 && shift ;;
    --jobs) require_value "$@" && jobs=$2 && shift ;;
    --corpus) require_value "$@" && corpus=$2 && shift ;;
    --help | -h) usage_of "$0" && exit 0 ;;
    *) fail $exit_usage "there is no option $1; --help shows the options" ;;
  esac
  shift
done
[[ $seconds =~ ^[1-9][0-9]{0,6}$ ]] || fail $exit_usage "--seconds $seconds: it must be a whole number from 1 on"
require_count --jobs "$jobs"
command -v clang++-14 >/dev/null || fail $exit_infrastructure "clang++-14 is not installed; scripts/setup.sh --checks does it"
if [ -n "$corpus" ]; then corpus=$(make_folder "$corpus"); fi
cd "$root"
build=build/fuzz
if [ -z "$corpus" ]; then
  corpus=$build/corpus
  rm -rf "$corpus"
fi

{ cmake --preset fuzz && cmake --build --preset fuzz -j "$jobs"; } || fail $exit_infrastructure "the fuzzers did not build"
python3 tests/fuzz/make_corpus.py "$corpus"
mkdir -p "$build/found" "$build/logs"

# run_fuzzer NAME DICTIONARY: its log ends with what it did.
run_fuzzer() {
  "$build/tests/fuzz/$1" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 \
    -dict="tests/fuzz/$2" -artifact_prefix="$build/found/$1-" "$corpus/$1" >"$build/logs/$1.log" 2>&1
}

declare -A running
run_fuzzer fuzz_tensor_files tensors.dict & running[fuzz_tensor_files]=$!
run_fuzzer fuzz_check tensors.dict & running[fuzz_check]=$!
run_fuzzer fuzz_problems problems.dict & running[fuzz_problems]=$!

status=0
for name in "${!running[@]}"; do
  if wait "${running[$name]}"; then
    echo "$name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$build/logs/$name.log") inputs in $seconds s, nothing found"
  else
    status=$exit_wrong_results
    echo "$name: FOUND SOMETHING; the end of its log:"
    tail -n 40 "$build/logs/$name.log"
  fi
done
exit $status
