# -*- test-case-name: cocained.test.test_storages_texts -*-
"""Tests for :mod:`cocained.storages.texts`."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cocained.storages.texts import MARK, from_text, to_text

#: Names as storages get them: any bytes.
names = st.one_of(
    st.binary(max_size=20).map(lambda raw: raw.decode("utf-8", "surrogateescape")),
    st.text(alphabet=[MARK, "a", "1", "\udc80", "\udcff", "$", "."], max_size=12),
)


class TextTests(SynchronousTestCase):
    """Names become text and names again."""

    def test_ordinary(self) -> None:
        """What people type stays what it is."""
        for name in ("echo", "ключ", "a b", "1:2", "\U0001f600"):
            self.assertEqual(to_text(name), name)

    def test_raw_bytes(self) -> None:
        """Bytes that are no UTF-8 are written in hexadecimal."""
        self.assertEqual(to_text("a\udcffb"), "a\x1affb")

    @given(names)
    def test_back(self, name: str) -> None:
        """Every text gives its name back, and is valid UTF-8."""
        text = to_text(name)
        text.encode()
        self.assertEqual(from_text(text), name)

    @given(names, names)
    def test_apart(self, one: str, other: str) -> None:
        """Two names are two texts."""
        self.assertEqual(to_text(one) == to_text(other), one == other)

    def test_unfit(self) -> None:
        """More can be kept out, such as what a server reserves."""
        unfit = re.compile(r"\$|^\.")

        self.assertEqual(to_text(".a$.b", unfit), "\x1a2ea\x1a24.b")
        self.assertEqual(from_text(to_text(".a$.b", unfit)), ".a$.b")
