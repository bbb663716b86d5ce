# -*- test-case-name: cocained.test.test_gateways_choice -*-
"""
Policies of choice: tables, laws, and a model of a cluster.
"""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cocained.gateways.choice import (
    DECAY,
    FLOOR,
    PENALTY,
    Choice,
    Load,
    Lottery,
    Policy,
    Turns,
    TwoChoices,
)

POLICIES = get_args(Policy)


class Node:
    """A copy with a name, and a speed for the model."""

    def __init__(self, name: str, seconds: float = 0.01) -> None:
        self.name = name
        self.seconds = seconds
        self.load = Load()

    def __repr__(self) -> str:
        return self.name


def choice(policy: Policy, *nodes: Node, seed: int = 1) -> Choice[Node]:
    """A choice among some nodes."""
    made: Choice[Node] = Choice(policy, Random(seed))
    for node in nodes:
        made.add(node)
    return made


def nodes(names: str) -> list[Node]:
    """One node for each letter."""
    return [Node(name) for name in names]


class LoadTests(SynchronousTestCase):
    """What is known of one copy."""

    def setUp(self) -> None:
        self.load = Load()

    def test_unknown(self) -> None:
        """A copy of which nothing is known counts as a fast one."""
        self.assertEqual(self.load.latency(5.0), 0.0)
        self.assertEqual(self.load.weight(5.0), FLOOR)

    def test_first(self) -> None:
        """The first observation counts in full."""
        self.load.observe(0.2, 100.0)

        self.assertEqual(self.load.latency(100.0), 0.2)

    def test_mean(self) -> None:
        """What is new counts the more the longer nothing was seen."""
        self.load.observe(0.2, 100.0)
        self.load.observe(1.0, 100.0 + DECAY / 100)
        self.assertLess(self.load.latency(100.1), 0.21)

        self.load.observe(1.0, 100.0 + 3 * DECAY)

        self.assertGreater(self.load.latency(130.0), 0.9)

    def test_forgotten(self) -> None:
        """A copy that was slow is as good as unknown after some time."""
        self.load.observe(1.0, 100.0)

        self.assertGreater(self.load.weight(100.0 + DECAY), 0.3)
        self.assertEqual(self.load.weight(100.0 + 8 * DECAY), FLOOR)

    def test_in_flight(self) -> None:
        """Each request that is there already makes one more worse."""
        self.load.observe(0.1, 0.0)
        one = self.load.weight(0.0)
        self.load.in_flight = 3

        self.assertAlmostEqual(self.load.weight(0.0), 4 * one)

    def test_failed(self) -> None:
        """A copy that refuses is no fast one, and one that is worse stays so."""
        self.load.observe(0.001, 0.0)
        self.load.failed(0.0)
        self.assertEqual(self.load.latency(0.0), PENALTY)

        self.load.observe(50.0, 2 * DECAY)
        self.load.failed(2 * DECAY)

        self.assertGreater(self.load.latency(2 * DECAY), PENALTY)

    def test_floor(self) -> None:
        """Differences that are noise do not count."""
        other = Load()
        self.load.observe(FLOOR / 2, 0.0)
        other.observe(FLOOR / 5, 0.0)

        self.assertEqual(self.load.weight(0.0), other.weight(0.0))

    @given(
        st.lists(st.tuples(st.floats(0, 100), st.floats(0, 50)), min_size=1),
    )
    def test_within(self, steps: list[tuple[float, float]]) -> None:
        """The mean never leaves what was observed."""
        load, now = Load(), 0.0
        for latency, pause in steps:
            now += pause
            load.observe(latency, now)

        most = max(latency for latency, _ in steps)
        self.assertLessEqual(load.latency(now), most * (1 + 1e-9))
        self.assertGreaterEqual(load.latency(now), 0.0)

    def test_clock_that_stands(self) -> None:
        """An earlier moment than the last one is taken for the last one."""
        self.load.observe(1.0, 100.0)

        self.assertEqual(self.load.latency(50.0), 1.0)


class EveryPolicyTests(SynchronousTestCase):
    """What holds whatever the policy."""

    def each(self, names: str) -> list[tuple[Choice[Node], list[Node]]]:
        """Every policy with nodes of its own."""
        made = []
        for policy in POLICIES:
            some = nodes(names)
            made.append((choice(policy, *some), some))
        return made

    def test_empty(self) -> None:
        """Among no copies there is no choice."""
        for empty, _ in self.each(""):
            self.assertIsNone(empty.pick(0.0))
            self.assertIsNone(empty.pick(0.0, [Node("z")]))
            self.assertEqual(len(empty), 0)

    def test_all(self) -> None:
        """Each copy gets something."""
        for among, some in self.each("abcd"):
            picked = Counter(among.pick(0.0) for _ in range(400))

            self.assertEqual(set(picked), set(some))
            self.assertGreater(min(picked.values()), 40)

    def test_gone(self) -> None:
        """A copy that is gone is not chosen, and may go twice."""
        for among, (first, second, third) in self.each("abc"):
            among.discard(second)
            among.discard(second)

            picked = {among.pick(0.0) for _ in range(50)}

            self.assertEqual(picked, {first, third})
            self.assertEqual(len(among), 2)

    def test_twice(self) -> None:
        """A copy that is added again is there once."""
        for among, (first, second) in self.each("ab"):
            among.add(first)
            among.add(second)

            self.assertEqual(sorted(map(repr, among)), ["a", "b"])

    def test_unwell(self) -> None:
        """A copy that is unwell is left out while there are others."""
        for among, (first, second, third) in self.each("abc"):
            among.add(first, well=False)

            picked = {among.pick(0.0) for _ in range(50)}

            self.assertEqual(picked, {second, third})
            self.assertEqual(len(among), 3)

    def test_well_again(self) -> None:
        """It comes back when it is well."""
        for among, some in self.each("abc"):
            among.add(some[0], well=False)
            among.add(some[0])

            self.assertEqual({among.pick(0.0) for _ in range(60)}, set(some))

    def test_all_unwell(self) -> None:
        """If nobody is well, what there is must do."""
        for among, some in self.each("ab"):
            for node in some:
                among.add(node, well=False)

            self.assertEqual({among.pick(0.0) for _ in range(60)}, set(some))

    def test_excluded(self) -> None:
        """Who has failed is not chosen while there is anybody else."""
        for among, (first, second, third) in self.each("abc"):
            picked = {among.pick(0.0, [first, second]) for _ in range(20)}
            self.assertEqual(picked, {third})

            among.add(third, well=False)
            picked = {among.pick(0.0, [first, second]) for _ in range(20)}
            self.assertEqual(picked, {third})

    def test_all_excluded(self) -> None:
        """If all have failed, one of them has to be tried again."""
        for among, some in self.each("ab"):
            picked = {among.pick(0.0, list(some)) for _ in range(60)}

            self.assertEqual(picked, set(some))

    @given(st.data())
    def test_members(self, data: st.DataObject) -> None:
        """What is chosen is always a copy that is there, the well ones first."""
        for policy in POLICIES:
            among = choice(policy)
            there: dict[Node, bool] = {}
            known = nodes("abcde")
            for step in data.draw(st.lists(st.sampled_from("+-?p"), max_size=40)):
                node = data.draw(st.sampled_from(known))
                if step == "-":
                    among.discard(node)
                    there.pop(node, None)
                elif step == "p":
                    picked = among.pick(0.0)
                    if not there:
                        self.assertIsNone(picked)
                    else:
                        assert picked is not None
                        self.assertEqual(there[picked], any(there.values()))
                else:
                    among.add(node, well=step == "+")
                    there[node] = step == "+"
                self.assertEqual(set(among), set(there))
                self.assertEqual(len(among), len(there))


class TurnsTests(SynchronousTestCase):
    """Round-robin."""

    def test_turns(self) -> None:
        """Copies take turns, in the order in which they came (row 263)."""
        among = choice("round-robin", *nodes("abc"))

        picked = "".join(repr(among.pick(0.0)) for _ in range(7))

        self.assertEqual(picked, "abcabca")

    def test_excluded_keeps_its_place(self) -> None:
        """Who was passed over is next."""
        some = nodes("abc")
        among = choice("round-robin", *some)
        among.pick(0.0, [some[0]])

        picked = "".join(repr(among.pick(0.0)) for _ in range(4))

        self.assertEqual(picked, "acba")

    @given(st.data())
    def test_fair(self, data: st.DataObject) -> None:
        """
        Between two turns of a copy, all that were there all the time had one.
        """
        among = choice("round-robin")
        #: who was chosen since the last turn of each, and who came since
        since: dict[Node, set[Node]] = {}
        came: dict[Node, set[Node]] = {}
        known = nodes("abcdef")
        for step in data.draw(st.lists(st.sampled_from("+-ppp"), max_size=60)):
            if step == "p":
                picked = among.pick(0.0)
                if picked is None:
                    continue
                if picked in since:
                    owed = set(among) - came[picked] - {picked}
                    self.assertLessEqual(owed, since[picked])
                for chosen in since.values():
                    chosen.add(picked)
                since[picked], came[picked] = set(), set()
                continue
            node = data.draw(st.sampled_from(known))
            if step == "-":
                among.discard(node)
                since.pop(node, None)
            elif node not in set(among):
                among.add(node)
                for comers in came.values():
                    comers.add(node)


class LotteryTests(SynchronousTestCase):
    """Random, and what two choices have of it."""

    def test_even(self) -> None:
        """Everybody has the same chance."""
        for policy in ("random", "least-latency"):
            among = choice(policy, *nodes("abcd"))

            picked = Counter(among.pick(0.0) for _ in range(4000))

            for count in picked.values():
                self.assertGreater(count, 850)
                self.assertLess(count, 1150)

    def test_kinds(self) -> None:
        """Each name means what it says."""
        kinds = {"round-robin": Turns, "random": Lottery, "least-latency": TwoChoices}
        self.assertEqual(set(kinds), set(POLICIES))

        for policy in POLICIES:
            self.assertIs(type(choice(policy)._well), kinds[policy])


class LeastLatencyTests(SynchronousTestCase):
    """Two choices over latency, in a model of a cluster."""

    def play(
        self, among: Choice[Node], seconds: float, start: float = 0.0, clients: int = 8
    ) -> Counter[str]:
        """
        Let clients ask one after the other for some seconds.

        :returns: how many requests each node got.
        """
        picked: Counter[str] = Counter()
        waiting: list[tuple[float, float, Node]] = []
        now = start
        while now < start + seconds:
            while len(waiting) < clients:
                node = among.pick(now)
                assert node is not None
                node.load.in_flight += 1
                picked[node.name] += 1
                waiting.append((now + node.seconds, now, node))
            waiting.sort(key=lambda entry: entry[:2])
            now, began, node = waiting.pop(0)
            node.load.in_flight -= 1
            node.load.observe(now - began, now)
        for _, _, node in waiting:
            node.load.in_flight -= 1
        return picked

    def test_slow(self) -> None:
        """A slow node gets little: next to nothing of many requests."""
        some = [Node("a"), Node("b"), Node("c"), Node("slow", 1.0)]

        picked = self.play(choice("least-latency", *some), 20.0)

        total = sum(picked.values())
        self.assertGreater(total, 10_000)
        self.assertLess(picked["slow"], total / 100)
        for name in "abc":
            self.assertGreater(picked[name], total / 5)

    def test_turns_do_not_see_it(self) -> None:
        """By turns the same node holds up everybody: the model tells them apart."""
        some = [Node("a"), Node("b"), Node("c"), Node("slow", 1.0)]

        picked = self.play(choice("round-robin", *some), 20.0)

        self.assertLess(sum(picked.values()), 1000)

    def test_another_chance(self) -> None:
        """A node that was slow and is not any more is found out."""
        some = [Node("a"), Node("b"), Node("slow", 1.0)]
        among = choice("least-latency", *some)
        self.play(among, 20.0)
        some[2].seconds = 0.01

        self.play(among, 60.0, 20.0)
        picked = self.play(among, 10.0, 80.0)

        self.assertGreater(picked["slow"], sum(picked.values()) / 5)

    def test_one_of_two(self) -> None:
        """With two nodes the choice is the faster one."""
        near, far = Node("near"), Node("far")
        among = choice("least-latency", near, far)
        near.load.observe(0.01, 0.0)
        far.load.observe(0.05, 0.0)

        self.assertEqual({among.pick(0.0) for _ in range(50)}, {near})

    def test_newcomer(self) -> None:
        """A node that nobody knows is not run over by all at once."""
        old, new = Node("old"), Node("new")
        old.load.observe(0.01, 0.0)
        among = choice("least-latency", old, new)

        for _ in range(100):
            node = among.pick(0.0)
            assert node is not None
            node.load.in_flight += 1

        self.assertGreater(old.load.in_flight, 3)
