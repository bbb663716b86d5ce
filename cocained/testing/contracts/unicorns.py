# -*- test-case-name: cocained.test.test_unicorns -*-
# mypy: allow-untyped-calls
# (Assertions of trial have no types.)
"""
What every unicorn does: the table of plugins.md §4.1, row by row.
"""

from __future__ import annotations

from zope.interface.verify import verifyObject

from cocained.errors import (
    ChildNotAllowed,
    InvalidPath,
    InvalidType,
    InvalidValue,
    NodeExists,
    NoNode,
    UnicornError,
    VersionNotAllowed,
)
from cocained.interfaces import IUnicorn
from cocained.rpc.codec import Pairs
from cocained.testing.contracts.unicorn_scopes import UnicornScopesContract


class UnicornContract(UnicornScopesContract):
    """Mix in before ``SynchronousTestCase``; see :class:`.UnicornCase`."""

    def test_interface(self) -> None:
        """It is a unicorn."""
        self.assertTrue(verifyObject(IUnicorn, self.unicorn))

    # create

    def test_created(self) -> None:
        """A fresh node has version 0, and its path is told."""
        path = self.result_of(self.unicorn.create("/a", b"v"))

        self.assertEqual(path, "/a")
        self.assertEqual(self.result_of(self.unicorn.get("/a")), (b"v", 0))

    def test_created_with_those_above(self) -> None:
        """What is missing above is made, without a value."""
        self.create("/a/b/c", 1)

        self.assertEqual(self.names("/a"), ["b"])
        self.remove("/a/b/c")
        self.error_of(self.unicorn.get("/a/b"), InvalidValue)

    def test_exists(self) -> None:
        """A node is made once."""
        self.create("/a", 1)

        self.error_of(self.unicorn.create("/a", 2), NodeExists)

        self.assertEqual(self.result_of(self.unicorn.get("/a")), (1, 0))

    def test_sequence(self) -> None:
        """Sequence nodes have ten digits, which grow and never come again."""
        unicorn = self.unicorn
        first = self.result_of(unicorn.create("/q/n", 1, sequence=True))
        second = self.result_of(unicorn.create("/q/n", 2, sequence=True))
        self.remove(second)
        third = self.result_of(unicorn.create("/q/m", 3, sequence=True))

        self.assertRegex(first, r"\A/q/n\d{10}\Z")
        numbers = [int(path[-10:]) for path in (first, second, third)]
        self.assertEqual(sorted(set(numbers)), numbers)

    def test_ephemeral_has_no_children(self) -> None:
        """Nothing can be below an ephemeral node."""
        self.result_of(self.unicorn.create("/e", 1, ephemeral=True))

        self.error_of(self.unicorn.create("/e/c", 1), UnicornError)

    def test_ephemeral_given_up(self) -> None:
        """An ephemeral node that nobody wants any more is not left behind."""
        made = self.unicorn.create("/e", 1, ephemeral=True)
        made.addErrback(lambda failure: None)
        was_there = made.called
        made.cancel()

        self.wait_until(
            lambda: was_there or self.result_of(self.unicorn.get("/e")).version < 0
        )

    # get and put

    def test_missing(self) -> None:
        """A node that is not there has no value, and version -1."""
        self.assertEqual(self.result_of(self.unicorn.get("/a")), (None, -1))
        self.assertEqual(self.result_of(self.unicorn.get("/a/b/c")), (None, -1))

    def test_get_with_children(self) -> None:
        """The value of a node with children cannot be read."""
        self.create("/a/b")

        self.error_of(self.unicorn.get("/a"), ChildNotAllowed)

    def test_values(self) -> None:
        """Every value of msgpack comes back; text as bytes, maps as pairs."""
        for number, (value, stored) in enumerate(
            [
                (None, None),
                (True, True),
                (-(2**63), -(2**63)),
                (2**64 - 1, 2**64 - 1),
                (1.5, 1.5),
                ("ключ", "ключ".encode()),
                (b"\xff\0", b"\xff\0"),
                ([], []),
                ([1, [b"x"]], [1, [b"x"]]),
                ({"a": {"b": 1}}, Pairs([(b"a", Pairs([(b"b", 1)]))])),
                (Pairs([(1, 2), (1, 3)]), Pairs([(1, 2), (1, 3)])),
            ]
        ):
            self.create(f"/v/{number}", value)
            found = self.result_of(self.unicorn.get(f"/v/{number}"))

            self.assertEqual(found, (stored, 0))
            self.assertIs(type(found.value), type(stored))

    def test_values_that_cannot_be(self) -> None:
        """What msgpack cannot say is refused, and nothing is made."""
        deep: list[object] = []
        for _ in range(200):
            deep = [deep]
        for value in (object(), 2**64, deep, b"x" * 1_000_001):
            self.error_of(self.unicorn.create("/a", value), InvalidValue)

        self.assertEqual(self.result_of(self.unicorn.get("/a")), (None, -1))

    def test_large_value(self) -> None:
        """A value of nearly the limit goes in and out."""
        self.create("/a", b"x" * 999_990)

        value, version = self.result_of(self.unicorn.get("/a"))

        self.assertEqual((len(value), version), (999_990, 0))

    def test_put(self) -> None:
        """Who knows the version replaces the value."""
        self.create("/a", 1)

        first = self.result_of(self.unicorn.put("/a", 2, 0))
        second = self.result_of(self.unicorn.put("/a", 3, 1))

        self.assertEqual(first, (True, (2, 1)))
        self.assertEqual(second, (True, (3, 2)))
        self.assertEqual(self.result_of(self.unicorn.get("/a")), (3, 2))

    def test_put_too_late(self) -> None:
        """Another version is no error: what there is now is told."""
        self.create("/a", 1)
        self.result_of(self.unicorn.put("/a", 2, 0))

        for version in (0, 2, 2**31, 2**63):
            outcome = self.result_of(self.unicorn.put("/a", 9, version))
            self.assertEqual(outcome, (False, (2, 1)))

    def test_put_negative(self) -> None:
        """Put takes no version for any."""
        self.create("/a", 1)

        self.error_of(self.unicorn.put("/a", 2, -1), VersionNotAllowed)

    def test_put_missing(self) -> None:
        """Only what is there can be replaced."""
        self.error_of(self.unicorn.put("/a", 1, 0), NoNode)
        self.error_of(self.unicorn.put("/a/b", 1, 2**40), NoNode)

    # remove

    def test_remove(self) -> None:
        """What is removed is missing, and can be made anew."""
        self.create("/a", 1)
        self.result_of(self.unicorn.put("/a", 2, 0))

        self.assertIsNone(self.result_of(self.unicorn.remove("/a", 1)))

        self.assertEqual(self.result_of(self.unicorn.get("/a")), (None, -1))
        self.create("/a", 3)
        self.assertEqual(self.result_of(self.unicorn.get("/a")), (3, 0))

    def test_remove_any_version(self) -> None:
        """-1 stands for any version."""
        self.create("/a", 1)
        self.result_of(self.unicorn.put("/a", 2, 0))

        self.assertIsNone(self.result_of(self.unicorn.remove("/a", -1)))

    def test_remove_other_version(self) -> None:
        """Another version is not removed."""
        self.create("/a", 1)

        for version in (1, -2, 2**31, -(2**40)):
            self.error_of(self.unicorn.remove("/a", version), VersionNotAllowed)

        self.assertEqual(self.result_of(self.unicorn.get("/a")), (1, 0))

    def test_remove_missing(self) -> None:
        """What is not there cannot be removed."""
        self.error_of(self.unicorn.remove("/a", -1), NoNode)

    def test_remove_with_children(self) -> None:
        """A node with children stays."""
        self.create("/a/b", 1)

        self.error_of(self.unicorn.remove("/a", -1), UnicornError)

        self.assertEqual(self.names("/a"), ["b"])

    # increment

    def test_increment(self) -> None:
        """Numbers add up; the sum is told with its version."""
        self.create("/a", 40)

        self.assertEqual(self.result_of(self.unicorn.increment("/a", 2)), (42, 1))
        self.assertEqual(self.result_of(self.unicorn.increment("/a", -50)), (-8, 2))
        self.assertEqual(self.result_of(self.unicorn.get("/a")), (-8, 2))

    def test_increment_floats(self) -> None:
        """A float on either side makes the sum one."""
        self.create("/a", 1)

        self.assertEqual(self.result_of(self.unicorn.increment("/a", 0.5)), (1.5, 1))
        found = self.result_of(self.unicorn.increment("/a", 1))

        self.assertEqual(found, (2.5, 2))
        self.assertIs(type(found.value), float)

    def test_increment_missing(self) -> None:
        """A missing node is made with the argument, but nothing above it."""
        self.assertEqual(self.result_of(self.unicorn.increment("/a", 7)), (7, 0))
        self.error_of(self.unicorn.increment("/no/a", 7), NoNode)

    def test_increment_no_numbers(self) -> None:
        """Only numbers can be added, and only to numbers."""
        self.create("/a", b"text")
        self.create("/n", 1)

        self.error_of(self.unicorn.increment("/a", 1), InvalidType)
        for value in (None, True, b"1", [1]):
            self.error_of(self.unicorn.increment("/n", value), InvalidType)
            self.error_of(self.unicorn.increment("/missing", value), InvalidType)

    def test_increment_too_far(self) -> None:
        """Integers end at 64 bits, and do not begin anew."""
        self.create("/a", 2**63 - 1)

        self.error_of(self.unicorn.increment("/a", 1), InvalidValue)

        self.assertEqual(self.result_of(self.unicorn.get("/a")), (2**63 - 1, 0))

    def test_increment_with_children(self) -> None:
        """A node with children is no number."""
        self.create("/a/b")

        self.error_of(self.unicorn.increment("/a", 1), ChildNotAllowed)

    # any

    def test_paths(self) -> None:
        """What is no path is refused by every method, the root too."""
        unicorn = self.unicorn
        for path in (
            "",
            "/",
            "a",
            "a/b",
            "//",
            "/a/",
            "/a//b",
            "/./a",
            "/a/..",
            "/a\0",
            "/a\x1f",
            "/\ud800",
            "/" + "x" * 1024,
        ):
            self.error_of(unicorn.get(path), InvalidPath)
            self.error_of(unicorn.put(path, 1, 0), InvalidPath)
            self.error_of(unicorn.create(path, 1), InvalidPath)
            self.error_of(unicorn.remove(path, -1), InvalidPath)
            self.error_of(unicorn.increment(path, 1), InvalidPath)

    def test_long_path(self) -> None:
        """A path may have 1,024 bytes."""
        path = "/" + "ж" * 511 + "x"
        self.create(path, 1)

        self.assertEqual(self.result_of(self.unicorn.get(path)), (1, 0))

    def test_order(self) -> None:
        """Operations asked for without waiting act in their order."""
        unicorn = self.unicorn
        self.create("/a", 1)
        answers = [
            unicorn.put("/a", 2, 0),
            unicorn.get("/a"),
            unicorn.remove("/a", 1),
            unicorn.create("/a", 3),
        ]

        found = [self.result_of(answer) for answer in answers]

        self.assertEqual(found, [(True, (2, 1)), (2, 1), None, "/a"])

    def test_answer_given_up(self) -> None:
        """A change of which nobody wants the answer takes place or does not."""
        changed = self.unicorn.create("/a", 1)
        changed.addErrback(lambda failure: None)
        changed.cancel()

        self.assertIn(self.result_of(self.unicorn.get("/a")), [(1, 0), (None, -1)])
