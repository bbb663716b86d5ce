#!/bin/sh
# Fetches a kernel for the live tests that need one of their own:
#
#     .ci/guest.sh DIR
#     COCAINED_GUEST=DIR COCAINED_LIVE=1 \
#         python -m twisted.trial \
#             cocained.test.live.test_gateways_ipvs cocained.test.live.test_isolates_guest
#
# DIR/boot and DIR/lib/modules are those of the distribution's kernel for virtual
# machines; nothing is installed.  What is there already is kept, so DIR can be
# cached.
set -eu

here=${1:?usage: $0 DIR}
mkdir -p "$here"
here=$(cd "$here" && pwd)
[ ! -e "$here/done" ] || exit 0

named() {
    apt-cache depends linux-image-cloud-amd64 2>/dev/null |
        sed -n 's/^ *Depends: \(linux-image-[^ ]*\)$/\1/p' | head -n 1
}
package=$(named)
if [ -z "$package" ] && [ "$(id -u)" = 0 ]; then
    apt-get update -qq -o DPkg::Lock::Timeout=600
    package=$(named)
fi
[ -n "$package" ] || { echo "apt knows no linux-image-cloud-amd64" >&2; exit 1; }
rm -rf "$here/boot" "$here/lib" "$here/download"
mkdir "$here/download"
(cd "$here/download" && apt-get download -qq "$package" 2>/dev/null) ||
    { echo "$package cannot be downloaded" >&2; exit 1; }
dpkg -x "$here"/download/*.deb "$here"
rm -rf "$here/download" "$here/usr"
depmod -b "$here" "$(ls "$here/lib/modules")"
touch "$here/done"
