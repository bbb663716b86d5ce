# -*- test-case-name: cocained.test.test_gateways_kernel_table -*-
"""
Which virtual services there are, where they lead, and what has changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cocained.gateways.kernel import table as module
from cocained.gateways.kernel.plan import (
    Change,
    Plan,
    Verb,
    changes,
    takes_connections,
    text,
)
from cocained.gateways.kernel.table import Copy, Table
from cocained.test.kernel_case import A6, A, B

V = ("192.0.2.100", 20000)
V6 = ("2001:db8::100", 20000)
GRAPH: Mapping[int, Any] = {0: ("m", {}, {})}
OTHER: Mapping[int, Any] = {0: ("n", {}, {})}

endpoints = st.tuples(st.sampled_from(["192.0.2.1", "2001:db8::1"]), st.integers(1, 4))
plans = st.dictionaries(
    endpoints, st.dictionaries(endpoints, st.integers(0, 3), max_size=4), max_size=4
)


def apply(plan: Plan, steps: list[Change]) -> dict[Any, dict[Any, int]]:
    """Take steps as the kernel does, which refuses what makes no sense."""
    found = {virtual: dict(to) for virtual, to in plan.items()}
    for verb, virtual, destination, weight in steps:
        if verb is Verb.ADD_SERVICE:
            assert virtual not in found
            found[virtual] = {}
        elif verb is Verb.REMOVE_SERVICE:
            del found[virtual]
        else:
            assert destination is not None
            assert (destination in found[virtual]) is (verb is not Verb.ADD)
            if verb is Verb.REMOVE:
                del found[virtual][destination]
            else:
                found[virtual][destination] = weight
    return found


class PlanTests(SynchronousTestCase):
    """From one plan to another."""

    @given(plans, plans)
    def test_changes(self, before: Plan, after: Plan) -> None:
        """The steps lead from any plan to any other."""
        self.assertEqual(apply(before, list(changes(before, after))), after)

    @given(plans)
    def test_no_change(self, plan: Plan) -> None:
        """Between equal plans there is no step."""
        same = {virtual: dict(to) for virtual, to in plan.items()}
        self.assertEqual(list(changes(plan, same)), [])

    def test_order(self) -> None:
        """A destination comes before the one goes that it replaces."""
        steps = [step.verb for step in changes({V: {A: 1}}, {V: {B: 1}})]

        self.assertEqual(steps, [Verb.ADD, Verb.REMOVE])

    def test_takes_connections(self) -> None:
        """Somebody takes connections where one has a weight above 0."""
        plan = {V: {A: 0, B: 2}, V6: {A6: 0}}

        self.assertTrue(takes_connections(plan, V))
        self.assertFalse(takes_connections(plan, V6))
        self.assertFalse(takes_connections({}, V))

    def test_text(self) -> None:
        """Addresses with colons are in brackets."""
        self.assertEqual(text(A), "192.0.2.1:9001")
        self.assertEqual(text(A6), "[2001:db8::1]:9001")


class _TableCase(SynchronousTestCase):
    drain = 30.0

    def setUp(self) -> None:
        self.table = Table(self.drain)
        self.table.open("app", [V, V6])

    def announce(
        self, uuid: str, *places: Any, weight: int = 1, now: float = 0
    ) -> None:
        self.table.announce(uuid, "app", Copy(places, weight), 1, GRAPH, now)


class DestinationTests(_TableCase):
    """Who gets connections."""

    def test_empty(self) -> None:
        """A virtual service leads nowhere at first."""
        self.assertEqual(self.table.plan(), {V: {}, V6: {}})
        self.assertEqual(list(self.table.virtuals()), [V, V6])
        self.assertEqual(len(self.table), 1)

    def test_families(self) -> None:
        """A destination is behind the virtual service of its own family."""
        self.announce("a", A, A6)
        self.announce("b", B, weight=7)

        self.assertEqual(self.table.plan(), {V: {A: 1, B: 7}, V6: {A6: 1}})

    def test_plans_do_not_change(self) -> None:
        """A plan stays as it was when it was asked for."""
        before = self.table.plan()
        self.announce("a", A)

        self.assertEqual(before, {V: {}, V6: {}})

    def test_one_address_of_two_nodes(self) -> None:
        """It stays as long as one of them names it, with the larger weight."""
        self.announce("former", A, weight=3)
        self.announce("new", A, weight=1)
        self.assertEqual(self.table.plan()[V], {A: 3})

        self.table.withdraw("former", None, 1)

        self.assertEqual(self.table.plan()[V], {A: 1})
        self.assertIsNone(self.table.next_departure())

    def test_withdrawn_by_name(self) -> None:
        """One service of a node is withdrawn, and what it said is given back."""
        self.table.open("other", [("192.0.2.100", 20001)])
        self.announce("a", A)
        self.table.announce("a", "other", Copy((B,), 2), 1, GRAPH, 0)

        self.assertEqual(self.table.withdraw("a", "app", 1), [Copy((A,), 1)])
        self.assertEqual(self.table.withdraw("a", "app", 1), [])
        self.assertEqual(self.table.withdraw("a", "nope", 1), [])
        self.assertEqual(self.table.withdraw("a", None, 1), [Copy((B,), 2)])
        self.assertEqual(self.table.withdraw("a", None, 1), [])

    def test_first_announcement(self) -> None:
        """Version and graph are the first one's, until nobody is left."""
        self.announce("a", A)
        self.table.announce("b", "app", Copy((B,), 1), 2, OTHER, 0)
        service = self.table.get("app")
        assert service is not None
        self.assertEqual((service.version, service.graph), (1, GRAPH))

        self.table.withdraw("a", None, 0)
        self.table.withdraw("b", None, 0)
        self.table.announce("b", "app", Copy((B,), 1), 2, OTHER, 0)

        self.assertEqual((service.version, service.graph), (2, OTHER))

    def test_idle(self) -> None:
        """Services that nobody has are known, the longest so first."""
        self.table.open("other", [("192.0.2.100", 20001)])
        self.assertEqual(self.table.idle(), ["app", "other"])
        self.announce("a", A)
        self.assertEqual(self.table.idle(), ["other"])

        self.table.withdraw("a", None, 0)

        self.assertEqual(self.table.idle(), ["other", "app"])

    def test_closed(self) -> None:
        """A service that is closed is in no plan, and nobody leaves it any more."""
        self.announce("a", A)
        self.table.withdraw("a", None, 0)
        self.table.close("app")

        self.assertEqual(self.table.plan(), {})
        self.assertIsNone(self.table.get("app"))
        self.assertFalse(self.table.depart(100))


class DepartureTests(_TableCase):
    """How destinations go."""

    def test_weightless(self) -> None:
        """One that is withdrawn has a weight of 0 for a while, and then is gone."""
        self.announce("a", A)
        self.table.withdraw("a", None, 5)
        self.assertEqual(self.table.plan()[V], {A: 0})
        self.assertEqual(self.table.next_departure(), 35)

        self.assertFalse(self.table.depart(34))
        self.assertTrue(self.table.depart(35))

        self.assertEqual(self.table.plan()[V], {})
        self.assertIsNone(self.table.next_departure())

    def test_back(self) -> None:
        """One that comes back meanwhile stays."""
        self.announce("a", A)
        self.table.withdraw("a", None, 5)
        self.announce("a", A, weight=4, now=6)

        self.assertFalse(self.table.depart(100))
        self.assertEqual(self.table.plan()[V], {A: 4})

    def test_down(self) -> None:
        """One that does not answer leaves, and is back when it does."""
        self.announce("a", A)
        self.table.mark(A, False, 5)
        self.assertEqual(self.table.plan()[V], {A: 0})
        self.assertEqual(self.table.down(), [A])
        self.table.depart(35)
        self.assertEqual(self.table.plan()[V], {})

        self.table.mark(A, True, 40)

        self.assertEqual(self.table.plan()[V], {A: 1})
        self.assertEqual(self.table.down(), [])

    def test_down_and_withdrawn(self) -> None:
        """Whoever announces an address anew begins with a clean slate."""
        self.announce("a", A)
        self.table.mark(A, False, 5)
        self.table.withdraw("a", None, 6)
        self.assertEqual(self.table.down(), [])

        self.announce("b", A, now=7)

        self.assertEqual(self.table.plan()[V], {A: 1})

    def test_unknown_target(self) -> None:
        """Nothing is kept of addresses that nobody announced."""
        self.table.mark(B, False, 5)

        self.assertEqual(self.table.down(), [])

    def test_several_services(self) -> None:
        """An address that does not answer leaves all services that lead to it."""
        other = ("192.0.2.100", 20001)
        self.table.open("other", [other])
        self.announce("a", A)
        self.table.announce("a", "other", Copy((A,), 1), 1, GRAPH, 0)

        self.table.mark(A, False, 5)

        self.assertEqual(self.table.plan(), {V: {A: 0}, V6: {}, other: {A: 0}})

    def test_limit(self) -> None:
        """Whoever makes up address after address leaves no more than so many."""
        self.patch(module, "LEAVING_LIMIT", 3)
        for number in range(10):
            self.announce("a", ("192.0.2.9", 1 + number))
            self.table.withdraw("a", None, number)

        self.assertEqual(
            self.table.plan()[V], {("192.0.2.9", port): 0 for port in (8, 9, 10)}
        )
        self.assertEqual(self.table.next_departure(), 37)


class AtOnceTests(_TableCase):
    """Without time to drain."""

    drain = 0.0

    def test_gone(self) -> None:
        """A destination that is withdrawn is gone."""
        self.announce("a", A)
        self.table.withdraw("a", None, 5)

        self.assertEqual(self.table.plan()[V], {})
        self.assertIsNone(self.table.next_departure())
