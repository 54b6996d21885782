#!/usr/bin/env bash
# scripts/standing.py makes reports/h200/standing.md of the records beside it, and refuses what is no record file.
#
#   tests/standing_table_test.sh PYTHON
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=$1
cd "$root/reports/h200"
"$python" "$root/scripts/standing.py" --triton triton.jsonl standing.jsonl backward_more.jsonl activation_quant.jsonl |
  diff - standing.md

for wrong in standing.md environment.json missing.jsonl; do
  status=0
  "$python" "$root/scripts/standing.py" "$wrong" >/dev/null 2>&1 || status=$?
  [ "$status" -eq 2 ] || { echo "standing.py $wrong ended with status $status, not 2"; exit 1; }
done
