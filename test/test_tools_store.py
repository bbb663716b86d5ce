# -*- test-case-name: cocained.test.test_tools_store -*-
"""Tests of :mod:`cocained.tools.store`."""

from __future__ import annotations

import errno
import json
from typing import Any

import msgpack
from twisted.trial.unittest import SynchronousTestCase

from cocained.errors import RemoteError, StorageError
from cocained.rpc.arguments import anything
from cocained.rpc.codec import MIN_FRAME_LIMIT
from cocained.rpc.dispatch import Protocol
from cocained.rpc.wire import Limits
from cocained.test.tool_case import ToolCase
from cocained.tools import store
from cocained.tools.failures import BadValue, ServiceError, ToolError
from cocained.tools.store import is_missing, pack_document, unpack


class EncodingTests(SynchronousTestCase):
    """Documents in the old encoding."""

    def test_round_trip(self) -> None:
        """What is packed is unpacked."""
        document = {"a": [1, 2.5, None, True, "ü" * 300], "b": {"c": {}}}
        self.assertEqual(unpack(pack_document(document)), document)

    def test_new_encoding_is_read(self) -> None:
        """What newer tools have stored is read as well."""
        blob = msgpack.packb({"a": b"x" * 300, "b": "y" * 40}, use_bin_type=True)
        self.assertEqual(unpack(blob), {"a": "x" * 300, "b": "y" * 40})

    def test_nonsense(self) -> None:
        """What is no document, or more than one, is told."""
        for blob in (b"", b"\xc1", b"\x92\x01", b"\x01\x02", b"\xdf\xff\xff\xff\xff"):
            with self.assertRaises(ToolError, msg=repr(blob)):
                unpack(blob)

    def test_unpackable(self) -> None:
        """What msgpack has no form for is a bad value."""
        for value in (10**30, object(), {"a": {1, 2}}):
            with self.assertRaises(BadValue):
                pack_document(value)

    def test_missing(self) -> None:
        """An object that is not there is told by its code, in three categories."""
        for category in (1, 2, 12):
            error = ServiceError("storage", RemoteError(category, errno.ENOENT))
            self.assertTrue(is_missing(error))
        self.assertFalse(is_missing(ServiceError("storage", RemoteError(12, 5))))
        self.assertFalse(is_missing(ServiceError("storage", RemoteError(5, 2))))


class OddStorage:
    """A storage that answers with the wrong things."""

    protocol = Protocol(version=1)

    @protocol.method(0, anything, anything)
    def read(self, collection: Any, key: Any) -> Any:
        if key == b"broken":
            raise StorageError(errno.EIO, "Input/output error")
        return 5

    @protocol.method(3, anything, anything)
    def find(self, collection: Any, tags: Any) -> Any:
        return [1, 2]


class StoreTests(ToolCase):
    """Through the command line."""

    def test_too_large(self) -> None:
        """A document that no frame can carry is refused before it is sent."""
        self.patch(store, "BLOB_LIMIT", 10)
        args = ("profile", "upload", "-n", "P", "-r", '{"a": "xxxxxxxxxxx"}')
        errors = self.refuse(128, *args)
        self.assertIn("one object may take 10 B", errors)
        self.assertEqual(self.storage.log, [])

    def test_more_than_the_node_accepts(self) -> None:
        """A node with a smaller limit hangs up; one is told which limit it is."""
        self.network.wiring.limits = Limits(frame=MIN_FRAME_LIMIT)
        self.serve("storage", self.storage, 3001)
        value = json.dumps({"a": "x" * 2_000_000})
        path = self.mktemp()
        with open(path, "w") as file:
            file.write(value)
        errors = self.refuse(128, "profile", "upload", "-n", "P", "-r", path)
        self.assertIn("limits.frame", errors)
        self.assertIn("1.9 MiB", errors)

    def test_odd_answers(self) -> None:
        """A storage that answers with something else is told."""
        self.serve("storage", OddStorage(), 3009)
        self.assertIn("list of keys", self.refuse(128, "profile", "list"))
        self.assertIn("a blob", self.refuse(128, "profile", "view", "-n", "x"))

    def test_other_errors(self) -> None:
        """An error that is not absence is told as it is."""
        self.serve("storage", OddStorage(), 3009)
        errors = self.refuse(128, "profile", "view", "-n", "broken")
        self.assertIn("Input/output error [12, 5]", errors)

    def test_names_are_sorted(self) -> None:
        """Names are sorted whatever order the storage gives."""
        for name in ("b", "c", "a"):
            self.store("profiles", name, {}, "profile")
        self.assertEqual(self.succeed("profile", "list").json, ["a", "b", "c"])
