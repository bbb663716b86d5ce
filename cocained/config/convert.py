# -*- test-case-name: cocained.test.test_config_convert -*-
"""
Trees of plain values → ``msgspec`` structs, with errors that help.

``msgspec.convert`` stops at the first fault and knows no lines.  The walk
below follows structs, maps and lists itself, collects every fault with its
place, and leaves single values to ``msgspec``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType, NoneType, UnionType
from typing import Annotated, Any, Final, TypeGuard, TypeVar, Union, get_args
from typing import get_origin as origin_of

import msgspec
from msgspec.structs import FieldInfo

from cocained.config.problems import LineMap, Path, dotted, raise_all, suggestion
from cocained.config.wording import expectation, extras, hint, shown, unwrap
from cocained.errors import ConfigError

S = TypeVar("S", bound=msgspec.Struct)

#: Structs whose declared keys are remembered: more than a node has of them.
REMEMBERED = 256

#: Stands for a value whose problem has been noted already.
_BAD: Final = object()


class Invalid(ValueError):
    """
    What a struct's ``__post_init__`` raises about single keys of its own.

    :param faults: pairs of a key, spelled as in the file (or a path of such
        keys), and a reason.
    """

    def __init__(self, *faults: tuple[str | Path, str]) -> None:
        self.faults: list[tuple[Path, str]] = [
            ((key,) if isinstance(key, str) else key, reason) for key, reason in faults
        ]
        super().__init__(
            "; ".join(f"{dotted(path)}: {reason}" for path, reason in self.faults)
        )


@lru_cache(REMEMBERED)
def declared(struct: type[msgspec.Struct]) -> Mapping[str, FieldInfo]:
    """
    Give what a struct declares, by the names that stand in files.

    ``msgspec`` evaluates all annotations anew each time it is asked, which for
    a profile takes milliseconds: most of the start of an app.

    :param struct: any.
    """
    fields = msgspec.structs.fields(struct)
    return MappingProxyType({info.encode_name: info for info in fields})


def convert(
    args: object, struct: type[S], path: str = "", where: LineMap | None = None
) -> S:
    """
    Turn what a document says into a struct.

    :param args: a mapping of text to plain values.
    :param struct: declared with ``forbid_unknown_fields`` if unknown keys
        are to be refused.
    :param path: dotted path of *args* for messages; not used for values
        that *where* knows.
    :param where: the lines, seen from *args*: ``config.where.at(...)``.
    :raises ConfigError: does not fit; all faults at once.
    """
    walk = _Walk(path, where)
    built = walk.struct(args, struct, ())
    raise_all(walk.problems)
    assert isinstance(built, struct)
    return built


def examine(
    args: object, struct: type[S], path: str = "", where: LineMap | None = None
) -> tuple[dict[str, Any], list[ConfigError]]:
    """
    Do the first half of :func:`convert`, for callers with rules of their own.

    :returns: the values that are good, by attribute name, without defaults;
        and every problem.
    """
    walk = _Walk(path, where)
    return walk.fields(args, struct, ()), walk.problems


class _Walk:
    """One pass over a tree; *problems* grows as it goes."""

    def __init__(self, prefix: str, where: LineMap | None) -> None:
        self.prefix = prefix
        self.where = where
        self.problems: list[ConfigError] = []

    def fault(self, path: Path, reason: str) -> object:
        """Note a problem; give the mark for "no value"."""
        if self.where is not None and (self.where.lines or self.where.prefix):
            self.problems.append(self.where.error(reason, path))
            return _BAD
        place = dotted(path)
        joint = "." if self.prefix and place and not place.startswith("[") else ""
        filename = None if self.where is None else self.where.filename
        self.problems.append(
            ConfigError(reason, self.prefix + joint + place, None, filename)
        )
        return _BAD

    def struct(self, value: object, struct: type[msgspec.Struct], path: Path) -> object:
        before = len(self.problems)
        values = self.fields(value, struct, path)
        if len(self.problems) > before:
            return _BAD
        try:
            return struct(**values)
        except Invalid as error:
            for inner, reason in error.faults:
                self.fault(path + inner, reason)
        except (ValueError, TypeError) as error:
            self.fault(path, str(error))
        return _BAD

    def fields(
        self, value: object, struct: type[msgspec.Struct], path: Path
    ) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            self.fault(
                path, f"must be a section (keys with values), not {shown(value)}"
            )
            return {}
        known = declared(struct)
        values: dict[str, Any] = {}
        for key in value:
            if key not in known and struct.__struct_config__.forbid_unknown_fields:
                name = str(key)
                self.fault((*path, name), f"unknown key; {suggestion(name, known)}")
        for key, info in known.items():
            if key in value and not _is_absence(value[key], info):
                built = self.value(value[key], info.type, (*path, key))
                if built is not _BAD:
                    values[info.name] = built
            elif info.required:
                text = extras(unwrap(info.type)[1]).get("missing")
                wanted = f"is missing; it must be {expectation(info.type)}"
                self.fault((*path, key), text or wanted)
        return values

    def value(
        self, value: object, annotation: Any, path: Path, text: str = ""
    ) -> object:
        bare, metas = unwrap(annotation)
        text = extras(metas).get("text", text)
        inner = _inside_optional(bare)
        if inner is not None:
            if value is None:
                return None
            return self.value(value, _rewrap(inner, metas), path, text)
        if _is_walkable(bare):
            return self.struct(value, bare, path)
        kind, args = origin_of(bare), get_args(bare)
        if isinstance(value, (Mapping, list, tuple)):
            most = min((m.max_length for m in metas if m.max_length), default=None)
            if most is not None and len(value) > most:
                return self.fault(path, f"has {len(value)} entries, at most {most} fit")
        if kind is dict and isinstance(value, Mapping):
            return self.mapping(value, args, path, text)
        if kind is list and isinstance(value, (list, tuple)):
            return self.items(value, args[0], path, text)
        if kind is tuple and isinstance(value, (list, tuple)):
            return self.row(value, args, path, text)
        return self.single(value, annotation, path, text)

    def mapping(
        self, value: Mapping[Any, Any], args: tuple[Any, Any], path: Path, text: str
    ) -> object:
        built: dict[str, object] = {}
        for key, item in value.items():
            place = (*path, str(key))
            if self.single(key, args[0], place, text, "its name ") is _BAD:
                continue
            built[key] = self.value(item, args[1], place, text)
        return _BAD if any(item is _BAD for item in built.values()) else built

    def items(
        self,
        value: list[Any] | tuple[Any, ...],
        annotation: Any,
        path: Path,
        text: str,
    ) -> object:
        built = [
            self.value(item, annotation, (*path, index), text)
            for index, item in enumerate(value)
        ]
        return _BAD if any(item is _BAD for item in built) else built

    def row(
        self,
        value: list[Any] | tuple[Any, ...],
        args: tuple[Any, ...],
        path: Path,
        text: str,
    ) -> object:
        if len(args) == 2 and args[1] is Ellipsis:
            built = self.items(value, args[0], path, text)
            return tuple(built) if isinstance(built, list) else built
        if len(value) != len(args):
            return self.fault(
                path, f"must be a list of {len(args)}, not of {len(value)}"
            )
        row = tuple(
            self.value(item, annotation, (*path, index), text)
            for index, (item, annotation) in enumerate(zip(value, args, strict=True))
        )
        return _BAD if any(item is _BAD for item in row) else row

    def single(
        self, value: object, annotation: Any, path: Path, text: str, what: str = ""
    ) -> object:
        try:
            built: object = msgspec.convert(value, annotation)
        except (ValueError, TypeError, OverflowError, RecursionError):
            reason = (
                f"{what}must be {expectation(annotation)}, not {shown(value)}"
                f"{hint(annotation, value)}"
            )
            return self.fault(path, f"{text}: {reason}" if text else reason)
        if isinstance(built, float) and not math.isfinite(built):
            return self.fault(path, "must be a finite number")
        return built


def _is_walkable(bare: Any) -> TypeGuard[type[msgspec.Struct]]:
    """Whether a type is a struct that is written as a plain map."""
    if not (isinstance(bare, type) and issubclass(bare, msgspec.Struct)):
        return False
    config = bare.__struct_config__
    return not config.array_like and config.tag is None


def _inside_optional(bare: Any) -> Any:
    """Give ``X`` of ``X | None``, else ``None``."""
    if origin_of(bare) not in (Union, UnionType):
        return None
    args = get_args(bare)
    others = [arg for arg in args if arg is not NoneType]
    if len(others) == len(args) or len(others) != 1:
        return None
    return others[0]


def _rewrap(bare: Any, metas: list[msgspec.Meta]) -> Any:
    return Annotated[(bare, *metas)] if metas else bare


def _is_absence(value: object, info: FieldInfo) -> bool:
    """
    Whether a key without a value means what a missing key means.

    ``storages:`` with nothing under it is an empty section, as ``null`` was
    in the original's files (legacy-and-seeds.md §3.1).
    """
    if value is not None or info.required:
        return False
    bare, _ = unwrap(info.type)
    return _is_walkable(bare) or origin_of(bare) in (dict, list, tuple)
