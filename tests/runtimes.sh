#!/bin/bash
# Unpacks newer versions of Debian's packages beside the machine's own, without installing anything.
# Usage: runtimes.sh FOLDER SUITE:PACKAGE...   The programs are then in FOLDER/SUITE/usr/bin.
#
# What cannot be had is said and is no failure here: the tests that need it say so again, by name.
set -u
folder=$1
shift

unpack() {
    local suite=$1 root=$folder/$1 state
    shift
    [ "$(cat "$root/.complete" 2>/dev/null)" = "$*" ] && return 0
    state=$(mktemp -d) || return 1
    mkdir -p "$root" "$state/lists/partial" "$state/cache/archives/partial"
    # Debian's archive, from where this machine already takes it, and Debian's keys.
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $archive $suite main" >"$state/sources.list"
    local options=(-q -oDir::State::Lists="$state/lists" -oDir::Etc::SourceList="$state/sources.list"
        -oDir::Etc::SourceParts=/dev/null -oDir::Cache="$state/cache" -oDir::State::status=/dev/null
        -oAPT::Sandbox::User=root)
    apt-get "${options[@]}" update &&
        (cd "$state" && apt-get "${options[@]}" download "$@") &&
        for package in "$state"/*.deb; do dpkg -x "$package" "$root" || return 1; done &&
        echo "$*" >"$root/.complete"
    local outcome=$?
    rm -rf "$state"
    return $outcome
}

archive=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
    grep -E '/debian/?$' | sort | uniq -c | sort -rn | awk 'NR == 1 { print $2 }')
suites=$(printf '%s\n' "$@" | cut -d: -f1 | sort -u)
for suite in $suites; do
    packages=$(printf '%s\n' "$@" | sed -n "s/^$suite://p")
    # shellcheck disable=SC2086 # a list of package names
    if ! output=$(unpack "$suite" $packages 2>&1); then
        echo "NOT HAD: $packages from Debian $suite; what needs them will not run" | tr '\n' ' '
        echo
        echo "$output" | tail -5
        # What was had before, with fewer packages, stays.
        [ -e "$folder/$suite/.complete" ] || rm -rf "${folder:?}/$suite"
    fi
done
exit 0
