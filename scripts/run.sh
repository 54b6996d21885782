#!/usr/bin/env bash
# The main job: sets up, builds, validates every variant, times a short sweep, prints the table of the results.
# On the GPU where there is one (suite standard, sweep quick), else the same kernels on the CPU (suite smoke, sweep host).
#
#   scripts/run.sh [--out DIR] [--device auto|host|cuda|cuda:I] [--jobs N] [--no-setup]
#
#   --out DIR      where results go: environment.json, validate.json, bench.jsonl, report.html (default: out)
#   --device D     default auto: cuda when a GPU is usable, else host; cuda without a GPU ends with status 77
#   --jobs N       compile that many files at once (default: all cores)
#   --no-setup     do not look for missing packages
#   --help         this text
#
# Ends with the status of the first step that failed (docs/exit_statuses.md).
set -euo pipefail
# shellcheck source=scripts/steps.sh
source "$(dirname "${BASH_SOURCE[0]}")/steps.sh"

out=out device=auto jobs=$(nproc) setup=yes
while [ $# -gt 0 ]; do
  case $1 in
    --out) require_value "$@" && out=$2 && shift ;;
    --device) require_value "$@" && device=$2 && shift ;;
    --jobs) require_value "$@" && jobs=$2 && shift ;;
    --no-setup) setup=no ;;
    --help | -h) usage_of "$0" && exit 0 ;;
    *) fail $exit_usage "there is no option $1; --help shows the options" ;;
  esac
  shift
done
require_count --jobs "$jobs"
[[ $device =~ ^(auto|host|cuda|cuda:[0-9]+)$ ]] ||
  fail $exit_usage "--device $device: it must be auto, host, cuda or cuda:I"
out=$(make_folder "$out")
cd "$root"
build=build/release
normquant=$build/normquant

build_program() {
  local options=()
  if gpu_is_listed; then options+=(-DCMAKE_CUDA_ARCHITECTURES=native); fi
  cmake --preset release "${options[@]}"
  cmake --build $build --target normquant -j "$jobs"
}

# write_environment: the GPU's index is that of --device.
write_environment() {
  local gpu=0
  if [[ $device == cuda:* ]]; then gpu=${device#cuda:}; fi
  $normquant env --format json --gpu "$gpu" >"$out/environment.json"
  $normquant env --gpu "$gpu"
}

# show_report: the table here, and everything as a page.
show_report() {
  local results=("$out/bench.jsonl")
  if [ -s "$out/validate.json" ]; then results+=("$out/validate.json"); fi
  $normquant report "$out/bench.jsonl"
  $normquant report "${results[@]}" --out "$out/report.html"
  echo "page: $out/report.html"
}

finish() {
  print_summary
  if [ ${#left_out[@]} -gt 0 ]; then printf 'left out: %s\n' "${left_out[@]}"; fi
  echo "results: $out"
  exit $first_failure
}

left_out=()
if [ $setup = yes ]; then
  run_step "set-up" bash scripts/setup.sh
else
  skip_step "set-up" "--no-setup"
fi
if [ $first_failure -eq 0 ]; then
  run_step_as $exit_infrastructure "build" build_program
fi
if [ $first_failure -ne 0 ]; then
  for step in environment validate bench report; do skip_step $step "there is no program to run"; done
  finish
fi

rm -f "$out/environment.json" "$out/validate.json" "$out/bench.jsonl" "$out/report.html"
run_step "environment" write_environment
if ! find_nvcc >/dev/null; then
  left_out+=("the CUDA code was not compiled: there is no CUDA Toolkit (nvcc) here")
elif ! grep -Eq '^CMAKE_CUDA_COMPILER:[A-Z]+=.+' $build/CMakeCache.txt; then
  left_out+=("the CUDA code was not compiled: CMake could not use the nvcc found here")
fi
gpu=yes
if why=$(gpu_absent_by $normquant); then
  gpu=no
  [[ $device != cuda* ]] || fail $exit_gpu_absent "--device $device, but no GPU is usable: $why"
  left_out+=("nothing ran on a GPU: $why")
fi
if [ "$device" = auto ]; then
  if [ $gpu = yes ]; then device=cuda; else device=host; fi
fi
suite=standard sweep=quick
if [ "$device" = host ]; then suite=smoke sweep=host; fi
if [ "$device" = host ] && [ $gpu = yes ]; then left_out+=("the GPU: --device host was given"); fi

run_step "validate ($device)" $normquant validate --device "$device" --suite $suite --json "$out/validate.json"
run_step "bench ($device)" $normquant bench --device "$device" --sweep $sweep --out "$out/bench.jsonl"
if [ -s "$out/bench.jsonl" ]; then
  run_step "report" show_report
else
  skip_step "report" "nothing was timed"
fi
finish
