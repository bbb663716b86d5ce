# -*- test-case-name: cocained.test.live.test_storages_redis -*-
"""
A real Redis.
"""

from __future__ import annotations

import functools

import redis
from typing_extensions import override

from cocained.test.live.servers import Server
from cocained.test.live.support import LOOPBACK


class Redis(Server):
    """
    One server, which syncs each change to its disk.

    :param settings: more of its configuration.
    """

    program = ("redis-server", "redis-server")

    def __init__(self, *settings: str) -> None:
        super().__init__()
        self.settings = settings

    @override
    def command(self) -> list[str]:
        plain = (
            *("--port", str(self.port), "--bind", LOOPBACK, "--save", ""),
            *("--appendonly", "yes", "--appendfsync", "always"),
            *("--dir", str(self.directory)),
        )
        return [self.program[0], *plain, *self.settings]

    @override
    def is_ready(self) -> bool:
        try:
            with self.client() as client:
                client.ping()
        except redis.exceptions.AuthenticationError:
            return True
        except redis.exceptions.ConnectionError:
            return False
        return True

    @property
    def url(self) -> str:
        """Where it is."""
        return f"redis://{LOOPBACK}:{self.port}/0"

    def client(self) -> redis.Redis:
        """Connect, to look behind the storage."""
        return redis.Redis.from_url(self.url, socket_timeout=5)


@functools.cache
def shared() -> Redis:
    """Give the server that all tests of a run may share, and must not stop."""
    server = Redis()
    server.start()
    return server
