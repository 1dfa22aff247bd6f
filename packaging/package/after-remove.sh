#!/bin/sh
# After the files are gone: dpkg's postrm and rpm's %postun.
#
# A purge takes away what the gate was told and what it can get again: /etc/sealgate with policies, keys and credentials,
# /var/lib/sealgate with evidence, trust roots and the key that signs the log. It keeps the audit log: that is the record of
# what this node ran, which nobody can write again, and which is wanted most where somebody removes a gate to hide something.
set -e

log=/var/log/sealgate
say() { echo "sealgate: $*" >&2; }

case "$1" in
remove | 0)
    if [ -d /run/systemd/system ]; then systemctl daemon-reload || true; fi
    rm -f /run/sealgate/cri.sock /run/sealgate/control.sock
    rmdir --ignore-fail-on-non-empty /run/sealgate 2>/dev/null || true
    if [ "$1" = 0 ]; then
        say "your files in /etc/sealgate, and /var/lib/sealgate and $log with the audit log, stay; rm -r them when nobody needs them"
    fi
    ;;
purge)
    if [ -n "$DPKG_MAINTSCRIPT_NAME" ] && command -v deb-systemd-helper >/dev/null; then
        for unit in sealgate.service sealgate.socket sealgate-control.socket sealgate-export.service \
            sealgate-trust-update.timer; do
            deb-systemd-helper purge "$unit" >/dev/null || true
        done
    fi
    rm -rf /etc/sealgate /var/lib/sealgate
    if [ -d "$log" ]; then rmdir --ignore-fail-on-non-empty "$log"; fi
    if [ -d "$log" ]; then say "KEPT $log: the audit log, the record of what this node ran. When nobody needs it: rm -r $log"; fi
    ;;
esac
exit 0
