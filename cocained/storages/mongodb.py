# -*- test-case-name: cocained.test.live.test_storages_mongodb -*-
"""
The storage ``mongodb``: blobs in GridFS, tags in collections beside it.

The layout is the original's (plugins.md §6.1), so that either reads what the other
wrote::

    fs.<collection>.files, .chunks   GridFS, the filename is the key
    meta.<collection>                {key: …, tags: […]}

The original adds a document of tags and a version of the file with each write, and
finds a key once for each document.  Here tags are added to the document that is
there, versions that were there before a write are deleted after it, and a search
takes the tags of all documents of a key together, each key once.
"""

from __future__ import annotations

import errno
import re
import threading
from collections.abc import Iterable
from typing import Annotated, Any

import gridfs
import msgspec
import pymongo
from gridfs import errors as gridfs_errors
from msgspec import Meta
from pymongo import errors, uri_parser
from twisted.internet.defer import Deferred
from typing_extensions import override

from cocained.errors import ConfigError, StorageError
from cocained.interfaces import INode
from cocained.storages.lines import Lost
from cocained.storages.names import MAX_FOUND
from cocained.storages.remote import MaxLoad, RemoteStorage, Threads, Work
from cocained.storages.texts import from_text, to_text

#: Default of ``max-object``.
MAX_OBJECT = 1 << 28

#: Bytes of ``database.collection``: MongoDB's own limit.
MAX_NAMESPACE = 255

#: What the name of a collection must not have: dollars, and dots where they would
#: be at an end or side by side.
_UNFIT = re.compile(r"\$|^\.|\.$|(?<=\.)\.")

#: Collections of which it is remembered that they have their indexes.
KNOWN = 1024


class MongoArgs(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"
):
    """Arguments of the storage type ``mongodb``."""

    uri: Annotated[
        str,
        Meta(
            min_length=1,
            description="Where the servers are, as MongoDB has it:"
            " ``mongodb://user:password@db1,db2/?replicaSet=rs``.",
        ),
    ]
    database: Annotated[
        str, Meta(min_length=1, max_length=63, description="The database.")
    ] = "cocaine"
    threads: Threads = 4
    max_load: MaxLoad = 1000
    timeout: Annotated[
        float,
        Meta(
            gt=0,
            le=3600,
            description="Seconds for each operation, connecting included. "
            "Keep it below ``limits.storage``.",
        ),
    ] = 10.0
    max_object: Annotated[
        int, Meta(ge=1, le=1 << 31, description="Bytes of the largest object.")
    ] = MAX_OBJECT


class MongoConnection:
    """
    What one thread does with the client that all share.

    :param client: of the driver; its time limit is for each call here.
    :param database: the name of the database.
    :param timeout: seconds for each call.
    """

    def __init__(
        self,
        client: pymongo.MongoClient[dict[str, Any]],
        database: str,
        timeout: float,
    ) -> None:
        self._client = client
        self._database = client[database]
        self._timeout = timeout
        self._indexed: set[str] = set()

    def read(self, collection: str, key: str) -> bytes | None:
        with pymongo.timeout(self._timeout):
            try:
                with self._files(collection).open_download_stream_by_name(
                    to_text(key)
                ) as file:
                    return bytes(file.read())
            except gridfs_errors.NoFile:
                return None

    def version(self, collection: str, key: str) -> str | None:
        with pymongo.timeout(self._timeout):
            found = self._list(collection, key).sort("uploadDate", -1).limit(1)
            for file in found:
                return str(file["_id"])
        return None

    def write(self, collection: str, key: str, blob: bytes, tags: list[str]) -> None:
        name = to_text(key)
        files = self._files(collection)
        meta = self._meta(collection)
        with pymongo.timeout(self._timeout):
            # Those of writers that come later are not ours to delete.
            former = [file["_id"] for file in self._list(collection, key)]
            files.upload_from_stream(name, blob)
            if tags:
                texts = [to_text(tag) for tag in tags]
                self._index(meta)
                meta.update_one(
                    {"key": name},
                    {"$addToSet": {"tags": {"$each": texts}}},
                    upsert=True,
                )
            for file_id in former:
                self._delete(files, file_id)

    def remove(self, collection: str, key: str) -> None:
        files = self._files(collection)
        with pymongo.timeout(self._timeout):
            self._meta(collection).delete_many({"key": to_text(key)})
            for file in self._list(collection, key):
                self._delete(files, file["_id"])

    def find(self, collection: str, tags: list[str]) -> Iterable[str]:
        meta = self._meta(collection)
        found: set[str] | None = None
        with pymongo.timeout(self._timeout):
            for tag in tags:
                marked = meta.find({"tags": to_text(tag)}, {"key": 1, "_id": 0})
                keys = {str(each["key"]) for each in marked.limit(MAX_FOUND + 1)}
                found = keys if found is None else found & keys
                if not found:
                    return []
        return map(from_text, found or ())

    def ping(self) -> None:
        with pymongo.timeout(self._timeout):
            self._database.command("ping")

    def close(self) -> None:
        """The client is closed with the storage."""

    def interrupt(self) -> None:
        """The driver keeps its time."""

    def _name(self, kind: str, collection: str) -> str:
        name = f"{kind}.{to_text(collection)}"
        name = to_text(name, _UNFIT) if _UNFIT.search(name) else name
        # ".chunks" follows, and is not shorter than ".files".
        size = len(f"{self._database.name}.{name}.chunks".encode())
        if size > MAX_NAMESPACE:
            raise StorageError(
                errno.ENAMETOOLONG,
                f"{name}: File name too long: {size} bytes, and MongoDB takes"
                f" {MAX_NAMESPACE}",
            )
        return name

    def _files(self, collection: str) -> gridfs.GridFSBucket:
        return gridfs.GridFSBucket(self._database, self._name("fs", collection))

    def _meta(self, collection: str) -> Any:
        return self._database[self._name("meta", collection)]

    def _list(self, collection: str, key: str) -> Any:
        files = self._database[f"{self._name('fs', collection)}.files"]
        return files.find({"filename": to_text(key)}, {"uploadDate": 1})

    def _index(self, meta: Any) -> None:
        """The original makes no indexes, and searches all documents."""
        if meta.name not in self._indexed:
            meta.create_index("tags")
            meta.create_index("key")
            if len(self._indexed) >= KNOWN:
                self._indexed.clear()
            self._indexed.add(meta.name)

    def _delete(self, files: gridfs.GridFSBucket, file_id: object) -> None:
        try:
            files.delete(file_id)
        except gridfs_errors.NoFile:
            # Another node was faster.
            return


class MongoStorage(RemoteStorage[MongoArgs]):
    """Objects in GridFS."""

    Args = MongoArgs
    engine = "MongoDB"

    def __init__(self, node: INode, name: str, args: MongoArgs) -> None:
        work = Work(
            threads=args.threads,
            max_object=args.max_object,
            max_load=args.max_load,
            timeout=args.timeout,
        )
        super().__init__(node, name, args, work)
        self._lock = threading.Lock()
        self._client: pymongo.MongoClient[dict[str, Any]] | None = None
        self._said: frozenset[str] = frozenset()
        # A name to be looked up in the DNS is checked when it is.
        if not args.uri.startswith("mongodb+srv://"):
            try:
                given = uri_parser.parse_uri(args.uri)["options"]
            except (errors.PyMongoError, ValueError) as error:
                raise ConfigError(
                    f"uri is none that MongoDB knows: {error}; write"
                    " 'mongodb://user:password@host/'",
                    path="uri",
                ) from error
            self._said = frozenset(option.lower() for option in given)

    @override
    def stop(self) -> Deferred[None]:
        return super().stop().addCallback(self._cb_stopped)

    def _cb_stopped(self, ignored: None) -> None:
        client, self._client = self._client, None
        if client is not None:
            # Ends its threads; says goodbye to the servers, if they are there.
            self.node.reactor.callInThread(client.close)

    @override
    def _connect(self) -> MongoConnection:
        with self._lock:
            if self._client is None:
                self._client = self._make_client()
            client = self._client
        return MongoConnection(client, self.args.database, self.args.timeout)

    def _make_client(self) -> pymongo.MongoClient[dict[str, Any]]:
        milliseconds = round(self.args.timeout * 1000)
        defaults: dict[str, Any] = {
            "appname": "cocained",
            "serverSelectionTimeoutMS": milliseconds,
            "connectTimeoutMS": milliseconds,
            "socketTimeoutMS": milliseconds,
            "maxPoolSize": self.args.threads,
            # What is acknowledged survives the loss of a server.
            "w": "majority",
            "journal": True,
        }
        wanted = {k: v for k, v in defaults.items() if k.lower() not in self._said}
        return pymongo.MongoClient(self.args.uri, **wanted)

    @override
    def _translate(self, error: Exception) -> StorageError | None:
        if isinstance(error, gridfs_errors.CorruptGridFile):
            return StorageError(
                errno.EIO,
                f"storage {self.name!r}: GridFS lacks a part of the object: {error};"
                " it was replaced while it was read, or is damaged; try again",
            )
        if not isinstance(error, errors.PyMongoError):
            return None
        words = " ".join(str(error).split())[:1000]
        text = f"storage {self.name!r}: MongoDB says: {words}"
        if isinstance(error, errors.OperationFailure) and not error.timeout:
            code, remedy = _CODES.get(error.code or 0, (errno.EIO, ""))
            return StorageError(code, f"{text}; {remedy}" if remedy else text)
        if "Connection refused" in words:
            return Lost(
                errno.ECONNREFUSED,
                f"{text}; see whether the servers run, and whether uri names them",
            )
        if error.timeout or "timed out" in words:
            return Lost(
                errno.ETIMEDOUT,
                f"{text}; see whether the servers hang, and the network lets them be"
                " reached; whether the operation took effect is unknown",
            )
        if isinstance(error, errors.ConnectionFailure):
            return Lost(errno.ECONNRESET, f"{text}; the connection was cut")
        if isinstance(error, errors.ConfigurationError):
            return StorageError(errno.EINVAL, f"{text}; look at uri")
        return StorageError(errno.EIO, text)


_ACCESS = (errno.EACCES, "set user and password in uri, and grant readWrite")
_FULL = (errno.ENOSPC, "make room on the disk of the servers")

#: Codes of the server.
_CODES: dict[int, tuple[int, str]] = {
    13: _ACCESS,
    18: _ACCESS,
    8000: _ACCESS,
    14031: _FULL,
    12501: _FULL,
}
