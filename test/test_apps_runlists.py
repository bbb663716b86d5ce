"""
The apps of a runlist: started with the node, and kept up with (rows 134, 187).
"""

from __future__ import annotations

import errno
from typing import Any

import msgpack
from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import formatEvent

from cocained.apps.library import Library
from cocained.apps.runlists import LAST_DELAY, Follower
from cocained.errors import (
    AppExists,
    AppStopped,
    CocainedError,
    SpoolError,
    StorageError,
)
from cocained.storages.memory import MemoryStorage
from cocained.test.service_case import LogCase
from cocained.testing import MemoryReactor

INTERVAL = 10.0


class Core(MemoryStorage):
    """A storage that does not answer when a test says so."""

    failure: StorageError | None = None
    gate: Deferred[None] | None = None

    def version(self, collection: str, key: str) -> Deferred[str]:
        if self.failure is not None:
            return fail(self.failure)
        answer = super().version(collection, key)
        return answer if self.gate is None else self.gate.addCallback(lambda _: answer)


class Host:
    """Notes what it is asked for."""

    def __init__(self) -> None:
        self.did: list[tuple[str, ...]] = []
        self.refused: dict[str, CocainedError] = {}
        self.gate: Deferred[None] | None = None
        self.change: Deferred[None] | None = None

    async def start_named(self, name: str, profile: str) -> None:
        self.did.append(("start", name, profile))
        if self.gate is not None:
            await self.gate
        if name in self.refused:
            raise self.refused[name]

    def change_profile(self, name: str, profile: str) -> Deferred[None]:
        self.did.append(("change", name, profile))
        if name in self.refused:
            return fail(self.refused[name])
        return succeed(None) if self.change is None else self.change

    def let_go(self, name: str) -> None:
        self.did.append(("let go", name))


class FollowerCase(LogCase):
    """A follower of the runlist ``all``."""

    interval = INTERVAL

    def setUp(self) -> None:
        self.clock = MemoryReactor()
        node: Any = None
        self.core = Core(node, "core")
        self.host = Host()
        self.events = self.record_log()
        self.follower = Follower(
            Library(self.core, None),
            "all",
            self.interval,
            self.host,
            self.clock,
            lambda: 0.5,
        )

    def put(self, apps: Any) -> None:
        blob = msgpack.packb(apps)
        self.successResultOf(self.core.write("runlists", "all", blob))

    def begin(self, apps: Any) -> None:
        """Start with a runlist."""
        self.put(apps)
        self.follower.start()

    def take(self) -> list[tuple[str, ...]]:
        did, self.host.did = self.host.did, []
        return did

    def pass_looks(self, number: int = 1) -> list[tuple[str, ...]]:
        """Let time pass; give what was done."""
        self.clock.pass_time(INTERVAL * number)
        return self.take()

    def warnings(self) -> list[str]:
        events, self.events[:] = list(self.events), []
        return [
            formatEvent(event) for event in events if event["log_level"].name == "warn"
        ]


class OnceTests(FollowerCase):
    """``runlist-refresh: 0``."""

    interval = 0

    def test_start(self) -> None:
        """What is in it is started, in its order, and never again looked at."""
        self.begin({"b": "x", "a": "y"})

        self.assertEqual(self.take(), [("start", "b", "x"), ("start", "a", "y")])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.follower.stop()

    def test_missing(self) -> None:
        """Without one nothing is started, and the log says so."""
        self.follower.start()

        (warning,) = self.warnings()
        self.assertIn("runlist all cannot be read, no app is started", warning)


class FollowTests(FollowerCase):
    """What changes in the runlist changes on the node."""

    def test_nothing_new(self) -> None:
        """As long as it stays as it is nothing is done, nor is it read."""
        self.begin({"a": "x"})
        self.assertEqual(self.take(), [("start", "a", "x")])

        self.assertEqual(self.pass_looks(5), [])

    def test_added(self) -> None:
        """An app that is added is started."""
        self.begin({"a": "x"})
        self.take()
        self.put({"a": "x", "b": "y"})

        self.assertEqual(self.pass_looks(), [("start", "b", "y")])

    def test_removed(self) -> None:
        """An app that is taken out ends, once."""
        self.begin({"a": "x", "b": "x"})
        self.take()
        self.put({"b": "x"})

        self.assertEqual(self.pass_looks(3), [("let go", "a")])

    def test_other_profile(self) -> None:
        """An app that is given another profile gets it."""
        self.begin({"a": "x"})
        self.take()
        self.put({"a": "y"})

        self.assertEqual(self.pass_looks(3), [("change", "a", "y")])

    def test_profile_refused(self) -> None:
        """One that cannot go on with it is tried again, ever later."""
        self.begin({"a": "x"})
        self.take()
        self.host.refused["a"] = SpoolError("no registry")
        self.put({"a": "y"})

        self.assertEqual(self.pass_looks(12), [("change", "a", "y")] * 4)
        del self.host.refused["a"]
        while not self.pass_looks():
            pass
        self.assertEqual(self.pass_looks(20), [])

    def test_slow_change(self) -> None:
        """What is under way is not begun again, and what it has replaced is over."""
        self.begin({"a": "x"})
        first: Deferred[None] = Deferred()
        self.host.change = first
        self.put({"a": "y"})
        self.pass_looks()
        self.host.change = Deferred()
        self.put({"a": "z"})
        self.pass_looks()
        first.errback(AppStopped("given up for another one"))

        self.assertEqual(self.pass_looks(10), [])

    def test_profile_refused_and_removed(self) -> None:
        """One that is taken out meanwhile is not tried again."""
        self.begin({"a": "x"})
        self.host.refused["a"] = SpoolError("no registry")
        self.put({"a": "y"})
        self.pass_looks()
        self.put({})

        self.assertEqual(self.pass_looks(20), [("let go", "a")])

    def test_another_profile_then(self) -> None:
        """With a third profile it is tried at once."""
        self.begin({"a": "x"})
        self.host.refused["a"] = SpoolError("no registry")
        self.put({"a": "y"})
        self.pass_looks(100)
        self.put({"a": "z"})

        self.assertEqual(self.pass_looks(), [("change", "a", "z")])

    def test_profile_breaks(self) -> None:
        """What is no error of the node's is a bug, and logged as one."""
        self.begin({"a": "x"})
        refused: Any = self.host.refused
        refused["a"] = ZeroDivisionError()
        self.put({"a": "y"})
        self.pass_looks()

        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_again(self) -> None:
        """An app may come back."""
        self.begin({"a": "x"})
        self.put({})
        self.pass_looks()
        self.put({"a": "x"})

        self.assertEqual(self.pass_looks(), [("start", "a", "x")])

    def test_first_runlist_later(self) -> None:
        """A runlist that is put when the node runs already is followed."""
        self.follower.start()
        self.assertEqual(len(self.warnings()), 1)
        self.put({"a": "x"})

        self.assertEqual(self.pass_looks(), [("start", "a", "x")])

    def test_unreadable(self) -> None:
        """One that cannot be read changes nothing, and is logged once."""
        self.begin({"a": "x"})
        self.take()
        self.core.failure = StorageError(errno.EIO, "it is down")
        self.assertEqual(self.pass_looks(3), [])
        (warning,) = self.warnings()
        self.assertIn("cannot be read, all apps stay as they are", warning)
        self.core.failure = None

        self.put({"a": "x", "b": "x"})
        self.assertEqual(self.pass_looks(), [("start", "b", "x")])
        self.core.failure = StorageError(errno.EIO, "again")
        self.pass_looks(2)
        self.assertEqual(len(self.warnings()), 1)

    def test_removed_runlist(self) -> None:
        """So does one that is gone: nobody wants all apps to end by a mistake."""
        self.begin({"a": "x"})
        self.take()
        self.core.remove("runlists", "all")

        self.assertEqual(self.pass_looks(3), [])

    def test_bad_runlist(self) -> None:
        """And one that is none."""
        self.begin({"a": "x"})
        self.take()
        self.put({"a": 5})

        self.assertEqual(self.pass_looks(3), [])
        self.assertEqual(len(self.warnings()), 1)

    def test_slow_start(self) -> None:
        """Looks do not overlap with the starts that came of one."""
        self.host.gate = Deferred()
        self.begin({"a": "x", "b": "x"})
        self.put({"c": "x"})
        self.assertEqual(self.pass_looks(5), [("start", "a", "x")])
        gate, self.host.gate = self.host.gate, None

        gate.callback(None)

        self.assertEqual(self.take(), [("start", "b", "x")])
        self.assertEqual(
            self.pass_looks(), [("let go", "a"), ("let go", "b"), ("start", "c", "x")]
        )


class FailureTests(FollowerCase):
    """Apps that cannot be started."""

    def refuse(self, error: CocainedError) -> None:
        self.host.refused["a"] = error
        self.begin({"a": "x"})
        self.take()

    def test_others_start(self) -> None:
        """They do not keep the others from it."""
        self.host.refused["a"] = SpoolError("no code")
        self.begin({"a": "x", "b": "x"})

        self.assertEqual(self.take(), [("start", "a", "x"), ("start", "b", "x")])
        (warning,) = self.warnings()
        self.assertEqual(warning, "app a of runlist all cannot be started: no code")

    def test_tried_again(self) -> None:
        """They are tried again, later each time: their code may come yet."""
        self.refuse(SpoolError("no code"))
        waits = []
        for _ in range(4):
            wait = 1
            while not self.pass_looks():
                wait += 1
            waits.append(wait)
        self.assertEqual(waits, sorted(waits))
        self.assertGreater(waits[-1], 2 * waits[0])
        self.assertEqual(len(self.warnings()), 1)

        del self.host.refused["a"]
        while not self.pass_looks():
            pass
        self.assertEqual(self.pass_looks(20), [])

    def test_longest_wait(self) -> None:
        """It is never longer than that."""
        self.refuse(SpoolError("no code"))
        self.pass_looks(1000)

        self.assertEqual(len(self.pass_looks(int(LAST_DELAY / INTERVAL) + 1)), 1)

    def test_another_reason(self) -> None:
        """A new reason is a new line in the log."""
        self.refuse(SpoolError("no code"))
        self.host.refused["a"] = SpoolError("no disk")

        self.pass_looks(10)

        self.assertEqual(len(self.warnings()), 2)

    def test_other_profile(self) -> None:
        """With another profile it is tried at once."""
        self.refuse(SpoolError("no code"))
        self.pass_looks(100)
        self.put({"a": "y"})

        self.assertEqual(self.pass_looks(1), [("start", "a", "y")])

    def test_removed(self) -> None:
        """One that is taken out is not tried again, and there is nothing to end."""
        self.refuse(SpoolError("no code"))
        self.put({})

        self.assertEqual(self.pass_looks(30), [])


class HandTests(FollowerCase):
    """What people do besides."""

    def test_started_by_hand(self) -> None:
        """An app that somebody has started already is theirs."""
        self.host.refused["a"] = AppExists("it runs")
        self.begin({"a": "x"})
        self.take()
        self.assertEqual(len(self.warnings()), 1)
        self.put({"a": "y"})
        self.assertEqual(self.pass_looks(10), [])
        self.put({})

        self.assertEqual(self.pass_looks(10), [])

    def test_paused_by_hand(self) -> None:
        """One that somebody has paused stays so, until the runlist names it anew."""
        self.begin({"a": "x"})
        self.take()
        self.follower.forget("a")
        self.put({"a": "x", "b": "x"})
        self.assertEqual(self.pass_looks(5), [("start", "b", "x")])
        self.put({"b": "x"})
        self.assertEqual(self.pass_looks(5), [])

        self.put({"a": "x", "b": "x"})

        self.assertEqual(self.pass_looks(), [("start", "a", "x")])

    def test_broken_and_paused_by_hand(self) -> None:
        """One that could not be started is not tried again, either."""
        self.host.refused["a"] = SpoolError("no code")
        self.begin({"a": "x"})
        self.take()

        self.follower.forget("a")

        self.assertEqual(self.pass_looks(30), [])


class StopTests(FollowerCase):
    """The node ends."""

    def test_stop(self) -> None:
        """Nothing is looked at any more."""
        self.begin({"a": "x"})
        self.take()

        self.follower.stop()

        self.put({})
        self.assertEqual(self.pass_looks(5), [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_amid_the_first_starts(self) -> None:
        """The rest of the list is not started, and no look follows."""
        gate = self.host.gate = Deferred()
        self.begin({"a": "x", "b": "x"})

        self.follower.stop()
        gate.callback(None)

        self.assertEqual(self.take(), [("start", "a", "x")])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_amid_a_look(self) -> None:
        """What a look finds then is of no interest."""
        self.begin({"a": "x"})
        self.take()
        self.put({"b": "x", "c": "x"})
        gate = self.host.gate = Deferred()
        self.assertEqual(self.pass_looks(), [("let go", "a"), ("start", "b", "x")])

        self.follower.stop()
        gate.errback(SpoolError("the node stops"))

        self.assertEqual(self.take(), [])
        self.assertEqual(self.warnings(), [])
        self.assertEqual(self.clock.getDelayedCalls(), [])


class ResumeTests(FollowerCase):
    """The node goes on after a rest."""

    def test_new_ones(self) -> None:
        """What has changed meanwhile is done then."""
        self.begin({"a": "x"})
        self.take()
        self.follower.stop()
        self.put({"b": "x"})
        self.assertEqual(self.pass_looks(3), [])

        self.follower.resume()

        self.assertEqual(self.pass_looks(), [("let go", "a"), ("start", "b", "x")])

    def test_rest(self) -> None:
        """Apps that were not started any more are started."""
        gate = self.host.gate = Deferred()
        self.begin({"a": "x", "b": "x"})
        self.follower.stop()
        self.host.gate = None
        gate.callback(None)
        self.assertEqual(self.take(), [("start", "a", "x")])

        self.follower.resume()

        self.assertEqual(self.take(), [("start", "b", "x")])
        self.assertEqual(self.pass_looks(5), [])

    def test_amid_a_start(self) -> None:
        """A rest that is shorter than a start does not double the looks."""
        gate = self.host.gate = Deferred()
        self.begin({"a": "x"})
        self.follower.stop()
        self.follower.resume()
        self.host.gate = None

        gate.callback(None)

        self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_amid_a_look(self) -> None:
        """A change that a look has found and not used is found again."""
        self.begin({"a": "x"})
        self.take()
        self.put({"b": "x"})
        gate = self.core.gate = Deferred()
        self.pass_looks()
        self.follower.stop()
        self.core.gate = None
        gate.callback(None)
        self.assertEqual(self.take(), [])

        self.follower.resume()

        self.assertEqual(self.pass_looks(), [("let go", "a"), ("start", "b", "x")])

    def test_nothing_to_resume(self) -> None:
        """One that was not stopped goes on as it did."""
        self.begin({"a": "x"})
        self.take()

        self.follower.resume()

        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
