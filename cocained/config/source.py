# -*- test-case-name: cocained.test.test_config_source -*-
"""
Text → a tree of plain values that knows its lines.

Two syntaxes give the same kind of tree.  Text whose first sign is ``{``,
followed by a quoted key, is JSON as the original reads it
(:mod:`cocained.config.jsonc`).  Everything else is YAML with these rules:

* plain words mean what they mean in YAML 1.2: only ``true`` and ``false`` are
  truth values (``yes``, ``on`` are text), only ``10`` and ``-10`` are whole
  numbers (``010``, ``0x10``, ``1_000``, ``12:30`` are text);
* keys are text, as they are written;
* no aliases, no tags of one's own, no second document, no double keys.
"""

from __future__ import annotations

import re
from typing import Any, Final, NoReturn

import yaml
from typing_extensions import override

from cocained.config.jsonc import is_json, parse_json
from cocained.config.problems import LineMap, Path, shorten
from cocained.config.tree import MAX_DEPTH, Source, TreeBuilder
from cocained.errors import ConfigError

#: Bytes of a file.  The configuration of a node with a thousand services is a
#: tenth of this, and YAML is read at some 100 KiB per second.
MAX_BYTES: Final = 1024 * 1024

_TAG = "tag:yaml.org,2002:"
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(
    r"[-+]?(?:(?:0|[1-9][0-9]*)?\.[0-9]+|(?:0|[1-9][0-9]*)\.?)(?:[eE][-+]?[0-9]+)?"
)
_BOOLS = {"true": True, "True": True, "TRUE": True}
_BOOLS |= {"false": False, "False": False, "FALSE": False}
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})


def decode(data: bytes, filename: str | None = None) -> str:
    """
    Give the text of a file's bytes.

    :param data: at most :data:`MAX_BYTES`, UTF-8 with or without its mark.
    :raises ConfigError: too long, or not UTF-8; with the line.
    """
    if len(data) > MAX_BYTES:
        raise ConfigError(
            f"is longer than {MAX_BYTES} bytes, which no configuration needs",
            filename=filename,
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            "is not UTF-8 text; save it in that encoding", line=line, filename=filename
        ) from error


def parse(text: str, filename: str | None = None) -> Source:
    """
    Read YAML, or the original's JSON.

    :param text: at most :data:`MAX_BYTES` signs.
    :param filename: for messages.
    :raises ConfigError: anything that is no such text, with its line.
    """
    if len(text) > MAX_BYTES:
        raise ConfigError(
            f"is longer than {MAX_BYTES} signs, which no configuration needs",
            filename=filename,
        )
    builder = TreeBuilder(filename)
    if is_json(text):
        tree = parse_json(text, builder)
    else:
        tree = _parse_yaml(text, builder)
    builder.finish()
    return Source(tree, LineMap(builder.lines, filename))


def _parse_yaml(text: str, builder: TreeBuilder) -> object:
    try:
        loader = _Loader(text, builder)
        try:
            node = loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        parts = [part for part in (error.context, error.problem) if part]
        reason = shorten_reason(": ".join(parts))
        raise builder.error(reason, (), mark.line + 1 if mark else None) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        reason = f"the sign {error.character!r} is not allowed in YAML"
        raise builder.error(reason, (), line) from error
    if node is None:
        return None
    return _Tree(builder).value(node, ())


def shorten_reason(reason: str) -> str:
    """Keep a parser's message on one line of bounded length."""
    words = " ".join(reason.split())
    return words if len(words) <= 200 else words[:199] + "…"


class _Loader(yaml.SafeLoader):
    """PyYAML's composer with YAML 1.2's plain words and bounds."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}

    def __init__(self, text: str, builder: TreeBuilder) -> None:
        super().__init__(text)
        self._builder = builder
        self._depth = 0

    @override
    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        # The published stubs leave this one without types.
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.AliasEvent):
            self._refuse("aliases are not supported; write the value again", line)
        if self._depth >= MAX_DEPTH:
            self._refuse(f"is nested deeper than {MAX_DEPTH} levels", line)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def _refuse(self, reason: str, line: int) -> NoReturn:
        raise self._builder.error(reason, (), line)


# The second argument lists the first signs of what the pattern takes.
for _name, _pattern, _first in (
    ("null", re.compile(r"(?:~|null|Null|NULL|)\Z"), ["~", "n", "N", ""]),
    ("bool", re.compile(rf"(?:{'|'.join(_BOOLS)})\Z"), list("tTfF")),
    ("int", re.compile(rf"(?:{_INT.pattern})\Z"), list("-+0123456789")),
    ("float", re.compile(rf"(?:{_FLOAT.pattern})\Z"), list("-+.0123456789")),
):
    _Loader.add_implicit_resolver(_TAG + _name, _pattern, _first)


class _Tree:
    """Turns composed nodes into plain values."""

    def __init__(self, builder: TreeBuilder) -> None:
        self.builder = builder

    def value(self, node: yaml.Node, path: Path) -> object:
        line = node.start_mark.line + 1
        self.builder.lines.setdefault(path, line)
        if isinstance(node, yaml.MappingNode):
            self._need(node, "map", path)
            return self.mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            self._need(node, "seq", path)
            return [
                self.value(item, (*path, index))
                for index, item in enumerate(node.value)
            ]
        assert isinstance(node, yaml.ScalarNode)
        return self.scalar(node, path)

    def mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, object]:
        built: dict[str, object] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self.builder.note("a key must be a single word or text", path, line)
                continue
            key = self.builder.text(key_node.value, path, line)
            if self.builder.claim(key, built, path, line):
                built[key] = self.value(value_node, (*path, key))
        return built

    def scalar(self, node: yaml.ScalarNode, path: Path) -> object:
        text: str = node.value
        line = node.start_mark.line + 1
        name = str(node.tag).removeprefix(_TAG)
        # A tag that was written out can be put before any text, so that the
        # text is checked again here.
        if name == "str":
            return self.builder.text(text, path, line)
        if name == "null" and text in _NULLS:
            return None
        if name == "bool" and text in _BOOLS:
            return _BOOLS[text]
        if name == "int" and _INT.fullmatch(text):
            return self.builder.integer(text, path, line)
        if name == "float" and _FLOAT.fullmatch(text):
            return self.builder.decimal(text, path, line)
        self._tag_fault(node, path)
        return None

    def _need(self, node: Any, name: str, path: Path) -> None:
        if node.tag != _TAG + name:
            self._tag_fault(node, path)

    def _tag_fault(self, node: yaml.Node, path: Path) -> None:
        tag = shorten(str(node.tag).replace(_TAG, "!!"))
        self.builder.note(
            f"the tag {tag} is not supported here; remove it",
            path,
            node.start_mark.line + 1,
        )
