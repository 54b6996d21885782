#!/usr/bin/env bash
# How long a newcomer waits: clones this repository's HEAD into an empty folder, runs scripts/run.sh there without a compiler
# cache, and notes when the first verdict is on the screen and when the main job ends. Then a clean release build.
#
#   scripts/first_minutes.sh [--out FILE] [--no-setup] [--no-release]
#
#   --out FILE      add the row to the table at the end of this file (default: docs/build_times.md here)
#   --no-setup      as of scripts/run.sh: do not look for missing packages
#   --no-release    leave the release build out (it is left out, too, where there is no CUDA Toolkit)
#   --help          this text
#
# A row names date, commit, machine and the load before it began (over one minute): the machine should be idle. It takes 10 to
# 60 minutes. Ends with the status of scripts/run.sh; nothing is added when that is not 0.
set -euo pipefail
# shellcheck source=scripts/steps.sh
source "$(dirname "${BASH_SOURCE[0]}")/steps.sh"

out=$root/docs/build_times.md setup=yes release=yes
while [ $# -gt 0 ]; do
  case $1 in
    --out) require_value "$@" && out=$(realpath -m -- "$2") && shift ;;
    --no-setup) setup=no ;;
    --no-release) release=no ;;
    --help | -h) usage_of "$0" && exit 0 ;;
    *) fail $exit_usage "there is no option $1; --help shows the options" ;;
  esac
  shift
done
[[ -w $out && $(tail -n 1 -- "$out") == \|* ]] ||
  fail $exit_usage "--out $out: it must be a file that can be written and ends with a table's row"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
git clone --quiet "$root" "$work/normquant" || fail $exit_infrastructure "cannot clone $root"
[ -z "$(git -C "$root" status --porcelain)" ] || echo "what is not committed is not measured"
cd "$work/normquant"
export CCACHE_DISABLE=1
load=$(cut -d' ' -f1 /proc/loadavg)
commit=$(git rev-parse --short HEAD)
cpu=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
options=(--out "$work/out")
how=''
if [ $setup = no ]; then options+=(--no-setup) && how='; without set-up'; fi
echo "commit $commit in an empty folder, on ${cpu:-$(uname -m)}, $(nproc) cores, load $load; scripts/run.sh begins"

# seconds_since MICROSECONDS: of $EPOCHREALTIME without its point, rounded to whole seconds.
seconds_since() { echo $(((${EPOCHREALTIME/[.,]/} - $1 + 500000) / 1000000)); }

# The head of validate's table of results, which comes with the first verdicts.
verdict_is_there() { grep -q '^  variant  *passed  *wrong ' "$work/log"; }

first='-'
: >"$work/log"
began=${EPOCHREALTIME/[.,]/}
{ scripts/run.sh "${options[@]}" 2>&1 || echo "first_minutes: status $?"; } >"$work/log" &
while kill -0 $! 2>/dev/null; do
  if [ "$first" = - ] && verdict_is_there; then
    first=$(seconds_since "$began")
    echo "the first verdict, after $first s"
  fi
  sleep 0.2
done
total=$(seconds_since "$began")
if [ "$first" = - ] && verdict_is_there; then first=$total; fi
status=$(sed -n 's/^first_minutes: status //p' "$work/log")
if [ "$first" = - ] || [ "${status:-0}" -ne 0 ]; then
  tail -n 30 "$work/log"
  fail "${status:-$exit_infrastructure}" "scripts/run.sh ended with status ${status:-0} after $total s;" \
    "the first verdict came after $first s; nothing is added to $out"
fi
echo "the main job, after $total s"
built='-'
if [ $release = yes ] && find_nvcc >/dev/null; then
  began=${EPOCHREALTIME/[.,]/}
  { cmake --preset release -B "$work/release" && cmake --build "$work/release" --target normquant -j "$(nproc)"; } \
    >"$work/log" 2>&1 || fail $exit_infrastructure "the release build failed: $(tail -n 5 "$work/log")"
  built="$(seconds_since "$began") s"
fi
row="| $(date -u +%F) | $commit | $(nproc) cores, ${cpu:-$(uname -m)}, load $load$how | $first s | $total s | $built |"
echo "$row" >>"$out"
echo "$row"
