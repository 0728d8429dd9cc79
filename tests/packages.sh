# SPDX-License-Identifier: Apache-2.0
# Read by tests/run.sh and examples/run.sh: mtl_need_packages PACKAGE... installs the Debian packages that are missing.
# Nothing is done, and no right is needed, when they are all there or the system is not Debian's kind.

mtl_need_packages() {
    command -v dpkg-query >/dev/null && command -v apt-get >/dev/null || return 0
    mtl_missing=
    for mtl_package in "$@"; do
        dpkg-query -W -f '${db:Status-Status}\n' "$mtl_package" 2>/dev/null | grep -qx installed ||
            mtl_missing="$mtl_missing $mtl_package"
    done
    [ -n "$mtl_missing" ] || return 0
    mtl_as_root=
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || {
            echo "missing packages:$mtl_missing; install them as root, there is no sudo" >&2
            return 1
        }
        mtl_as_root=sudo
    fi
    echo "== installing:$mtl_missing"
    mtl_log=$(mktemp)
    if ! { $mtl_as_root apt-get update -q &&
        $mtl_as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $mtl_missing; } \
        >"$mtl_log" 2>&1; then
        tail -n 20 "$mtl_log" >&2
        echo "apt-get could not install:$mtl_missing" >&2
        rm -f "$mtl_log"
        return 1
    fi
    rm -f "$mtl_log"
}
