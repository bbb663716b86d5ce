# -*- test-case-name: cocained.test.test_services_follower -*-
"""
Refreshes that began at other nodes.
"""

from __future__ import annotations

import errno
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import formatEvent

from cocained.errors import StorageError
from cocained.services.follower import (
    NAMES_LIMIT,
    SPREAD,
    SPREAD_OF_ALL,
    GroupFollower,
)
from cocained.services.groups import RoutingGroups
from cocained.test.service_case import ServiceCase

BROKEN = StorageError(errno.EIO, "disk is broken")


class FollowerTests(ServiceCase):
    """A node that hears what others have refreshed."""

    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        self.changes = 0
        self.groups = RoutingGroups(self.node.core)
        self.follower = GroupFollower(
            self.groups, self.clock, self.changed, lambda: 0.5
        )

    def changed(self) -> None:
        """Rings have changed."""
        self.changes += 1

    def put(self, name: str, weights: Any, *tags: str) -> None:
        """Store a group."""
        self.store("groups", name, weights, tags or ("group", "active"))

    def heard(self, *names: str) -> None:
        """Hear of groups, and wait."""
        self.follower.heard(names)
        self.clock.advance(SPREAD if names else SPREAD_OF_ALL)

    @property
    def names(self) -> list[str]:
        """The groups that are known."""
        return list(self.groups.rings())

    def test_named(self) -> None:
        """Groups that are named are read, others are not."""
        self.put("g1", {"a": 1})
        self.put("g2", {"a": 1})

        self.heard("g1")

        self.assertEqual((self.names, self.changes), (["g1"], 1))

    def test_all(self) -> None:
        """No names mean all, those that are gone as well."""
        self.put("g1", {"a": 1})
        self.put("g2", {"a": 1})
        self.heard()
        self.assertEqual(self.names, ["g1", "g2"])
        self.successResultOf(self.node.core.remove("groups", "g1"))

        self.heard()

        self.assertEqual((self.names, self.changes), (["g2"], 2))

    def test_nothing_new(self) -> None:
        """Who has missed nothing tells his routers nothing."""
        self.put("g1", {"a": 1})
        self.heard()
        self.heard()

        self.assertEqual(self.changes, 1)

    def test_after_a_while(self) -> None:
        """Nodes do not ask one storage all at once."""
        self.put("g1", {"a": 1})
        self.follower.heard(["g1"])
        self.clock.advance(SPREAD / 2 - 0.01)
        self.assertEqual(self.names, [])

        self.clock.advance(0.01)

        self.assertEqual(self.names, ["g1"])

    def test_all_later(self) -> None:
        """All groups are not as urgent, and are read once for many who may know."""
        self.put("g1", {"a": 1})
        for _ in range(1000):
            self.follower.heard([])
        self.clock.advance(SPREAD_OF_ALL / 2 - 0.1)
        self.assertEqual(self.node.core.reads, [])

        self.clock.advance(0.1)

        self.assertEqual(len(self.node.core.reads), 1)

    def test_one_draw(self) -> None:
        """
        The moment is drawn once: the earliest of a thousand would be at once, and
        so would be the next.
        """
        self.put("g1", {"a": 1})
        luck = [0.5] + [0.0] * 1000
        follower = GroupFollower(
            self.groups, self.clock, self.changed, lambda: luck.pop(0)
        )
        for _ in range(1000):
            follower.heard([])
        self.clock.advance(SPREAD_OF_ALL / 2 - 0.1)
        self.assertEqual(self.node.core.reads, [])

        self.clock.advance(0.1)

        self.assertEqual(len(self.node.core.reads), 1)

    def test_named_before_all(self) -> None:
        """A name that is heard meanwhile is not kept waiting for them."""
        self.put("g1", {"a": 1})
        self.put("g2", {"a": 1})
        self.follower.heard([])

        self.heard("g1")

        self.assertEqual(self.names, ["g1", "g2"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_together(self) -> None:
        """What is heard meanwhile is read once, together."""
        self.put("g1", {"a": 1})
        self.put("g2", {"a": 1})
        for _ in range(50):
            self.follower.heard(["g1"])
            self.follower.heard(["g2"])

        self.clock.advance(SPREAD)

        self.assertEqual(self.names, ["g1", "g2"])
        self.assertEqual(len(self.node.core.reads), 2)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_while_reading(self) -> None:
        """What is heard while the storage is read is read after it."""
        self.put("g1", {"a": 1})
        gate: Deferred[None] = Deferred()
        self.node.core.held["g1"] = gate
        self.heard("g1")
        self.put("g2", {"a": 1})
        self.heard("g2")
        self.assertEqual(self.names, [])

        gate.callback(None)
        self.assertEqual(self.names, ["g1"])
        self.clock.advance(SPREAD)

        self.assertEqual(self.names, ["g1", "g2"])

    def test_many_names(self) -> None:
        """More names than are worth remembering are all groups."""
        self.put("other", {"a": 1})
        for number in range(NAMES_LIMIT + 1):
            self.follower.heard([str(number)])
        self.assertLessEqual(len(self.follower._names), NAMES_LIMIT)

        self.clock.advance(SPREAD_OF_ALL)

        self.assertEqual(self.names, ["other"])

    def test_bad_group(self) -> None:
        """A group that cannot be used stays as it was, and others change."""
        self.put("g1", {"a": 1})
        self.heard()
        before = self.groups.rings()["g1"]
        events = self.record_log()
        self.put("g1", {"a": 0})
        self.put("g2", b"\xc1")
        self.put("g3", {"a": 1})

        self.heard()

        self.assertEqual(self.names, ["g1", "g3"])
        self.assertEqual(self.groups.rings()["g1"], before)
        texts = [str(formatEvent(event)) for event in events]
        self.assertEqual(len([t for t in texts if "stays as it was" in t]), 2)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_storage_fails(self) -> None:
        """A storage that fails is asked again, ever less often, until it answers."""
        self.put("g1", {"a": 1})
        self.node.core.refused["find"] = BROKEN
        events = self.record_log()
        self.heard("g1")
        waits = []
        for _ in range(7):
            (call,) = self.clock.getDelayedCalls()
            waits.append(call.getTime() - self.clock.seconds())
            self.clock.advance(waits[-1])
        self.assertEqual([round(wait, 2) for wait in waits][:6], [0.5, 1, 2, 4, 8, 16])
        self.assertIn("trying again in 0.5 s", str(formatEvent(events[0])))

        del self.node.core.refused["find"]
        self.clock.advance(16)

        self.assertEqual((self.names, self.changes), (["g1"], 1))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_read_fails(self) -> None:
        """So is one of which a single read fails; meanwhile nothing has changed."""
        self.put("g1", {"a": 1})
        self.put("g2", {"a": 1})
        self.node.core.refused["g2"] = BROKEN
        self.heard()
        self.assertEqual(self.names, [])

        del self.node.core.refused["g2"]
        self.clock.advance(1)

        self.assertEqual(self.names, ["g1", "g2"])

    def test_waits_while_failing(self) -> None:
        """What is heard while the storage fails waits with the rest."""
        self.put("g1", {"a": 1})
        self.put("g2", {"a": 1})
        self.node.core.refused["find"] = BROKEN
        self.heard("g1")
        del self.node.core.refused["find"]

        self.follower.heard(["g2"])
        self.clock.advance(0.5)

        self.assertEqual(self.names, ["g1", "g2"])

    def test_routers_fail(self) -> None:
        """A fault of our own is logged with its place, and does not end it."""
        self.put("g1", {"a": 1})

        def stumble() -> None:
            raise ZeroDivisionError

        self.follower = GroupFollower(self.groups, self.clock, stumble, lambda: 0.5)

        self.heard("g1")

        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.clock.advance(1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop(self) -> None:
        """Who has stopped follows nothing, whatever was about to be read."""
        self.put("g1", {"a": 1})
        self.follower.heard(["g1"])

        self.follower.stop()
        self.follower.stop()
        self.follower.heard(["g1"])
        self.clock.advance(60)

        self.assertEqual((self.names, self.changes), ([], 0))

    def test_stop_while_reading(self) -> None:
        """A read that is under way is given up."""
        self.put("g1", {"a": 1})
        self.node.core.held["g1"] = Deferred()
        self.heard("g1")

        self.follower.stop()

        self.assertEqual((self.names, self.clock.getDelayedCalls()), ([], []))

    def test_earlier_reader(self) -> None:
        """One who began earlier does not undo what was read later."""
        self.put("g1", {"old": 1})
        gate: Deferred[None] = Deferred()
        self.node.core.held["g1"] = gate
        self.heard("g1")
        del self.node.core.held["g1"]
        self.put("g1", {"new": 1})

        self.successResultOf(Deferred.fromCoroutine(self.groups.refresh(["g1"])))
        gate.callback(None)

        self.assertEqual({name for _, name in self.groups.rings()["g1"]}, {"new"})
        self.assertEqual((self.groups._readers, self.groups._changed), (set(), {}))
