# -*- test-case-name: cocained.test.live.test_storages_redis -*-
"""
The storage ``redis`` on a real server.
"""

from __future__ import annotations

import errno
import uuid
from typing import Any

from typing_extensions import override

from cocained.errors import ConfigError
from cocained.storages.redis import RedisArgs, RedisStorage
from cocained.test.live.redis import Redis, shared
from cocained.test.live.servers import READY_TIMEOUT
from cocained.test.live.storage_case import RemoteCase
from cocained.test.live.storage_faults import Faults
from cocained.test.live.support import LOOPBACK, live_suite, wait_for
from cocained.testing.contracts import SharedVersionContract, StorageContract

test_suite = live_suite(__name__)


class RedisCase(RemoteCase):
    """A storage with a prefix of its own."""

    @override
    def setUp(self) -> None:
        self.server = self.serve()
        self.prefix = uuid.uuid4().hex
        super().setUp()

    def serve(self) -> Any:
        """Give the server."""
        return shared()

    @override
    def make(self, **changes: Any) -> RedisStorage:
        values: dict[str, Any] = {
            "url": self.server.url,
            "prefix": self.prefix,
            "max_object": self.max_object,
            **changes,
        }
        return RedisStorage(self.node, "core", RedisArgs(**values))


class ContractTests(RedisCase, StorageContract, SharedVersionContract):
    """Objects in Redis keep the contract."""


class FaultTests(Faults, RedisCase):
    """A server that fails."""

    make_server = Redis

    @override
    def through(self, port: int) -> dict[str, Any]:
        return {"url": f"redis://{LOOPBACK}:{port}/0"}

    def test_connections_are_ended(self) -> None:
        """A server that ends all connections is not noticed."""
        self.outcome(self.storage.write("c", "k", b"v"))
        with self.server.client() as client:
            client.client_kill_filter(_type="normal", skipme=True)

        self.assertEqual(self.outcome(self.storage.read("c", "k")), b"v")

    def test_full(self) -> None:
        """A full server refuses whole writes, and what is removed makes room."""
        for number in range(20):
            self.outcome(self.storage.write("c", str(number), b"x" * 50_000))
        with self.server.client() as client:
            self.addCleanup(self.set_memory, 0)
            client.config_set("maxmemory", client.info("memory")["used_memory"])

        error = self.outcome(self.storage.write("c", "new", b"x" * 90_000, ["t"]))

        self.assertEqual(error.code, errno.ENOSPC)
        self.assertIn("maxmemory", error.reason)
        self.assertEqual(self.storage.report()["problem"], "")
        self.assertEqual(self.outcome(self.storage.find("c", ["t"])), [])
        for number in range(20):
            self.assertIsNone(self.outcome(self.storage.remove("c", str(number))))
        self.assertIsNone(self.outcome(self.storage.write("c", "new", b"v", ["t"])))

    def set_memory(self, size: int) -> None:
        with self.server.client() as client:
            client.config_set("maxmemory", size)

    def test_evicted(self) -> None:
        """What the server threw away to make room is found no more."""
        self.outcome(self.storage.write("c", "k", b"v", ["t"]))
        with self.server.client() as client:
            client.delete(f"{self.prefix}:object:c/k")

        self.assertEqual(self.outcome(self.storage.find("c", ["t"])), [])
        self.assertEqual(self.outcome(self.storage.read("c", "k")).code, errno.ENOENT)

    def test_too_few_copies(self) -> None:
        """A write that not enough copies have is not acknowledged, and says so."""
        storage = self.another(replicas=1, timeout=1.0)

        error = self.outcome(storage.write("c", "k", b"v"))

        self.assertEqual(error.code, errno.ETIMEDOUT)
        self.assertIn("only 0 of 1 copies", error.reason)

    def test_copies(self) -> None:
        """With a copy it is acknowledged, and the copy has it; it takes no writes."""
        copy = Redis("--replicaof", LOOPBACK, str(self.server.port))
        self.addCleanup(copy.close)
        copy.start()
        with copy.client() as client:
            wait_for(
                "the copy is complete",
                lambda: client.info("replication")["master_link_status"] == "up",
                READY_TIMEOUT,
            )
        storage = self.another(replicas=1)
        self.assertIsNone(self.outcome(storage.write("c", "k", b"v")))
        other = self.another(url=copy.url)

        self.assertEqual(self.outcome(other.read("c", "k")), b"v")
        error = self.outcome(other.write("c", "k", b"w"))
        self.assertEqual(error.code, errno.EAGAIN)
        self.assertIn("it is a copy", error.reason)


class AccessTests(RedisCase):
    """Passwords, addresses, and what a server says of itself."""

    def refused(self, **changes: Any) -> str:
        storage = self.make(**changes)
        self.addCleanup(self.close, storage)
        failed = self.node.reactor.wait_for(storage.start())
        return str(self.failureResultOf(failed, ConfigError).value)

    def user(self, *rules: str) -> str:
        name = uuid.uuid4().hex
        with self.server.client() as client:
            client.execute_command("ACL", "SETUSER", name, "on", ">right", *rules)
        return name

    def test_wrong_password(self) -> None:
        """The node does not start, and hears why and where to set it."""
        name = self.user("~*", "+@all")
        url = f"redis://{name}:wrong@{LOOPBACK}:{self.server.port}/0"

        text = self.refused(url=url)

        self.assertIn("set user and password in url", text)
        self.assertNotIn(url, text)

    def test_few_rights(self) -> None:
        """A user who may only do what is needed is enough."""
        name = self.user(
            f"~{self.prefix}:*",
            *("+@hash", "+@set", "+@transaction", "+exists", "+del", "+ping"),
            *("+eval", "+evalsha", "+script|load", "+client", "+info", "+hello"),
        )
        url = f"redis://{name}:right@{LOOPBACK}:{self.server.port}/0"
        storage = self.another(url=url)

        self.assertIsNone(self.result_of(storage.write("c", "k", b"v", ["t"])))
        self.assertEqual(self.result_of(storage.find("c", ["t"])), ["k"])
        self.assertIsNone(self.result_of(storage.remove("c", "k")))
        self.assertEqual(storage.report()["durability"], "the server does not say")

    def test_durability(self) -> None:
        """What an acknowledged write outlives is said of the real server."""
        self.node.reactor.pump_ready()
        self.assertEqual(
            self.storage.report()["durability"], "every acknowledged write"
        )
        with self.server.client() as client:
            self.addCleanup(self.set_sync, "always")
            client.config_set("appendfsync", "everysec")
        other = self.another()
        self.node.reactor.pump_ready()
        self.assertIn("last seconds", other.report()["durability"])

    def set_sync(self, policy: str) -> None:
        with self.server.client() as client:
            client.config_set("appendfsync", policy)

    def test_bad_url(self) -> None:
        """An address that is none is refused before anything starts."""
        for url in ("nonsense", "http://host/", "redis://host:port/0"):
            with self.assertRaises(ConfigError) as caught:
                self.make(url=url)
            self.assertEqual(caught.exception.path, "url")

    def test_layout(self) -> None:
        """Objects and tags lie where the documentation says."""
        self.result_of(self.storage.write("apps/a", "k:1", b"v", ["t"]))
        with self.server.client() as client:
            found = sorted(client.scan_iter(f"{self.prefix}:*"))
            blob = client.hget(f"{self.prefix}:object:apps/a/k:1", "blob")
            marked = client.smembers(f"{self.prefix}:tag:apps/a/t")
        self.assertEqual(
            found,
            [
                f"{self.prefix}:object:apps/a/k:1".encode(),
                f"{self.prefix}:tag:apps/a/t".encode(),
                f"{self.prefix}:tags:apps/a/k:1".encode(),
            ],
        )
        self.assertEqual((blob, marked), (b"v", {b"k:1"}))

    def test_nothing_is_left(self) -> None:
        """A removal leaves no key behind."""
        self.result_of(self.storage.write("c", "k", b"v", ["a", "b"]))
        self.result_of(self.storage.write("c", "k", b"v", ["c"]))
        self.result_of(self.storage.remove("c", "k"))

        with self.server.client() as client:
            self.assertEqual(list(client.scan_iter(f"{self.prefix}:*")), [])
