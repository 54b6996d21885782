#!/usr/bin/env bash
# The main job: sets up, builds, validates every variant, times a short sweep, prints the table of the results.
# On the GPU where there is one (suite standard, sweep quick), else the same kernels on the CPU (suite smoke, sweep host).
#
#   scripts/run.sh [--out DIR] [--device auto|host|cuda|cuda:I] [--jobs N] [--no-setup]
#
#   --out DIR      where results go: environment.json, validate.json, bench.jsonl, report.html (default: out); those of an
#                  earlier run move to DIR/earlier
#   --device D     default auto: cuda when a GPU is usable, else host; cuda without a GPU ends with status 77
#   --jobs N       compile that many files at once (default: all cores)
#   --no-setup     do not look for missing packages
#   --help         this text
#
# Says what it will do and how long that takes here, shows the progress, and says at the end what to do next. Where there is no
# GPU, the CUDA code is not compiled, and what validates is compiled and run before the rest. Ends with the status of the first
# step that failed (docs/exit_statuses.md).
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
# gpu_may_be_here: a driver lists one, or its device is there (containers may lack nvidia-smi).
gpu_may_be_here() { gpu_is_listed || compgen -G '/dev/nvidia[0-9]*' >/dev/null || [ -e /dev/dxg ]; }

if [[ $device == cuda* ]]; then
  gpu_may_be_here ||
    fail $exit_gpu_absent "--device $device, but no NVIDIA GPU is listed here (nvidia-smi -L), so nothing was built;" \
      "--device host runs the same kernels on the CPU"
  find_nvcc >/dev/null ||
    fail $exit_infrastructure "--device $device, but there is no CUDA Toolkit (no nvcc on PATH or in /usr/local/cuda/bin)" \
      "to compile for the GPU with; nothing was built"
fi
out=$(make_folder "$out")
cd "$root"
preset=release
gpu_may_be_here || preset=host-only
build=build/$preset
normquant=$build/normquant
times=$build/run_times # seconds of the latest run's steps here: NAME SECONDS

# in_words SECONDS: "40 s", "6 min".
in_words() { if [ "$1" -lt 100 ]; then echo "$1 s"; else echo "$((($1 + 59) / 60)) min"; fi; }

# earlier_time STEP: ", which took 40 s here the last time"; nothing where it is not known.
earlier_time() {
  local seconds
  seconds=$(sed -n "s/^$1 //p" "$times" 2>/dev/null | tail -n 1)
  [ -z "$seconds" ] || echo ", which took $(in_words "$seconds") here the last time"
}

# CPU-minutes of a first compilation, without a compiler cache: docs/build_times.md.
say_what_comes() {
  local minutes=4 what="without CUDA (no NVIDIA GPU is listed here)" where=$device
  if [ $preset = release ]; then
    minutes=9 what="for the GPU"
    find_nvcc >/dev/null || minutes=4 what="without CUDA (no nvcc here)"
  fi
  if [ "$where" = auto ]; then
    where="the CPU (no NVIDIA GPU is listed here)"
    if [ $preset = release ]; then where="the GPU, if it can be used"; fi
  fi
  echo "normquant, the main job. It"
  [ $setup = no ] || echo "  - looks for missing packages and installs them$(earlier_time set-up),"
  if [ -x $normquant ]; then
    echo "  - compiles what changed, $what$(earlier_time build),"
  else
    echo "  - compiles, $what: the first time $minutes to $((3 * minutes)) minutes of CPU time, as fast as the processor is," \
      "shared among $jobs at once,"
  fi
  echo "  - checks every variant against the float64 reference on $where$(earlier_time validate),"
  echo "  - times a short sweep$(earlier_time bench),"
  echo "  - and writes the results and a page to $out."
}

# note_time STEP: of the step that has just ended.
note_time() {
  local seconds
  seconds=$(sed -n 's/^.\{28\} *\([0-9]*\) s .*/\1/p' <<<"${summary_lines[-1]}")
  if [ -n "$seconds" ] && [ -d $build ]; then
    { grep -v "^$1 " "$times" 2>/dev/null || true; echo "$1 $seconds"; } >"$times.new" && mv "$times.new" "$times"
  fi
}

# keep_earlier: results of an earlier run are not lost to this one.
keep_earlier() {
  local file
  for file in environment.json validate.json bench.jsonl report.html; do
    [ -e "$out/$file" ] || continue
    mkdir -p "$out/earlier"
    mv -f "$out/$file" "$out/earlier/$file"
  done
}

# build_target TARGET
build_target() {
  local options=()
  if gpu_is_listed; then options+=(-DCMAKE_CUDA_ARCHITECTURES=native); fi
  cmake --preset $preset "${options[@]}"
  NINJA_STATUS='[%f of %t, %e s] ' cmake --build $build --target "$1" -j "$jobs"
}

# validate_with PROGRAM SUITE
validate_with() { run_step "validate ($device)" "$1" validate --device "$device" --suite "$2" --json "$out/validate.json"; }

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
  $normquant report "${results[@]}"
  $normquant report "${results[@]}" --out "$out/report.html"
  echo "page: $out/report.html"
}

say_what_next() {
  if [ ! -x $normquant ]; then
    echo "next: read the first error above; docs/exit_statuses.md says what the status means"
    return
  fi
  if [ $first_failure -ne 0 ]; then
    echo "next: run the command printed with the failure, which reproduces it alone (docs/reading_a_failure.md)"
    return
  fi
  printf 'next:\n'
  [ ! -e "$out/report.html" ] || printf '  %-52s %s\n' "open $out/report.html" "the page (docs/reports.md)"
  printf '  %-52s %s\n' "$normquant list" "operations and variants" \
    "$normquant validate --suite standard --slowest 10" "the longer suite" \
    "$normquant validate --plugin FILE" "a kernel of your own (docs/plugins.md)" \
    "$normquant check --op forward --x x.npy ..." "your own output (docs/checking_tensors.md)"
}

finish() {
  print_summary
  if [ ${#left_out[@]} -gt 0 ]; then printf 'left out: %s\n' "${left_out[@]}"; fi
  echo "results: $out"
  say_what_next
  exit $first_failure
}

left_out=()
say_what_comes
if [ $setup = yes ]; then
  run_step "set-up" bash scripts/setup.sh
  note_time set-up
else
  skip_step "set-up" "--no-setup"
fi
keep_earlier
if [ $first_failure -eq 0 ] && [ $preset = host-only ]; then
  device=host
  run_step_as $exit_infrastructure "build (what validates)" build_target normquant-validate
  note_time "build-first"
  if [ $first_failure -eq 0 ]; then
    validate_with $build/normquant-validate smoke
    note_time validate
  fi
fi
# A wrong result is no reason not to time the rest.
if [ $first_failure -eq 0 ] || [ $first_failure -eq $exit_wrong_results ]; then
  run_step_as $exit_infrastructure "build" build_target normquant
  note_time build
fi
if [ ! -x $normquant ] || { [ $first_failure -ne 0 ] && [ $first_failure -ne $exit_wrong_results ]; }; then
  for step in environment bench report; do skip_step $step "there is no program to run"; done
  finish
fi

run_step "environment" write_environment
if ! find_nvcc >/dev/null; then
  left_out+=("the CUDA code was not compiled: there is no CUDA Toolkit (nvcc) here")
elif [ $preset = host-only ]; then
  left_out+=("the CUDA code was not compiled, since no NVIDIA GPU is listed here: cmake --preset release compiles it")
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

if [ $preset = release ]; then
  validate_with $normquant $suite
  note_time validate
fi
run_step "bench ($device)" $normquant bench --device "$device" --sweep $sweep --out "$out/bench.jsonl"
note_time bench
if [ -s "$out/bench.jsonl" ]; then
  run_step "report" show_report
else
  skip_step "report" "nothing was timed"
fi
finish
