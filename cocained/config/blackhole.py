# -*- test-case-name: cocained.test.test_config_original -*-
"""
The original's logging section → a list of destinations.

Versions 3 and 4 hand the section to the library "blackhole" (protocol.md
§12.2, §12.3).  Of its handlers only the *sinks* mean something here: how a
line looks is decided by our loggers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cocained.config.draft import Draft
from cocained.config.problems import Path, shorten
from cocained.config.wording import shown

#: Types of loggers that are shipped and that old sinks turn into.
CONSOLE, FILE, SYSLOG = "console", "file", "syslog"

#: Sinks of both generations of the library, and what takes their place.
_SINKS = {
    "console": CONSOLE,
    "stream": CONSOLE,
    "file": FILE,
    "files": FILE,
    "syslog": SYSLOG,
}

#: The one argument that each of ours takes over.
_KEPT = {FILE: "path", SYSLOG: "identity"}

#: A sink that throws everything away.
_NULL = "null"

#: A sink that passes on to another one, from a thread.
_ASYNCHRONOUS = "asynchronous"

#: Asynchronous sinks inside each other; more than one makes no sense, and the
#: bound keeps the recursion flat.
_MAX_NESTING = 4

#: The logger that the original uses unless ``--logging`` says otherwise.
_CORE = "core"


def translate_logging(draft: Draft) -> None:
    """
    Rewrite ``logging`` of version 3 or 4; leave ours, and what is neither.

    Told apart by shape: ours has a *list* of loggers, version 4 a map of
    lists, version 3 names right under ``logging``.
    """
    section = draft.tree.get("logging")
    if not isinstance(section, dict):
        return
    loggers = section.get("loggers")
    if isinstance(loggers, dict):
        rest = {key: value for key, value in section.items() if key != "loggers"}
        _rewrite(draft, loggers, ("logging", "loggers"), rest)
    elif loggers is None and _is_version_3(section):
        rest = {key: section[key] for key in ("severity",) if key in section}
        named = {key: value for key, value in section.items() if key not in rest}
        _rewrite(draft, named, ("logging",), rest)


def _is_version_3(section: dict[str, Any]) -> bool:
    named = [value for key, value in section.items() if key != "severity"]
    return bool(named) and all(
        isinstance(value, list) or (isinstance(value, dict) and "loggers" in value)
        for value in named
    )


def _rewrite(
    draft: Draft, named: dict[str, Any], place: Path, rest: dict[str, Any]
) -> None:
    draft.tree["logging"] = rest
    if not named:
        return
    name = _CORE if _CORE in named else next(iter(named))
    for other in named:
        if other != name:
            draft.note(
                (*place, other), f"only the logger {shorten(name)!r} is used; ignored"
            )
    place = (*place, name)
    handlers = named[name]
    if isinstance(handlers, dict):
        for key, value in handlers.items():
            if key == "verbosity":
                draft.put(("logging", "severity"), value, (*place, key))
            elif key != "loggers":
                draft.note((*place, key), "has no meaning here; ignored")
        place = (*place, "loggers")
        handlers = handlers.get("loggers")
    if not isinstance(handlers, list):
        draft.fault(place, f"must be a list of handlers, not {shown(handlers)}")
        return
    built: list[dict[str, Any]] = []
    silent = False
    for sink, where in _sinks(draft, handlers, place):
        kind = sink.get("type")
        if kind == _NULL:
            silent = True
            continue
        ours = _SINKS.get(kind) if isinstance(kind, str) else None
        if ours is None:
            name = repr(shorten(kind)) if isinstance(kind, str) else shown(kind)
            draft.note(where, f"a sink of type {name} has no counterpart here; ignored")
            continue
        draft.moved(("logging", "loggers", len(built)), where)
        built.append(_logger(draft, ours, sink, where))
    if built or silent:
        draft.put(("logging", "loggers"), built)
    else:
        draft.note(place, "names no destination that exists here; the console is used")


def _sinks(
    draft: Draft, handlers: list[Any], place: Path
) -> Iterator[tuple[dict[str, Any], Path]]:
    for index, handler in enumerate(handlers):
        where = (*place, index)
        if not isinstance(handler, dict):
            draft.fault(where, f"must be a section, not {shown(handler)}")
            continue
        for key in handler:
            if key not in ("sink", "sinks"):
                draft.note((*where, key), "has no meaning here; ignored")
        found = handler.get("sinks", [])
        if not isinstance(found, list):
            draft.fault((*where, "sinks"), f"must be a list, not {shown(found)}")
            continue
        pairs = [(sink, (*where, "sinks", i)) for i, sink in enumerate(found)]
        if "sink" in handler:
            pairs.append((handler["sink"], (*where, "sink")))
        for sink, path in pairs:
            inner, inner_path = _unwrap(sink, path)
            if isinstance(inner, dict):
                yield inner, inner_path
            else:
                draft.fault(inner_path, f"must be a section, not {shown(inner)}")


def _unwrap(sink: Any, path: Path) -> tuple[Any, Path]:
    """Step through asynchronous sinks to the one that writes."""
    for _ in range(_MAX_NESTING):
        if not (isinstance(sink, dict) and sink.get("type") == _ASYNCHRONOUS):
            break
        sink, path = sink.get("sink"), (*path, "sink")
    return sink, path


def _logger(
    draft: Draft, kind: str, sink: dict[str, Any], where: Path
) -> dict[str, Any]:
    args: dict[str, Any] = {}
    for key, value in sink.items():
        if key == "type":
            continue
        if key == _KEPT.get(kind):
            args[key] = value
        else:
            draft.note((*where, key), "has no meaning here; ignored")
    return {"type": kind, "args": args}
