# -*- test-case-name: tests.test_codec -*-
"""
Tests for `cocaine.detail.codec` and `cocaine.detail.values`.
"""

from __future__ import annotations

import copy
import json
import unittest

import msgpack

from cocaine.detail import codec, values
from cocaine.exceptions import ProtocolError

from .support import raw


class PackTests(unittest.TestCase):
    """Only the old raw family."""

    def test_lengths(self):
        """fixraw, raw16 and raw32, for text and for bytes."""
        for size, prefix in ((31, "bf"), (32, "da0020"), (65536, "db00010000")):
            for value in (b"x" * size, "x" * size):
                with self.subTest(size):
                    self.assertTrue(codec.pack(value).startswith(raw(prefix)))

    def test_unpackable(self):
        """An object that cannot travel is named."""
        with self.assertRaises(TypeError) as caught:
            codec.pack(object())
        self.assertIn("object cannot be packed", str(caught.exception))

    def test_packer_survives(self):
        """A failure leaves nothing behind for the next one."""
        with self.assertRaises(TypeError):
            codec.pack([1, object()])
        self.assertEqual(codec.pack(1), b"\x01")


class DecoderTests(unittest.TestCase):
    """Cutting the byte stream."""

    def test_integer_keys(self):
        """Graphs have them."""
        self.assertEqual(list(codec.FrameDecoder().feed(raw("81 00 01"))), [{0: 1}])

    def test_bytes_everywhere(self):
        """Strings stay bytes, of either family."""
        decoder = codec.FrameDecoder()
        self.assertEqual(list(decoder.feed(raw("a1ff d901ff c401ff"))), [b"\xff"] * 3)

    def test_too_long(self):
        """A frame beyond the limit is not collected."""
        decoder = codec.FrameDecoder(64)
        # The compiled msgpack and the pure one notice it in different places.
        with self.assertRaises((ProtocolError, ValueError)) as caught:
            for _ in range(10):
                list(decoder.feed(b"\xdb\x00\x00\x01\x00" + b"x" * 20))
        error = codec.broken(caught.exception)
        self.assertIsInstance(error, ProtocolError)
        self.assertRegex(str(error), "longer than|exceeds")

    def test_wording(self):
        """A protocol error stays itself; others are explained."""
        error = ProtocolError("x")
        self.assertIs(codec.broken(error), error)
        self.assertIn("IndexError", str(codec.broken(IndexError("list"))))


class ValueTests(unittest.TestCase):
    """Values that carry a channel."""

    PLAIN = (b"x", "x", 5, -1.5, [1], {b"a": 1}, True, False, None, [], b"", 0)

    def test_transparent(self):
        """Equality, truth, text and packed form are the plain value's."""
        for plain in self.PLAIN:
            with self.subTest(plain):
                value = values.with_channel(plain, "rx", "tx")
                self.assertEqual(value, plain)
                self.assertEqual(bool(value), bool(plain))
                self.assertEqual(repr(value), repr(plain))
                self.assertEqual((value.rx, value.tx), ("rx", "tx"))
                (sent,) = values.plain_args((value,))
                self.assertEqual(codec.pack(sent), codec.pack(plain))

    def test_types(self):
        """isinstance works for everything but None and bool."""
        for plain in (b"x", "x", 5, 1.5, [1], {}):
            self.assertIsInstance(values.with_channel(plain, 0, 0), type(plain))
        self.assertIsInstance(values.with_channel(True, 0, 0), int)

    def test_hash(self):
        """They find the same dictionary entries."""
        for plain in (b"x", "x", 5, 1.5, True, None):
            self.assertIn(values.with_channel(plain, 0, 0), {plain: 1})

    def test_library_use(self):
        """Slices, arithmetic, copies and JSON give plain things."""
        self.assertIs(type(values.with_channel(b"abc", 0, 0)[:2]), bytes)
        self.assertEqual(values.with_channel(5, 0, 0) + 1, 6)
        self.assertEqual(json.dumps(values.with_channel(["a"], 0, 0)), '["a"]')
        self.assertEqual(copy.copy(values.with_channel({1: 2}, 0, 0)), {1: 2})

    def test_extension(self):
        """What has no class of its own is wrapped."""
        value = values.with_channel(msgpack.ExtType(5, b"x"), 1, 2)
        self.assertEqual(value.value, msgpack.ExtType(5, b"x"))
        self.assertEqual(repr(value), repr(value.value))
        self.assertEqual(values.plain_args((value,)), (value.value,))

    def test_nested_none(self):
        """A result inside a list is packed as nil."""
        self.assertEqual(codec.pack([values.with_channel(None, 0, 0)]), raw("91 c0"))

    def test_arguments_untouched(self):
        """Without results among them, the same tuple comes back."""
        args = (b"x", 1)
        self.assertIs(values.plain_args(args), args)
