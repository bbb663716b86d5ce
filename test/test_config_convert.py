# -*- test-case-name: cocained.test.test_config_convert -*-
"""
Structs from trees, and the words of their errors.
"""

from __future__ import annotations

from operator import delitem
from typing import Annotated, Any, Literal

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta
from twisted.trial.unittest import SynchronousTestCase

from cocained.config.convert import Invalid, convert, declared, examine
from cocained.config.problems import (
    MAX_PROBLEMS,
    MAX_SHOWN,
    ConfigErrors,
    LineMap,
    dotted,
    raise_all,
    shorten,
    suggestion,
)
from cocained.config.source import parse
from cocained.config.wording import expectation, shown
from cocained.errors import ConfigError, to_wire

Small = Annotated[int, Meta(ge=0, le=10)]


class Inner(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A section inside another."""

    size: Small
    loud: bool = False


class Outer(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    rename="kebab",
    kw_only=True,
):
    """A section with one key of every kind."""

    inner: Inner | None = None
    by_name: dict[str, Inner] = {}
    rows: list[Inner] = []
    pair: tuple[Small, Small] = (0, 1)
    many: tuple[Small, ...] = ()
    ratio: Annotated[float, Meta(gt=0, lt=1)] = 0.5
    level: Literal["debug", "info"] = "info"
    free: Any = None
    word: Annotated[str, Meta(min_length=1)] = "w"
    either: int | str = 0
    limited: Annotated[int, Meta(ge=1, extra={"text": "must be positive"})] = 1


class Short(msgspec.Struct, frozen=True):
    """A section with a list and a section that have a length."""

    few: Annotated[list[int], Meta(max_length=2)] = []
    names: Annotated[dict[str, int], Meta(max_length=2)] = {}


class Ruled(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A section with rules between its keys."""

    low: int = 0
    high: int = 1

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise Invalid(("low", "is above high"), (("high",), "is below low"))
        if self.low == 13:
            raise ValueError("thirteen is not liked")


class Holder(msgspec.Struct, frozen=True):
    """A section that contains one with rules."""

    ruled: Ruled = Ruled()


class Noted(msgspec.Struct, frozen=True):
    """A section with a text for a missing key."""

    must: Annotated[int, Meta(extra={"missing": "give it"})]


class Row(msgspec.Struct, frozen=True, array_like=True):
    """A struct that is written as a list."""

    a: int
    b: int


class WithRow(msgspec.Struct, frozen=True):
    """A section that contains such a list."""

    row: Row


class DeclaredTests(SynchronousTestCase):
    """What a struct declares."""

    def test_names(self) -> None:
        """Keys are those of the files, in the order of the struct."""
        self.assertEqual(
            list(declared(Outer)),
            "inner by-name rows pair many ratio level free word either limited".split(),
        )
        self.assertEqual(declared(Outer)["by-name"].name, "by_name")

    def test_once(self) -> None:
        """A struct is read once, for reading it takes long."""
        self.assertIs(declared(Outer), declared(Outer))

    def test_constant(self) -> None:
        """Nobody can change what the next one is told."""
        keys: Any = declared(Inner)
        self.assertRaises(TypeError, delitem, keys, "size")
        self.assertEqual(set(declared(Inner)), {"size", "loud"})


class ConvertTests(SynchronousTestCase):
    """What fits becomes a struct."""

    def test_defaults(self) -> None:
        """An empty section gives all defaults."""
        self.assertEqual(convert({}, Outer), Outer())

    def test_every_kind(self) -> None:
        """Each kind of key is filled in."""
        built = convert(
            {
                "inner": {"size": 1},
                "by-name": {"x.y": {"size": 2, "loud": True}},
                "rows": [{"size": 3}],
                "pair": [4, 5],
                "many": [6, 7, 8],
                "ratio": 0.25,
                "level": "debug",
                "free": {"any": [None]},
                "word": "hello",
                "either": "text",
                "limited": 9,
            },
            Outer,
        )

        self.assertEqual(
            built,
            Outer(
                inner=Inner(1),
                by_name={"x.y": Inner(2, True)},
                rows=[Inner(3)],
                pair=(4, 5),
                many=(6, 7, 8),
                ratio=0.25,
                level="debug",
                free={"any": [None]},
                word="hello",
                either="text",
                limited=9,
            ),
        )

    def test_whole_number_is_a_number(self) -> None:
        """A float may be written without a point."""

        class Wait(msgspec.Struct):
            seconds: float

        self.assertIsInstance(convert({"seconds": 3}, Wait).seconds, float)

    def test_nothing_under_a_section_is_absence(self) -> None:
        """``rows:`` with no value keeps the default."""
        empty = dict.fromkeys(("by-name", "rows", "pair", "many"))

        self.assertEqual(convert(empty, Outer), Outer())

    def test_nothing_under_a_value_is_a_fault(self) -> None:
        """``word:`` with no value is a mistake."""
        error = self.assertRaises(ConfigError, convert, {"word": None}, Outer)

        self.assertIn("not nothing", error.reason)

    def test_struct_written_as_a_list(self) -> None:
        """Structs of other shapes are left to msgspec."""
        self.assertEqual(convert({"row": [1, 2]}, WithRow).row, Row(1, 2))
        self.assertRaises(ConfigError, convert, {"row": [1]}, WithRow)


class FaultTests(SynchronousTestCase):
    """What does not fit is told well."""

    def fault(self, tree: object, struct: Any = Outer) -> ConfigError:
        """Convert what does not fit and give the error."""
        error = self.assertRaises(ConfigError, convert, tree, struct, "args")
        assert isinstance(error, ConfigError)
        return error

    def test_too_many(self) -> None:
        """A list and a section may have a length."""
        for args in ({"few": [1, 2, 3]}, {"names": {"a": 1, "b": 2, "c": 3}}):
            error = self.assertRaises(ConfigError, convert, args, Short)
            self.assertIn("has 3 entries, at most 2 fit", str(error))
        self.assertEqual(convert({"few": [1, 2]}, Short).few, [1, 2])

    def test_words(self) -> None:
        """Each fault says where, what is wanted and what is there."""
        table: list[tuple[dict[str, Any], str]] = [
            (
                {"inner": 5},
                "args.inner: must be a section (keys with values), not 5",
            ),
            (
                {"inner": {}},
                "args.inner.size: is missing; it must be a whole number from 0 to 10",
            ),
            (
                {"inner": {"size": 1, "laud": True}},
                "args.inner.laud: unknown key; did you mean 'loud'?",
            ),
            (
                {"by-name": {"x.y": {"size": True}}},
                'args.by-name."x.y".size: must be a whole number from 0 to 10, '
                "not true",
            ),
            (
                {"rows": [{"size": 1}, {"size": 11}]},
                "args.rows[1].size: must be a whole number from 0 to 10, not 11",
            ),
            ({"rows": {}}, "args.rows: must be a list, not a section"),
            ({"pair": [1]}, "args.pair: must be a list of 2, not of 1"),
            ({"pair": 1}, "args.pair: must be a list of 2, not 1"),
            (
                {"many": [1, "x"]},
                "args.many[1]: must be a whole number from 0 to 10, not the text 'x'",
            ),
            (
                {"ratio": 1},
                "args.ratio: must be a number greater than 0 and less than 1, not 1",
            ),
            ({"level": "inf"}, "args.level: must be one of debug, info, "),
            ({"word": ""}, "args.word: must be text that is not empty, not the text"),
            ({"either": []}, "args.either: must be a whole number or text, not a list"),
            (
                {"limited": 0},
                "args.limited: must be positive: must be a whole number at least 1",
            ),
            ({"by-name": {5: {}}}, "args.by-name.5: its name must be text, not 5"),
            ({"ratio": b"x"}, "not a value of type bytes"),
        ]

        for tree, text in table:
            self.assertIn(text, str(self.fault(tree)))

    def test_unknown_key_far_from_all(self) -> None:
        """Without a near name, all are listed."""
        error = self.fault({"inner": {"size": 1, "zzz": 1}})

        self.assertIn("known are loud, size", error.reason)

    def test_remedy_for_yes_and_no(self) -> None:
        """Who writes ``yes`` is told what to write."""
        error = self.fault({"inner": {"size": 1, "loud": "yes"}})

        self.assertIn("write true or false", error.reason)

    def test_remedy_for_odd_numbers(self) -> None:
        """Who writes ``010`` or ``1_0`` is told what to write."""
        for text in ("010", "1_0", "5"):
            self.assertIn("without quotes", self.fault({"limited": text}).reason)

    def test_not_a_section_at_all(self) -> None:
        """The top itself may be of the wrong kind."""
        self.assertIn("args: must be a section", str(self.fault([])))

    def test_numbers_that_are_none(self) -> None:
        """Infinity and "not a number" fit no bounds."""

        class Free(msgspec.Struct):
            seconds: float

        for number in (float("nan"), float("inf"), -float("inf")):
            self.assertIn("finite", self.fault({"seconds": number}, Free).reason)

    def test_number_too_large_for_a_float(self) -> None:
        """A whole number of hundreds of digits is no crash."""
        self.assertIn("ratio", self.fault({"ratio": 10**400}).path)
        self.assertIn("thousands", self.fault({"ratio": 10**5000}).reason)

    def test_all_faults_at_once(self) -> None:
        """Several mistakes make one error that lists them."""
        error = self.fault({"word": 1, "level": 2, "wrd": 3})

        assert isinstance(error, ConfigErrors)
        self.assertEqual(
            {problem.path for problem in error.problems},
            {"args.word", "args.level", "args.wrd"},
        )

    def test_rules_of_a_struct(self) -> None:
        """Faults of ``__post_init__`` stand at the keys they name."""
        error = self.fault({"ruled": {"low": 2}}, Holder)

        self.assertEqual(
            str(error), "args.ruled.low: is above high\nargs.ruled.high: is below low"
        )

    def test_plain_value_error_of_a_struct(self) -> None:
        """Any ``ValueError`` stands at the section."""
        error = self.fault({"ruled": {"low": 13, "high": 14}}, Holder)

        self.assertEqual(str(error), "args.ruled: thirteen is not liked")

    def test_rules_wait_for_good_values(self) -> None:
        """A section with bad values is not asked for its rules."""
        error = self.fault({"ruled": {"low": 2, "high": "x"}}, Holder)

        self.assertEqual(error.path, "args.ruled.high")

    def test_text_for_a_missing_key(self) -> None:
        """A struct can say in its own words that a key is missing."""
        self.assertEqual(str(self.fault({}, Noted)), "args.must: give it")

    def test_examine_gives_good_and_bad(self) -> None:
        """Good values come out beside the problems."""
        values, problems = examine({"word": "x", "level": 5}, Outer)

        self.assertEqual(values, {"word": "x"})
        self.assertEqual([problem.path for problem in problems], ["level"])

    def test_hostile_keys_are_cut(self) -> None:
        """A message repeats no more than a bit of a key or a value."""
        error = self.fault({"k" * 100_000: 1, "word": 1, "level": "v" * 100_000})

        self.assertLess(len(str(error)), 1000)

    def test_number_of_problems_is_bounded(self) -> None:
        """A thousand mistakes make a short list and a count."""
        error = self.fault({"rows": [{}] * 1000})

        assert isinstance(error, ConfigErrors)
        self.assertEqual(len(error.problems), MAX_PROBLEMS)
        self.assertTrue(str(error).endswith(f"and {1000 - MAX_PROBLEMS} more"))
        self.assertIn(f"and {1000 - MAX_PROBLEMS} more", error.reason)

    def test_on_the_wire(self) -> None:
        """What a peer is told names the keys as well."""
        error = self.fault({"word": 1, "level": 2})

        wire = to_wire(error)
        self.assertEqual((wire.category, wire.code), (12, 22))
        self.assertIn("args.word", wire.reason)
        self.assertIn("args.level", wire.reason)


class LineTests(SynchronousTestCase):
    """Errors with lines."""

    def test_line_and_file(self) -> None:
        """A fault in a section of a file says file, line and whole path."""
        source = parse("services:\n  s:\n    args:\n      word: 1\n", "node.yaml")
        where = source.where.at("services", "s", "args")

        error = self.assertRaises(
            ConfigError, convert, {"word": 1}, Outer, "ignored", where
        )

        self.assertEqual(
            str(error),
            "node.yaml:4: services.s.args.word: must be text that is not empty, not 1",
        )

    def test_missing_key_has_the_line_of_its_section(self) -> None:
        """What is not there is reported where it should be."""
        source = parse("a: 1\ninner:\n  loud: true\n")

        error = self.assertRaises(
            ConfigError, convert, {"inner": {}}, Outer, "", source.where
        )

        self.assertEqual((error.line, error.path), (2, "inner.size"))

    def test_map_without_lines_falls_back_to_the_path(self) -> None:
        """A map that knows nothing still names the file."""
        error = self.assertRaises(
            ConfigError, convert, {"word": 1}, Outer, "x", LineMap(filename="f")
        )

        self.assertTrue(str(error).startswith("f: x.word: "))

    def test_origin_of_a_moved_value(self) -> None:
        """A value that was moved is reported where the file has it."""
        where = LineMap({("old", "key"): 7}, "f", {("new",): ("old", "key")})

        self.assertEqual(where.at("new").line(("x",)), 7)
        self.assertEqual(where.error("r", ("new", "x")).path, "old.key.x")

    def test_nothing_known(self) -> None:
        """A map without lines gives none."""
        self.assertIsNone(LineMap().line(("a", "b")))


class WordingTests(SynchronousTestCase):
    """Paths, names and values in words."""

    def test_dotted(self) -> None:
        """Paths are written as people read them."""
        table = {
            (): "",
            ("a", "b-c"): "a.b-c",
            ("a", 0, "b"): "a[0].b",
            ("a.b", "c d"): '"a.b"."c d"',
            ("",): '""',
            ("имя",): "имя",
            ("\udcff\n",): '"\\udcff\\n"',
        }

        self.assertEqual({path: dotted(path) for path in table}, table)

    def test_shorten(self) -> None:
        """Long text is cut to the limit, short text is left."""
        self.assertEqual(shorten("abc"), "abc")
        self.assertEqual(len(shorten("x" * 1000)), MAX_SHOWN)

    def test_suggestion(self) -> None:
        """The nearest name is offered, else all, else nothing."""
        self.assertEqual(suggestion("nam", ["name", "x"]), "did you mean 'name'?")
        self.assertEqual(suggestion("q", ["b", "a"]), "known are a, b")
        self.assertEqual(suggestion("q", []), "none is known here")

    def test_values(self) -> None:
        """Values are named, not dumped."""
        table: list[tuple[object, str]] = [
            (None, "nothing"),
            (False, "false"),
            (1.5, "1.5"),
            ("a\nb", "the text 'a\\nb'"),
            ({}, "a section"),
            ((), "a list"),
            (b"", "a value of type bytes"),
        ]

        for value, words in table:
            self.assertEqual(shown(value), words)

    def test_types(self) -> None:
        """Types are told in words."""
        table: list[tuple[Any, str]] = [
            (bool, "true or false"),
            (int, "a whole number"),
            (Annotated[str, Meta(min_length=1, max_length=3)], "text of 1 to 3 signs"),
            (Annotated[str, Meta(pattern="^a$")], "text like ^a$"),
            (str | None, "text"),
            (Any, "anything"),
            (bytes, "bytes"),
            (Literal[4], "4"),
            (int | Literal["a", "b"], "a whole number or one of a, b"),
            (list[int], "a list"),
            (Annotated[int, Meta(lt=5)], "a whole number less than 5"),
        ]

        for annotation, words in table:
            self.assertEqual(expectation(annotation), words)

    def test_nothing_to_raise(self) -> None:
        """No problems, no error."""
        raised: list[ConfigError] = []
        try:
            raise_all([])
        except ConfigError as error:
            raised.append(error)

        self.assertEqual(raised, [])

    def test_one_problem_is_raised_itself(self) -> None:
        """A single problem is not wrapped."""
        problem = ConfigError("r", "p")

        self.assertIs(self.assertRaises(ConfigError, raise_all, [problem]), problem)

    def test_problems_are_sorted_by_line(self) -> None:
        """The file's order wins."""
        late, early = ConfigError("r", "late", 9), ConfigError("r", "early", 2)

        error = self.assertRaises(ConfigErrors, raise_all, [late, early])

        self.assertEqual(error.problems, [early, late])
        self.assertEqual((error.path, error.line), ("early", 2))


_scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=3)
)
_names = st.sampled_from(
    ["inner", "by-name", "rows", "pair", "many", "ratio", "level", "either", "size"]
) | st.text(max_size=4)
_trees = st.recursive(
    _scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(_names, inner, max_size=4)
    ),
    max_leaves=12,
)


class PropertyTests(SynchronousTestCase):
    """Laws of the conversion."""

    @given(tree=_trees | st.dictionaries(_names, _trees, max_size=5))
    def test_any_tree_fits_or_is_refused(self, tree: object) -> None:
        """No tree raises anything but a ConfigError that can be printed."""
        try:
            built = convert(tree, Outer)
        except ConfigError as error:
            self.assertTrue(str(error).encode("utf-8"))
        else:
            self.assertIsInstance(built, Outer)

    @given(
        size=st.integers(0, 10),
        loud=st.booleans(),
        names=st.lists(st.text(max_size=5), max_size=3),
    )
    def test_structs_come_back(self, size: int, loud: bool, names: list[str]) -> None:
        """What a struct is written to converts to the same struct."""
        whole = Outer(by_name={name: Inner(size, loud) for name in names})

        self.assertEqual(convert(msgspec.to_builtins(whole), Outer), whole)
