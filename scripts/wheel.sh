#!/usr/bin/env bash
# Builds the Python package as one wheel: program, operators for PyTorch, oracle (docs/python.md).
#
#   scripts/wheel.sh [--out DIR] [--python PROGRAM] [--no-isolation] [--built DIR]
#
#   --out DIR          where the wheel goes (default: build/wheels)
#   --python PROGRAM   the Python whose pip builds it, and whose torch gives the headers (default: that of build/torch, which
#                      scripts/setup.sh --torch makes, else python3)
#   --no-isolation     build with the scikit-build-core that this Python has, without fetching one
#   --built DIR        pack what is built in DIR, a folder configured with NORMQUANT_PYTHON=ON, rather than build it again
#   --help             this text
#
# Works without the CUDA Toolkit: then tensors on the CPU are computed by the host device. Headers of PyTorch may also be
# named by the variable NORMQUANT_TORCH_INCLUDE. Options for CMake go into the variable CMAKE_ARGS.
set -euo pipefail
# shellcheck source=scripts/steps.sh
source "$(dirname "${BASH_SOURCE[0]}")/steps.sh"

out=$root/build/wheels python=python3 built="" options=()
[ ! -x "$root/build/torch/bin/python" ] || python=$root/build/torch/bin/python
while [ $# -gt 0 ]; do
  case $1 in
    --out) require_value "$@" && out=$2 && shift ;;
    --python) require_value "$@" && python=$2 && shift ;;
    --no-isolation) options+=(--no-build-isolation) ;;
    --built) require_value "$@" && built=$2 && shift ;;
    --help | -h) usage_of "$0" && exit 0 ;;
    *) fail $exit_usage "there is no option $1; --help shows the options" ;;
  esac
  shift
done
command -v "$python" >/dev/null || fail $exit_infrastructure "there is no program $python"
out=$(make_folder "$out")
rm -f "$out"/normquant-*.whl
if [ -n "$built" ]; then
  # The same package without its CMake part: the files that the build has, beside those of Python.
  staged=$root/build/wheel_staged
  rm -rf "$staged"
  mkdir -p "$staged"
  cp -r "$root/python/normquant" "$staged/normquant"
  cmake --install "$built" --component python --prefix "$staged" --strip >/dev/null ||
    fail $exit_infrastructure "what is built in $built could not be installed; build its target normquant_python first"
  options+=(-Cwheel.cmake=false "-Cwheel.packages=build/wheel_staged/normquant" "-Csdist.include=build/wheel_staged/**" -Cwheel.platlib=true)
fi
"$python" -m pip wheel --quiet --no-deps --wheel-dir "$out" "${options[@]}" "$root" ||
  fail $exit_infrastructure "the wheel could not be built; see the message above"
ls -l "$out"/normquant-*.whl
