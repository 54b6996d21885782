#!/usr/bin/env bash
# scripts/layer_table.py judges invented records by the right targets, refuses what is no record file, and makes
# reports/measured/h100/layer.md of the records beside it.
#
#   tests/layer_table_test.sh PYTHON
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=$1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
table() { "$python" "$root/scripts/layer_table.py" "$@"; }
fail() {
  echo "layer_table_test: $1"
  exit 1
}

# timing OP MxN FORM VARIANT MICROSECONDS [VERDICT]
timing() {
  echo "{\"kind\":\"timing\",\"op\":\"$1\",\"shape\":\"$2\",\"form\":\"$3\",\"variant\":\"$4\",\"median_us\":$5," \
    "\"auto_variant\":\"packed\",\"verdict\":\"${6:-pass}\"}"
}
# product MxK_inxK_out WAY MICROSECONDS
product() {
  echo "{\"kind\":\"product\",\"shape\":\"$1\",\"way\":\"$2\",\"median_us\":$3,\"tera_operations_per_s\":800}"
}
triton() { echo "{\"impl\":\"triton\",\"what\":\"$2\",\"shape\":\"$1\",\"us\":$3}"; }

forward=bit_linear_forward large=8192x4096x4096
{
  timing $forward 8192x4096 rms fake_quantised 400
  timing $forward 8192x4096 rms integer 300
  timing $forward 8192x4096 rms integer_fused 240
  timing $forward 8192x4096 rms broken 1 wrong
  timing $forward 8192x4096 rms+training integer 310
  timing bit_linear_backward 8192x4096 rms fake_quantised 690
  timing $forward 16x4096 rms+cached packed 5
  timing $forward 16x4096 rms+cached fake_quantised 18
} >"$scratch/layer.jsonl"
{
  product $large bfloat16 340
  product $large int8 200
  product $large "int8 fused" 210
  product $large "bfloat16 dy" 300
  product $large "bfloat16 dlinear_weight" 300
  product 16x4096x4096 bfloat16 16
  product 16x4096x4096 packed 5
  product 16x4096x4096 "packed by 4 warps" 1
} >"$scratch/products.jsonl"
{
  triton $large forward 600
  triton $large forward+backward 1200
} >"$scratch/triton.jsonl"
table --bench "$scratch/layer.jsonl" --products "$scratch/products.jsonl" --triton "$scratch/triton.jsonl" >"$scratch/layer.md"

expect() { grep -qF -- "$1" "$scratch/layer.md" || fail "the table lacks: $1"; }
expect "| $large | forward | fake_quantised | 400.0 | 600.0 | 1.50 |  | 15.0% (met) |"
expect "| $large | forward | integer | 300.0 | 600.0 | 2.00 |  | 33.3% (missed) |"
expect "| $large | forward | integer_fused | 240.0 | 600.0 | 2.50 | 1.5 met | 12.5% (met) |"
expect "| $large | int8 fused | 210.00 | 800 | 1.62 |"
expect "| $large | forward + backward | integer | 1000.0 | 1200.0 | 1.20 | 1.25 missed | 20.0% (missed) |"
expect "| 16x4096x4096 | packed | 5.00 | 800 | 3.20 (missed) |"
expect "| 16x4096x4096 | 18.00 |  | 5.00 | 3.60 | packed |"
if grep -qE "broken|by 4 warps" "$scratch/layer.md"; then fail "what was wrong, or a tuning shape, is in the table"; fi

echo "not a record" >"$scratch/bad.jsonl"
for wrong in "$scratch/bad.jsonl" "$scratch/none.jsonl"; do
  status=0
  table --bench "$wrong" --products "$scratch/products.jsonl" --triton "$scratch/triton.jsonl" >/dev/null 2>"$scratch/why" || status=$?
  if [ $status -ne 2 ] || [ ! -s "$scratch/why" ]; then fail "$wrong was not refused with status 2 and a sentence"; fi
done

records=$root/reports/measured/h100
table --bench "$records/layer.jsonl" --products "$records/layer_products.jsonl" --triton "$records/layer_triton.jsonl" |
  diff - "$records/layer.md" || fail "reports/measured/h100/layer.md is not what its records say"
