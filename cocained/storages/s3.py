# -*- test-case-name: cocained.test.live.test_storages_s3 -*-
"""
The storage ``s3``: objects in a bucket of any store with that interface.

There is no index in S3, so tags are empty objects, each in two places: where a
search looks, and where a removal does::

    <prefix>/<collection>/<key>                             the blob
    <prefix>/.cocained-tags/<collection>/<tag>/<key>        for find
    <prefix>/.cocained-marks/<collection>/<key>/<tag>       for remove

A write puts the object, then the marks of a removal, then those of a search; a
removal deletes in the same order.  Ended in between, a write has an object with
some of its tags, and a removal may leave marks without an object, which a search
does not show: it looks whether the objects are there.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterable, Iterator
from typing import Annotated, Any
from urllib.parse import quote_from_bytes, unquote_to_bytes

import botocore.config
import botocore.session
import msgspec
from botocore import exceptions as errors
from msgspec import Meta
from twisted.internet.defer import Deferred
from typing_extensions import override

from cocained.errors import ConfigError, StorageError
from cocained.interfaces import INode
from cocained.storages.names import MAX_FOUND, RESERVED
from cocained.storages.remote import MaxLoad, RemoteStorage, Threads, Work
from cocained.storages.s3_refusals import is_missing, translated

#: Default of ``max-object``; one request may carry 5 GiB, and memory must, too.
MAX_OBJECT = 1 << 28

#: Bytes of the name of an object: S3's own limit.
MAX_KEY = 1024

#: Objects that a search asks for one by one; of more the collection is listed, a
#: thousand with each request.
FEW = 16

#: Names of one answer to a listing: S3's own limit.
PAGE = 1000

#: Objects of one request to delete: S3's own limit.
BATCH = 1000


class S3Args(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """Arguments of the storage type ``s3``."""

    bucket: Annotated[
        str,
        Meta(
            min_length=3,
            max_length=63,
            description="The bucket; it must be there.",
        ),
    ]
    prefix: Annotated[
        str,
        Meta(max_length=200, description="How all names begin, before a slash."),
    ] = "cocaine"
    endpoint_url: Annotated[
        str | None,
        Meta(
            description="Where the store is, such as ``https://s3.example.org``;"
            " without it, that of Amazon in the region.",
        ),
    ] = None
    region: Annotated[
        str | None, Meta(description="The region; without it, that of the environment.")
    ] = None
    access_key_id: Annotated[
        str | None,
        Meta(
            description="Who asks; without it, ``AWS_ACCESS_KEY_ID``, the files of"
            " the AWS tools, or the role of the machine say so.",
        ),
    ] = None
    secret_access_key: Annotated[
        str | None, Meta(description="The secret of that key.")
    ] = None
    threads: Threads = 4
    max_load: MaxLoad = 1000
    timeout: Annotated[
        float,
        Meta(
            gt=0,
            le=3600,
            description="Seconds for connecting, and for each answer of the store. "
            "Keep it below ``limits.storage``.",
        ),
    ] = 10.0
    max_object: Annotated[
        int, Meta(ge=1, le=5 << 30, description="Bytes of the largest object.")
    ] = MAX_OBJECT


def _quote(name: str) -> str:
    """Write a part of a name with letters that every store and tool can bear."""
    return quote_from_bytes(name.encode("utf-8", "surrogateescape"), safe="")


def _unquote(text: str) -> str:
    return unquote_to_bytes(text).decode("utf-8", "surrogateescape")


class S3Connection:
    """
    What one thread does with the client that all share.

    :param client: of the driver.
    :param bucket: the bucket.
    :param prefix: how names begin.
    """

    def __init__(self, client: Any, bucket: str, prefix: str) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""

    def read(self, collection: str, key: str) -> bytes | None:
        try:
            answer = self._client.get_object(**self._object(collection, key))
        except errors.ClientError as error:
            if is_missing(error):
                return None
            raise
        with answer["Body"] as body:
            blob: bytes = body.read()
        return blob

    def version(self, collection: str, key: str) -> str | None:
        answer = self._head(collection, key)
        if answer is None:
            return None
        # The digest changes with the content; the others tell more, if there.
        parts = (
            answer["ETag"].strip('"'),
            f"{answer['LastModified'].timestamp():.0f}",
            answer.get("VersionId", ""),
        )
        return "-".join(filter(None, parts))

    def write(self, collection: str, key: str, blob: bytes, tags: list[str]) -> None:
        # All names first: nothing is done by half because one is too long.
        place = self._object(collection, key)
        marks = [self._mark(collection, key, tag) for tag in tags]
        finds = [self._tag(collection, tag, key) for tag in tags]
        self._client.put_object(**place, Body=blob)
        for name in (*marks, *finds):
            self._client.put_object(Bucket=self._bucket, Key=name, Body=b"")

    def remove(self, collection: str, key: str) -> None:
        self._client.delete_object(**self._object(collection, key))
        under = self._mark(collection, key, "")
        tags = [_unquote(name) for name in self._list(under)]
        # The marks that lead to the others go last.
        self._delete([self._tag(collection, tag, key) for tag in tags])
        self._delete([self._mark(collection, key, tag) for tag in tags])

    def find(self, collection: str, tags: list[str]) -> Iterable[str]:
        found: set[str] | None = None
        for tag in tags:
            marked = {_unquote(n) for n in self._list(self._tag(collection, tag, ""))}
            found = marked if found is None else found & marked
            if not found:
                return []
        assert found is not None
        if len(found) <= FEW:
            return [key for key in found if self._head(collection, key) is not None]
        return found & {_unquote(n) for n in self._list(self._name(collection, ""))}

    def ping(self) -> None:
        self._client.head_bucket(Bucket=self._bucket)

    def close(self) -> None:
        """The client is closed with the storage."""

    def interrupt(self) -> None:
        """The driver keeps its time."""

    def _head(self, collection: str, key: str) -> dict[str, Any] | None:
        try:
            answer: dict[str, Any] = self._client.head_object(
                **self._object(collection, key)
            )
        except errors.ClientError as error:
            if is_missing(error):
                return None
            raise
        return answer

    def _list(self, under: str) -> Iterator[str]:
        """Give what follows *under* in names, without what has more slashes."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket,
            Prefix=under,
            Delimiter="/",
            PaginationConfig={"PageSize": PAGE},
        )
        count = 0
        for page in pages:
            for entry in page.get("Contents", ()):
                yield entry["Key"][len(under) :]
                count += 1
            if count > MAX_FOUND:
                raise StorageError(
                    errno.EOVERFLOW,
                    f"{under}: more than {MAX_FOUND} objects; use tags that are"
                    " narrower",
                )

    def _delete(self, names: list[str]) -> None:
        for start in range(0, len(names), BATCH):
            objects = [{"Key": name} for name in names[start : start + BATCH]]
            answer = self._client.delete_objects(
                Bucket=self._bucket, Delete={"Objects": objects, "Quiet": True}
            )
            for fault in answer.get("Errors", ()):
                raise StorageError(
                    errno.EIO,
                    f"the store does not delete {fault.get('Key')}:"
                    f" {fault.get('Message')}",
                )

    def _object(self, collection: str, key: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._name(collection, key)}

    def _name(self, *parts: str) -> str:
        # Only a collection has slashes, and they stay.
        quoted = ("/".join(map(_quote, part.split("/"))) for part in parts)
        name = self._prefix + "/".join(quoted)
        if len(name) > MAX_KEY:
            raise StorageError(
                errno.ENAMETOOLONG,
                f"{name[:MAX_KEY]}…: File name too long: {len(name)} bytes, and S3"
                f" takes {MAX_KEY}; letters beyond ASCII count three for each byte",
            )
        return name

    def _mark(self, collection: str, key: str, tag: str) -> str:
        return self._name(f"{RESERVED}marks", collection, key, tag)

    def _tag(self, collection: str, tag: str, key: str) -> str:
        return self._name(f"{RESERVED}tags", collection, tag, key)


class S3Storage(RemoteStorage[S3Args]):
    """Objects in a bucket."""

    Args = S3Args
    engine = "S3"

    def __init__(self, node: INode, name: str, args: S3Args) -> None:
        work = Work(
            threads=args.threads,
            max_object=args.max_object,
            max_load=args.max_load,
            timeout=args.timeout,
        )
        super().__init__(node, name, args, work)
        self._lock = threading.Lock()
        self._client: Any = None
        if (args.access_key_id is None) != (args.secret_access_key is None):
            raise ConfigError(
                "access-key-id and secret-access-key come together, or not at all",
                path="access-key-id",
            )

    @override
    def stop(self) -> Deferred[None]:
        return super().stop().addCallback(self._cb_stopped)

    def _cb_stopped(self, ignored: None) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    @override
    def _connect(self) -> S3Connection:
        # Half a second of work and 45 MB, so it is made here, and once.
        with self._lock:
            if self._client is None:
                self._client = self._make_client()
            client = self._client
        return S3Connection(client, self.args.bucket, self.args.prefix.strip("/"))

    def _make_client(self) -> Any:
        args = self.args
        try:
            return botocore.session.get_session().create_client(
                "s3",
                endpoint_url=args.endpoint_url,
                region_name=args.region,
                aws_access_key_id=args.access_key_id,
                aws_secret_access_key=args.secret_access_key,
                config=botocore.config.Config(
                    connect_timeout=args.timeout,
                    read_timeout=args.timeout,
                    # We try again by ourselves, and know when that is in vain.
                    retries={"total_max_attempts": 1, "mode": "standard"},
                    max_pool_connections=args.threads,
                    # Names below the host are what stores beside Amazon's lack.
                    s3={"addressing_style": "path" if args.endpoint_url else "auto"},
                    # As are checksums that the protocol did not always have.
                    request_checksum_calculation="when_required",
                    response_checksum_validation="when_required",
                ),
            )
        except ValueError as error:
            raise StorageError(
                errno.EINVAL, f"storage {self.name!r}: {error}; look at endpoint-url"
            ) from error

    @override
    def _translate(self, error: Exception) -> StorageError | None:
        return translated(self.name, error)
