#!/usr/bin/env bash
# How far the timings of this GPU can be trusted, measured: the self-test of cold, agreement with ncu, two processes against
# each other, long runs by the wall clock with clock and power, and what the gate raises and misses. Changes no setting of the
# GPU.
#
#   scripts/qualify.sh DIR [--program FILE] [--seconds N] [--blocks N] [--steps LIST]
#
#   DIR             self_test.txt, measured.jsonl, measured_again.jsonl, ncu.csv, sustained.jsonl, agreement.md, qualification.json,
#                   gate.txt
#   --program FILE  normquant (default: build/release/normquant)
#   --seconds N     no run of `gate --qualify` begins after so many (default: 0, no limit)
#   --blocks N      A B B A blocks a stage (default: 2)
#   --steps LIST    of self_test,measure,ncu,sustained,qualify,gate (default: all)
#   --help          this text
#
# Ends with the status of the first step that failed (docs/exit_statuses.md); 77: no usable GPU.
set -euo pipefail
# shellcheck source=scripts/steps.sh
source "$(dirname "${BASH_SOURCE[0]}")/steps.sh"

out='' normquant=$root/build/release/normquant seconds=0 blocks=2 steps=self_test,measure,ncu,sustained,qualify,gate
while [ $# -gt 0 ]; do
  case $1 in
    --program) require_value "$@" && normquant=$2 && shift ;;
    --seconds) require_value "$@" && seconds=$2 && shift ;;
    --blocks) require_value "$@" && blocks=$2 && shift ;;
    --steps) require_value "$@" && steps=$2 && shift ;;
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
[[ $seconds =~ ^[0-9]{1,5}$ ]] || fail $exit_usage "--seconds $seconds: it must be a whole number"
require_count --blocks "$blocks"
[ -x "$normquant" ] || fail $exit_usage "there is no program $normquant; build it, or name another with --program"
for step in ${steps//,/ }; do
  [[ $step =~ ^(self_test|measure|ncu|sustained|qualify|gate)$ ]] || fail $exit_usage "there is no step $step; --help lists the steps"
done
chosen() { [[ ,$steps, == *,$1,* ]]; }
normquant=$(realpath -- "$normquant")
out=$(make_folder "$out")
cd "$root"
if [ -d /usr/local/cuda/bin ]; then PATH=$PATH:/usr/local/cuda/bin; fi
if why=$(gpu_absent_by "$normquant"); then fail $exit_gpu_absent "no GPU is usable: $why"; fi

# Kernels above 10 us, most of them one launch a call.
sweep=$out/agreement_sweep.json
cat >"$sweep" <<'END'
{"name": "agreement", "cases": [
  {"op": "forward", "shapes": ["2048x4096", "4096x4096", "16384x4096", "4096x8192"], "forms": ["rms"]},
  {"op": "forward", "shapes": ["4096x4096"], "forms": ["rms+residual", "layer", "codes", "rms+unaligned"]},
  {"op": "activation_quant", "shapes": ["4096x4096"], "forms": ["out", "codes"]},
  {"op": "weight_quant", "shapes": ["4096x4096"], "forms": ["out"]},
  {"op": "backward", "shapes": ["4096x4096"], "forms": ["rms"]}]}
END
# What a kernel draws depends on its values; the layer's products draw most.
power_sweep=$out/power_sweep.json
cat >"$power_sweep" <<'END'
{"name": "power", "cases": [
  {"op": "forward", "shapes": ["4096x4096"],
   "forms": ["rms+zeros", "rms+constant", "rms+uniform", "rms+normal", "rms+outlier_columns", "rms"]},
  {"op": "forward", "shapes": ["4096x4096"], "forms": ["layer+zeros", "layer"]},
  {"op": "backward", "shapes": ["4096x4096"], "forms": ["rms+zeros", "rms"]},
  {"op": "bit_linear_forward", "shapes": ["8192x4096"], "forms": ["rms+cached+zeros", "rms+cached"]}]}
END

measure() {
  local file
  for file in measured measured_again; do
    timeout 60 "$normquant" bench --device cuda --sweep "$sweep" --variant auto \
      --out "$out/$file.jsonl" --force >"$out/$file.txt"
  done
}

sustain() {
  timeout 120 "$normquant" bench --device cuda --sweep "$power_sweep" --variant auto --quick --no-cold --sustained 2 \
    --out "$out/sustained.jsonl" --force >"$out/sustained.txt"
}

# One ncu a case: its log names kernels, not cases. The program flushes the L2 before each launch, as it does for its cold figure;
# what ncu would flush beside it (the instructions, too) it leaves alone.
profile() {
  local name names failed=0
  rm -f "$out/ncu.csv"
  mapfile -t names < <("$normquant" bench --device cuda --sweep "$sweep" --variant auto --list)
  for name in "${names[@]}"; do
    timeout 60 ncu --clock-control none --cache-control none --metrics gpu__time_duration.sum --csv \
      --log-file "$out/ncu_case.csv" "$normquant" bench --device cuda --sweep "$sweep" --variant auto --profiled \
      "--benchmark_filter=^${name//+/[+]}/" >"$out/ncu_case.txt" 2>&1 </dev/null || failed=$?
    echo "case,$name" >>"$out/ncu.csv"
    if ! grep '^"' "$out/ncu_case.csv" >>"$out/ncu.csv"; then
      echo "ncu said nothing of $name: $(tail -n 3 "$out/ncu_case.txt")"
      failed=1
    fi
  done
  rm -f "$out/ncu_case.csv" "$out/ncu_case.txt"
  return $failed
}

self_test() { timeout 60 "$normquant" bench --device cuda --self-test | tee "$out/self_test.txt"; }

agreement() {
  local files=(--measured "$out/measured.jsonl" --again "$out/measured_again.jsonl")
  if [ -s "$out/ncu.csv" ]; then files+=(--ncu "$out/ncu.csv"); fi
  if [ -s "$out/sustained.jsonl" ]; then files+=(--sustained "$out/sustained.jsonl"); fi
  python3 scripts/agreement.py "${files[@]}" | tee "$out/agreement.md"
}

compare_with_itself() {
  "$normquant" gate --against "$normquant" --qualification "$out/qualification.json" --markdown "$out/gate.md" |
    tee "$out/gate.txt"
}

if chosen self_test; then run_step "self-test" self_test; fi
if chosen ncu; then
  if command -v ncu >/dev/null; then
    run_step_as $exit_infrastructure "ncu" profile
  else
    skip_step "ncu" "there is no ncu on PATH or in /usr/local/cuda/bin"
  fi
fi
if chosen measure; then run_step "two processes" measure; fi
if chosen sustained; then run_step "long runs" sustain; fi
if [ -s "$out/measured_again.jsonl" ]; then run_step "agreement" agreement; fi
if chosen qualify; then
  run_step "gate --qualify" "$normquant" gate --qualify --blocks "$blocks" --seconds "$seconds" --force \
    --qualification "$out/qualification.json"
fi
if chosen gate && [ -s "$out/qualification.json" ]; then run_step "gate --against itself" compare_with_itself; fi
print_summary
exit $first_failure
