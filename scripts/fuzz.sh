#!/bin/sh
# Runs every fuzz target of the module for a while, one after the other.
#
#	scripts/fuzz.sh [TIME]   such as 10s (the default) or 5m
set -eu
cd "$(dirname "$0")/.."
time=${1:-10s}
found=
for file in $(find . -name '*_test.go' -not -path './.tools/*' -exec grep -l '^func Fuzz' {} + | sort); do
	for target in $(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$file"); do
		found=yes
		echo "$(dirname "$file") $target"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$(dirname "$file")"
	done
done
[ -n "$found" ] || { echo "fuzz: no fuzz target found" >&2; exit 1; }
