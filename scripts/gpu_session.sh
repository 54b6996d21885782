#!/usr/bin/env bash
# One call on a machine with a GPU: builds, checks and times there, and leaves small result files in DIR.
# Installs nothing and changes no clock or other setting of the GPU.
#
#   scripts/gpu_session.sh DIR [--steps LIST] [--build DIR] [--sweep NAME] [--seed DIR] [--profile ARGS]
#                              [--limit SECONDS] [--jobs N]
#
#   DIR              environment.json, validate.json, bench.jsonl, sanitizer.txt, seed.jsonl, profile.csv, summary.txt;
#                    layer: layer.jsonl, layer_products.jsonl, layer_triton.jsonl, layer.md; those of the chosen steps are
#                    written anew
#   --steps LIST     of env,validate,tests,sanitize,bench,seed,layer,profile (default: env,validate,tests,sanitize,bench, and
#                    seed when --seed is given; layer needs --seed too)
#   --build DIR      use the program of this build instead of building (step tests: only where it was configured)
#   --sweep NAME     sweep or sweep file of the step bench (default: quick)
#   --seed DIR       folder of the Triton baseline: runs python3 DIR/bench_seed.py
#   --profile ARGS   arguments of normquant for ncu (default: validate --device cuda --shape 4096x4096 --dtype bfloat16)
#   --limit SECONDS  no step runs longer (default: 600; each of compute-sanitizer's tools is a step)
#   --jobs N         compile that many files at once (default: all cores)
#   --help           this text
#
# A failing step does not stop the others. Ends with the status of the first that failed (docs/exit_statuses.md); 77: no
# usable GPU.
set -euo pipefail
# shellcheck source=scripts/steps.sh
source "$(dirname "${BASH_SOURCE[0]}")/steps.sh"

out='' steps='' build='' sweep=quick seed='' limit=600 jobs=$(nproc)
profiled='validate --device cuda --shape 4096x4096 --dtype bfloat16'
while [ $# -gt 0 ]; do
  case $1 in
    --steps) require_value "$@" && steps=$2 && shift ;;
    --build) require_value "$@" && build=$2 && shift ;;
    --sweep) require_value "$@" && sweep=$2 && shift ;;
    --seed) require_value "$@" && seed=$2 && shift ;;
    --profile) require_value "$@" && profiled=$2 && shift ;;
    --limit) require_value "$@" && limit=$2 && shift ;;
    --jobs) require_value "$@" && jobs=$2 && shift ;;
    --help | -h) usage_of "$0" && exit 0 ;;
    -*) fail $exit_usage "there is no option $1; --help shows the options" ;;
    *)
      [ -z "$out" ] || fail $exit_usage "one folder for the results, not both $out and $1"
      out=$1
      ;;
  esac
  shift
done
[ -n "$out" ] || fail $exit_usage "say into which folder the results go; --help shows how"
require_count --limit "$limit"
require_count --jobs "$jobs"
if [ -z "$steps" ]; then
  steps=env,validate,tests,sanitize,bench
  if [ -n "$seed" ]; then steps+=,seed; fi
fi
for step in ${steps//,/ }; do
  [[ $step =~ ^(env|validate|tests|sanitize|bench|seed|layer|profile)$ ]] ||
    fail $exit_usage "there is no step $step; --help lists the steps"
done
chosen() { [[ ,$steps, == *,$1,* ]]; }

if [ -n "$seed" ]; then
  [ -f "$seed/bench_seed.py" ] || fail $exit_usage "--seed $seed: there is no bench_seed.py in it"
  seed=$(cd -- "$seed" && pwd)
elif chosen seed || chosen layer; then
  fail $exit_usage "the steps seed and layer need --seed DIR"
fi
if [ -n "$build" ]; then
  [ -x "$build/normquant" ] || fail $exit_usage "--build $build: there is no program normquant in it"
  build=$(cd -- "$build" && pwd)
fi
if [[ $sweep == */* ]]; then sweep=$(realpath -- "$sweep"); fi
out=$(make_folder "$out")
cd "$root"
if [ -d /usr/local/cuda/bin ]; then PATH=$PATH:/usr/local/cuda/bin; fi

within_limit() { timeout -k 10 "$limit" "$@"; }

build_program() {
  local tests=OFF
  if chosen tests; then tests=ON; fi
  within_limit cmake --preset release -DNORMQUANT_CUDA=ON -DCMAKE_CUDA_ARCHITECTURES=native -DNORMQUANT_TESTS=$tests
  within_limit cmake --build "$build" -j "$jobs"
}

write_environment() {
  within_limit "$normquant" env --format json >"$out/environment.json"
  "$normquant" env
}

run_gpu_tests() { within_limit ctest --test-dir "$build" -L '^gpu$' --output-on-failure --no-tests=error; }

# sanitize_with TOOL: sanitizer.txt gets what the tool said. Only its own "0 errors" is a pass.
sanitize_with() {
  local log status=0
  log=$(mktemp)
  # Beyond the barriers that it keeps account of by default synccheck ends right kernels with a launch failure.
  local options=()
  [ "$1" != synccheck ] || options=(--num-cuda-barriers 8192)
  within_limit compute-sanitizer --tool "$1" "${options[@]}" --error-exitcode $exit_wrong_results --print-limit 20 \
    "$normquant" validate --device cuda --suite smoke --warm >"$log" 2>&1 || status=$?
  if [ $status -eq 0 ] && ! grep -Eq '^=+ (ERROR SUMMARY: 0 errors|RACECHECK SUMMARY: 0 hazards)' "$log"; then
    echo "the tool's line about 0 errors is missing" >>"$log"
    status=$exit_infrastructure
  fi
  {
    echo "compute-sanitizer --tool $1 normquant validate --device cuda --suite smoke --warm: status $status"
    grep '^=====' "$log" | head -n 200 || true
    grep -v '^=====' "$log" | tail -n 5 || true
    echo
  } >>"$out/sanitizer.txt"
  grep '^=====' "$log" | tail -n 1 || true
  if [ $status -ne 0 ]; then tail -n 20 "$log"; fi
  rm -f "$log"
  return $status
}

# The whole layer, its products and the Triton layer, one after the other on one GPU, and the table that they make.
time_layer() {
  within_limit "$normquant" products --out "$out/layer_products.jsonl"
  within_limit "$normquant" bench --device cuda --quick --sweep layer --variant 'fake_quantised|integer|packed' \
    --out "$out/layer.jsonl"
  within_limit python3 scripts/time_triton_layer.py "$seed" --out "$out/layer_triton.jsonl"
  python3 scripts/layer_table.py --bench "$out/layer.jsonl" --products "$out/layer_products.jsonl" \
    --triton "$out/layer_triton.jsonl" >"$out/layer.md"
}

run_profiler() {
  local arguments
  read -r -a arguments <<<"$profiled"
  within_limit ncu --clock-control none --launch-count 100 --csv --log-file "$out/profile.csv" --metrics \
    "gpu__time_duration.sum,dram__bytes_read.sum,dram__bytes_write.sum,launch__registers_per_thread,sm__warps_active.avg.pct_of_peak_sustained_active" \
    "$normquant" "${arguments[@]}" >/dev/null
  wc -l "$out/profile.csv"
}

finish() {
  print_summary | tee "$out/summary.txt"
  if [ -s "$out/bench.jsonl" ] && chosen bench; then "$normquant" report "$out/bench.jsonl" >>"$out/summary.txt" || true; fi
  ls -l "$out"
  exit $first_failure
}

if [ -z "$build" ]; then
  build=$root/build/release
  run_step_as $exit_infrastructure "build" build_program
  if [ $first_failure -ne 0 ]; then
    skip_step "${steps//,/, }" "there is no program to run"
    finish
  fi
fi
normquant=$build/normquant

if why=$(gpu_absent_by "$normquant"); then fail $exit_gpu_absent "no GPU is usable: $why"; fi

if chosen env; then
  rm -f "$out/environment.json"
  run_step "environment" write_environment
fi
if chosen validate; then
  rm -f "$out/validate.json"
  run_step "validate" within_limit "$normquant" validate --device cuda --suite standard --json "$out/validate.json"
fi
if chosen tests; then
  if ! grep -qsxF "CMAKE_HOME_DIRECTORY:INTERNAL=$root" "$build/CMakeCache.txt"; then
    skip_step "tests" "this build was configured in another folder"
  elif ctest --test-dir "$build" -N -L '^gpu$' | grep -q '^Total Tests: 0'; then
    skip_step "tests" "no test has the label gpu"
  else
    run_step_as $exit_wrong_results "tests" run_gpu_tests
  fi
fi
if chosen sanitize; then
  rm -f "$out/sanitizer.txt"
  if command -v compute-sanitizer >/dev/null; then
    for tool in memcheck racecheck initcheck synccheck; do run_step "sanitize: $tool" sanitize_with $tool; done
  else
    skip_step "sanitize" "there is no compute-sanitizer on PATH or in /usr/local/cuda/bin"
  fi
fi
if chosen bench; then
  rm -f "$out/bench.jsonl"
  run_step "bench $sweep" within_limit "$normquant" bench --device cuda --sweep "$sweep" --out "$out/bench.jsonl"
fi
if chosen seed; then
  rm -f "$out/seed.jsonl"
  run_step_as $exit_infrastructure "seed" within_limit python3 "$seed/bench_seed.py" --out "$out/seed.jsonl"
fi
if chosen layer; then
  rm -f "$out"/layer.jsonl "$out"/layer_products.jsonl "$out"/layer_triton.jsonl "$out/layer.md"
  run_step_as $exit_infrastructure "layer" time_layer
fi
if chosen profile; then
  rm -f "$out/profile.csv"
  if command -v ncu >/dev/null; then
    run_step_as $exit_infrastructure "profile" run_profiler
  else
    skip_step "profile" "there is no ncu on PATH or in /usr/local/cuda/bin"
  fi
fi
finish
