#!/bin/bash
# Installs the Debian packages that are missing. Beyond that the machine stays as it is: no package is removed or replaced
# for them, and no service that they bring is started or left enabled.
# Usage: deps.sh FOLDER PACKAGE...
#
# A package that could only be installed by removing another (Debian's containerd where Docker's containerd.io is,
# busybox-static where busybox is) is unpacked under FOLDER instead, whose programs the Makefile puts last in PATH.
set -euo pipefail
folder=$1
shift
policy=${POLICY_RC_D:-/usr/sbin/policy-rc.d}

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

# Docker's package holds both programs.
provided() {
    case $1 in
    containerd | runc) installed containerd.io ;;
    *) return 1 ;;
    esac
}

missing=()
for package in "$@"; do
    installed "$package" || provided "$package" || [ -e "$folder/.unpacked/$package" ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0
[ "$(id -u)" = 0 ] || exec sudo "$0" "$folder" "$@"

apt-get update -q
install=() unpack=()
for package in "${missing[@]}"; do
    plan=$(apt-get install -s -y --no-install-recommends "$package") || { echo "$plan" >&2; exit 1; }
    if grep -q '^Remv ' <<<"$plan"; then
        echo "$package is unpacked under $folder and not installed, since that would remove:" \
            "$(sed -n 's/^Remv \([^ ]*\).*/\1/p' <<<"$plan" | tr '\n' ' ')"
        unpack+=("$package")
    else
        install+=("$package")
    fi
done

if [ ${#unpack[@]} -gt 0 ]; then
    mkdir -p "$folder/.unpacked" "$folder/.archives"
    for package in "${unpack[@]}"; do
        (cd "$folder/.archives" && rm -f ./*.deb && apt-get download -q "$package" && dpkg -x ./*.deb "$folder")
        touch "$folder/.unpacked/$package"
    done
    rm -rf "$folder/.archives"
fi
[ ${#install[@]} -gt 0 ] || exit 0

echo "installing from Debian, with what they depend on: ${install[*]}"
echo "services that come along are neither started nor left enabled"
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
packages() { dpkg-query -W -f '${Package} ${db:Status-Status}\n' | sed -n 's/ installed$//p' | sort -u; }
before=$(packages)
DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends --no-remove "${install[@]}"
# systemd's own units are the machine's, not a service that somebody did not ask for.
for package in $(comm -13 <(echo "$before") <(packages) | grep -v '^\(lib\)\?systemd' || :); do
    for unit in $(dpkg-query -L "$package" | sed -nE 's#^(/usr)?/lib/systemd/system/([^/]+\.(service|socket|timer))$#\2#p'); do
        if [ "$(systemctl is-enabled "$unit" 2>/dev/null)" = enabled ]; then
            systemctl disable -q "$unit"
            echo "disabled $unit, which came with $package"
        fi
    done
done
