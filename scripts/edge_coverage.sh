#!/usr/bin/env bash
# Which lines and branches of the kernels no case of a suite reaches on the host device (docs/suites.md): builds the host kernels
# with gcc's counters, runs the suite, writes reports/measured/coverage/edges.md.
#
#   scripts/edge_coverage.sh [--suite S] [--op OP] [--jobs N]
#
#   --suite S   smoke, standard or exhaustive (default: standard)
#   --op OP     only this operation's problems; the page says so (default: all)
#   --jobs N    compile and check that many at once (default: all cores)
#   --help      this text
#
# All of it lies in build/edges. Status 0: every line that was not reached is argued in tests/edges_argued.txt. 1: some are not, and
# the page names them; or the suite failed. 2, 5: as everywhere.
set -euo pipefail
# shellcheck source=scripts/steps.sh
source "$(dirname "${BASH_SOURCE[0]}")/steps.sh"

suite=standard op="" jobs=$(nproc)
while [ $# -gt 0 ]; do
  case $1 in
    --suite) require_value "$@" && suite=$2 && shift ;;
    --op) require_value "$@" && op=$2 && shift ;;
    --jobs) require_value "$@" && jobs=$2 && shift ;;
    --help | -h) usage_of "$0" && exit 0 ;;
    *) fail $exit_usage "there is no option $1; --help shows the options" ;;
  esac
  shift
done
require_count --jobs "$jobs"
[[ $suite =~ ^(smoke|standard|exhaustive)$ ]] || fail $exit_usage "--suite $suite: it must be smoke, standard or exhaustive"
cd "$root"
build=build/edges
mkdir -p $build

cmake --preset host-only -B $build -DCMAKE_CXX_COMPILER=g++ "-DCMAKE_PROJECT_INCLUDE=$PWD/cmake/EdgeCounters.cmake" \
  >$build/configure.log || fail $exit_infrastructure "CMake failed: $build/configure.log"
cmake --build $build -j "$jobs" --target normquant >$build/build.log 2>&1 ||
  fail $exit_infrastructure "the kernels do not compile: $build/build.log"

find $build -name '*.gcda' -delete
status=0
# shellcheck disable=SC2086  # one word or none
$build/normquant validate --device host --suite "$suite" ${op:+--op $op} --jobs "$jobs" >$build/suite.log 2>&1 || status=$?
[ $status -eq 0 ] || fail $status "the suite failed: $build/suite.log"

python3 scripts/edge_coverage.py --build $build --suite "$suite${op:+ --op $op}" --argued tests/edges_argued.txt \
  --out reports/measured/coverage/edges.md
