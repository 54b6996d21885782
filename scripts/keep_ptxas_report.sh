#!/usr/bin/env bash
# Runs a compilation and keeps what ptxas reported of the kernels (option -Xptxas -v) out of the build's output.
#
#   scripts/keep_ptxas_report.sh OBJECT COMMAND...
#
# Called by the build (cmake/NormquantResources.cmake). The report goes to OBJECT.ptxas; every other message goes to standard
# error as always. Ends with the status of COMMAND.
set -uo pipefail
object=$1
shift
case " $* " in *" -Xptxas "*) ;; *) exec "$@" ;; esac

messages=$(mktemp) || exec "$@"
trap 'rm -f "$messages"' EXIT
"$@" 2>"$messages"
status=$?
is_report='^ptxas info  |^    [0-9]+ bytes stack frame'
grep -Ev "$is_report" "$messages" >&2
if [ $status -eq 0 ]; then grep -E "$is_report" "$messages" | grep -v 'Compile time' >"$object.ptxas"; fi
exit $status
