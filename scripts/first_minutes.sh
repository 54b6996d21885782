#!/usr/bin/env bash
# How long a newcomer waits: clones this repository's HEAD into an empty folder, runs scripts/run.sh there without a compiler
# cache, and notes when the first verdict is on the screen and when the main job ends. Then a clean release build.
#
#   scripts/first_minutes.sh [--out FILE] [--no-release]
#
#   --out FILE      add a row to this table (docs/build_times.md); default: print the row only
#   --no-release    leave the release build out (it needs the CUDA Toolkit)
#   --help          this text
#
# The machine should be idle: the row says how busy it was (load over one minute, before). Ends with the status of scripts/run.sh.
set -euo pipefail
# shellcheck source=scripts/steps.sh
source "$(dirname "${BASH_SOURCE[0]}")/steps.sh"

out='' release=yes
while [ $# -gt 0 ]; do
  case $1 in
    --out) require_value "$@" && out=$(realpath -m -- "$2") && shift ;;
    --no-release) release=no ;;
    --help | -h) usage_of "$0" && exit 0 ;;
    *) fail $exit_usage "there is no option $1; --help shows the options" ;;
  esac
  shift
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
git clone --quiet "$root" "$work/normquant" || fail $exit_infrastructure "cannot clone $root"
cd "$work/normquant"
export CCACHE_DISABLE=1
load=$(cut -d' ' -f1 /proc/loadavg)
commit=$(git rev-parse --short HEAD)
cpu=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)

# The first line of validate's table of results is the first verdict; `passed` stands in its head.
began=$SECONDS first='-' status=0
{ scripts/run.sh --out "$work/out" 2>&1 || echo "first_minutes: status $?"; } >"$work/log" &
while kill -0 $! 2>/dev/null; do
  if [ "$first" = - ] && grep -q '^device  *operation ' "$work/log"; then first=$((SECONDS - began)); fi
  sleep 1
done
total=$((SECONDS - began))
status=$(sed -n 's/^first_minutes: status //p' "$work/log")
if [ "$first" = - ] || [ "${status:-0}" -ne 0 ]; then
  tail -n 30 "$work/log"
  fail "${status:-$exit_infrastructure}" "scripts/run.sh ended with status ${status:-0}, the first verdict came after $first s"
fi
built='-'
if [ $release = yes ] && find_nvcc >/dev/null; then
  began=$SECONDS
  cmake --preset release >"$work/log" && cmake --build --preset release --target normquant -j "$(nproc)" >>"$work/log" ||
    fail $exit_infrastructure "the release build failed: $(tail -n 5 "$work/log")"
  built="$((SECONDS - began)) s"
fi
row="| $(date -u +%F) | $commit | $cpu, $(nproc) cores, load $load | $first s | $total s | $built |"
echo "$row"
if [ -n "$out" ]; then echo "$row" >>"$out"; fi
