# -*- test-case-name: cocained.test.test_testing_docker -*-
"""
Programs of the system that demonstrations and live tests start.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable

from cocained.errors import CocainedError

#: Programs that are started by what is in this package, and the packages of
#: Debian that have them.
PROGRAMS = {
    "busybox": "busybox-static",
    "cpio": "cpio",
    "docker-init": "docker.io",
    "docker-registry": "docker-registry",
    "dockerd": "docker.io",
    "htpasswd": "apache2-utils",
    "ip": "iproute2",
    "ipvsadm": "ipvsadm",
    "ldd": "libc-bin",
    "modprobe": "kmod",
    "nft": "nftables",
    "nsenter": "util-linux",
    "podman": "podman",
    "qemu-system-x86_64": "qemu-system-x86",
    "runc": "runc",
    "setpriv": "util-linux",
    "unshare": "util-linux",
}


class LabError(CocainedError):
    """Something that is needed is missing or went wrong, with the remedy."""


def lacking(programs: Iterable[str]) -> dict[str, str]:
    """
    Look for programs.

    :returns: those of them that are not here, with the package of each.
    """
    return {each: PROGRAMS[each] for each in programs if shutil.which(each) is None}


def require(programs: Iterable[str]) -> None:
    """
    See that programs are here.

    :raises LabError: some are not; says which packages bring them.
    """
    missing = lacking(programs)
    if missing:
        packages = " ".join(sorted(set(missing.values())))
        raise LabError(f"no {', '.join(missing)}: apt-get install {packages}")
