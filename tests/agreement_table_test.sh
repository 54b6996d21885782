#!/usr/bin/env bash
# scripts/agreement.py on invented records: the ratios and what lies within the targets.
set -euo pipefail
python=$1
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fails() { echo "agreement_table_test: $*" >&2 && exit 1; }

records() { # FILE STEADY COLD
  echo '{"kind":"environment","gpu":{"name":"Invented","driver":"1"},"commit":"c","events":{"nothing_us":1.5,"empty_us":2.5}}' >"$1"
  printf '{"kind":"timing","verdict":"pass","op":"forward","variant":"auto","shape":"2x2","dtype":"float32","form":"rms","median_us":%s,"cold":{"median_us":%s}}\n' \
    "$2" "$3" >>"$1"
}
records "$work/a" 20 25
records "$work/b" 20.1 25.5
cat >"$work/ncu" <<'END'
case,forward/auto/2x2/float32/rms
"ID","Kernel Name","Metric Name","Metric Unit","Metric Value"
"0","one","gpu__time_duration.sum","us","99"
"1","one","gpu__time_duration.sum","us","24.5"
"2","one","gpu__time_duration.sum","ns","24,700"
"3","prepares","gpu__time_duration.sum","us","500"
"3","flush_by_writing(uint4 *)","gpu__time_duration.sum","us","60"
"3","flush_by_writing(uint4 *)","gpu__time_duration.sum","us","60"
"3","flush_by_writing(uint4 *)","gpu__time_duration.sum","us","60"
"4","empty_kernel()","gpu__time_duration.sum","us","1.2"
"5","empty_kernel()","gpu__time_duration.sum","ns","1,300"
"6","empty_kernel()","gpu__time_duration.sum","us","9"
END
"$python" "$root/scripts/agreement.py" --measured "$work/a" --again "$work/b" --ncu "$work/ncu" >"$work/out"
grep -q '| 20.000 | 20.100 | 1.0050 | 25.000 | 25.500 | 1.0200 |' "$work/out" || fails "the two processes: $(cat "$work/out")"
grep -q '^steady: 1 of 1 within 1%' "$work/out" || fails "steady is within 1%: $(cat "$work/out")"
grep -q '^cold: 0 of 1 within 1%' "$work/out" || fails "cold is not within 1%: $(cat "$work/out")"
grep -q '| 1 | 24.600 | 25.000 | 1.0163 | 20.000 | 0.8130 |' "$work/out" || fails "against ncu: $(cat "$work/out")"
grep -q 'Of 1 cases of one kernel above 10 us, 1 are within 2%' "$work/out" || fails "the target: $(cat "$work/out")"
grep -q 'the empty kernel itself (ncu)   1.300 us, 3 launches from 1.200 to 9.000' "$work/out" || fails "the empty kernel"
long='{"kind":"timing","verdict":"pass","op":"forward","variant":"auto","shape":"%s","dtype":"float32","form":"rms","median_us":20,"rides_boost":%s,"sustained":{"median_us":%s,"settled_after_s":0.5,"boost_us":20,"sm_clock_mhz":1650,"boost_mhz":1980,"power_w":700}}\n'
{ head -n 1 "$work/a"; printf "$long" 2x2 false 20.08; printf "$long" 4x4 false 20.2; printf "$long" 8x8 true 24; } >"$work/long"
"$python" "$root/scripts/agreement.py" --measured "$work/a" --again "$work/b" --sustained "$work/long" >"$work/out"
grep -q '| 20.000 | 24.000 | 1.2000 | 1980 | 1650 | 0.50 | 20.000 | 700 |' "$work/out" || fails "clocks: $(cat "$work/out")"
grep -q '^1 of 3 steady figures were taken at a clock that does not hold' "$work/out" || fails "boost: $(cat "$work/out")"
grep -q '^Of the others 1 of 2 are within 0.5%; farthest: 1.0100' "$work/out" || fails "the wall clock: $(cat "$work/out")"
for broken in "" "hello" '{"kind":"environment"}' '[1]'; do
  echo "$broken" >"$work/broken"
  status=0
  "$python" "$root/scripts/agreement.py" --measured "$work/broken" --again "$work/b" >"$work/out" 2>&1 || status=$?
  [ $status -eq 2 ] || fails "a broken record file ('$broken') gives status $status, not 2: $(cat "$work/out")"
done
echo "agreement_table_test: passed"
