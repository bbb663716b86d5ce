# -*- test-case-name: cocained.test.live.test_faults_node -*-
"""
Nodes that are stopped or killed while they serve and write, and start again.
"""

from __future__ import annotations

import hashlib
import random
import signal
import time
from collections.abc import Mapping
from pathlib import Path

from cocained.errors import RemoteError
from cocained.storages.names import RESERVED
from cocained.test.live.faults import FaultCase, cycle, is_long
from cocained.test.live.ledger import LOST, Ending, Ledger
from cocained.test.live.support import (
    STOP_TIMEOUT,
    VALUE,
    Client,
    LiveCase,
    LiveNode,
    live_suite,
    wait_for,
)

#: Lives of a node that is killed, or stopped, while it writes.
LIVES = 15 if is_long() else 5

#: Seconds that one of them lasts at most.
LIFE = 0.4

#: Keys that are written over and over, and bytes of their values: from what
#: fits one page to what takes many writes.
KEYS, SIZES = 8, (10, 5_000, 300_000)


class StopTests(FaultCase):
    """SIGTERM under load."""

    changes = {"shutdown": {"drain": 2.0, "kill": 1.0}}

    def test_drain(self) -> None:
        """
        What has been accepted is answered; what comes later is refused, or its
        connection is lost.
        """
        assert self.node.process is not None
        ledger = Ledger()
        # One that nobody answers keeps the node draining for its whole time.
        endless = self.load(ledger, width=1, depth=1, event=cycle(["hold"]))
        endless.run(0.1)
        load = self.load(ledger, width=4, depth=4, event=cycle(["slow"]))
        load.run(0.5)
        wait_for("all are accepted", lambda: self.accepted == len(ledger.entries), 10)
        accepted = [token for token, each in ledger.entries.items() if not each.ended]
        self.node.process.send_signal(signal.SIGTERM)
        self.node.wait_for_log("stops")
        load.run(10.0)
        endless.finish(10.0)
        self.node.process.wait(10)
        self.assert_kept(ledger)
        self.assertEqual(load.connections, [])
        endings = [ledger.entries[token].cause for token in accepted]
        # All got their reply but the one that has none.
        self.assertEqual(endings.count(None), len(accepted) - 1, endings)
        self.assertGreater(ledger.count(Ending.ERROR, (12, 32)), 0)

    @property
    def accepted(self) -> int:
        """Requests that the app has accepted."""
        return int(self.node.info("faulty")[b"requests"][b"accepted"])


class KillTests(FaultCase):
    """SIGKILL under load."""

    def test_kill(self) -> None:
        """
        Every request ends with the connection; no worker outlives the node; the
        next node serves at once what was stored.
        """
        assert self.node.process is not None
        ledger = Ledger()
        load = self.load(ledger, width=4, depth=8)
        load.run(0.4)
        self.node.process.kill()
        self.node.process.wait()
        load.run(10.0)
        self.assert_kept(ledger)
        self.assertGreater(ledger.count(Ending.ERROR, LOST), 0)
        self.assertEqual(ledger.count(Ending.ERROR), ledger.count(Ending.ERROR, LOST))
        wait_for("the workers have ended", lambda: not self.node.children(), 5)

        self.node.start()
        self.node.start_app("faulty", "default")

        self.try_events(0.3, "echo")


def sealed(version: int, size: int) -> bytes:
    """Make a value that tells whether it is whole, and which one it is."""
    body = random.Random(version).randbytes(size)
    head = b"%d:%s:" % (version, hashlib.sha256(body).hexdigest().encode())
    return head + body


def opened(value: bytes) -> int:
    """
    Give the version of a value.

    :raises ValueError: it is torn.
    """
    parts = value.split(b":", 2)
    if len(parts) != 3:
        raise ValueError(f"torn: {len(value)} bytes, {value[:80]!r}")
    version, digest, body = parts
    if hashlib.sha256(body).hexdigest().encode() != digest:
        raise ValueError(f"version {int(version)} is torn: {len(body)} bytes")
    return int(version)


class Writer:
    """
    Keeps writing, and remembers what was acknowledged.

    :ivar acknowledged: the last version of each key that the node said it has.
    :ivar sent: the last version of each key that was sent.
    """

    def __init__(self) -> None:
        self.acknowledged: dict[str, int] = {}
        self.sent: dict[str, int] = {}
        self._version = 0
        self.total = 0

    def write(self, node: LiveNode, until: float, number: signal.Signals) -> None:
        """Write until the time has come, then end the node in the middle."""
        assert node.process is not None
        with node.client("storage") as client:
            waiting: dict[int, tuple[str, int]] = {}
            while time.monotonic() < until:
                # Four at a time, so that some are always under way.
                while len(waiting) < 4:
                    key, version = self._send(client)
                    waiting[client.channel] = key, version
                self._take(client, waiting)
            node.process.send_signal(number)
            # What the node says before it ends counts, too; an error is none.
            while waiting and self._take(client, waiting, is_ending=True):
                pass
        node.process.wait(STOP_TIMEOUT)

    def _send(self, client: Client) -> tuple[str, int]:
        self._version += 1
        client.channel += 1
        key = f"key{self._version % KEYS}"
        value = sealed(self._version, SIZES[self._version % len(SIZES)])
        client.send(client.channel, 1, ["faults", key, value, ["tag"]])
        self.sent[key] = self._version
        return key, self._version

    def _take(
        self,
        client: Client,
        waiting: dict[int, tuple[str, int]],
        is_ending: bool = False,
    ) -> bool:
        """Take one answer; says whether there was one."""
        frame = client.receive()
        if frame is None:
            return False
        channel, kind, values = frame[:3]
        key, version = waiting.pop(channel)
        if kind == VALUE:
            self.acknowledged[key] = version
            self.total += 1
        elif not is_ending:
            raise AssertionError(f"a write failed: {values!r}")
        return True


class WriteTests(LiveCase):
    """SIGKILL, and now and then SIGTERM, in the middle of writes."""

    def found(self) -> Mapping[str, int]:
        """Read all keys; gives the version of each that is there."""
        versions = {}
        with self.node.client("storage") as storage:
            for number in range(KEYS):
                key = f"key{number}"
                try:
                    (value,) = storage.call(0, "faults", key)
                except RemoteError as error:
                    self.assertEqual((error.category, error.code), (12, 2))
                else:
                    versions[key] = opened(value)
            (tagged,) = storage.call(3, "faults", ["tag"])
        # What has been acknowledged can be found by its tag, too.
        self.assertLessEqual({key.decode() for key in tagged}, set(versions))
        return versions

    def scratch(self) -> list[Path]:
        """Give the files that are neither an object nor a tag."""
        store = self.node.directory / "store"
        return [path for path in store.rglob("*") if path.name.startswith(RESERVED)]

    def test_writes(self) -> None:
        """
        Whenever the node is killed or stopped: what it acknowledged is there and
        whole, what it did not is old or new, and nothing piles up.
        """
        writer, moments = Writer(), random.Random(11)
        for life in range(LIVES):
            until = time.monotonic() + moments.uniform(0.05, LIFE)
            # Every third life ends in order.
            number = signal.SIGTERM if life % 3 == 2 else signal.SIGKILL
            writer.write(self.node, until, number)
            self.node.start()
            found = self.found()
            for key, version in writer.acknowledged.items():
                self.assertIn(key, found, f"life {life}: an acknowledged write is lost")
                self.assertGreaterEqual(found[key], version, f"life {life}: {key}")
            for key, version in found.items():
                self.assertLessEqual(version, writer.sent[key])
            # What was found is what the next life begins with.
            writer.acknowledged.update(found)
            wait_for("scratch files are swept", lambda: not self.scratch(), 10)
        print(f"\n{LIVES} lives, {writer.total} acknowledged writes")
        self.assertGreater(writer.total, LIVES)


test_suite = live_suite(__name__)
