# -*- test-case-name: cocained.test.live.test_unicorn -*-
"""
Unicorns of a real ZooKeeper, on a reactor of which the test has the strings.
"""

from __future__ import annotations

import itertools
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from typing_extensions import override

from cocained.test.live.support import LOOPBACK, live_reason
from cocained.test.live.zookeeper import Zookeeper, shared
from cocained.testing import stub_node
from cocained.testing.contracts import UnicornCase
from cocained.unicorns.zookeeper import Endpoint, ZookeeperArgs, ZookeeperUnicorn

#: Seconds of a session without a sign of life.
SESSION = 2.0

_numbers = itertools.count()


class ZookeeperCase(UnicornCase, SynchronousTestCase):
    """
    A prefix for each test, at a server that is there for all of them.

    :ivar server: where; a test that stops it brings one of its own.
    """

    skip = live_reason()

    @override
    def setUp(self) -> None:
        super().setUp()
        self.server = self.start_server()
        self.prefix = f"/test{next(_numbers)}"
        self.node = stub_node()
        self.unicorn: Any = self.connect()

    def start_server(self) -> Zookeeper:
        """Give a server that runs."""
        return shared()

    def connect(self, session_timeout_ms: int = int(1000 * SESSION)) -> Any:
        """Start another unicorn in the prefix of this test, in another session."""
        args = ZookeeperArgs(
            endpoints=(Endpoint(LOOPBACK, self.server.port),),
            session_timeout_ms=session_timeout_ms,
            prefix=self.prefix,
        )
        unicorn = ZookeeperUnicorn(self.node, f"unicorn{next(_numbers)}", args)
        unicorn.start()
        self.addCleanup(lambda: self.wait_until_fired(unicorn.stop()))
        return unicorn

    def wait_until_fired(self, deferred: Any) -> None:
        """Wait for the end of a stop, and let its time pass."""

        def has_fired() -> bool:
            self.node.reactor.advance(0.05)
            return bool(deferred.called and not deferred.paused)

        self.wait_until(has_fired)
