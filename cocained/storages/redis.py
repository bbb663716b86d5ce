# -*- test-case-name: cocained.test.live.test_storages_redis -*-
"""
The storage ``redis``: each object a hash, each tag a set.

::

    <prefix>:object:<collection>/<key>   hash   blob, version
    <prefix>:tags:<collection>/<key>     set    the tags of the object
    <prefix>:tag:<collection>/<tag>      set    the keys with the tag

Keys and tags have no slashes, so no two names become one.  A write is a ``MULTI``,
a removal and a search are scripts: others see all of a change or nothing.

A version is a number that nobody else has, and not a counter: a server that lost
its last seconds would count them again.
"""

from __future__ import annotations

import errno
import uuid
from collections.abc import Iterable
from typing import Annotated, Any

import msgspec
import redis
from msgspec import Meta
from redis.backoff import NoBackoff
from redis.retry import Retry
from typing_extensions import override

from cocained.errors import ConfigError, StorageError
from cocained.interfaces import INode
from cocained.storages.lines import Lost
from cocained.storages.names import MAX_FOUND
from cocained.storages.remote import MaxLoad, RemoteStorage, Threads, Work

#: Default of ``max-object``.  Redis keeps all in memory and copies a blob in one
#: go, while everybody waits; its own limit is 512 MiB.
MAX_OBJECT = 1 << 27

#: Takes the object's hash, the set of its tags; its name, and how tags begin.
_REMOVE = """
for _, tag in ipairs(redis.call('SMEMBERS', KEYS[2])) do
    redis.call('SREM', ARGV[2] .. tag, ARGV[1])
end
redis.call('DEL', KEYS[1], KEYS[2])
"""

#: Takes the sets of the tags; how objects begin, and how many may be found.  What a
#: server has evicted to make room is found no more.
_FIND = """
local found = {}
for _, key in ipairs(redis.call('SINTER', unpack(KEYS))) do
    if redis.call('EXISTS', ARGV[1] .. key) == 1 then
        found[#found + 1] = key
        if #found > tonumber(ARGV[2]) then break end
    end
end
return found
"""


class RedisArgs(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"
):
    """Arguments of the storage type ``redis``."""

    url: Annotated[
        str,
        Meta(
            min_length=1,
            description="Where the server is: ``redis://user:password@host:6379/0``,"
            " ``rediss://…`` with TLS, or ``unix:///path``.",
        ),
    ] = "redis://127.0.0.1:6379/0"
    prefix: Annotated[
        str, Meta(min_length=1, max_length=100, description="How all keys begin.")
    ] = "cocaine"
    replicas: Annotated[
        int,
        Meta(
            ge=0,
            le=100,
            description="Copies that must have a write before it is acknowledged.",
        ),
    ] = 0
    threads: Threads = 4
    max_load: MaxLoad = 1000
    timeout: Annotated[
        float,
        Meta(
            gt=0,
            le=3600,
            description="Seconds for connecting, and for each answer of the server. "
            "Keep it below ``limits.storage``.",
        ),
    ] = 10.0
    max_object: Annotated[
        int, Meta(ge=1, le=1 << 29, description="Bytes of the largest object.")
    ] = MAX_OBJECT


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


class RedisConnection:
    """
    One connection, blocking.

    :param client: of the driver, with one connection at the most.
    :param args: of the storage.
    """

    def __init__(self, client: redis.Redis, args: RedisArgs) -> None:
        # The driver's types leave open whether answers are awaited.
        self._client: Any = client
        self._args = args
        self._prefix = _bytes(args.prefix)
        self._remove = client.register_script(_REMOVE)
        self._find = client.register_script(_FIND)

    def read(self, collection: str, key: str) -> bytes | None:
        blob: bytes | None = self._client.hget(self._object(collection, key), "blob")
        return blob

    def version(self, collection: str, key: str) -> str | None:
        found = self._client.hget(self._object(collection, key), "version")
        return None if found is None else found.decode("ascii", "replace")

    def write(self, collection: str, key: str, blob: bytes, tags: list[str]) -> None:
        fields = {"blob": blob, "version": uuid.uuid4().hex}
        with self._client.pipeline(transaction=True) as change:
            change.hset(self._object(collection, key), mapping=fields)
            if tags:
                change.sadd(self._tags(collection, key), *map(_bytes, tags))
            for tag in tags:
                change.sadd(self._tag(collection) + _bytes(tag), _bytes(key))
            change.execute()
        self._wait()

    def remove(self, collection: str, key: str) -> None:
        self._remove(
            keys=[self._object(collection, key), self._tags(collection, key)],
            args=[_bytes(key), self._tag(collection)],
        )
        self._wait()

    def find(self, collection: str, tags: list[str]) -> Iterable[str]:
        found = self._find(
            keys=[self._tag(collection) + _bytes(tag) for tag in tags],
            args=[self._object(collection, ""), MAX_FOUND],
        )
        return [key.decode("utf-8", "surrogateescape") for key in found]

    def ping(self) -> None:
        self._client.ping()

    def close(self) -> None:
        self._client.close()

    def interrupt(self) -> None:
        """The driver keeps its time."""

    def durability(self) -> str:
        """Say what of an acknowledged write outlives the loss of power."""
        info = self._client.info("persistence")
        if not info.get("aof_enabled"):
            return "snapshots only: writes since the last one may be lost"
        policy = self._client.config_get("appendfsync").get("appendfsync")
        if policy == "always":
            return "every acknowledged write"
        return f"append-only file, synced {policy}: the last seconds may be lost"

    def _wait(self) -> None:
        """Wait for the copies that the configuration demands."""
        wanted = self._args.replicas
        if wanted:
            have = self._client.wait(wanted, round(self._args.timeout * 500))
            if have < wanted:
                raise StorageError(
                    errno.ETIMEDOUT,
                    f"the change is on the server, but only {have} of {wanted} copies"
                    " have it; see whether they run, or lower replicas",
                )

    def _object(self, collection: str, key: str) -> bytes:
        return b"%b:object:%b/%b" % (self._prefix, _bytes(collection), _bytes(key))

    def _tags(self, collection: str, key: str) -> bytes:
        return b"%b:tags:%b/%b" % (self._prefix, _bytes(collection), _bytes(key))

    def _tag(self, collection: str) -> bytes:
        return b"%b:tag:%b/" % (self._prefix, _bytes(collection))


class RedisStorage(RemoteStorage[RedisArgs]):
    """Objects in the memory of a Redis server, and on its disk as it is told."""

    Args = RedisArgs
    engine = "Redis"

    def __init__(self, node: INode, name: str, args: RedisArgs) -> None:
        work = Work(
            threads=args.threads,
            max_object=args.max_object,
            max_load=args.max_load,
            timeout=args.timeout,
        )
        super().__init__(node, name, args, work)
        self._durability = ""
        try:
            self._client().close()
        except ValueError as error:
            raise ConfigError(
                f"url is none that Redis knows: {error}; write"
                " 'redis://user:password@host:6379/0'",
                path="url",
            ) from error

    @override
    def report(self) -> dict[str, Any]:
        return {**super().report(), "durability": self._durability}

    def _client(self) -> redis.Redis:
        return redis.Redis.from_url(
            self.args.url,
            socket_timeout=self.args.timeout,
            socket_connect_timeout=self.args.timeout,
            socket_keepalive=True,
            client_name="cocained",
            max_connections=1,
            # We try again by ourselves, and know when that is in vain.
            retry=Retry(NoBackoff(), 0),
        )

    @override
    def _connect(self) -> RedisConnection:
        connection = RedisConnection(self._client(), self.args)
        try:
            connection.ping()
            durability = self._ask_durability(connection)
        except BaseException:
            connection.close()
            raise
        self.node.reactor.callFromThread(self._learned, durability)
        return connection

    def _ask_durability(self, connection: RedisConnection) -> str:
        try:
            return connection.durability()
        except redis.exceptions.ResponseError:
            # Not everybody may ask, and hosted servers do not tell.
            return "the server does not say"

    def _learned(self, durability: str) -> None:
        if durability != self._durability:
            self._durability = durability
            self._log.info(
                "storage {storage}: Redis keeps {durability}",
                storage=self.name,
                durability=durability,
            )

    @override
    def _translate(self, error: Exception) -> StorageError | None:
        if not isinstance(error, redis.exceptions.RedisError):
            return None
        words = " ".join(str(error).split())
        text = f"storage {self.name!r}: Redis says: {words}"
        for kinds, make, code, remedy in _KINDS:
            if isinstance(error, kinds):
                return make(code, f"{text}; {remedy}" if remedy else text)
        return StorageError(errno.EIO, text)


_errors = redis.exceptions

#: What the driver raises, the first that fits: some are kinds of others.
_KINDS: tuple[tuple[Any, type[StorageError], int, str], ...] = (
    (
        (
            _errors.AuthenticationError,
            _errors.AuthorizationError,
            _errors.NoPermissionError,
            _errors.AuthenticationWrongNumberOfArgsError,
        ),
        StorageError,
        errno.EACCES,
        "set user and password in url",
    ),
    (
        _errors.OutOfMemoryError,
        StorageError,
        errno.ENOSPC,
        "raise its maxmemory, or remove something",
    ),
    (
        (_errors.ReadOnlyError, _errors.BusyLoadingError),
        Lost,
        errno.EAGAIN,
        "it is a copy, or still loads its data",
    ),
    (
        _errors.TimeoutError,
        Lost,
        errno.ETIMEDOUT,
        "see whether the server hangs, and the network lets it be reached; whether"
        " the operation took effect is unknown",
    ),
    (
        _errors.ConnectionError,
        Lost,
        errno.ECONNREFUSED,
        "see whether the server runs, and whether url names it",
    ),
)
