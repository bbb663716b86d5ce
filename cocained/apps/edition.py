# -*- test-case-name: cocained.test.test_apps_edition -*-
"""
Which writings of an app's documents and code belong together.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

#: Hex digits of a label: enough to tell the uploads of an app apart.
LABEL_DIGITS = 12


class Edition(NamedTuple):
    """
    What a release is made of; all three are for comparing only.

    :ivar manifest: which writing of the manifest.
    :ivar profile: which profile, and which writing of it.
    :ivar code: which code, as its isolate says; empty if it cannot tell.
    """

    manifest: str
    profile: str
    code: str

    @property
    def label(self) -> str:
        """A short text, the same on all nodes that share a storage."""
        whole = "\0".join(self).encode("utf-8", "surrogateescape")
        return hashlib.sha256(whole).hexdigest()[:LABEL_DIGITS]
