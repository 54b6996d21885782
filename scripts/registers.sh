#!/usr/bin/env bash
# What the compiler made of every kernel: registers, spills, stack, static shared memory, barriers, warps that fit; needs a
# build with CUDA and no GPU. Reads what the build kept beside its objects (cmake/NormquantResources.cmake): nothing is
# compiled again.
#
#   scripts/registers.sh [--build DIR] [ARCHITECTURE] > tests/baselines/sm_90_registers.txt
#   scripts/registers.sh [--build DIR] --check
#
#   ARCHITECTURE   as nvcc calls it (default: sm_90)
#   --build DIR    a build with the CUDA Toolkit (default: build/release)
#   --check        compare every architecture of the build with tests/baselines/ARCHITECTURE_registers.txt; a difference is printed
#                  and is status 1. 77: nothing could be compared (another compiler, or no such file)
#   --help         this text
#
# One line a kernel, sorted by name. `spills` are bytes of spill stores of the kernel and the functions it calls; `warps` are
# those that a multiprocessor's 65536 registers hold (of 64), the theoretical occupancy before block size and dynamic shared
# memory, which a launch decides.
set -euo pipefail
# shellcheck source=scripts/steps.sh
source "$(dirname "${BASH_SOURCE[0]}")/steps.sh"

build=$root/build/release check=no architecture=sm_90
while [ $# -gt 0 ]; do
  case $1 in
    --build) require_value "$@" && build=$2 && shift ;;
    --check) check=yes ;;
    --help | -h) usage_of "$0" && exit 0 ;;
    -*) fail $exit_usage "there is no option $1; --help shows how" ;;
    *) architecture=$1 ;;
  esac
  shift
done
mapfile -t kept < <(find "$build" -name '*.ptxas' 2>/dev/null | sort)
[ ${#kept[@]} -gt 0 ] ||
  fail $exit_usage "$build holds no *.ptxas; build there with the CUDA Toolkit (cmake --preset release; cmake --build --preset release)"

compiler() { sed -n 's/^set(CMAKE_CUDA_COMPILER_VERSION "\(.*\)")$/\1/p' "$build"/CMakeFiles/*/CMakeCUDACompiler.cmake | head -n 1; }

architectures() { sed -n "s/.*Compiling entry function .* for '\(sm_[0-9a-z]*\)'.*/\1/p" "${kept[@]}" | sort -u; }

# table ARCHITECTURE
table() {
  printf 'nvcc %s\n' "$(compiler)"
  printf '%9s %6s %6s %6s %8s %5s  %s\n' registers spills stack shared barriers warps kernel
  awk -v wanted="$1" -v quote="'" '
    function close_kernel(   per_warp, warps) {
      if (name == "") return
      per_warp = int((registers + 7) / 8) * 8 * 32
      warps = int(65536 / per_warp / 4) * 4
      print registers, spills, stack, shared, barriers, (warps > 64 ? 64 : warps), name
      name = ""
    }
    /Compiling entry function/ {
      close_kernel()
      split($0, quoted, quote)
      if (quoted[4] != wanted) next
      name = quoted[2]; registers = spills = stack = shared = barriers = 0
    }
    FNR == 1 && !/Compiling entry function/ { close_kernel() }
    name == "" { next }
    /bytes stack frame/ { spills += $5; if ($1 > stack) stack = $1 }
    /Used [0-9]+ registers/ {
      registers = $5
      if (match($0, /used [0-9]+ barriers/)) barriers = substr($0, RSTART + 5, RLENGTH - 14)
      if (match($0, /[0-9]+ bytes smem/)) shared = substr($0, RSTART, RLENGTH - 11)
      if (match($0, /[0-9]+ bytes cumulative stack/)) stack = substr($0, RSTART, RLENGTH - 23)
    }
    END { close_kernel() }' "${kept[@]}" |
    c++filt | sed -E 's/\(normquant::Form\)/form /g; s/normquant::cuda::|normquant::|\(anonymous namespace\)::|void //g; s/\(.*$//' |
    LC_ALL=C sort -k7 -k1n | awk '{ name = $7; for (i = 8; i <= NF; ++i) name = name " " $i
      printf "%9s %6s %6s %6s %8s %5s  %s\n", $1, $2, $3, $4, $5, $6, name }'
}

if [ $check = no ]; then
  architectures | grep -qx "$architecture" ||
    fail $exit_usage "$build has no kernels of $architecture; it has those of $(architectures | xargs)"
  table "$architecture"
  exit 0
fi

compared=0 status=0
for architecture in $(architectures); do
  baseline=$root/tests/baselines/${architecture}_registers.txt
  if [ ! -e "$baseline" ]; then
    echo "SKIPPED: $architecture has no baseline; \`scripts/registers.sh $architecture > ${baseline#"$root"/}\` makes one"
  elif [ "$(head -n 1 "$baseline")" != "nvcc $(compiler)" ]; then
    echo "SKIPPED: the baseline of $architecture is of $(head -n 1 "$baseline"), this build of nvcc $(compiler)"
  else
    compared=$((compared + 1))
    if table "$architecture" | diff -u --label "${baseline#"$root"/}" "$baseline" --label "this build" -; then
      echo "$architecture: $(($(wc -l <"$baseline") - 2)) kernels use what the baseline says"
    else
      status=$exit_wrong_results
      echo "$architecture: kernels changed what they use. Where that is meant, change the baseline in the same commit:" \
        "scripts/registers.sh $architecture > ${baseline#"$root"/}"
    fi
  fi
done
[ $compared -gt 0 ] || status=$exit_gpu_absent
exit $status
