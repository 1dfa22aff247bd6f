#!/bin/bash
# skipped.sh FILE: one line that says which tests did not run, and why. The tests write FILE, a line each
# (tests/support/skipped.rs); no FILE is no such test.
set -euo pipefail
[ -s "$1" ] || { echo "skipped: none"; exit 0; }
sort -u "$1" | awk '{ all = all (NR > 1 ? "; " : "") $0 } END { print "skipped: " NR " (" all ")" }'
