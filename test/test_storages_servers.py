# -*- test-case-name: cocained.test.test_storages_servers -*-
"""
Storages on servers as a configuration builds them, with no server to be reached.

What they do with one is tested in ``test/live``.
"""

from __future__ import annotations

import errno
import socket
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from cocained.errors import ConfigError
from cocained.interfaces import IReporter, IVersionedStorage
from cocained.repository import Repository
from cocained.testing import stub_node
from cocained.testing.contracts import StorageCase

#: The arguments of each type that lead to a port of this machine.
ARGS: dict[str, Any] = {
    "postgres": lambda port: {
        "connection_string": f"host=127.0.0.1 port={port} dbname=cocaine user=u"
    },
    "redis": lambda port: {"url": f"redis://127.0.0.1:{port}/0", "max-load": 10},
    "s3": lambda port: {
        "endpoint-url": f"http://127.0.0.1:{port}",
        "bucket": "cocaine",
        "access-key-id": "key",
        "secret-access-key": "secret",
        "region": "us-east-1",
    },
    "mongodb": lambda port: {"uri": f"mongodb://127.0.0.1:{port}/", "timeout": 0.5},
}


class ServerTests(StorageCase, SynchronousTestCase):
    """All four, one after the other."""

    def setUp(self) -> None:
        self.node = stub_node()
        self.node.reactor.callInThread = lambda function: function()
        # Bound and not listening: nobody answers here, and nobody else gets it.
        self.closed = socket.socket()
        self.addCleanup(self.closed.close)
        self.closed.bind(("127.0.0.1", 0))
        self.port = self.closed.getsockname()[1]

    def build(self, type: str, **changes: Any) -> Any:
        args = {**ARGS[type](self.port), **changes}
        return Repository.discover().build("storage", type, self.node, "core", args)

    def test_build(self) -> None:
        """Each is built of its arguments, tells versions, and reports."""
        for type in ARGS:
            storage = self.build(type)
            self.assertTrue(IVersionedStorage.providedBy(storage))
            self.assertTrue(IReporter.providedBy(storage))
            self.assertIsNone(self.successResultOf(storage.stop()))

    def test_nobody_answers(self) -> None:
        """The start goes on, and operations say which server is missing."""
        for type in ARGS:
            storage = self.build(type)
            self.assertIsNone(self.result_of(storage.start()))
            problem = storage.report()["problem"]
            self.assertIn("refused" if type != "s3" else "Could not connect", problem)
            self.assert_refused(errno.ECONNREFUSED, storage.read("c", "k"))
            self.assertIsNone(self.result_of(storage.stop()))

    def test_unknown_arguments(self) -> None:
        """A slip of the pen is refused, and so is a value out of range."""
        for type in ARGS:
            for changes in ({"colour": "red"}, {"timeout": 0}):
                with self.assertRaises(ConfigError):
                    self.build(type, **changes)

    def test_passwords_are_not_told(self) -> None:
        """No error shows a password, of those that a configuration has."""
        secret = "s3cr3t"
        for type, changes in {
            "postgres": {"connection_string": f"host=x password={secret} colour=red"},
            "redis": {"url": f"redis://user:{secret}@host:port/0"},
            "mongodb": {"uri": f"mongodb://user:{secret}@host:port/"},
        }.items():
            with self.assertRaises(ConfigError) as caught:
                self.build(type, **changes)
            self.assertNotIn(secret, str(caught.exception))
