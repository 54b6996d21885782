#!/usr/bin/env bash
# All tests: sets up, then source checks, then every preset built with warnings as errors and tested, cheapest first.
#
#   scripts/test.sh [--jobs N] [--no-setup]
#
#   --jobs N      compile and test that many at once (default: all cores)
#   --no-setup    do not look for missing packages
#   --help        this text
#
# Steps: shell scripts, clang-format, clang-tidy, the preset sanitize (without CUDA), the fuzzers (20 s each), the preset
# release (with normquant-watched, docs/races.md), the suite `standard` on the CPU (docs/suites.md), mutants (planted bugs, which
# the suites of validate must catch: docs/mutants.md), the Python package (docs/python.md; its torch is installed meanwhile).
# Tests labelled `slow` or `browser` run in release only. Without the CUDA Toolkit host-only takes the place of release.
# A test that fails runs once more, alone. It is named at the end, whatever the second run says; failing twice fails the step.
# Goes on after a failure; ends with status 0 when no step failed, else with that of the first (docs/exit_statuses.md).
set -euo pipefail
# shellcheck source=scripts/steps.sh
source "$(dirname "${BASH_SOURCE[0]}")/steps.sh"

jobs=$(nproc) setup=yes
while [ $# -gt 0 ]; do
  case $1 in
    --jobs) require_value "$@" && jobs=$2 && shift ;;
    --no-setup) setup=no ;;
    --help | -h) usage_of "$0" && exit 0 ;;
    *) fail $exit_usage "there is no option $1; --help shows the options" ;;
  esac
  shift
done
require_count --jobs "$jobs"
cd "$root"

check_shell_scripts() {
  local file
  for file in scripts/*.sh scripts/slurm/* .ci/run; do bash -n "$file"; done
  if command -v shellcheck >/dev/null; then
    shellcheck --external-sources --severity=warning scripts/*.sh scripts/slurm/* .ci/run
  else
    echo "shellcheck is not installed: only the syntax was checked"
  fi
}

# The project's own sources, each ended by a NUL.
sources() {
  find . \( -path './build*' -o -path ./out -o -path ./carried -o -path './.*' \) -prune -o \
    -type f \( -name '*.cpp' -o -name '*.hpp' -o -name '*.c' -o -name '*.h' -o -name '*.cu' -o -name '*.cuh' \) -print0
}

check_format() {
  sources | xargs -0 clang-format-14 --dry-run -Werror
  echo "$(sources | tr -dc '\0' | wc -c) files are formatted as .clang-format says"
}

# What clang-tidy says of the file that it is given only, which here is one that includes the others.
check_included_files() {
  local file name status=0
  while IFS= read -r -d '' file; do
    if grep -HnE '^#include .*\.(c|cpp)[">]' "$file" | grep -v NOLINT; then status=1; fi
    [[ $file == *.cpp ]] || continue
    for name in $(sed -nE 's/^ *(using [A-Za-z_:]*::([A-Za-z_0-9]+);|namespace ([a-z_]+) = ).*/\2\3/p' "$file"); do
      if [ "$(grep -cw -- "$name" "$file")" -eq 1 ]; then
        echo "$file: nothing uses $name after it was declared here"
        status=1
      fi
    done
  done < <(sources)
  return $status
}

# The kernels are checked as the host device compiles them; copies with planted bugs, and controls that have bugs, are not. The
# files of a target are looked at together, and those of two targets in one of them.
check_with_clang_tidy() {
  check_included_files || return 1
  cmake --preset tidy >/dev/null
  cmake --build build/tidy --target normquant_commit >/dev/null # writes a header that others include
  local files checks=-bugprone-suspicious-include status=0
  files=$(sed -n 's/^ *"file": "\(.*\)",\{0,1\}$/\1/p' build/tidy/compile_commands.json |
    grep -vE '/planted/|/normquant_planted|/race_controls/host/|/race_controls_watched|/launch_code_of_this_build' |
    grep -vE '/tests/[a-z0-9_]+_test\.cpp$|/normquant-watched\.dir/' | sort -u)
  echo "$(wc -l <<<"$files") files, of which many include others"
  tidy() { timeout 1500 xargs -d '\n' -n 1 -P "$jobs" clang-tidy-14 --quiet -p build/tidy "--checks=$1" 2>>build/clang-tidy.log; }
  : >build/clang-tidy.log
  # Checks that find mistakes rather than habits: one test program took 11.8 s by all of them, and 6.2 s by these.
  local of_tests='-*,bugprone-use-after-move,bugprone-dangling-handle,bugprone-string-constructor,bugprone-sizeof-expression'
  of_tests+=',bugprone-undefined-memory-manipulation,misc-redundant-expression,misc-unused-using-decls,misc-unused-alias-decls'
  of_tests+=',performance-for-range-copy,performance-unnecessary-copy-initialization,readability-container-size-empty'
  of_tests+=',readability-redundant-smartptr-get,modernize-use-emplace,modernize-use-nullptr,modernize-use-override'
  grep -v '/tidy/tests/' <<<"$files" | tidy $checks || status=$?
  grep '/tidy/tests/' <<<"$files" | tidy "$of_tests" || status=$?
  if [ $status -ne 0 ]; then grep -vE ' generated\.$| treated as errors?$' build/clang-tidy.log || true; fi
  return $status
}

build_preset() {
  local watched=ON # one build looks for races too (docs/races.md)
  [ "$1" != sanitize ] || watched=OFF
  cmake --preset "$1" -DNORMQUANT_WERROR=ON -DNORMQUANT_WATCHED=$watched -DNORMQUANT_PYTHON=OFF
  cmake --build --preset "$1" -j "$jobs"
}

# draw_mutants PRESET: mechanical mutants, drawn by the commit from those that the matrix says are caught, and what caught them.
draw_mutants() {
  local known=reports/measured/mutants/mechanical.csv
  # Rewritten since: what was caught there may change nothing now. The next scripts/mechanical_mutants.sh judges it anew.
  local rewritten=() file
  for file in activation_quant/{one,two}_pass.cu device/row_output.cuh norm_quant_forward/{one_pass,one_pass_packed,two_pass}.cu \
    norm_quant_forward/{forward_row,forward_steps}.cuh norm_quant_backward/{one_pass,single,staged,striped}.cu \
    norm_quant_backward/{backward_row,backward_steps,column_sums}.cuh bit_linear/forward.cpp; do
    rewritten+=(--rewritten "kernels/$file")
  done
  /usr/bin/python3 tests/mutants/mechanical.py sites --source . --out "build/$1/mechanical_sites.jsonl"
  /usr/bin/python3 tests/mutants/mechanical.py sample --sites "build/$1/mechanical_sites.jsonl" --known $known --count 100 \
    "${rewritten[@]}" --seed "$(git rev-parse HEAD)" --out "build/$1/mechanical_sample.jsonl" --hints "build/$1/mechanical_hints.jsonl"
}
# Why there is no sample of them; nothing where there can be one.
no_sample() {
  if ! /usr/bin/python3 -c 'import clang.cindex' 2>/dev/null; then
    echo "python3-clang-14 is not installed, which finds their places"
  elif [ ! -f reports/measured/mutants/mechanical.csv ]; then
    echo "scripts/mechanical_mutants.sh has not written reports/measured/mutants/mechanical.csv yet"
  fi
}

build_mutants() {
  local sample=""
  rm -f "build/$1"/mechanical_*.jsonl
  [ -n "$(no_sample)" ] || draw_mutants "$1"
  [ ! -f "build/$1/mechanical_sample.jsonl" ] || sample=$PWD/build/$1/mechanical_sample.jsonl
  cmake --preset "$1" "-DNORMQUANT_MECHANICAL_MUTANTS=$sample" >/dev/null
  cmake --build --preset "$1" -j "$jobs" --target normquant-mutants
}
run_mutants() {
  # What caught a mutant last time is tried first; where the suite has it no more, or it passes, the whole suite runs.
  local hints=(--hints reports/measured/mutants/first.jsonl)
  [ ! -f "build/$1/mechanical_hints.jsonl" ] || hints+=("build/$1/mechanical_hints.jsonl")
  timeout 900 "build/$1/tests/mutants/normquant-mutants" run --jobs "$jobs" "${hints[@]}"
}

# What fails is run again, alone: a test that waits for another process can fail where other programs take the cores.
test_preset() {
  local failed="build/$1/Testing/Temporary/LastTestsFailed.log" folder="build/$1/failed_tests"
  rm -rf "$failed" "$folder"
  if ctest --preset "$1" -j "$jobs"; then return; fi
  [ -s "$failed" ] || return 1 # ctest itself failed
  mkdir "$folder"
  sed 's/^[0-9]*://' "$failed" >"$folder/first"
  printf -- '--- %d tests failed; they run again, one at a time\n' "$(wc -l <"$folder/first")"
  if ctest --preset "$1" -j 1 --rerun-failed >"$folder/output" 2>&1; then return; fi
  sed 's/^[0-9]*://' "$failed" >"$folder/twice"
  return 1
}
# name_failed_tests PRESET: adds them to the summary.
name_failed_tests() {
  local folder="build/$1/failed_tests" name
  [ -d "$folder" ] || return 0
  while IFS= read -r name; do
    if [ -f "$folder/twice" ] && grep -qxF -- "$name" "$folder/twice"; then
      summary_lines+=("    failed twice: $name")
    else
      summary_lines+=("    failed beside others, passed alone: $name")
    fi
  done <"$folder/first"
}
# show_failed_tests PRESET: what they printed, once more, where a reader looks first: at the end.
show_failed_tests() {
  [ -f "build/$1/failed_tests/twice" ] || return 0
  printf '\n=== %s: what the failed tests printed (all of it: build/%s/failed_tests/output)\n' "$1" "$1"
  tail -n 60 "build/$1/failed_tests/output" | cut -c 1-300
}

# Every variant at every class of its problems; the table says what failed, and --coverage what no case met.
run_standard_suite() { timeout 1800 "build/$1/normquant" validate --device host --suite standard --coverage --jobs "$jobs"; }

# Torch is a download of 4.7 GB: it comes while other steps compute, and what needs it is skipped when it does not come.
install_torch_meanwhile() {
  mkdir -p build
  timeout 900 nice -n 5 bash scripts/setup.sh --torch >build/torch.log 2>&1 &
  torch_install=$!
}
# Why there is no torch to test with; nothing where there is.
no_torch() {
  [ ! -f build/torch/complete ] || return 0
  if [ -z "$torch_install" ]; then
    echo "there is no torch in build/torch, and --no-setup (scripts/setup.sh --torch installs it)"
  else
    echo "torch could not be installed into build/torch: $(grep -v '^setup: ' build/torch.log | tail -n 1)"
  fi
}

# The package of what this preset built, as a wheel, in a virtual environment of its own; torch is that of build/torch.
test_python() {
  local include fresh=build/wheel_tested
  include=$(build/torch/bin/python -c 'import importlib.util as u; print(u.find_spec("torch").submodule_search_locations[0])')/include
  cmake --preset "$1" -DNORMQUANT_PYTHON=ON "-DNORMQUANT_TORCH_INCLUDE=$include" >/dev/null
  cmake --build --preset "$1" -j "$jobs" --target normquant_python
  scripts/wheel.sh --built "build/$1" --python build/torch/bin/python --no-isolation
  rm -rf $fresh
  build/torch/bin/python -m venv $fresh
  build/torch/bin/python -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])' \
    >"$($fresh/bin/python -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')/torch.pth"
  $fresh/bin/pip install --quiet --no-index --no-deps build/wheels/normquant-*.whl
  $fresh/bin/normquant --version
  NORMQUANT_PROGRAM=$root/build/$1/normquant timeout 300 $fresh/bin/python -m pytest -q -rs -p no:cacheprovider python/tests
}

# preset NAME: builds and tests it.
preset() {
  run_step_as $exit_infrastructure "$1: build" build_preset "$1"
  if [ $step_status -eq 0 ]; then
    run_step_as $exit_wrong_results "$1: tests" test_preset "$1"
    name_failed_tests "$1"
  else
    skip_step "$1: tests" "its build failed"
  fi
}

torch_install=""
if [ $setup = yes ]; then
  run_step "set-up" bash scripts/setup.sh --checks
  [ $first_failure -eq 0 ] || echo "test.sh: set-up failed; going on with what is there"
  [ -f build/torch/complete ] || install_torch_meanwhile
else
  skip_step "set-up" "--no-setup"
fi

run_step_as $exit_wrong_results "shell scripts" check_shell_scripts
if command -v clang-format-14 >/dev/null; then
  run_step_as $exit_wrong_results "clang-format" check_format
else
  skip_step "clang-format" "clang-format-14 is not installed, and other versions format differently"
fi

if command -v clang-tidy-14 >/dev/null; then
  run_step_as $exit_wrong_results "clang-tidy" check_with_clang_tidy
else
  skip_step "clang-tidy" "clang-tidy-14 is not installed"
fi
preset sanitize
if command -v clang++-14 >/dev/null; then
  run_step_as $exit_wrong_results "fuzzers" scripts/fuzz.sh --seconds 20 --jobs "$jobs"
else
  skip_step "fuzzers" "clang++-14 is not installed"
fi
if find_nvcc >/dev/null; then
  preset release
  complete=release
else
  skip_step "release: build, tests" "no CUDA Toolkit (nvcc) here: the CUDA code was not compiled"
  preset host-only
  complete=host-only
fi
if [ -x "build/$complete/normquant" ]; then
  run_step "standard suite (host)" run_standard_suite $complete
else
  skip_step "standard suite (host)" "there is no program to run"
fi
if ! python3 --version >/dev/null 2>&1; then
  skip_step "mutants" "no python3 here, which plants them"
else
  [ -z "$(no_sample)" ] || skip_step "mutants: a sample of mechanical ones" "$(no_sample)"
  run_step_as $exit_infrastructure "mutants: build" build_mutants $complete
  if [ $step_status -eq 0 ]; then
    run_step "mutants: run" run_mutants $complete
  else
    skip_step "mutants: run" "their build failed"
  fi
fi
[ -z "$torch_install" ] || wait "$torch_install" || true
if [ -n "$(no_torch)" ]; then
  skip_step "Python package" "$(no_torch)"
elif [ ! -x "build/$complete/normquant" ]; then
  skip_step "Python package" "there is no program to put into it"
else
  run_step_as $exit_wrong_results "Python package" test_python $complete
fi
no_browser=$(python3 scripts/browser.py 2>&1) || skip_step "tests in a browser" "$no_browser: no page was opened"
gpu_is_listed || skip_step "tests on a GPU" "no NVIDIA GPU is listed here: the kernels were tested on the CPU"

if [ -f "build/$complete/.ninja_log" ] && python3 --version >/dev/null 2>&1; then
  printf '\n=== where the build %s took its time\n' $complete
  python3 scripts/build_times.py "build/$complete"
fi
show_failed_tests sanitize
show_failed_tests $complete
print_summary
exit $first_failure
