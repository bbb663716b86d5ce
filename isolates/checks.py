# -*- test-case-name: cocained.test.test_isolates_checks -*-
"""
What an app asks of its isolate, held against what this machine can do.

Each check ends well or with an error that names the argument, the reason and
the remedy; ``start_app`` answers with it.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import resource
import shutil
from collections.abc import Callable, Iterable, Mapping

from cocained.errors import SpoolError
from cocained.isolates.keys import UNLIMITED, LimitName, ProcessArgs, soft_and_hard
from cocained.isolates.launch import PACKAGES, Identity

#: Where system programs may be that a service's ``PATH`` does not name.
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

#: Number of the capability that lets a process raise its hard limits.
CAP_SYS_RESOURCE = 24


def refused(key: str, reason: str, code: int = errno.EINVAL) -> SpoolError:
    """Make the error of an argument that cannot be had."""
    return SpoolError(f"isolate argument {key!r}: {reason}", code)


def needed_tools(args: ProcessArgs) -> dict[str, str]:
    """Name the programs that a launch needs, and the argument that needs each."""
    needed = {}
    if args.wants_group:
        needed["sh"] = "contain"
    if args.rlimits:
        needed["prlimit"] = "rlimits"
    if args.no_new_privs:
        needed["setpriv"] = "no_new_privs"
    if args.user:
        needed["setpriv"] = "user"
    if args.sandbox == "bwrap":
        needed["bwrap"] = "sandbox"
    return needed


def find_tools(needed: Mapping[str, str], path: str | None = None) -> dict[str, str]:
    """
    Find programs.

    :param needed: name to the argument that needs it.
    :param path: directories; by default ``PATH`` and those of the system.
    :raises SpoolError: one is not installed; names its package.
    """
    if path is None:
        path = f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}"
    found = {}
    for name, key in needed.items():
        place = shutil.which(name, path=path)
        if place is None:
            raise refused(
                key,
                f"needs the program {name}, which is not installed; install it"
                f" (Debian: apt-get install {PACKAGES[name]})",
                errno.ENOENT,
            )
        found[name] = place
    return found


def identify(text: str, euid: int) -> Identity:
    """
    Find the user that workers run as.

    :param text: ``user`` or ``user:group``, by name or number.
    :param euid: who the node is.
    :raises SpoolError: there is no such user, or the node may not change to it.
    """
    wanted, _, group = text.partition(":")
    try:
        is_number = wanted.isdecimal()
        known = pwd.getpwuid(int(wanted)) if is_number else pwd.getpwnam(wanted)
    except (KeyError, OverflowError):
        known = None
    if known is None and not (wanted.isdecimal() and group):
        raise refused(
            "user",
            f"there is no user {wanted!r} on this machine; create it (useradd), or"
            " write numbers: uid:gid",
            errno.ENOENT,
        )
    uid = int(wanted) if known is None else known.pw_uid
    gid = known.pw_gid if known is not None and not group else _group(group)
    if euid != 0 and euid != uid:
        raise refused(
            "user",
            f"only root may run workers as {wanted!r}; start the node as root, or"
            " leave it out",
            errno.EPERM,
        )
    if known is None:
        return Identity(uid, gid)
    return Identity(uid, gid, known.pw_name, known.pw_dir)


def _group(text: str) -> int:
    if text.isdecimal():
        return int(text)
    try:
        return grp.getgrnam(text).gr_gid
    except KeyError:
        raise refused(
            "user",
            f"there is no group {text!r} on this machine; create it (groupadd)",
            errno.ENOENT,
        ) from None


def hard_limit(name: str) -> int:
    """Give this process's hard limit; -1 is none."""
    return resource.getrlimit(getattr(resource, f"RLIMIT_{name.upper()}"))[1]


def check_rlimits(
    rlimits: Mapping[LimitName, int | list[int]],
    may_raise: bool,
    hard_limit: Callable[[str], int] = hard_limit,
) -> dict[str, tuple[int, int]]:
    """
    See whether limits can be set.

    :param may_raise: whether this process may raise its hard limits.
    :param hard_limit: gives that of a name.
    :returns: soft and hard by name.
    :raises SpoolError: one is above the node's own.
    """
    found: dict[str, tuple[int, int]] = {}
    for name, value in rlimits.items():
        soft, hard = soft_and_hard(value)
        most = hard_limit(name)
        if not may_raise and most != UNLIMITED and (hard == UNLIMITED or hard > most):
            asked = "no limit" if hard == UNLIMITED else str(hard)
            raise refused(
                f"rlimits.{name}",
                f"{asked} is above the node's own hard limit of {most}; ask for no"
                " more, or raise it where the node is started (ulimit -H, systemd:"
                f" Limit{name.upper()}=)",
                errno.EPERM,
            )
        found[name] = (soft, hard)
    return found


def may_raise(process: str = "/proc/self") -> bool:
    """Say whether this process may raise its hard limits."""
    with open(os.path.join(process, "status"), encoding="utf-8") as file:
        for line in file:
            if line.startswith("CapEff:"):
                return bool(int(line.split()[1], 16) >> CAP_SYS_RESOURCE & 1)
    return False


def check_binds(binds: Iterable[str]) -> tuple[tuple[str, bool], ...]:
    """
    See whether what a sandbox shares is there.

    :returns: path and whether it is read-only.
    :raises SpoolError: a path does not exist.
    """
    found = []
    for bind in binds:
        path = bind.removesuffix(":ro")
        if not os.path.exists(path):
            raise refused(
                "bwrap.binds",
                f"{path} does not exist on this machine; create it, or leave it out",
                errno.ENOENT,
            )
        found.append((path, path != bind))
    return tuple(found)
