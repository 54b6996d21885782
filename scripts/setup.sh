#!/usr/bin/env bash
# Installs what normquant is built and tested with, by package name with apt-get (Debian 12, Ubuntu 24.04).
#
#   scripts/setup.sh [--checks] [--reframe] [--torch]
#
#   --checks   also what scripts/test.sh checks the sources with: clang-format 14, clang-tidy 14, shellcheck; what the fuzzers
#              are compiled with: clang 14; what pages and records are tested with: chromium, python3, its jsonschema; what
#              finds the places of mechanical mutants: python3-clang-14; and the cluster of a test: slurm-wlm, munge
#   --reframe  also ReFrame (PyPI: ReFrame-HPC, 240 MB), into build/reframe, for the test of examples/reframe
#   --torch    also what the Python package is built and tested with (PyPI: torch, of a pinned range, 4.7 GB; pytest, numpy,
#              scikit-build-core, transformers), into build/torch
#   --help     this text
#
# Does nothing, in a second, when all is there. The CUDA Toolkit is not installed; this says whether it is found.
set -euo pipefail
# shellcheck source=scripts/steps.sh
source "$(dirname "${BASH_SOURCE[0]}")/steps.sh"

packages=(build-essential g++ cmake ninja-build git libeigen3-dev libcli11-dev nlohmann-json3-dev libfmt-dev
  libboost-context-dev libbenchmark-dev libgtest-dev libgmock-dev zlib1g-dev libjs-chart.js)
# The version in the name: other versions format differently and check for other things.
check_packages=(clang-format-14 clang-tidy-14 clang-14 libclang-rt-14-dev shellcheck chromium python3
  python3-jsonschema python3-clang-14)
optional_packages=(slurm-wlm munge) # of one test, which is skipped without them
checks=no reframe=no torch=no
while [ $# -gt 0 ]; do
  case $1 in
    --checks) checks=yes ;;
    --reframe) reframe=yes ;;
    --torch) torch=yes ;;
    --help | -h) usage_of "$0" && exit 0 ;;
    *) fail $exit_usage "there is no option $1; --help shows the options" ;;
  esac
  shift
done

is_installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

# missing_of PACKAGE...: those that are not installed, one a line.
missing_of() {
  local package
  for package in "$@"; do
    is_installed "$package" || echo "$package"
  done
}

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  fail $exit_infrastructure "this machine has no apt-get (Debian 12 or Ubuntu 24.04 expected)." \
    "Install what these packages hold by other means, then use --no-setup: ${packages[*]}"
fi

mapfile -t missing < <(missing_of "${packages[@]}")
mapfile -t missing_checks < <([ $checks = no ] || missing_of "${check_packages[@]}")
mapfile -t missing_optional < <([ $checks = no ] || missing_of "${optional_packages[@]}")

if [ $((${#missing[@]} + ${#missing_checks[@]} + ${#missing_optional[@]})) -gt 0 ]; then
  as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null ||
      fail $exit_infrastructure "not root, and there is no sudo. Let root install:" \
        "${missing[*]} ${missing_checks[*]} ${missing_optional[*]}"
    as_root=(sudo)
  fi
  apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300)
  echo "setup: to install: ${missing[*]} ${missing_checks[*]} ${missing_optional[*]}"
  if ! "${apt[@]}" update; then
    [ $((${#missing[@]} + ${#missing_checks[@]})) -eq 0 ] ||
      fail $exit_infrastructure "apt-get update failed; see its message above"
  fi

  wanted=("${missing[@]}")
  for package in "${missing_checks[@]}"; do
    if apt-cache show "$package" >/dev/null 2>&1; then
      wanted+=("$package")
    else
      echo "setup: this system has no package $package: what needs it will be skipped, and said to be"
    fi
  done
  if [ ${#wanted[@]} -gt 0 ]; then
    "${apt[@]}" install -y --no-install-recommends "${wanted[@]}" ||
      fail $exit_infrastructure "apt-get could not install all of: ${wanted[*]}"
    mapfile -t missing < <(missing_of "${wanted[@]}")
    [ ${#missing[@]} -eq 0 ] || fail $exit_infrastructure "still missing after apt-get: ${missing[*]}"
  fi
  if [ ${#missing_optional[@]} -gt 0 ] && ! "${apt[@]}" install -y --no-install-recommends "${missing_optional[@]}"; then
    echo "setup: apt-get could not install ${missing_optional[*]}: the test that needs them will be skipped, and said to be"
  fi
fi
echo "setup: every required package is there"
if [ $reframe = yes ] && [ ! -x "$root/build/reframe/bin/reframe" ]; then
  { python3 -m venv "$root/build/reframe" && "$root/build/reframe/bin/pip" install --quiet ReFrame-HPC; } ||
    fail $exit_infrastructure "ReFrame could not be installed into build/reframe; see the message above"
  echo "setup: ReFrame is in build/reframe"
fi
if [ $torch = yes ] && [ ! -f "$root/build/torch/complete" ]; then
  { python3 -m venv "$root/build/torch" &&
    "$root/build/torch/bin/pip" install --quiet 'torch>=2.10,<2.12' 'scikit-build-core>=0.10' pytest numpy; } ||
    fail $exit_infrastructure "torch could not be installed into build/torch; see the message above"
  "$root/build/torch/bin/pip" install --quiet 'transformers>=5,<6' ||
    echo "setup: transformers could not be installed: the tests of its layers will be skipped, and said to be"
  touch "$root/build/torch/complete"
  echo "setup: torch is in build/torch"
fi

if nvcc=$(find_nvcc); then
  echo "setup: CUDA compiler: $("$nvcc" --version | sed -n 's/.*release \([^,]*\),.*/nvcc \1/p')"
else
  echo "setup: no CUDA Toolkit (no nvcc on PATH or in /usr/local/cuda/bin): the CUDA code will not be compiled;" \
    "the same kernels run on the CPU"
fi
gpu_is_listed || echo "setup: no NVIDIA GPU is listed here: nothing will run or be timed on a GPU"
