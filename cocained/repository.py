# -*- test-case-name: cocained.test.test_repository -*-
"""
Plugins by category and type (plugins.md §1).

A dropin, ``twisted/plugins/<project>_cocained.py``, lists :class:`Entry`
objects: names, not code.  The code is imported when somebody wants it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec
from twisted.logger import Logger
from twisted.plugin import IPlugin, getPlugins
from twisted.python.reflect import namedAny
from zope.interface import implementer
from zope.interface.exceptions import Invalid
from zope.interface.interface import InterfaceClass
from zope.interface.verify import verifyClass

from cocained import interfaces
from cocained.component import NoArgs
from cocained.config import LineMap, convert
from cocained.errors import (
    BrokenPlugin,
    CocainedError,
    DuplicatePlugin,
    MissingExtra,
    UnknownPlugin,
)
from cocained.interfaces import CATEGORIES, INode, IPluginEntry

log = Logger()

_CLASS = type

_INTERFACES: dict[str, InterfaceClass] = {
    "service": interfaces.IRemoteService,
    "storage": interfaces.IStorage,
    "logger": interfaces.ILogger,
    "gateway": interfaces.IGateway,
    "isolate": interfaces.IIsolate,
    "cluster": interfaces.ICluster,
    "driver": interfaces.IDriver,
    "unicorn": interfaces.IUnicorn,
}


@implementer(IPlugin, IPluginEntry)
class Entry:
    """
    One plugin's name.

    :param category: one of :data:`~cocained.interfaces.CATEGORIES`.
    :param type: as it is written in configurations.
    :param dotted: path of the factory: a class with ``Args``.
    :param extra: the optional dependency that brings what it needs, such as
        ``zookeeper``; named when the import fails.
    """

    def __init__(self, category: str, type: str, dotted: str, extra: str = "") -> None:
        self.category = category
        self.type = type
        self.dotted = dotted
        self.extra = extra

    def __repr__(self) -> str:
        return f"Entry({self.category!r}, {self.type!r}, {self.dotted!r})"


class Listed(NamedTuple):
    """One line of the listing of all plugins."""

    category: str
    type: str
    dotted: str
    #: why it cannot be used, or the empty string
    problem: str
    #: the optional dependency that has to be installed for it, or the empty string
    extra: str = ""


class Repository:
    """
    All plugins that were found.

    :param entries: what to choose from; an unusable one is kept as a problem.
    """

    def __init__(self, entries: Iterable[Any]) -> None:
        self._entries: dict[tuple[str, str], list[Any]] = {}
        #: entries that are none
        self.strays: list[str] = []
        for entry in entries:
            category = getattr(entry, "category", None)
            if category in _INTERFACES:
                self._entries.setdefault((category, entry.type), []).append(entry)
            else:
                self.strays.append(f"{entry!r} is of no known category")

    @classmethod
    def discover(cls) -> Repository:
        """Look for dropins wherever ``twisted.plugins`` are."""
        return cls(getPlugins(IPluginEntry))

    def factory(self, category: str, type: str) -> Any:
        """
        Import a plugin.

        :raises UnknownPlugin: there is none of that name.
        :raises DuplicatePlugin: there are several.
        :raises BrokenPlugin: it cannot be imported, or is not what it says.
        """
        entries = self._entries.get((category, type))
        if not entries:
            known = sorted(t for c, t in self._entries if c == category)
            near = difflib.get_close_matches(type, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {known}"
            raise UnknownPlugin(
                f"{category} type {type!r} has not been registered in the"
                f" repository; {hint}"
            )
        if len(entries) > 1:
            places = ", ".join(entry.dotted for entry in entries)
            raise DuplicatePlugin(f"{category} type {type!r} is claimed by {places}")
        return _load(entries[0])

    def build(
        self,
        category: str,
        type: str,
        node: INode,
        name: str,
        args: Mapping[str, Any],
        path: str = "",
        where: LineMap | None = None,
    ) -> Any:
        """
        Build a component.

        :param name: under which it is configured.
        :param args: checked against the factory's ``Args``.
        :param path: of *args* in a document without lines, for errors.
        :param where: the lines of *args*, for errors.
        :raises cocained.errors.PluginError: see :meth:`factory`.
        :raises cocained.errors.ConfigError: the arguments do not fit.
        """
        factory = self.factory(category, type)
        struct = getattr(factory, "Args", NoArgs)
        if not (isinstance(struct, _CLASS) and issubclass(struct, msgspec.Struct)):
            raise BrokenPlugin(f"{category} {type}: Args is no msgspec.Struct")
        converted = convert(args, struct, path, where)
        try:
            return factory(node, name, converted)
        except CocainedError:
            raise
        except Exception as error:
            raise BrokenPlugin(
                f"{category} {type} ({factory.__module__}.{factory.__qualname__})"
                f" cannot be built: {_CLASS(error).__name__}: {error}"
            ) from error

    def listing(self) -> list[Listed]:
        """Try every plugin and say what came of it."""
        found = []
        for (category, type), entries in self._entries.items():
            for entry in entries:
                problem = extra = ""
                try:
                    self.factory(category, type)
                except MissingExtra as error:
                    extra = error.extra
                except (UnknownPlugin, DuplicatePlugin, BrokenPlugin) as error:
                    problem = str(error)
                found.append(Listed(category, type, entry.dotted, problem, extra))
        return sorted(found, key=lambda line: (CATEGORIES.index(line[0]), line[1]))


def _load(entry: Any) -> Any:
    try:
        factory = namedAny(entry.dotted)
    except ImportError as error:
        extra = getattr(entry, "extra", "")
        text = (
            f"{entry.category} {entry.type} ({entry.dotted}) cannot be imported:"
            f" {error}"
        )
        if extra:
            raise MissingExtra(f"{text}; install cocained[{extra}]", extra) from error
        raise BrokenPlugin(text) from error
    except Exception as error:
        raise BrokenPlugin(
            f"{entry.category} {entry.type} ({entry.dotted}) cannot be loaded:"
            f" {type(error).__name__}: {error}"
        ) from error
    try:
        verifyClass(_INTERFACES[entry.category], factory)
    except Invalid as error:
        raise BrokenPlugin(
            f"{entry.category} {entry.type} ({entry.dotted}) is not what it says:"
            f" {' '.join(str(error).split())}"
        ) from error
    return factory
