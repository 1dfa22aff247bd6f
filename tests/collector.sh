#!/bin/bash
# Unpacks a collector of logs (rotel, from PyPI) into FOLDER, without installing anything.
# Usage: collector.sh FOLDER VERSION   The program is then FOLDER/VERSION/rotel/rotel-agent.
#
# What cannot be had is said and is no failure here: the test that needs it says so again, by name.
set -u
folder=$1/$2
[ -x "$folder/rotel/rotel-agent" ] && exit 0
state=$(mktemp -d) || exit 1
trap 'rm -rf "$state"' EXIT
if output=$(python3 -m pip download --quiet --no-deps --dest "$state" "rotel==$2" 2>&1 &&
    mkdir -p "$folder" && python3 -m zipfile -e "$state"/*.whl "$folder" 2>&1); then
    chmod 0755 "$folder/rotel/rotel-agent"
else
    echo "NOT HAD: rotel $2 from PyPI; what needs it will not run"
    echo "$output" | tail -5
fi
exit 0
