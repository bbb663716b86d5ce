# -*- test-case-name: cocained.test.live.test_storages_mongodb -*-
"""
The storage ``mongodb`` on what stands in for a server.
"""

from __future__ import annotations

import datetime
import errno
import functools
import uuid
from typing import Any

import gridfs
import pymongo
from typing_extensions import override

from cocained.errors import ConfigError
from cocained.storages.mongodb import MongoArgs, MongoStorage
from cocained.test.live.mongodb import Mongo
from cocained.test.live.storage_case import RemoteCase
from cocained.test.live.storage_faults import Faults
from cocained.test.live.support import LOOPBACK, live_suite
from cocained.testing.contracts import SharedVersionContract, StorageContract

test_suite = live_suite(__name__)


@functools.cache
def shared() -> Mongo:
    """Give the server that all tests of a run may share, and must not stop."""
    server = Mongo()
    server.start()
    return server


class MongoCase(RemoteCase):
    """A storage with a database of its own."""

    @override
    def setUp(self) -> None:
        self.server = self.serve()
        self.database = uuid.uuid4().hex
        super().setUp()
        self.node.reactor.callInThread = lambda function: function()

    def serve(self) -> Any:
        """Give the server."""
        return shared()

    @override
    def make(self, **changes: Any) -> MongoStorage:
        values: dict[str, Any] = {
            "uri": self.server.uri,
            "database": self.database,
            "max_object": self.max_object,
            **changes,
        }
        return MongoStorage(self.node, "core", MongoArgs(**values))


class ContractTests(MongoCase, StorageContract, SharedVersionContract):
    """Objects in GridFS keep the contract."""


class FaultTests(Faults, MongoCase):
    """A stand-in that fails; it has nothing on a disk."""

    keeps = False
    rounds = 5
    # The driver looks after its servers by itself, and gives up what runs there.
    hanging = frozenset({errno.ETIMEDOUT, errno.ECONNRESET})
    make_server = Mongo

    @override
    def through(self, port: int) -> dict[str, Any]:
        return {"uri": f"mongodb://{LOOPBACK}:{port}/"}


class LayoutTests(MongoCase):
    """What lies in the database, and what the original left there."""

    @override
    def setUp(self) -> None:
        super().setUp()
        client: Any = pymongo.MongoClient(self.server.uri)
        self.addCleanup(client.close)
        self.raw = client[self.database]

    def original_write(
        self, collection: str, key: str, blob: bytes, *tags: str
    ) -> None:
        """Write as the original does: one more document and file each time."""
        self.raw[f"meta.{collection}"].insert_one({"key": key, "tags": list(tags)})
        bucket = gridfs.GridFSBucket(self.raw, f"fs.{collection}")
        bucket.upload_from_stream(key, blob)

    def test_read_by_the_original(self) -> None:
        """It finds the newest file by its name, and keys by their tags."""
        self.result_of(self.storage.write("apps", "k", b"old", ["a"]))
        self.result_of(self.storage.write("apps", "k", b"new", ["b"]))

        bucket = gridfs.GridFSBucket(self.raw, "fs.apps")
        with bucket.open_download_stream_by_name("k") as file:
            self.assertEqual(file.read(), b"new")
        wanted = {"$and": [{"tags": "a"}, {"tags": "b"}]}
        found = [each["key"] for each in self.raw["meta.apps"].find(wanted)]
        self.assertEqual(found, ["k"])

    def test_nothing_piles_up(self) -> None:
        """Each object has one file and one document, however often it is written."""
        for number in range(5):
            self.result_of(self.storage.write("c", "k", b"v", ["a", f"t{number}"]))

        self.assertEqual(len(list(self.raw["fs.c.files"].find())), 1)
        self.assertEqual(len(list(self.raw["fs.c.chunks"].find())), 1)
        self.assertEqual(len(list(self.raw["meta.c"].find())), 1)

    def test_nothing_is_left(self) -> None:
        """A removal leaves nothing behind, of the original's files neither."""
        for number in range(3):
            self.original_write("c", "k", b"v%d" % number, "t")
        self.result_of(self.storage.remove("c", "k"))

        for name in ("fs.c.files", "fs.c.chunks", "meta.c"):
            self.assertEqual(list(self.raw[name].find()), [])

    def test_written_by_the_original(self) -> None:
        """Its heaps are read as one object, found once, and cleared by a write."""
        self.original_write("c", "k", b"one", "a")
        self.original_write("c", "k", b"two", "a", "b")
        self.original_write("c", "other", b"v", "b")

        self.assertEqual(self.result_of(self.storage.read("c", "k")), b"two")
        self.assertEqual(self.result_of(self.storage.find("c", ["a"])), ["k"])
        self.assertEqual(self.result_of(self.storage.find("c", ["b"])), ["k", "other"])
        self.result_of(self.storage.write("c", "k", b"three"))
        self.assertEqual(self.result_of(self.storage.read("c", "k")), b"three")
        files = list(self.raw["fs.c.files"].find({"filename": "k"}))
        self.assertEqual(len(files), 1)

    def test_clock_of_another_node(self) -> None:
        """A write is the newest also after one whose clock was ahead."""
        self.result_of(self.storage.write("c", "k", b"old"))
        ahead = datetime.datetime(2100, 1, 1, tzinfo=datetime.UTC)
        self.raw["fs.c.files"].update_one(
            {"filename": "k"}, {"$set": {"uploadDate": ahead}}
        )
        self.result_of(self.storage.write("c", "k", b"new"))

        self.assertEqual(self.result_of(self.storage.read("c", "k")), b"new")

    def test_names_that_do_not_fit(self) -> None:
        """Dots and dollars are written otherwise where MongoDB forbids them."""
        for collection in (".a", "a.", "a..b", "$a", "a.b"):
            self.result_of(self.storage.write(collection, "$k", b"v", ["$t", "a.b"]))

            self.assertEqual(self.result_of(self.storage.read(collection, "$k")), b"v")
            found = self.result_of(self.storage.find(collection, ["a.b", "$t"]))
            self.assertEqual(found, ["$k"])
        self.assert_refused(
            errno.ENAMETOOLONG, self.storage.write("c" * 230, "k", b"v")
        )

    def test_bad_uri(self) -> None:
        """An address that is none is refused before anything starts."""
        for uri in ("nonsense", "http://host/", "mongodb://host:port/"):
            with self.assertRaises(ConfigError) as caught:
                self.make(uri=uri)
            self.assertEqual(caught.exception.path, "uri")
