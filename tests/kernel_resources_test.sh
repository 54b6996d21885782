#!/usr/bin/env bash
# scripts/registers.sh on invented reports of ptxas: what it reads, and that a change is found.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/scripts" "$work/tests/baselines" "$work/build/CMakeFiles/3"
cp "$root"/scripts/registers.sh "$root"/scripts/steps.sh "$work/scripts"
echo 'set(CMAKE_CUDA_COMPILER_VERSION "13.0.88")' >"$work/build/CMakeFiles/3/CMakeCUDACompiler.cmake"
cat >"$work/build/one.cu.o.ptxas" <<'END'
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '_Z6secondPf' for 'sm_90'
ptxas info    : Function properties for _Z6secondPf
    16 bytes stack frame, 4 bytes spill stores, 4 bytes spill loads
ptxas info    : Function properties for _Z6helperf
    8 bytes stack frame, 8 bytes spill stores, 8 bytes spill loads
ptxas info    : Used 255 registers, used 2 barriers, 24 bytes cumulative stack size, 1024 bytes smem
ptxas info    : Compiling entry function '_Z5firstPf' for 'sm_90'
ptxas info    : Function properties for _Z5firstPf
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 33 registers, used 1 barriers
ptxas info    : Compiling entry function '_Z5firstPf' for 'sm_80'
ptxas info    : Function properties for _Z5firstPf
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 40 registers
END
script="bash $work/scripts/registers.sh --build $work/build"

fails() { echo "kernel_resources_test: $*" >&2 && exit 1; }

# 33 registers are allotted as 40: 51 warps, of which 48 can be used; 255 as 256: 8 warps.
expected=$(printf '%9s %6s %6s %6s %8s %5s  %s\n' 33 0 0 0 1 48 first 255 12 24 1024 2 8 second)
[ "$($script sm_90 | tail -n 2)" = "$expected" ] || fails "another table: $($script sm_90)"

status=0; $script --check >/dev/null || status=$?
[ $status -eq 77 ] || fails "without a baseline the status is $status, not 77"
$script sm_90 >"$work/tests/baselines/sm_90_registers.txt"
$script --check >"$work/out"
grep -q 'SKIPPED: sm_80 has no baseline' "$work/out" || fails "an architecture without a baseline is not named"
grep -q '^sm_90: 2 kernels use what the baseline says' "$work/out" || fails "an equal build is not passed"
sed -i 's/Used 33 registers/Used 34 registers/' "$work/build/one.cu.o.ptxas"
status=0; $script --check >"$work/out" || status=$?
[ $status -eq 1 ] || fails "a changed kernel gives status $status, not 1"
grep -q '^+ *34 .* first$' "$work/out" || fails "the changed kernel is not shown: $(cat "$work/out")"
sed -i '1s/.*/nvcc 12.9.1/' "$work/tests/baselines/sm_90_registers.txt"
status=0; $script --check >/dev/null || status=$?
[ $status -eq 77 ] || fails "another compiler gives status $status, not 77"
status=0; $script sm_75 >/dev/null 2>&1 || status=$?
[ $status -eq 2 ] || fails "an architecture that was not built gives status $status, not 2"
status=0; bash "$work/scripts/registers.sh" --build "$work/tests" >/dev/null 2>&1 || status=$?
[ $status -eq 2 ] || fails "a folder without a build gives status $status, not 2"
echo "kernel_resources_test: passed"
