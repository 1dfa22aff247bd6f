#!/bin/sh
# After the files are in place: dpkg's postinst and rpm's %post.
#
# Enables and starts nothing: a gate without a policy refuses every image, and a node that starts one stops. A gate that
# runs is restarted when the new program takes this node's configuration and policies, and is left alone otherwise.
set -e

case "$1" in
configure) before=$2 ;; # dpkg: the version that was here before, empty where there was none
1) before= ;;           # rpm: how many versions there are now
[2-9]*) before=some ;;
*) exit 0 ;;
esac

say() { echo "sealgate: $*" >&2; }

# So that a purge finds the links by which an operator enabled the units, and takes them away.
if [ -n "$DPKG_MAINTSCRIPT_NAME" ] && command -v deb-systemd-helper >/dev/null; then
    for unit in sealgate.service sealgate.socket sealgate-control.socket sealgate-export.service \
        sealgate-trust-update.timer; do
        deb-systemd-helper update-state "$unit" >/dev/null || true
    done
fi

[ -d /run/systemd/system ] || exit 0
systemctl daemon-reload || true
if [ -z "$before" ]; then
    say "nothing was enabled or started: /usr/share/doc/sealgate/docs/operate/install.md has the next steps"
    exit 0
fi

# As the machine's policy-rc.d wants it, where there is one.
restart() {
    if [ -n "$DPKG_MAINTSCRIPT_NAME" ] && command -v deb-systemd-invoke >/dev/null; then
        deb-systemd-invoke restart "$1"
    else
        systemctl restart "$1"
    fi
}

if systemctl -q is-active sealgate.service; then
    if faults=$(timeout 60 sealgate policy check 2>&1); then
        # The sockets stay: who connects meanwhile waits in their queue.
        say "restarting the gate, which first ends the calls in flight (listen.drain_seconds at most)"
        restart sealgate.service || say "the restart FAILED: journalctl -u sealgate.service; systemd tries again"
    else
        say "the gate was NOT restarted and runs on as the version before: the new version does not take this node's policies:"
        echo "$faults" >&2
        say "mend them, then: sealgate policy check && systemctl restart sealgate"
    fi
fi
if systemctl -q is-active sealgate-export.service; then
    restart sealgate-export.service || say "the restart of sealgate-export.service FAILED; systemd tries again"
fi
exit 0
