# -*- test-case-name: cocained.test.test_config_source -*-
"""
Reading YAML and the original's JSON into trees with lines.
"""

from __future__ import annotations

import json
from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cocained.config.problems import ConfigErrors
from cocained.config.source import MAX_BYTES, decode, parse
from cocained.config.tree import MAX_DEPTH
from cocained.errors import ConfigError

#: Text without the two kinds of signs that are refused.
texts = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20
)
trees = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4)
    ),
    max_leaves=15,
)


class _Refusals(SynchronousTestCase):
    def refused(self, text: str) -> ConfigError:
        """Parse what cannot be parsed and give the error."""
        error = self.assertRaises(ConfigError, parse, text, "node.yaml")
        assert isinstance(error, ConfigError)
        return error


class YamlTests(_Refusals):
    """Plain words, keys and lines of YAML."""

    def test_plain_words_follow_yaml_1_2(self) -> None:
        """Only the core schema's words are more than text."""
        table: dict[str, object] = {
            "true": True,
            "False": False,
            "yes": "yes",
            "on": "on",
            "N": "N",
            "~": None,
            "null": None,
            "0": 0,
            "-12": -12,
            "+7": 7,
            "010": "010",
            "0x10": "0x10",
            "1_000": "1_000",
            "12:30:00": "12:30:00",
            "1.5": 1.5,
            "1e3": 1000.0,
            ".5": 0.5,
            ".inf": ".inf",
            "2024-01-01": "2024-01-01",
            "'5'": "5",
            '"true"': "true",
            "=": "=",
        }

        read = {text: parse(f"a: {text}").tree for text in table}

        self.assertEqual(read, {text: {"a": value} for text, value in table.items()})
        for text, value in table.items():
            found = parse(f"a: {text}").tree
            assert isinstance(found, dict)
            self.assertIs(type(found["a"]), type(value), text)

    def test_core_tag_can_be_written_out(self) -> None:
        """``!!str`` keeps a number as text."""
        self.assertEqual(parse("a: !!str 10").tree, {"a": "10"})

    def test_core_tag_must_fit(self) -> None:
        """A core tag on text of another kind is refused."""
        self.assertIn("tag !!int", str(self.refused("a: !!int ten")))

    def test_core_tag_on_collections_must_fit(self) -> None:
        """A map cannot be called a set, nor a list a map."""
        self.assertIn("tag !!set", str(self.refused("a: !!set {x}")))
        self.assertIn("tag !!omap", str(self.refused("a: !!omap [x: 1]")))

    def test_keys_are_text_as_written(self) -> None:
        """A key is never a number, a truth value or nothing."""
        found = parse("1: a\ntrue: b\non: c\n~: d\n007: e").tree

        self.assertEqual(
            found, {"1": "a", "true": "b", "on": "c", "~": "d", "007": "e"}
        )

    def test_merge_key_is_a_plain_key(self) -> None:
        """``<<`` does nothing by itself."""
        self.assertEqual(parse("<<: {a: 1}").tree, {"<<": {"a": 1}})

    def test_lines_of_keys_and_items(self) -> None:
        """Every value knows the line of its key or of itself."""
        where = parse("# top\na:\n  b: 1\n  c:\n    - x\n    - y\n").where

        self.assertEqual(
            dict(where.lines),
            {(): 2, ("a",): 2, ("a", "b"): 3, ("a", "c"): 4}
            | {("a", "c", 0): 5, ("a", "c", 1): 6},
        )

    def test_empty_text_is_nothing(self) -> None:
        """Text with comments only has no tree."""
        self.assertIsNone(parse("# nothing\n").tree)

    def test_byte_order_mark_of_text_is_skipped(self) -> None:
        """A file saved with a mark is read as without it."""
        self.assertEqual(decode(b"\xef\xbb\xbfa: 1"), "a: 1")


class YamlRefusalTests(_Refusals):
    """What YAML allows and a configuration must not have."""

    def test_double_keys_are_all_named(self) -> None:
        """Each second appearance is reported, with the first one's line."""
        error = self.refused("a: 1\nb: {c: 1, c: 2}\na: 2\n")

        self.assertIsInstance(error, ConfigErrors)
        self.assertEqual(
            str(error),
            "node.yaml:2: b.c: is there twice, first in line 2\n"
            "node.yaml:3: a: is there twice, first in line 1",
        )

    def test_aliases_are_refused(self) -> None:
        """An alias is an error with its line, so that none can multiply."""
        error = self.refused("a: &x [1]\nb: *x\n")

        self.assertEqual(error.line, 2)
        self.assertIn("aliases", error.reason)

    def test_anchor_without_alias_does_no_harm(self) -> None:
        """A name that is never used again changes nothing."""
        self.assertEqual(parse("a: &x 1").tree, {"a": 1})

    def test_nesting_is_bounded(self) -> None:
        """One level more than the limit is refused, in flow and block form."""
        flow = "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1)
        block = "- " * (MAX_DEPTH + 1) + "x"

        for text in (flow, block, "[" * 100_000, "? " * 100_000):
            self.assertIn("nested deeper", self.refused(text).reason)

    def test_deepest_nesting_is_read(self) -> None:
        """The limit itself is fine."""
        depth = MAX_DEPTH - 1
        tree = parse("[" * depth + "1" + "]" * depth).tree

        for _ in range(depth):
            assert isinstance(tree, list)
            tree = tree[0]
        self.assertEqual(tree, 1)

    def test_own_tags_are_refused(self) -> None:
        """No tag can build anything."""
        error = self.refused("a: !!python/object/apply:os.system [x]\n")

        self.assertEqual((error.path, error.line), ("a", 1))
        self.assertIn("not supported", error.reason)

    def test_complex_keys_are_refused(self) -> None:
        """A list cannot be a key."""
        self.assertIn("single word", self.refused("? [a]\n: 1").reason)

    def test_second_document_is_refused(self) -> None:
        """A file is one document."""
        self.assertEqual(self.refused("a: 1\n---\nb: 2").line, 2)

    def test_broken_syntax_has_its_line(self) -> None:
        """The parser's own error is told on one line, with the place."""
        error = self.refused("a: 1\nb: [1, 2\nc: 3\n")

        self.assertEqual(error.line, 3)
        self.assertEqual(len(str(error).splitlines()), 1)

    def test_control_signs_have_their_line(self) -> None:
        """A sign that YAML forbids is named with its line."""
        error = self.refused("a: 1\nb: \x07\n")

        self.assertEqual(error.line, 2)
        self.assertIn("7", error.reason)

    def test_numbers_beyond_64_bits(self) -> None:
        """A number that nothing can hold is refused, however long."""
        for number in (2**64, -(2**63) - 1, "9" * 10_000):
            self.assertIn("64 bits", self.refused(f"a: {number}").reason)

    def test_infinite_number(self) -> None:
        """A number that overflows is refused."""
        self.assertIn("too large", self.refused("a: 1e999").reason)

    def test_zero_sign_in_text(self) -> None:
        """Text that would cut a file name short is refused."""
        self.assertIn("code 0", self.refused('a: "x\\0y"').reason)

    def test_half_of_a_surrogate_pair(self) -> None:
        """Text that cannot be written anywhere is refused."""
        self.assertIn("surrogate", self.refused('a: "\\ud800"').reason)

    def test_length_is_bounded(self) -> None:
        """Text beyond the limit is refused before it is read."""
        self.assertIn("longer than", self.refused("#" * (MAX_BYTES + 1)).reason)

    def test_bytes_are_bounded(self) -> None:
        """So are bytes."""
        error = self.assertRaises(ConfigError, decode, b"#" * (MAX_BYTES + 1), "f")

        self.assertIn("longer than", error.reason)

    def test_other_encodings_are_refused(self) -> None:
        """Bytes that are not UTF-8 are reported with their line."""
        error = self.assertRaises(ConfigError, decode, b"a: 1\nb: \xff\n", "f")

        self.assertEqual((error.filename, error.line), ("f", 2))
        self.assertIn("UTF-8", error.reason)


class JsonTests(_Refusals):
    """The original's JSON."""

    def test_comments_and_trailing_commas(self) -> None:
        """Both kinds of comments and commas before the end are allowed."""
        text = """// first
        /* second
           goes on */
        {"a": [1, 2, ], // to the end
         "b": /* inside */ {"c": "// no comment /* */",},
        }
        // last"""

        self.assertEqual(
            parse(text).tree, {"a": [1, 2], "b": {"c": "// no comment /* */"}}
        )

    def test_tabs_are_blanks(self) -> None:
        """Tabs indent JSON, which YAML would refuse."""
        self.assertEqual(parse('{\n\t"a":\t1\n}').tree, {"a": 1})

    def test_lines(self) -> None:
        """Lines are counted through comments."""
        where = parse('{\n"a": 1, /*\n\n*/ "b":\n [7,\n 8]}').where

        self.assertEqual(
            dict(where.lines),
            {(): 1, ("a",): 2, ("b",): 4, ("b", 0): 5, ("b", 1): 6},
        )

    def test_words_and_numbers(self) -> None:
        """All of JSON's values are read."""
        tree = parse('{"a": [true, false, null, -1, 1.5, 2e2, "\\u0416\\/"]}').tree

        self.assertEqual(tree, {"a": [True, False, None, -1, 1.5, 200.0, "Ж/"]})

    def test_empty_object(self) -> None:
        """Nothing at all is an object too."""
        self.assertEqual(parse("{ /* nothing */ }").tree, {})

    def test_brace_without_quotes_is_yaml(self) -> None:
        """A YAML flow mapping is still YAML."""
        self.assertEqual(parse("{a: yes}").tree, {"a": "yes"})

    def test_refusals(self) -> None:
        """Each kind of broken JSON is told in words of its own."""
        table = {
            '{"a" 1}': "expected ':'",
            '{"a": 1 "b": 2}': "expected ','",
            '{"a": 1, b: 2}': "in double quotes",
            '{"a": }': "found '}'",
            '{"a": 01}': "found '01'",
            '{"a": nul}': "found 'nul'",
            '{"a": [1,,2]}': "found ','",
            '{"a": "x': "broken text",
            '{"a": "x\ny"}': "broken text",
            '{"a": "\\q"}': "broken text",
            '{"a": 1': "expected ','",
            '{"a":': "found the end",
            '{"a": 1} x': "after the end",
            '{"a": /* 1}': "never ends",
            '{"a": 1e999}': "too large",
            '{"a": 99999999999999999999}': "64 bits",
            '{"a": "\\ud800"}': "surrogate",
            '{"a": "\\u0000"}': "code 0",
            '{"a": -}': "found '-'",
        }

        for text, reason in table.items():
            self.assertIn(reason, self.refused(text).reason, text)

    def test_place_of_a_fault(self) -> None:
        """A fault deep inside names its key and line."""
        error = self.refused('{\n"a": {\n"b": [0,\n?]}}')

        self.assertEqual((error.path, error.line), ("a.b[1]", 4))

    def test_double_keys(self) -> None:
        """A key must not come twice in one object."""
        error = self.refused('{"a": 1,\n"a": {"b": 2}}')

        self.assertEqual((error.path, error.line), ("a", 2))

    def test_nesting_is_bounded(self) -> None:
        """Depth does not depend on Python's stack."""
        for opening in ("[", '{"a":'):
            error = self.refused('{"a":' + opening * 100_000)
            self.assertIn("nested deeper", error.reason)


class PropertyTests(SynchronousTestCase):
    """Laws of both readers."""

    @given(tree=st.dictionaries(texts, trees, min_size=1, max_size=4))
    def test_json_comes_back(self, tree: dict[str, Any]) -> None:
        """What the standard library writes is read back as it was."""
        self.assertEqual(parse(json.dumps(tree)).tree, tree)

    @given(tree=st.dictionaries(texts, trees, min_size=1, max_size=4))
    def test_yaml_comes_back(self, tree: dict[str, Any]) -> None:
        """What PyYAML writes, with every tag written out, is read back."""
        written = yaml.safe_dump(tree, default_style='"', allow_unicode=False)

        self.assertEqual(parse(written).tree, tree)

    @given(text=st.text("{}[]:,-\"'/*#&!|>? \n\tab1.~\\", max_size=60))
    def test_any_text_is_read_or_refused(self, text: str) -> None:
        """No text raises anything but a ConfigError."""
        try:
            source = parse(text)
        except ConfigError as error:
            self.assertTrue(error.reason)
        else:
            self.assertTrue(source.tree is None or source.where.lines)

    @given(text=st.text('{}[]:,"/* \nab1.\\', max_size=60))
    def test_any_json_is_read_or_refused(self, text: str) -> None:
        """Neither does any text that begins like JSON."""
        try:
            tree = parse('{"a":' + text).tree
        except ConfigError as error:
            self.assertTrue(error.reason)
        else:
            self.assertIsInstance(tree, dict)

    @given(data=st.binary(max_size=40))
    def test_any_bytes_are_decoded_or_refused(self, data: bytes) -> None:
        """No bytes raise anything but a ConfigError."""
        try:
            self.assertEqual(decode(data), data.decode("utf-8-sig"))
        except ConfigError as error:
            self.assertGreaterEqual(error.line or 0, 1)
