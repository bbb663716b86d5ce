# -*- test-case-name: cocained.test.test_services_groups -*-
"""
Routing groups: how they are loaded, refreshed and picked from.
"""

from __future__ import annotations

import errno
from collections import Counter
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import formatEvent

from cocained.errors import CocainedError, StorageError
from cocained.rpc.codec import pack
from cocained.services.groups import RoutingGroups
from cocained.test.service_case import MemoryNode, ServiceCase

ACTIVE = ("group", "active")


class _GroupCase(ServiceCase):
    def setUp(self) -> None:
        super().setUp()
        self.groups = RoutingGroups(self.node.core)

    def put(self, name: str, document: Any, tags: tuple[str, ...] = ACTIVE) -> None:
        self.store("groups", name, document, tags)

    def load(self) -> None:
        self.successResultOf(Deferred.fromCoroutine(self.groups.load()))

    def refreshing(self, *names: str) -> Deferred[None]:
        return Deferred.fromCoroutine(self.groups.refresh(list(names)))

    def refresh(self, *names: str) -> None:
        self.successResultOf(self.refreshing(*names))

    def refresh_error(self, *names: str) -> tuple[int, int, str]:
        error = self.failureResultOf(self.refreshing(*names), CocainedError).value
        assert isinstance(error, CocainedError)
        return error.category, error.code, error.reason


class LoadTests(_GroupCase):
    """What a node knows when it starts."""

    def test_all_active_groups(self) -> None:
        """Groups that carry both tags are loaded, and no others."""
        self.put("g1", {"storage": 1})
        self.put("g2", {"logging": 1})
        self.put("ginactive", {"storage": 1}, ("group",))

        self.load()

        self.assertEqual(list(self.groups.rings()), ["g1", "g2"])

    def test_one_bad_group(self) -> None:
        """A group that cannot be used is logged and does not stop the others."""
        events = self.record_log()
        self.put("bad", b"\xc1")
        self.put("good", {"storage": 1})

        self.load()

        self.assertEqual(list(self.groups.rings()), ["good"])
        told = [formatEvent(event) for event in events]
        self.assertEqual(told, ["routing group bad is left out: parse error"])

    def test_storage_is_down(self) -> None:
        """Without the list of groups there is no start, and the storage says why."""
        self.node.core.refused["find"] = StorageError(errno.EIO, "disk is broken")

        failed = Deferred.fromCoroutine(self.groups.load())

        error = self.failureResultOf(failed, StorageError).value
        self.assertEqual(str(error), "disk is broken")


class RefreshTests(_GroupCase):
    """Groups that change while the node runs."""

    def test_new_group(self) -> None:
        """A group is known after it has been refreshed, not before."""
        self.put("g1", {"storage": 1})
        self.assertEqual(self.groups.rings(), {})

        self.refresh("g1")

        self.assertEqual(list(self.groups.rings()), ["g1"])

    def test_others_stay(self) -> None:
        """A group that is not named keeps its ring, whatever the storage has."""
        self.put("g1", {"storage": 1})
        self.load()
        before = self.groups.rings()["g1"]
        self.put("g1", {"logging": 1})
        self.put("g2", {"logging": 1})

        self.refresh("g2")

        self.assertEqual(self.groups.rings()["g1"], before)
        self.assertEqual(list(self.groups.rings()), ["g1", "g2"])

    def test_changed_weights(self) -> None:
        """A refreshed group has its new members."""
        self.put("g1", {"storage": 1})
        self.load()
        self.put("g1", {"logging": 1})

        self.refresh("g1")

        self.assertEqual({name for _, name in self.groups.rings()["g1"]}, {"logging"})

    def test_unknown_group(self) -> None:
        """Refreshing what never was is a success (L10)."""
        self.refresh("nogroup")

        self.assertEqual(self.groups.rings(), {})

    def test_removed_group(self) -> None:
        """A group that is gone from the storage is forgotten (RG5)."""
        self.put("g1", {"storage": 1})
        self.load()
        self.successResultOf(self.node.core.remove("groups", "g1"))

        self.refresh("g1")

        self.assertEqual(self.groups.rings(), {})

    def test_inactive_group(self) -> None:
        """A group without the tag ``active`` is none (RG2)."""
        self.put("ginactive", {"storage": 1}, ("group",))

        self.refresh("ginactive")

        self.assertEqual(self.groups.rings(), {})

    def test_no_weight(self) -> None:
        """A group without any weight is refused (RG3)."""
        self.put("gzero", {"storage": 0})

        self.assertEqual(
            self.refresh_error("gzero"), (10, 2, "routing storage is unavailable")
        )

    def test_no_msgpack(self) -> None:
        """A blob that is no msgpack map of weights is a parse error (RG4)."""
        for blob in (
            b"\xc1",
            b"",
            pack({"a": 1}) + b"\x00",
            pack(["a", 1]),
            pack({"a": "1"}),
            pack({"a": -1}),
            pack({"a": 1.0}),
            pack({"a": True}),
            pack({"a": None}),
            pack({1: 1}),
        ):
            self.put("gbad", blob)

            self.assertEqual(self.refresh_error("gbad"), (7, 7, "parse error"))

    def test_new_string_families(self) -> None:
        """Tools that write str8 and not raw strings are understood."""
        self.put("g1", b"\x81\xd9\x07storage\x01")

        self.refresh("g1")

        self.assertEqual({name for _, name in self.groups.rings()["g1"]}, {"storage"})

    def test_unreadable(self) -> None:
        """A group that cannot be read is refused, with the original's words."""
        self.put("g1", {"storage": 1})
        self.node.core.refused["g1"] = StorageError(errno.EIO, "disk is broken")

        self.assertEqual(
            self.refresh_error("g1"), (10, 2, "routing storage is unavailable")
        )

    def test_list_is_unavailable(self) -> None:
        """When the list cannot be had, the storage's own code is told."""
        self.node.core.refused["find"] = StorageError(errno.EIO, "disk is broken")

        self.assertEqual(self.refresh_error("g1"), (12, errno.EIO, "disk is broken"))

    def test_all_or_nothing(self) -> None:
        """One bad group among several, and no ring has changed."""
        self.put("g1", {"storage": 1})
        self.put("g2", {"storage": 1})
        self.load()
        before = self.groups.rings()
        self.put("g1", {"logging": 1})
        self.put("g2", {"logging": 0})

        self.assertEqual(self.refresh_error("g1", "g2")[:2], (10, 2))

        self.assertEqual(self.groups.rings(), before)

    def test_overlap(self) -> None:
        """A refresh that ends while another one reads is not undone by it."""
        self.put("slow", {"storage": 1})
        self.put("fast", {"storage": 1})
        gate: Deferred[None] = Deferred()
        self.node.core.held["slow"] = gate
        slow = self.refreshing("slow")
        self.assertNoResult(slow)

        self.refresh("fast")
        gate.callback(None)

        self.successResultOf(slow)
        self.assertEqual(list(self.groups.rings()), ["fast", "slow"])

    def test_same_name_twice(self) -> None:
        """A name given twice counts once."""
        self.put("g1", {"storage": 1})

        self.refresh("g1", "g1")

        self.assertEqual(len(self.groups.rings()["g1"]), 256)


class PickTests(_GroupCase):
    """From a name to a member."""

    def setUp(self) -> None:
        super().setUp()
        self.put("g1", {"storage": 1, "logging": 2})
        self.load()

    def test_no_group(self) -> None:
        """A name that is no group is its own answer."""
        self.assertEqual(self.groups.pick("storage", ""), "storage")
        self.assertEqual(self.groups.pick("storage", "user4"), "storage")

    def test_seed(self) -> None:
        """A seed leads to its member, each time."""
        for _ in range(20):
            self.assertEqual(self.groups.pick("g1", "user4"), "storage")
            self.assertEqual(self.groups.pick("g1", "user0"), "logging")

    def test_by_weight(self) -> None:
        """Without a seed members are picked by their weight."""
        # A third of 3000: 1000 with a standard deviation of 26.
        picked = Counter(self.groups.pick("g1", "") for _ in range(3000))

        self.assertEqual(set(picked), {"storage", "logging"})
        self.assertGreater(picked["storage"], 700)
        self.assertLess(picked["storage"], 1300)

    def test_members_are_no_groups(self) -> None:
        """A member that has the name of a group is not looked up again."""
        self.put("g2", {"g1": 1})
        self.refresh("g2")

        self.assertEqual(self.groups.pick("g2", "seed"), "g1")

    def test_names_beyond_text(self) -> None:
        """Names that are no UTF-8 survive from the storage to the answer."""
        self.put("g3", {b"\xff\x80": 1})
        self.refresh("g3")

        self.assertEqual(self.groups.pick("g3", "x"), "\udcff\udc80")

    def test_node_has_its_own(self) -> None:
        """Two nodes with a storage each share nothing."""
        other = RoutingGroups(MemoryNode().core)

        self.assertEqual(other.rings(), {})
