#!/usr/bin/env bash
# side_by_side.sh COMMAND... -- COMMAND...: two commands at a time. The first is shown as it goes,
# the second, which stands back, when both are done; it fails when either does.
set -uo pipefail
first=()
while [ "$1" != -- ]; do
	first+=("$1")
	shift
done
shift
said=$(mktemp)
# A shell has what it starts beside itself ignore an interruption.
env --default-signal=INT nice "$@" >"$said" 2>&1 &
beside=$!
trap 'kill -INT "$beside" 2>/dev/null; wait "$beside"; cat "$said"; rm -f "$said"' EXIT
"${first[@]}"
status=$?
wait "$beside"
other=$?
exit $((status ? status : other))
