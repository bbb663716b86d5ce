# -*- test-case-name: cocained.test.test_unicorns_tree -*-
"""Tests for :mod:`cocained.unicorns.tree`."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cocained.errors import (
    CocainedError,
    NodeExists,
    NoNode,
    UnicornBusy,
    UnicornError,
    VersionNotAllowed,
)
from cocained.unicorns.keeper import Change, Stat
from cocained.unicorns.tree import OVERHEAD, Event, Plan, State, Tree


class TreeTests(SynchronousTestCase):
    """Plans, and what becomes of them."""

    def setUp(self) -> None:
        self.tree = Tree(limit=10_000)

    def do(self, plan: Plan) -> Plan:
        self.tree.apply(plan.states)
        return plan

    def create(self, path: str, data: bytes = b"", ephemeral: bool = False) -> Plan:
        return self.do(self.tree.create(path, data, ephemeral, False))

    def test_planned_is_not_done(self) -> None:
        """A plan changes nothing until it is applied."""
        self.create("/a")
        before = list(self.tree)

        self.tree.create("/b", b"", False, False)
        self.tree.write("/a", b"x", 0)
        self.tree.delete("/a", 0)

        self.assertEqual(list(self.tree), before)

    def test_create(self) -> None:
        """A new node is told to those who watch it, and who watch above."""
        plan = self.create("/a", b"v")

        self.assertEqual(self.tree.read("/a"), (b"v", Stat(0, 0, 0)))
        self.assertEqual(
            plan.events, [Event("/a", Change.CREATED), Event("", Change.CHILDREN)]
        )
        self.assertEqual(self.tree.names(""), (["a"], Stat(0, 1, 1)))

    def test_write(self) -> None:
        """A write counts, and is told to those who watch the node."""
        self.create("/a", b"v")

        plan = self.do(self.tree.write("/a", b"w", 0))

        self.assertEqual(self.tree.read("/a"), (b"w", Stat(1, 0, 0)))
        self.assertEqual(plan.events, [Event("/a", Change.WRITTEN)])
        self.assertRaises(VersionNotAllowed, self.tree.write, "/a", b"", 0)

    def test_delete(self) -> None:
        """A node goes, and its parent counts that."""
        self.create("/a")

        plan = self.do(self.tree.delete("/a", -1))

        self.assertIsNone(self.tree.look("/a"))
        self.assertEqual(self.tree.names(""), ([], Stat(0, 2, 0)))
        self.assertEqual(
            plan.events, [Event("/a", Change.DELETED), Event("", Change.CHILDREN)]
        )

    def test_refusals(self) -> None:
        """What cannot be is refused."""
        self.create("/a")
        self.create("/a/b")
        self.create("/e", ephemeral=True)
        create = self.tree.create

        self.assertRaises(NoNode, create, "/x/y", b"", False, False)
        self.assertRaises(NodeExists, create, "/a", b"", False, False)
        self.assertRaises(UnicornError, create, "/e/c", b"", False, False)
        self.assertRaises(NoNode, self.tree.write, "/x", b"", -1)
        self.assertRaises(NoNode, self.tree.delete, "/x", -1)
        self.assertRaises(NoNode, self.tree.read, "/x")
        self.assertRaises(NoNode, self.tree.names, "/x")
        self.assertRaises(VersionNotAllowed, self.tree.delete, "/a/b", 1)
        self.assertRaises(UnicornError, self.tree.delete, "/a", -1)

    def test_impossible_states(self) -> None:
        """States that are not of this tree are refused."""
        self.create("/a")
        self.create("/a/b")
        self.create("/a/e", ephemeral=True)
        for state in (
            State("/x/y", b""),
            State("/x", None),
            State("/a", None),
            State("", None),
            State("/a/e/f", b""),
            State("/a", b"", ephemeral=True),
            State("/a/e", b""),
        ):
            self.assertRaises(UnicornError, self.tree.apply, [state])
            self.assertEqual(len(list(self.tree)), 4)
        self.tree.apply([State("/a/b", None), State("/a/e", None), State("/a", None)])
        self.assertRaises(UnicornError, self.tree.apply, [State("", None)])

    def test_full(self) -> None:
        """A full tree takes nothing more, and takes it again when it has room."""
        self.create("/a", b"x" * 5000)
        error = self.assertRaises(UnicornBusy, self.create, "/b", b"x" * 5000)
        self.assertIn("max-total", str(error))
        self.assertRaises(UnicornBusy, self.tree.write, "/a", b"x" * 10_000, -1)
        self.do(self.tree.write("/a", b"", -1))

        self.create("/b", b"x" * 5000)

    def test_many_empty_nodes(self) -> None:
        """Nodes without a value take room, too."""
        with self.assertRaises(UnicornBusy):
            for number in range(10_000 // OVERHEAD + 1):
                self.create(f"/{number}")

    def test_ephemeral(self) -> None:
        """Ephemeral nodes are known."""
        self.create("/a")
        self.create("/a/e", ephemeral=True)
        self.create("/b", ephemeral=True)

        self.assertEqual(self.tree.ephemeral(), ["/a/e", "/b"])


_PATHS = st.sampled_from(["/a", "/b", "/a/a", "/a/b", "/a/a/a", "/b/c"])

_STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("create"),
            _PATHS,
            st.binary(max_size=4),
            st.booleans(),
            st.booleans(),
        ),
        st.tuples(st.just("write"), _PATHS, st.binary(max_size=4), st.integers(-1, 2)),
        st.tuples(st.just("delete"), _PATHS, st.integers(-1, 2)),
    ),
    max_size=40,
)


class LawTests(SynchronousTestCase):
    """What holds whatever is done."""

    @settings(max_examples=200, deadline=None)
    @given(_STEPS)
    def test_states_are_all(self, steps: list[Any]) -> None:
        """A tree made of another's states is the same; its size is that of all."""
        tree, copy = Tree(), Tree()
        for name, *args in steps:
            try:
                plan = getattr(tree, name)(*args)
            except CocainedError:
                continue
            tree.apply(plan.states)
            copy.apply(plan.states)
        fresh = Tree()
        fresh.apply(tree)

        self.assertEqual(list(copy), list(tree))
        self.assertEqual(list(fresh), list(tree))
        self.assertEqual((copy.size, fresh.size), (tree.size, tree.size))
        for state in list(tree)[1:]:
            above = state.path.rpartition("/")[0]
            self.assertIn(state.path.rpartition("/")[2], tree.names(above)[0])
