#!/bin/bash
# Builds the deb and the rpm, from a program that is there.
# Usage: build.sh PROGRAM FOLDER [VERSION]   in the root of the checkout; the version is Cargo.toml's when left out.
#
# NFPM names nfpm's program, MAINTAINER who answers for the packages, SOURCE_DATE_EPOCH the time of every file in them (the
# last commit's when not set). The same program, version and time make the same bytes, in whatever folder. COMPRESSION=fast is for tests: larger packages, sooner.
set -euo pipefail
program=$1 folder=$2
version=${3:-$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)}
nfpm=${NFPM:?the program of nfpm, as make packages has it}
maintainer=${MAINTAINER:?who answers for the packages, as in: Example Operations <ops@example.com>}
[ -x "$program" ] || { echo "there is no program $program to pack: cargo build --release" >&2; exit 1; }
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)} || {
    echo "no checkout that tells the time of the last commit: set SOURCE_DATE_EPOCH" >&2
    exit 1
}
export SOURCE_DATE_EPOCH LC_ALL=C TZ=UTC
umask 022

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tree=$work/tree

# The highest version of each library's symbols that the program asks for: measured, so that the packages demand no less.
needs=$(objdump -p "$program" | awk '/required from/ { sub(":", "", $3); library = $3 } library && $4 ~ /_/ { print library, $4 }' |
    sort -V | awk '{ last[$1] = $2 } END { for (library in last) print library, last[library] }' | sort)
floor() { sed -n "s/.* $1_//p" <<<"$needs" | sort -V | tail -n 1; }
glibc=$(floor GLIBC) gcc=$(floor GCC)
[ -n "$glibc" ] && [ -n "$gcc" ] || { echo "$program does not say which libraries it needs" >&2; exit 1; }
# Debian's libgcc-s1 has the number of the compiler that it comes with: 12 for symbols of GCC_12.0.0.
deb="'libc6 (>= $glibc)', 'libgcc-s1 (>= $(cut -d. -f1,2 <<<"$gcc" | sed 's/\.0$//'))'"
rpm="'systemd', '/bin/sh'$(awk '$1 !~ /^ld-/ { printf ", \x27%s(%s)(64bit)\x27", $1, $2 }' <<<"$needs")"
case $(objdump -f "$program" | sed -n 's/^architecture: \([^,]*\),.*/\1/p') in
i386:x86-64) arch=amd64 ;;
aarch64) arch=arm64 ;;
*) echo "$program is for neither x86-64 nor arm64" >&2; exit 1 ;;
esac

make -s install PROGRAM="$program" DESTDIR="$tree" ZSHDIR=/zsh >/dev/null
gzip -9n "$tree"/usr/share/man/man*/*
mv "$tree/usr/share/doc/sealgate/LICENSE" "$tree/LICENSE"
mkdir -p "$tree/deb/usr/share" "$tree/rpm/usr/share"
mv "$tree/usr/share/doc" "$tree/usr/share/man" "$tree/rpm/usr/share/"
cp -r "$tree/rpm/usr/share/doc" "$tree/rpm/usr/share/man" "$tree/deb/usr/share/"
install -D -m 0644 "$tree/zsh/_sealgate" "$tree/rpm/usr/share/zsh/site-functions/_sealgate"
install -D -m 0644 "$tree/zsh/_sealgate" "$tree/deb/usr/share/zsh/vendor-completions/_sealgate"
install -D -m 0644 packaging/package/lintian-overrides "$tree/deb/usr/share/lintian/overrides/sealgate"
install -m 0644 packaging/package/copyright "$tree/deb/usr/share/doc/sealgate/copyright"
find "$tree" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +

mtime=$(date -d "@$SOURCE_DATE_EPOCH" +%FT%TZ)
cat >"$work/changelog.yaml" <<END
- semver: $version-1
  date: $mtime
  packager: $maintainer
  deb: {urgency: medium, distributions: [unstable]}
  changes: [{note: "Release $version; CHANGELOG.md beside the documents says what changed."}]
END
# What rpm can leave out, and the folders that are the package's own.
(
    cd "$tree/rpm"
    find usr/share/doc/sealgate -type d | sort | sed 's#.*#  - {dst: /&, type: dir, packager: rpm}#'
    find usr -type f ! -path '*/zsh/*' | sort | sed "s#.*#  - {src: $tree/rpm/&, dst: /&, type: doc, packager: rpm}#"
) >"$work/documents"
compress=(xz zstd)
[ "${COMPRESSION:-best}" = best ] || compress=(gzip gzip:1)
mkdir -p "$folder"
for format in deb rpm; do
    sed -e "/@DOCUMENTS@/{r $work/documents
        d}" -e "s#@TREE@#$tree#; s#@ARCH@#$arch#; s#@VERSION@#$version#; s#@MAINTAINER@#$maintainer#" \
        -e "s#@MTIME@#$mtime#; s#@WORK@#$work#; s#@DEPENDS_DEB@#$deb#; s#@DEPENDS_RPM@#$rpm#" \
        -e "s#@COMPRESS_DEB@#${compress[0]}#; s#@COMPRESS_RPM@#${compress[1]}#" \
        packaging/package/nfpm.yaml >"$work/nfpm.yaml"
    "$nfpm" package --config "$work/nfpm.yaml" --packager "$format" --target "$folder" >"$work/said" || {
        cat "$work/said" >&2
        exit 1
    }
done
echo "needs glibc $glibc or newer"
