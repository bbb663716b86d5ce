# -*- test-case-name: cocained.test.live.test_storages_postgres -*-
# mypy: allow-untyped-calls
"""
What every storage on a server has to bear, whatever the server.
"""

from __future__ import annotations

import errno
import functools
import random
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from cocained.errors import StorageError
from cocained.test.live.cutter import Cutter
from cocained.testing.reactor import THREAD_TIMEOUT

#: Seconds that a storage gives its server in these tests.
SHORT = 1.0

#: Seconds within which an operation that is given :data:`SHORT` has to fail: twice
#: that, for a connection is tried as well, and what a busy machine needs.
LATE = 8.0

#: What may be said of an operation that a server did not survive.
LOSSES = {
    errno.ECONNREFUSED,
    errno.ECONNRESET,
    errno.ETIMEDOUT,
    errno.EAGAIN,
}


@functools.cache
def victim(make: Callable[[], Any]) -> Any:
    """Give the server of a kind that tests may stop, and must not close."""
    return make()


class Faults:
    """
    The faults, to be inherited before a :class:`.storage_case.RemoteCase`.

    Its server is one that may be harmed, and time passes for the storage.

    :cvar keeps: whether the server has its data when it was killed and started.
    :cvar rounds: how often a connection is cut.
    :cvar hanging: what is said of a server that hangs.
    """

    keeps = True
    rounds = 12
    hanging = frozenset({errno.ETIMEDOUT})

    def serve(self) -> Any:
        """Give a server that may be harmed, and that was healed again."""
        server = victim(type(self).make_server)
        server.resume()
        if server.process is None:
            server.start()
        return server

    @staticmethod
    def make_server() -> Any:
        """Build a server."""
        raise NotImplementedError

    def serve_neighbour(self) -> Any:
        """Give another server, which nobody harms."""
        return super().serve()  # type: ignore[misc]  # of the case beside it

    def through(self, port: int) -> dict[str, Any]:
        """Give the arguments that lead to another port."""
        raise NotImplementedError

    def pass_time(self) -> None:
        """Let a little time pass, for threads and for the storage."""
        began = time.monotonic()
        self.node.reactor.pump_ready()
        time.sleep(0.002)
        self.node.reactor.advance(time.monotonic() - began)

    def outcome(self, deferred: Deferred[Any]) -> Any:
        """Wait for an answer or a failure while time passes."""
        until = time.monotonic() + THREAD_TIMEOUT
        found: list[Any] = []
        deferred.addBoth(found.append)
        while not found:
            self.pass_time()
            self.assertLess(time.monotonic(), until, "no answer")
        if isinstance(found[0], Failure):
            self.assertIsInstance(found[0].value, StorageError)
            return found[0].value
        return found[0]

    def test_away_at_the_start(self) -> None:
        """The node starts without its server, says so, and finds it later."""
        self.server.stop(signal.SIGKILL)
        storage = self.another(timeout=SHORT)
        self.assertNotEqual(storage.report()["problem"], "")
        error = self.outcome(storage.read("c", "k"))
        self.assertIn(error.code, LOSSES)
        self.server.start()

        self.assertIsNone(self.soon(lambda: storage.write("c", "k", b"v")))
        self.assertEqual(storage.report()["problem"], "")

    def test_killed_under_load(self) -> None:
        """What was acknowledged is there when the server is back."""
        self.storage = self.another(timeout=SHORT)
        written = self.pour(100, lambda: self.server.stop(signal.SIGKILL))
        self.server.start()
        write = functools.partial(self.storage.write, "c", "after", b"v", ["t"])

        self.assertIsNone(self.soon(write))
        if self.keeps:
            for key, blob in written.items():
                self.assertEqual(self.outcome(self.storage.read("c", key)), blob)
        self.assertEqual(self.outcome(self.storage.find("c", ["t"])), ["after"])

    def pour(self, count: int, harm: Any) -> dict[str, bytes]:
        """
        Write one after the other, and do harm in the middle.

        :returns: what was acknowledged.
        """
        written: dict[str, bytes] = {}
        failed: list[StorageError] = []
        harming: list[threading.Thread] = []
        for number in range(count):
            if number == count // 2:
                harming.append(threading.Thread(target=harm))
                harming[0].start()
            if number > count // 2 and failed:
                break
            blob = random.randbytes(1000)
            outcome = self.outcome(self.storage.write("c", str(number), blob, ["load"]))
            if outcome is None:
                written[str(number)] = blob
            else:
                self.assertIn(outcome.code, LOSSES, outcome.reason)
                failed.append(outcome)
        harming[0].join()
        self.assertGreaterEqual(len(written), count // 2)
        return written

    def test_cut_in_the_middle(self) -> None:
        """Each write is acknowledged and there, or is not; never is half of it."""
        cutter = Cutter(self.server.port)
        self.addCleanup(cutter.close)
        storage = self.another(timeout=SHORT, **self.through(cutter.port))
        for number in range(self.rounds):
            old, new = bytes([65 + number]) * 50_000, bytes([97 + number]) * 50_000
            key = f"k{number}"
            self.assertIsNone(self.outcome(self.storage.write("c", key, old, ["old"])))
            # At every stage: the first try on the open connection, the next ones.
            cutter.allowance = number * 108_000 // self.rounds
            outcome = self.outcome(storage.write("c", key, new, ["new"]))
            cutter.allowance = None
            blob = self.outcome(self.storage.read("c", key))
            if outcome is None:
                self.assertEqual(blob, new)
                self.assertIn(key, self.outcome(self.storage.find("c", ["new"])))
            else:
                self.assertIn(outcome.code, LOSSES, outcome.reason)
                self.assertIn(blob, (old, new))
            self.assertIn(key, self.outcome(self.storage.find("c", ["old"])))
            write = functools.partial(storage.write, "c", key, new, ["new"])
            self.assertIsNone(self.soon(write))
        self.assertGreater(cutter.cuts, self.rounds // 2)

    def test_hangs(self) -> None:
        """A server that hangs is told in time, and found when it goes on."""
        storage = self.another(timeout=SHORT)
        self.assertIsNone(self.outcome(storage.write("c", "k", b"v")))
        self.server.pause()
        self.addCleanup(self.server.resume)
        began = time.monotonic()
        outcomes = [
            storage.read("c", "k"),
            storage.write("c", "k", b"w"),
            storage.find("c", ["t"]),
        ]
        for outcome in outcomes:
            self.assertIn(self.outcome(outcome).code, self.hanging)
        self.assertLess(time.monotonic() - began, LATE)
        self.server.resume()

        self.assertIn(self.soon(lambda: storage.read("c", "k")), (b"v", b"w"))

    def soon(self, operation: Callable[[], Deferred[Any]]) -> Any:
        """Do something again until it works; drivers notice a return late."""
        until = time.monotonic() + THREAD_TIMEOUT
        while isinstance(outcome := self.outcome(operation()), StorageError):
            self.assertIn(outcome.code, LOSSES, outcome.reason)
            self.assertLess(time.monotonic(), until, outcome.reason)
            self.pass_time()
        return outcome

    def test_others_go_on(self) -> None:
        """While one storage hangs, another of the node answers."""
        self.server, first = self.serve_neighbour(), self.server
        neighbour = self.another()
        self.server = first
        first.pause()
        self.addCleanup(first.resume)
        hanging = [self.storage.read("c", str(number)) for number in range(20)]

        for number in range(20):
            written = neighbour.write("c", str(number), b"v")
            self.assertIsNone(self.outcome(written))

        self.assertFalse(any(each.called for each in hanging))
        first.resume()
        for each in hanging:
            self.assertIsInstance(self.outcome(each), StorageError)

    def test_two_nodes_write_one_object(self) -> None:
        """The object is one of those written, whole, and has the tags of all."""
        other = self.another()
        pending = []
        for number in range(20):
            for name, storage in (("a", self.storage), ("b", other)):
                blob = f"{name}{number}".encode() * 5000
                pending.append(storage.write("c", "k", blob, [name, f"t{number}"]))
        for each in pending:
            self.assertIsNone(self.outcome(each))

        blob = self.outcome(self.storage.read("c", "k"))
        self.assertEqual(blob, self.outcome(other.read("c", "k")))
        self.assertIn(blob, {b"a19" * 5000, b"b19" * 5000})
        for tag in ("a", "b", "t0", "t19"):
            self.assertEqual(self.outcome(other.find("c", [tag])), ["k"])
        self.assertEqual(
            self.outcome(self.storage.version("c", "k")),
            self.outcome(other.version("c", "k")),
        )
