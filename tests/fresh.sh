#!/bin/bash
# Lays a fresh Debian with these packages in FOLDER/SUITE, for tests that install something. It takes two minutes, and is
# made once.
# Usage: fresh.sh FOLDER SUITE PACKAGE...
#
# What cannot be had is said and is no failure here: the test that needs it says so again, by name.
set -u
root=$1/$2 suite=$2
shift 2
packages=$(tr ' ' , <<<"$*")
[ "$(cat "$root.packages" 2>/dev/null)" = "$packages" ] && exit 0
[ "$(id -u)" = 0 ] || { echo "NOT HAD: a fresh Debian $suite, which takes root; what needs it will not run"; exit 0; }
archive=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
    grep -E '/debian/?$' | sort | uniq -c | sort -rn | awk 'NR == 1 { print $2 }')
mkdir -p "$(dirname "$root")"
rm -rf "$root.part" "$root" "$root.packages"
if output=$(mmdebstrap --quiet --variant=apt --include="$packages" --aptopt='APT::Sandbox::User "root"' \
    "$suite" "$root.part" "$archive" 2>&1); then
    mv "$root.part" "$root" && echo "$packages" >"$root.packages"
else
    rm -rf "$root.part"
    echo "NOT HAD: a fresh Debian $suite; what needs it will not run"
    echo "$output" | tail -5
fi
exit 0
