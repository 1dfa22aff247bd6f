#!/bin/sh
# Before the files are taken away for good: dpkg's prerm and rpm's %preun. An upgrade stops nothing.
#
# Refuses where the kubelet of this node uses the gate: without its runtime a node starts nothing any more.
set -e

case "$1" in
remove | 0) ;;
*) exit 0 ;;
esac

socket=sealgate/cri.sock
uses=$(
    grep -lsrF "$socket" /var/lib/kubelet/kubeadm-flags.env /var/lib/kubelet/config.yaml /etc/default/kubelet \
        /etc/sysconfig/kubelet /etc/kubernetes/kubelet /etc/kubernetes/kubelet.conf.d /etc/kubernetes/kubelet.d \
        /etc/rancher/k3s /etc/rancher/rke2 /etc/systemd/system/kubelet.service /etc/systemd/system/kubelet.service.d || true
    for process in /proc/[0-9]*; do
        case "$(cat "$process/comm" 2>/dev/null)" in
        kubelet* | k3s* | rke2*) grep -lsaF "$socket" "$process/cmdline" || true ;;
        esac
    done
)
if [ -n "$uses" ]; then
    {
        echo "sealgate: NOT removed: the kubelet of this node uses the gate, as these say:"
        echo "$uses" | sed 's/^/  /'
        echo "sealgate: point it back at the container runtime and restart it, then remove this package again"
    } >&2
    exit 1
fi

units="sealgate-trust-update.timer sealgate-export.service sealgate.service sealgate.socket sealgate-control.socket"
if [ -d /run/systemd/system ]; then
    stop="systemctl stop"
    # As the machine's policy-rc.d wants it, where there is one.
    if [ -n "$DPKG_MAINTSCRIPT_NAME" ] && command -v deb-systemd-invoke >/dev/null; then stop="deb-systemd-invoke stop"; fi
    # shellcheck disable=SC2086 # lists
    $stop $units
fi
# What dpkg removes may come back, enabled as it was, until it is purged; what rpm removes is gone.
if [ "$1" = 0 ] && command -v systemctl >/dev/null; then
    # shellcheck disable=SC2086 # a list
    systemctl --no-reload disable $units >/dev/null 2>&1 || true
fi
exit 0
