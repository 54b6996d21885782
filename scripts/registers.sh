#!/usr/bin/env bash
# Registers, spills and stack of every compiled kernel, as the compiler reports them; needs nvcc and no GPU.
#
#   scripts/registers.sh [ARCHITECTURE] > registers.txt
#
#   ARCHITECTURE   as nvcc's -arch (default: sm_90)
#   --help         this text
#
# One line a kernel: registers, bytes of spill stores, bytes of stack, name with template arguments; sorted by name.
set -euo pipefail
# shellcheck source=scripts/steps.sh
source "$(dirname "${BASH_SOURCE[0]}")/steps.sh"

case ${1-} in
  --help | -h) usage_of "$0" && exit 0 ;;
  -*) fail $exit_usage "there is no option $1; --help shows how" ;;
esac
architecture=${1:-sm_90}
nvcc=$(find_nvcc) || fail $exit_infrastructure "there is no nvcc on PATH or in /usr/local/cuda/bin; install the CUDA Toolkit"
object=$(mktemp)
trap 'rm -f "$object"' EXIT

printf '%9s %6s %6s  %s\n' registers spills stack kernel
for source in "$root"/kernels/*.cu; do
  "$nvcc" -std=c++20 -O3 -fmad=false --expt-relaxed-constexpr -arch="$architecture" -I"$root/kernels" -Xptxas -v \
    -c "$source" -o "$object" 2>&1 |
    awk '/Compiling entry function/ { split($0, quoted, "\047"); name = quoted[2] }
         /bytes stack frame/ { stack = $1; spills = $5 }
         /Used [0-9]+ registers/ { match($0, /Used [0-9]+/); print substr($0, RSTART + 5, RLENGTH - 5), spills, stack, name }'
done | c++filt | sed -E 's/\(normquant::cuda::Form\)/form /g; s/normquant::cuda::|\(anonymous namespace\)::|void //g; s/\(.*$//' | sort -k4 |
  awk '{ name = $4; for (i = 5; i <= NF; ++i) name = name " " $i; printf "%9s %6s %6s  %s\n", $1, $2, $3, name }'
