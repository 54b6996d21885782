#!/usr/bin/env bash
# Submits a sweep to Slurm: for every kind of GPU an array of shards, and behind it a job that merges them (docs/clusters.md).
#
#   scripts/slurm/submit.sh --out DIR [options] [-- SBATCH_OPTION...]
#
#   --out DIR            folder of the results, on a file system that all nodes see
#   --shards N           tasks of an array, 1 to 9999 (default: 16); the site's MaxArraySize must be larger
#   --sweep NAME         name or file, as of `normquant bench`; repeatable (default: quick; with --tune tuning and held_out)
#   --suite NAME         validate this suite instead of timing sweeps: smoke, standard or exhaustive
#   --kind NAME=OPTIONS  a kind of GPU and how sbatch is asked for one; repeatable. Results are in DIR/NAME. For example
#                        --kind h100=--gres=gpu:h100:1 --kind 'l40s=--constraint=l40s --gres=gpu:1'
#   --kinds all          every type of GPU that sinfo shows (default: no kinds, any GPU: --gres=gpu:1)
#   --tune               a table of tuned variants for every kind, made behind the merge
#   --program PATH       normquant (default: the one on PATH)
#   --setup FILE         shell commands that come first in every job, for example `module load cuda`
#   --bench OPTIONS      further options of `normquant bench`, or with --suite of `normquant validate`, as one word
#   --merge OPTIONS      further options of `normquant merge`, as one word, for example '--allow driver'
#   --dry-run            print the commands of sbatch and submit nothing
#   --help               this text
#   SBATCH_OPTION        for every job, for example --partition=gpu --account=a --time=2:00:00
#
# Called again as before, it submits the shards that are not finished, and the merge.
set -euo pipefail
# shellcheck source=scripts/steps.sh
source "$(dirname "${BASH_SOURCE[0]}")/../steps.sh"
here=$root/scripts/slurm

out="" shards=16 program="" setup="" bench_options="" merge_options="" suite="" tune=no dry_run=no find_kinds=no
sweeps=() kinds=() sbatch_options=()
while [ $# -gt 0 ]; do
  case $1 in
    --out) require_value "$@" && out=$2 && shift ;;
    --shards) require_value "$@" && shards=$2 && shift ;;
    --sweep) require_value "$@" && sweeps+=("$2") && shift ;;
    --suite) require_value "$@" && suite=$2 && shift ;;
    --kind) require_value "$@" && kinds+=("$2") && shift ;;
    --kinds)
      require_value "$@"
      [ "$2" = all ] || fail $exit_usage "--kinds $2: it must be all; --kind names one"
      find_kinds=yes
      shift
      ;;
    --tune) tune=yes ;;
    --program) require_value "$@" && program=$2 && shift ;;
    --setup) require_value "$@" && setup=$2 && shift ;;
    --bench) require_value "$@" && bench_options=$2 && shift ;;
    --merge) require_value "$@" && merge_options=$2 && shift ;;
    --dry-run) dry_run=yes ;;
    --help | -h) usage_of "$0" && exit 0 ;;
    --)
      shift
      sbatch_options=("$@")
      break
      ;;
    *) fail $exit_usage "there is no option $1; --help shows the options; those of sbatch come behind --" ;;
  esac
  shift
done
[ -n "$out" ] || fail $exit_usage "--out DIR is missing; --help shows the options"
require_count --shards "$shards"
if [ -n "$suite" ]; then
  [[ $suite =~ ^(smoke|standard|exhaustive)$ ]] || fail $exit_usage "--suite $suite: there are smoke, standard and exhaustive"
  [ ${#sweeps[@]} -eq 0 ] && [ $tune = no ] || fail $exit_usage "--suite validates; --sweep and --tune time"
  sweeps=("$suite")
elif [ ${#sweeps[@]} -eq 0 ]; then
  if [ $tune = yes ]; then sweeps=(tuning held_out); else sweeps=(quick); fi
fi
[ -n "$program" ] || program=$(command -v normquant) ||
  fail $exit_usage "there is no normquant on PATH; name it with --program"
program=$(realpath -e -- "$program") || fail $exit_usage "there is no program $program"
[ -z "$setup" ] || setup=$(realpath -e -- "$setup") || fail $exit_usage "the file of --setup is not there"
out=$(make_folder "$out")
names=() # of the sweeps' files
for i in "${!sweeps[@]}"; do
  if [ -z "$suite" ] && [ -f "${sweeps[i]}" ]; then sweeps[i]=$(realpath -- "${sweeps[i]}"); fi
  names+=("$(basename "${sweeps[i]}" .json)")
done
for word in "$out" "$program" "$setup" "${sweeps[@]}"; do
  [[ $word != *[[:space:],]* ]] || fail $exit_usage "'$word' holds a blank or a comma, which job scripts do not take"
done

# gpu_types: every type of GPU in the Gres of sinfo, as in gpu:a100:4(S:0-1),gpu:h100:8.
gpu_types() { sinfo --noheader --format=%G | grep -oE 'gpu:[^:(),]+:[0-9]+' | cut -d: -f2 | sort -u; }

if [ $find_kinds = yes ]; then
  mapfile -t types < <(gpu_types)
  [ ${#types[@]} -gt 0 ] || fail $exit_usage "sinfo shows no type of GPU; name them with --kind"
  for type in "${types[@]}"; do kinds+=("$type=--gres=gpu:$type:1"); done
fi
[ ${#kinds[@]} -gt 0 ] || kinds=("=--gres=gpu:1")

# finished FOLDER: its files that hold a line for every case that their first line plans; of a validation those whose run ended.
finished() {
  if [ -n "$suite" ]; then
    find "$1/tasks" -name "$suite.*.json" -size +0 -print0 2>/dev/null | xargs -0 -r grep -L '^  "not_run":' || true
    return
  fi
  find "$1/tasks" -name '*.jsonl' -size +0 -print0 2>/dev/null | xargs -0 -r awk '
    FNR == 1 { planned[FILENAME] = match($0, /"plan":{[^}]*"cases":[0-9]+/) ? substr($0, RSTART, RLENGTH) : "" }
    { ++lines[FILENAME] }
    END {
      for (file in planned) {
        sub(/.*:/, "", planned[file])
        if (planned[file] != "" && lines[file] > planned[file] + 0) print file
      }
    }'
}

# unfinished FOLDER: the shards that lack a file or a case, as --array takes them: 3,7-9.
unfinished() {
  local shard sweep file list="" first=0 left
  local -A is_finished=()
  while IFS= read -r file; do is_finished[$file]=yes; done < <(finished "$1")
  for ((shard = 1; shard <= shards + 1; ++shard)); do
    left=no
    for sweep in "${names[@]}"; do
      printf -v file '%s/tasks/%s.%05d.json' "$1" "$sweep" $shard
      [ -n "$suite" ] || file+=l
      if [ $shard -le "$shards" ] && [ -z "${is_finished[$file]:-}" ]; then left=yes; fi
    done
    if [ $left = yes ] && [ $first -eq 0 ]; then first=$shard; fi
    if [ $left = no ] && [ $first -ne 0 ]; then
      list+=${list:+,}$first
      if [ $first -lt $((shard - 1)) ]; then list+=-$((shard - 1)); fi
      first=0
    fi
  done
  echo "$list"
}

# submit COMMAND...: prints the job's number.
submit() {
  if [ $dry_run = yes ]; then
    printf '%q ' "$@" >&2
    echo >&2
    echo DRY
  else
    "$@" || fail $exit_infrastructure "sbatch refused: $*"
  fi
}

for kind in "${kinds[@]}"; do
  name=${kind%%=*}
  [[ $kind == *=* && $name =~ ^[A-Za-z0-9_.-]*$ ]] || fail $exit_usage "--kind $kind: it must be NAME=OPTIONS of sbatch"
  folder=$(make_folder "$out${name:+/$name}")
  make_folder "$folder/logs" >/dev/null
  export NORMQUANT=$program NORMQUANT_OUT=$folder NORMQUANT_SHARDS=$shards NORMQUANT_SWEEPS="${sweeps[*]}" NORMQUANT_SUITE=$suite \
    NORMQUANT_OPTIONS=$bench_options NORMQUANT_MERGE=$merge_options NORMQUANT_SETUP=$setup NORMQUANT_TABLE=""
  if [ $tune = yes ]; then NORMQUANT_TABLE=$folder/${name:-tuned}.table; fi
  read -r -a ask <<<"${kind#*=}"
  array=$(unfinished "$folder")
  after=()
  if [ -n "$array" ]; then
    job=$(submit sbatch --parsable --export=ALL --array="$array" --output="$folder/logs/%a.txt" "${sbatch_options[@]}" \
      "${ask[@]}" "$here/sweep.sbatch")
    job=${job%%;*}
    after=(--dependency="afterany:$job")
    echo "${name:+$name: }array $job, shards $array of $shards"
  else
    echo "${name:+$name: }all $shards shards are finished"
  fi
  job=$(submit sbatch --parsable --export=ALL --output="$folder/logs/merge.txt" "${sbatch_options[@]}" "${after[@]}" \
    "$here/merge.sbatch")
  echo "${name:+$name: }merge ${job%%;*}, into $folder"
done
