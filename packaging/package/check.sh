#!/bin/bash
# Looks the packages of FOLDER over: lintian and rpmlint may say nothing but what lintian-overrides and rpmlint.toml name
# with a reason, and rpm's own digests must hold.
# Usage: check.sh FOLDER   in the root of the checkout.
set -euo pipefail
lintian --allow-root --tag-display-limit 0 --fail-on error,warning "$1"/*.deb
said=$(rpmlint --config packaging/package/rpmlint.toml "$1"/*.rpm) || { echo "$said"; exit 1; }
grep -q ' 0 errors, 0 warnings' <<<"$said" || { echo "$said"; exit 1; }
said=$(rpm --checksig --nosignature "$1"/*.rpm) || { echo "$said"; exit 1; }
echo "lintian, rpmlint and rpm find no fault"
