# -*- test-case-name: cocained.test.test_unicorns -*-
# mypy: allow-untyped-calls
# (Assertions of trial have no types.)
"""
What every unicorn does with subscriptions and locks (plugins.md §4.1).
"""

from __future__ import annotations

from typing import Any

from cocained.errors import (
    ChildNotAllowed,
    InvalidNodeName,
    InvalidPath,
    InvalidValue,
    NoNode,
)
from cocained.interfaces import Children
from cocained.testing.contracts.unicorn_case import MemoryObserver, UnicornCase


class UnicornScopesContract(UnicornCase):
    """Subscriptions and locks."""

    def subscribe(self, path: str) -> tuple[MemoryObserver, Any]:
        """Follow a node."""
        observer = MemoryObserver()
        return observer, self.unicorn.subscribe(path, observer)

    def follow(self, path: str) -> tuple[MemoryObserver, Any]:
        """Follow a node's children."""
        observer = MemoryObserver()
        return observer, self.unicorn.children_subscribe(path, observer)

    def lock(self, path: str, *value: Any) -> tuple[MemoryObserver, Any]:
        """Want a lock."""
        observer = MemoryObserver()
        return observer, self.unicorn.lock(path, observer, *value)

    # subscribe

    def test_subscribe(self) -> None:
        """The state of now comes first, then one for each change."""
        self.create("/a", 1)
        observer, _ = self.subscribe("/a")
        self.assertEqual(observer.told, 0)

        self.assertEqual(self.states_of(observer, 1), [(1, 0)])
        self.result_of(self.unicorn.put("/a", 2, 0))
        self.assertEqual(self.states_of(observer, 2), [(1, 0), (2, 1)])
        self.result_of(self.unicorn.increment("/a", 3))
        self.assertEqual(self.states_of(observer, 3), [(1, 0), (2, 1), (5, 2)])

    def test_subscribe_missing(self) -> None:
        """A node that is not there yet is followed, and told when it comes."""
        observer, _ = self.subscribe("/a/b")
        self.assertEqual(self.states_of(observer, 1), [(None, -1)])

        self.create("/a/b", 1)

        self.assertEqual(self.states_of(observer, 2)[1], (1, 0))

    def test_subscribe_deleted(self) -> None:
        """Deletion is the end; the node that comes later is another one."""
        self.create("/a", 1)
        observer, _ = self.subscribe("/a")
        self.states_of(observer, 1)

        self.remove("/a")

        self.end_of(observer, NoNode)
        self.create("/a", 2)
        self.settle()
        self.assertEqual(observer.states, [(1, 0)])

    def test_subscribe_with_children(self) -> None:
        """A node with children cannot be followed."""
        self.create("/a/b")

        observer, _ = self.subscribe("/a")

        self.end_of(observer, ChildNotAllowed)

    def test_subscribe_child_appears(self) -> None:
        """A child is the end of the subscription."""
        self.create("/a", 1)
        observer, _ = self.subscribe("/a")
        self.states_of(observer, 1)

        self.create("/a/b")

        self.end_of(observer, ChildNotAllowed)

    def test_subscribe_no_value(self) -> None:
        """A node of which the bytes are no value cannot be followed."""
        self.create("/a/b")
        self.remove("/a/b")

        observer, _ = self.subscribe("/a")

        self.end_of(observer, InvalidValue)

    def test_many_subscribe(self) -> None:
        """All who follow a node are told, and one that closes takes nobody along."""
        self.create("/a", 1)
        subscribed = [self.subscribe("/a") for _ in range(5)]
        for observer, _ in subscribed:
            self.states_of(observer, 1)
        subscribed[0][1].close()

        self.result_of(self.unicorn.put("/a", 2, 0))

        for observer, _ in subscribed[1:]:
            self.assertEqual(self.states_of(observer, 2), [(1, 0), (2, 1)])
        self.assertEqual(subscribed[0][0].states, [(1, 0)])

    def test_closed(self) -> None:
        """Nothing is told after the close, whenever that is."""
        self.create("/a", 1)
        at_once, scope = self.subscribe("/a")
        scope.close()
        later, scope = self.subscribe("/a")
        self.states_of(later, 1)
        scope.close()
        scope.close()
        under_way, scope = self.subscribe("/a")
        self.node.reactor.advance(0)
        told = under_way.told
        scope.close()

        self.result_of(self.unicorn.put("/a", 2, 0))
        self.remove("/a")
        self.settle()

        self.assertEqual((at_once.told, later.told, under_way.told), (0, 1, told))

    def test_scopes_of_no_path(self) -> None:
        """What is no path is the end of a scope at once."""
        for path in ("/", "a"):
            for begin in (self.subscribe, self.follow, self.lock):
                observer, _ = begin(path)
                self.end_of(observer, InvalidPath)

    # children_subscribe

    def test_children(self) -> None:
        """The names come now, and after each child that comes or goes."""
        self.create("/a", 1)
        observer, _ = self.follow("/a")
        (first,) = self.states_of(observer, 1)
        self.create("/a/y")
        self.states_of(observer, 2)
        self.create("/a/x")
        self.states_of(observer, 3)
        self.remove("/a/y")
        states = self.states_of(observer, 4)

        self.assertIsInstance(first, Children)
        self.assertEqual(
            [list(state.names) for state in states], [[], ["y"], ["x", "y"], ["x"]]
        )
        versions = [state.version - first.version for state in states]
        self.assertEqual(versions, [0, 1, 2, 3])

    def test_children_of_missing(self) -> None:
        """Only a node that is there has children."""
        observer, _ = self.follow("/a")

        self.end_of(observer, NoNode)

    def test_children_deleted(self) -> None:
        """Deletion is the end."""
        self.create("/a")
        observer, _ = self.follow("/a")
        self.states_of(observer, 1)

        self.remove("/a")

        self.end_of(observer, NoNode)

    def test_children_do_not_change(self) -> None:
        """What happens to values, or further down, is not told."""
        self.create("/a/b")
        observer, _ = self.follow("/a")
        self.states_of(observer, 1)

        self.create("/a/b/c")
        self.settle()

        self.assertEqual(observer.told, 1)

    def test_children_closed(self) -> None:
        """Nothing is told after the close."""
        self.create("/a")
        observer, scope = self.follow("/a")
        self.states_of(observer, 1)
        scope.close()

        self.create("/a/b")
        self.settle()

        self.assertEqual(observer.told, 1)

    # lock

    def test_lock(self) -> None:
        """The first has it; the queue can be seen below the path."""
        first, _ = self.lock("/l/k")
        self.assertEqual(self.states_of(first, 1), [True])

        (name,) = self.names("/l/k")

        self.assertRegex(name, r"\Alock\d{10}\Z")
        value, version = self.result_of(self.unicorn.get(f"/l/k/{name}"))
        self.assertEqual((value, version), (int(self.node.reactor.seconds()), 0))

    def test_named_lock(self) -> None:
        """Others can read who has it."""
        observer, _ = self.lock("/l", {"host": "a"})
        self.states_of(observer, 1)

        (name,) = self.names("/l")

        found = self.result_of(self.unicorn.get(f"/l/{name}"))
        self.assertEqual(found.value, ((b"host", b"a"),))

    def test_queue(self) -> None:
        """One has it at a time, in the order in which they came."""
        queue: list[Any] = []
        for _ in range(4):
            queue.append(self.lock("/l"))
            self.wait_until(lambda: len(self.names_if_any("/l")) == len(queue))

        for number, (observer, scope) in enumerate(queue):
            self.assertEqual(self.states_of(observer, 1), [True])
            self.settle()
            self.assertEqual(
                [waiting.told for waiting, _ in queue[number + 1 :]],
                [0] * (3 - number),
            )
            scope.close()
        self.wait_until(lambda: not self.names("/l"))

    def names_if_any(self, path: str) -> list[str]:
        """Give the names of children; a missing node has none."""
        observer = MemoryObserver()
        scope = self.unicorn.children_subscribe(path, observer)
        self.wait_until(lambda: observer.told)
        scope.close()
        return list(observer.states[0].names) if observer.states else []

    def test_lock_given_up(self) -> None:
        """One who gives up while waiting is passed over."""
        first, first_scope = self.lock("/l")
        self.states_of(first, 1)
        second, second_scope = self.lock("/l")
        self.wait_until(lambda: len(self.names("/l")) == 2)
        third, _ = self.lock("/l")
        self.wait_until(lambda: len(self.names("/l")) == 3)
        second_scope.close()
        self.wait_until(lambda: len(self.names("/l")) == 2)
        self.settle()
        self.assertEqual(third.told, 0)

        first_scope.close()

        self.states_of(third, 1)
        self.assertEqual(second.told, 0)

    def test_lock_closed_under_way(self) -> None:
        """A lock that is closed before it is there leaves nothing behind."""
        for steps in range(4):
            observer, scope = self.lock("/l")
            for _ in range(steps):
                self.node.reactor.advance(0)
                self.node.reactor.pump_ready()
            told = observer.told
            scope.close()
            self.settle()
            self.wait_until(lambda: not self.names_if_any("/l"))
            self.assertEqual(observer.told, told)
        self.states_of(self.lock("/l")[0], 1)

    def test_lock_lost(self) -> None:
        """Whoever removes the node takes the lock away, which is told."""
        first, _ = self.lock("/l")
        self.states_of(first, 1)
        second, _ = self.lock("/l")
        self.wait_until(lambda: len(self.names("/l")) == 2)

        self.remove(f"/l/{self.names('/l')[0]}")

        self.end_of(first, NoNode)
        self.states_of(second, 1)

    def test_place_lost(self) -> None:
        """So is the loss of a place in the queue."""
        first, _ = self.lock("/l")
        self.states_of(first, 1)
        second, _ = self.lock("/l")
        self.wait_until(lambda: len(self.names("/l")) == 2)

        self.remove(f"/l/{self.names('/l')[1]}")

        self.end_of(second, NoNode)
        self.assertEqual(first.told, 1)

    def test_lock_behind_garbage(self) -> None:
        """What is no lock and stands in front is an error; behind it is not seen."""
        self.create("/l/zzz")
        behind, scope = self.lock("/l")
        self.states_of(behind, 1)
        scope.close()
        self.wait_until(lambda: self.names("/l") == ["zzz"])
        self.create("/l/aaa")

        observer, _ = self.lock("/l")

        self.end_of(observer, InvalidNodeName)
        self.wait_until(lambda: self.names("/l") == ["aaa", "zzz"])

    def test_lock_with_no_value(self) -> None:
        """A value that cannot be stored is the end at once."""
        observer, _ = self.lock("/l", object())

        self.end_of(observer, InvalidValue)
