# -*- test-case-name: cocained.test.test_isolates_docker_keys -*-
"""
What a profile lets containers share with the machine: ``source:target[:ro]``.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

#: Names of volumes, by the engine's own rule.
_VOLUME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{1,254}")


class Bind(NamedTuple):
    """
    One mount.

    :ivar source: absolute path on the machine, or name of a volume.
    :ivar target: absolute path inside.
    :ivar read_only: whether it cannot be written there.
    """

    source: str
    target: str
    read_only: bool

    @property
    def is_volume(self) -> bool:
        """Whether it is the engine's, and not a path."""
        return not self.source.startswith("/")

    def to_mount(self) -> dict[str, Any]:
        """
        Write it as the API has it.

        ``Mounts`` and not ``Binds``: with those the engine makes a directory of
        each source that does not exist.
        """
        return {
            "Type": "volume" if self.is_volume else "bind",
            "Source": self.source,
            "Target": self.target,
            "ReadOnly": self.read_only,
        }


def parse_bind(text: str) -> Bind:
    """
    Take one apart.

    :raises ValueError: it is none; says what to write.
    """
    source, _, rest = text.partition(":")
    target, _, mode = rest.partition(":")
    if "\0" in text or not target.startswith("/"):
        raise ValueError("must be source:target, the target an absolute path inside")
    if mode not in ("", "ro", "rw"):
        raise ValueError(f"only 'ro' and 'rw' may follow the paths, not {mode!r}")
    if not source.startswith("/") and not _VOLUME.fullmatch(source):
        raise ValueError("its source must be an absolute path or the name of a volume")
    return Bind(source, target, mode == "ro")
