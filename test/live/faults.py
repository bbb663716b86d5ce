# -*- test-case-name: cocained.test.live.test_faults_workers -*-
"""
What the tests of faults under load have in common: an app, a load, a verdict.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from typing_extensions import override

from cocained.test.live.ledger import Ending, Ledger
from cocained.test.live.load import Load
from cocained.test.live.proc import MIB, Proc
from cocained.test.live.support import (
    WORKERS,
    Client,
    LiveCase,
    LiveNode,
    pack,
    program,
)

#: Asks for runs of their full length; CI makes do with shorter ones.
LONG = "COCAINED_LONG"

#: Seconds after which a request that has not ended is called lost.
PATIENCE = 20.0

#: MiB that the node may have in memory, whatever is done to it here.
RESIDENT_LIMIT = 200


def is_long() -> bool:
    """Whether runs of full length are asked for."""
    return os.environ.get(LONG) == "1"


def cycle(events: Sequence[str]) -> Callable[[], str]:
    """Give one event after the other, over and over."""
    return itertools.cycle(events).__next__


def resident(node: LiveNode) -> float:
    """Give the resident memory of a node, in MiB."""
    assert node.process is not None
    return Proc(node.process.pid).resident() / MIB


def pour(client: Client, data: bytes) -> Callable[[], None]:
    """
    Send much over a connection, without ever waiting for its peer.

    :returns: sends what the connection takes now.
    """
    client.socket.setblocking(False)
    rest = memoryview(data)

    def push() -> None:
        nonlocal rest
        with contextlib.suppress(BlockingIOError, ConnectionError):
            rest = rest[client.socket.send(rest) :]

    return push


class FaultCase(LiveCase):
    """
    Tests against a node with the app ``faulty`` (``workers/faulty.py``).

    :cvar profile: of the app, over :attr:`PROFILE`.
    """

    PROFILE: Mapping[str, Any] = {
        "pool-limit": 3,
        "concurrency": 8,
        "queue-limit": 1000,
        "grow-threshold": 1,
        "heartbeat-timeout": 20,
        "terminate-timeout": 1,
    }

    profile: Mapping[str, Any] = {}

    @override
    def prepare(self) -> None:
        """Upload the app and start it."""
        self.put(self.node)
        self.node.start_app("faulty", "default")

    def put(self, node: LiveNode) -> None:
        """Store the app and its profile."""
        speech = (WORKERS / "speech.py").read_bytes()
        node.upload("faulty", {"worker": program("faulty.py"), "speech.py": speech})
        document = {**self.PROFILE, **self.profile}
        node.write("profiles", "default", pack(document), "profile")

    def load(self, ledger: Ledger, **how: Any) -> Load:
        """Make a load of the app that is closed when the test is over."""
        load = Load(self.node.resolve("faulty"), ledger, **how)
        self.addCleanup(load.close)
        return load

    def try_events(self, seconds: float, *events: str, **how: Any) -> Ledger:
        """
        Ask for *events* in turn, and wait for all endings.

        :param how: of the load.
        """
        ledger = Ledger()
        load = self.load(ledger, event=cycle(events), **how)
        load.run(seconds)
        load.finish(PATIENCE)
        self.assert_kept(ledger)
        return ledger

    def assert_kept(self, ledger: Ledger) -> None:
        """See that the promise was kept, that somebody asked, and show the table."""
        print("\n" + ledger.table(self.id().removeprefix("cocained.test.live.")))
        self.assertEqual(ledger.problems(), [])
        self.assertGreater(ledger.count(Ending.REPLY), 0)

    def assert_served(self) -> None:
        """See that the app answers now."""
        with self.node.client("faulty") as client:
            self.assertEqual(client.stream("echo", b"now"), [b"now"])

    def ask_for_workers(self, number: int) -> Client:
        """Have so many workers kept until the test is over."""
        control = self.connect("faulty")
        control.send(1, 2, [])
        control.send(1, 0, [number])
        return control

    def states(self) -> list[bytes]:
        """Give the states of the app's workers."""
        slaves = self.node.info("faulty")[b"pool"][b"slaves"]
        return [slave[b"state"] for slave in slaves.values()]
