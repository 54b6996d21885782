#!/usr/bin/env bash
# scripts/first_minutes.sh times what run.sh shows and adds a row; of a run that fails it adds none. The clone holds an invented
# run.sh, so that this takes seconds. Ends with 0, or 1 and a sentence.
set -euo pipefail

source_folder=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
fail() {
  echo "first_minutes_test: $*" >&2
  exit 1
}

mkdir scripts docs
cp "$source_folder/scripts/first_minutes.sh" "$source_folder/scripts/steps.sh" scripts/
cat >scripts/run.sh <<'RUN'
#!/usr/bin/env bash
echo "$*" >&2
[ "${CCACHE_DISABLE:-}" = 1 ] || exit 5
[ -z "${FAKE_STATUS:-}" ] || exit "$FAKE_STATUS"
sleep 1.2
echo "host norm_quant_forward"
echo "  variant                    passed  wrong skipped errors worst/bound  ambiguous"
sleep 1.2
RUN
chmod +x scripts/*.sh
printf '# Times\n\n| date | commit | machine | first verdict | main job | release build |\n| - | - | - | - | - | - |\n' \
  >docs/build_times.md
git init --quiet && git add . && git -c user.name=x -c user.email=x@example.org commit --quiet -m one

before=$(wc -l <docs/build_times.md)
scripts/first_minutes.sh --no-release >printed || fail "status $? of a run that went well: $(cat printed)"
row=$(tail -n 1 docs/build_times.md)
commit=$(git rev-parse --short HEAD)
pattern="^\| 20[0-9-]{8} \| $commit \| [0-9]+ cores, .*, load [0-9.]+ \| [12] s \| [2-4] s \| - \|$"
[[ $row =~ $pattern ]] || fail "the row is '$row'"
[ "$(wc -l <docs/build_times.md)" -eq $((before + 1)) ] || fail "more than a row was added"

status=0
FAKE_STATUS=77 scripts/first_minutes.sh --no-release >printed 2>&1 || status=$?
[ $status -eq 77 ] || fail "status $status of a run that ended with 77: $(cat printed)"
[ "$(wc -l <docs/build_times.md)" -eq $((before + 1)) ] || fail "a row was added for a run that failed"

status=0
scripts/first_minutes.sh --out /no/such/file >printed 2>&1 || status=$?
[ $status -eq 2 ] || fail "status $status for a file that is not there: $(cat printed)"
