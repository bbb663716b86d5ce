# -*- test-case-name: cocained.test.test_unicorns_values -*-
"""
Paths of nodes: what ZooKeeper accepts, whatever the backend is.
"""

from __future__ import annotations

import re

from cocained.errors import InvalidPath

#: Most bytes of a path in UTF-8.  Ours: ZooKeeper has no limit of its own but
#: that of a request, and every watch and log line repeats the path.
PATH_LIMIT = 1024

#: What cannot be in a path: controls, surrogates, the private area and what
#: follows it, as ZooKeeper has it.
_REFUSED = re.compile("[\0-\x1f\x7f-\x9f\ud800-\uf8ff\ufff0-\uffff]")

#: Characters of a path that an error shows.
_SHOWN = 100


def check_path(path: str) -> str:
    """
    Give *path* if a node can have it.

    :raises InvalidPath: it cannot; the root cannot, either.
    """
    if not path.startswith("/"):
        raise _refusal(path, "a path starts with a slash")
    if path == "/":
        raise _refusal(path, "the root is no node of anybody's")
    if path.endswith("/"):
        raise _refusal(path, "a path does not end with a slash")
    parts = path[1:].split("/")
    if "" in parts or "." in parts or ".." in parts:
        raise _refusal(path, "no part of a path is empty, '.' or '..'")
    if _REFUSED.search(path):
        raise _refusal(path, "it has a character that no path may have")
    size = len(path.encode())
    if size > PATH_LIMIT:
        raise _refusal(path, f"it has {size} bytes, and {PATH_LIMIT} is the limit")
    return path


def check_prefix(prefix: str) -> str:
    """
    Give a prefix of paths without the slashes at its end.

    :raises InvalidPath: it is not empty, and no path either.
    """
    stripped = prefix.rstrip("/")
    return check_path(stripped) if stripped else _no_path(prefix)


def _no_path(prefix: str) -> str:
    # The empty prefix and "/" mean the same.
    return prefix.strip("/")


def parent(path: str) -> str:
    """Give what is above a path; the empty string above the first level."""
    return path.rpartition("/")[0]


def _refusal(path: str, reason: str) -> InvalidPath:
    shown = path if len(path) <= _SHOWN else f"{path[:_SHOWN]}…"
    return InvalidPath(f"{shown!r} is no path: {reason}")
