# Sourced by the scripts beside it: sentences for failures, named steps with their seconds, the summary at the end.
# Exit statuses are those of exit_status.hpp.
# shellcheck shell=bash disable=SC2034  # the names below are used by the scripts that source this

exit_wrong_results=1
exit_usage=2
exit_infrastructure=5
exit_gpu_absent=77

script=${0##*/}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# fail STATUS SENTENCE...: ends the script.
fail() {
  local status=$1
  shift
  printf '%s: %s\n' "$script" "$*" >&2
  exit "$status"
}

# usage_of FILE: the comment at the top of a script, which is its help.
usage_of() { sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "$1"; }

# require_value OPTION [VALUE]...: the option must be followed by a value.
require_value() {
  if [ $# -lt 2 ] || [ -z "$2" ]; then fail $exit_usage "$1 needs a value; --help shows the options"; fi
}

# require_count OPTION VALUE: VALUE must be a whole number from 1 to 9999.
require_count() {
  [[ $2 =~ ^[1-9][0-9]{0,3}$ ]] || fail $exit_usage "$1 $2: it must be a whole number from 1 to 9999"
}

# make_folder DIR: DIR exists, can be written to, and its absolute path is printed.
make_folder() {
  mkdir -p -- "$1" || fail $exit_infrastructure "cannot make the folder $1"
  [ -w "$1" ] || fail $exit_infrastructure "cannot write into the folder $1"
  (cd -- "$1" && pwd)
}

# find_nvcc: the CUDA compiler's path; fails without a word when there is none.
find_nvcc() {
  command -v nvcc && return
  [ -x /usr/local/cuda/bin/nvcc ] && echo /usr/local/cuda/bin/nvcc
}

# gpu_is_listed: whether the driver shows a GPU.
gpu_is_listed() { command -v nvidia-smi >/dev/null && nvidia-smi -L 2>/dev/null | grep -q '^GPU '; }

# gpu_absent_by PROGRAM: why normquant sees no usable GPU; fails without a word when it sees one.
gpu_absent_by() {
  local facts
  if ! facts=$("$1" env --format json); then
    echo "normquant env failed"
    return
  fi
  grep -Eq '"gpu": *null' <<<"$facts" || return 1
  sed -n 's/.*"gpu_absent": *"\(.*\)".*/\1/p' <<<"$facts"
}

summary_lines=()
first_failure=0 # what the script ends with
step_status=0   # of the latest step

# run_step NAME COMMAND...: runs it (a function too) and notes status and seconds; never ends the script.
run_step() { run_step_as own "$@"; }

# run_step_as STATUS NAME COMMAND...: the same, but any failure counts as STATUS: what a compiler or ctest ends with
# means something else than our statuses. 124 is the status of `timeout`.
run_step_as() {
  local counts_as=$1 name=$2 began=$SECONDS outcome=passed
  shift 2
  printf '\n=== %s\n' "$name"
  set +e
  (
    set -e
    "$@"
  )
  step_status=$?
  set -e
  if [ $step_status -eq 124 ]; then
    outcome="FAILED (ran past its time limit)"
    step_status=$exit_infrastructure
  elif [ $step_status -ne 0 ]; then
    if [ "$counts_as" != own ]; then step_status=$counts_as; fi
    outcome="FAILED (status $step_status)"
  fi
  if [ $first_failure -eq 0 ]; then first_failure=$step_status; fi
  summary_lines+=("$(printf '%-28s %5d s   %s' "$name" $((SECONDS - began)) "$outcome")")
  printf '=== %s: %s, %d s\n' "$name" "$outcome" $((SECONDS - began))
}

# skip_step NAME REASON...: a step that does not run is shown as such.
skip_step() {
  local name=$1
  shift
  printf '\n=== %s: SKIPPED: %s\n' "$name" "$*"
  summary_lines+=("$(printf '%-28s       -   SKIPPED: %s' "$name" "$*")")
}

print_summary() {
  printf '\n=== summary, %d s\n' "$SECONDS"
  [ ${#summary_lines[@]} -eq 0 ] || printf '%s\n' "${summary_lines[@]}"
  if [ $first_failure -eq 0 ]; then echo "no step failed"; else echo "first failing step's status: $first_failure"; fi
}
