# -*- test-case-name: cocained.test.test_rpc_arguments -*-
"""Tests of :mod:`cocained.rpc.arguments`."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from twisted.trial.unittest import SynchronousTestCase

from cocained.errors import InvalidArgument, to_wire
from cocained.rpc.arguments import (
    ADDRESS_LIMIT,
    Converter,
    Signature,
    anything,
    blob,
    integer,
    listing,
    numeric_address,
    optional,
    record,
    text,
    unsigned,
)
from cocained.rpc.codec import Pairs
from cocained.test.strategies import VALUES, octets

#: One value of each type that the decoder gives, with the word for it.
KINDS: tuple[tuple[Any, str], ...] = (
    (None, "nil"),
    (True, "a boolean"),
    (0, "an integer"),
    (-1, "a negative integer"),
    (1.5, "a float"),
    (b"x", "a string"),
    ([], "a list"),
    (Pairs(), "a map"),
    (object(), "an extension"),
)

#: The converters of one value, and the words that they take.
ACCEPTED: tuple[tuple[Converter, frozenset[str]], ...] = (
    (blob, frozenset({"a string"})),
    (text, frozenset({"a string"})),
    (integer, frozenset({"an integer", "a negative integer"})),
    (unsigned, frozenset({"an integer"})),
    (anything, frozenset(word for _, word in KINDS)),
    (listing(blob), frozenset({"a list"})),
)


class ConverterTests(SynchronousTestCase):
    """One type each."""

    def test_types(self) -> None:
        """Each converter takes its own type and names any other."""
        for converter, words in ACCEPTED:
            for value, word in KINDS:
                if word in words:
                    converter(value)
                    continue
                error = self.assertRaises(InvalidArgument, converter, value)
                self.assertTrue(error.reason.endswith(f"got {word}"), error.reason)

    def test_same_value(self) -> None:
        """Strings and numbers come out as they went in, without a copy."""
        value = b"x" * 100
        self.assertIs(blob(value), value)
        self.assertIs(anything(value), value)
        self.assertEqual(integer(-(2**63)), -(2**63))
        self.assertEqual(unsigned(2**64 - 1), 2**64 - 1)

    @given(octets(40))
    def test_text(self, value: bytes) -> None:
        """Text keeps bytes that are no UTF-8."""
        self.assertEqual(text(value).encode("utf-8", "surrogateescape"), value)

    def test_listing(self) -> None:
        """A list has one type, in the order sent."""
        self.assertEqual(listing(text)([b"a", b"b"]), ["a", "b"])
        self.assertRaises(InvalidArgument, listing(text), [b"a", 5])
        self.assertEqual(listing(listing(blob))([[b"a"], []]), [[b"a"], []])

    def test_record(self) -> None:
        """A record has a type per place, more elements are ignored."""
        address = record(text, unsigned)
        self.assertEqual(address([b"::1", 80]), ("::1", 80))
        self.assertEqual(address([b"::1", 80, None]), ("::1", 80))
        for value in ([b"::1"], [], [80, b"::1"], None, b"ab", Pairs([(0, 1), (1, 2)])):
            self.assertRaises(InvalidArgument, address, value)

    def test_on_the_wire(self) -> None:
        """A wrong argument is [7, 2]."""
        error = self.assertRaises(InvalidArgument, blob, 5)
        self.assertEqual(to_wire(error), (7, 2, "expected a string, got an integer"))

    @given(VALUES)
    def test_any_value(self, value: tuple[Any, Any]) -> None:
        """No value raises anything but an invalid argument."""
        for converter in (blob, text, integer, listing(record(text, integer))):
            try:
                converter(value[1])
            except InvalidArgument as error:
                self.assertTrue(error.reason)


class AddressTests(SynchronousTestCase):
    """Addresses that strangers tell."""

    def test_numeric(self) -> None:
        """Both families are read, and a zone."""
        for shown in ("192.0.2.1", "::", "fe80::1%eth0", "fe80::1%br-1.2:3"):
            self.assertEqual(str(numeric_address(shown)), shown)

    def test_refused(self) -> None:
        """Anything that is none, or could not stand in a log, is refused."""
        long = "fe80::1%" + "z" * ADDRESS_LIMIT
        for shown in (
            "",
            "host",
            "1.2.3",
            "::1%",
            "::1%\n",
            "::1% x",
            "::1%\xe9",
            long,
        ):
            self.assertRaises(ValueError, numeric_address, shown)


class SignatureTests(SynchronousTestCase):
    """The arguments of one message."""

    def test_exact(self) -> None:
        """As many arguments as declared are converted one by one."""
        signature = Signature([text, unsigned, blob])
        self.assertEqual(signature.convert([b"a", 1, b"b"]), ["a", 1, b"b"])
        self.assertEqual(Signature([]).convert([]), [])
        self.assertEqual(Signature([text]).convert([b"a"]), ["a"])

    def test_more(self) -> None:
        """Extra arguments are ignored, whatever they are."""
        table: tuple[tuple[list[Converter], list[Any], list[Any]], ...] = (
            ([], [1, None], []),
            ([text], [b"a", None], ["a"]),
            ([text, optional(text, "")], [b"a", b"b", 5], ["a", "b"]),
        )
        for converters, args, values in table:
            self.assertEqual(Signature(converters).convert(args), values)

    def test_fewer(self) -> None:
        """Too few arguments are refused with both numbers."""
        table: tuple[tuple[list[Converter], list[Any], int], ...] = (
            ([text], [], 1),
            ([text, text], [b"a"], 2),
            ([text, text, optional(text, "")], [b"a"], 2),
        )
        for converters, args, expected in table:
            error = self.assertRaises(
                InvalidArgument, Signature(converters).convert, args
            )
            self.assertEqual(
                error.reason,
                f"sequence size mismatch - got {len(args)} element(s), "
                f"expected at least {expected}",
            )

    def test_wrong_type(self) -> None:
        """One wrong argument is enough, at any place."""
        signature = Signature([text, unsigned, optional(blob, b"")])
        for args in ([5, 5], [b"a", -1], [b"a", 1, 5]):
            self.assertRaises(InvalidArgument, signature.convert, args)
        self.assertRaises(InvalidArgument, Signature([text]).convert, [None])

    def test_optional(self) -> None:
        """What is left out at the end takes its default."""
        signature = Signature([text, optional(unsigned, 7), optional(blob, b"z")])
        self.assertEqual(signature.convert([b"a"]), ["a", 7, b"z"])
        self.assertEqual(signature.convert([b"a", 1]), ["a", 1, b"z"])
        self.assertEqual(signature.convert([b"a", 1, b"b"]), ["a", 1, b"b"])

    def test_all_optional(self) -> None:
        """All of them may be optional."""
        signature = Signature([optional(text, "x"), optional(text, "y")])
        self.assertEqual(signature.convert([]), ["x", "y"])
        self.assertEqual(signature.convert([b"a"]), ["a", "y"])
        self.assertEqual(signature.convert([b"a", b"b"]), ["a", "b"])

    def test_nil_is_not_left_out(self) -> None:
        """Nil in the place of an optional argument is a wrong type."""
        signature = Signature([text, optional(text, "")])
        self.assertRaises(InvalidArgument, signature.convert, [b"nope", None])

    def test_optional_in_front(self) -> None:
        """A declaration with an optional argument in front is a mistake."""
        self.assertRaises(TypeError, Signature, [optional(text, ""), text])
