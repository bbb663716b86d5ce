# -*- test-case-name: cocained.test.test_config_original -*-
"""
The original's layouts, versions 2, 3 and 4 (protocol.md §12.1-12.3) → ours.

Ours *is* version 4 with sections added, so that for 3 and 4 only what has no
meaning here is taken out, with a note, and logging is reduced to its
destinations (:mod:`cocained.config.blackhole`).  Version 2 is older: its
locator is no service and its network section means the cluster.
"""

from __future__ import annotations

from typing import Any

from cocained.config.blackhole import CONSOLE, translate_logging
from cocained.config.draft import Draft
from cocained.config.problems import LineMap, Path, shorten
from cocained.config.wording import shown
from cocained.errors import ConfigError

#: Layouts that are understood; a file that names none is of the last.
VERSIONS = (2, 3, 4)

#: Sections of the original that are accepted and ignored, with the reason.
IGNORED = {
    "authentications": "every peer is trusted, as with type 'promiscuous'",
    "authorizations": "every peer may do everything, as with type 'disabled'",
    "senders": "metrics are not sent, they are asked for",
    "postgres": "connections are configured at the storages of type 'postgres'",
    "context": "there are no I/O threads to choose from",
    "isolate": "isolates are configured in profiles",
}

#: The same for single keys.
IGNORED_KEYS: dict[Path, str] = {
    ("paths", "plugins"): "plugins are found through Python packages",
    ("network", "pool"): "there is no pool of I/O threads",
}

#: Port of the locator when version 2 gives none.
LOCATOR_PORT = 10053

#: What version 2 takes for members missing from a given port range.
_PORT_RANGE = (32768, 61000)

#: Sections that exist in version 2 only.
_VERSION_2 = ("locator", "loggers")

#: Other names of the node service in the original (plugins.md §3).
_NODE_TYPES = ("node::v2",)

#: Types and keys of version 2's loggers.
_LOGGER_TYPES = {"stdout": "console", "files": "file", "syslog": "syslog"}
_LOGGER_KEYS = {"file": "path", "syslog": "identity"}


def translate(
    tree: dict[str, Any], where: LineMap
) -> tuple[dict[str, Any], LineMap, list[str], list[ConfigError]]:
    """
    Bring a document of any layout into ours.

    Whatever looks wrong is left as it is, for the schema to refuse it.

    :param tree: the document; not changed.
    :param where: its lines.
    :returns: the new tree, its lines, sentences about ignored keys, and
        problems that the schema could not see.
    """
    draft = Draft(tree, where)
    version = _version(draft)
    if version == 2:
        _translate_2(draft)
    else:
        _refuse_version_2_sections(draft)
        translate_logging(draft)
    _drop_ignored(draft)
    _rename_node(draft)
    return draft.tree, draft.where, draft.notes, draft.problems


def _version(draft: Draft) -> int:
    version = draft.tree.get("version", VERSIONS[-1])
    draft.tree["version"] = VERSIONS[-1]
    # 2.0 and true would pass a look into the tuple.
    if type(version) is int and version in VERSIONS:
        return version
    draft.fault(("version",), f"must be 2, 3 or 4, not {shown(version)}")
    return VERSIONS[-1]


def _refuse_version_2_sections(draft: Draft) -> None:
    for name in _VERSION_2:
        if name in draft.tree:
            del draft.tree[name]
            better = "network" if name == "locator" else "logging"
            draft.fault(
                (name,),
                f"is a section of version 2 only; use '{better}', or write "
                "'version: 2' if this is such a file",
            )


def _drop_ignored(draft: Draft) -> None:
    for name, reason in IGNORED.items():
        if draft.tree.pop(name, None) is not None:
            draft.note((name,), f"{reason}; ignored")
    for (section, key), reason in IGNORED_KEYS.items():
        if draft.section(str(section)).pop(str(key), None) is not None:
            draft.note((section, key), f"{reason}; ignored")


def _rename_node(draft: Draft) -> None:
    services = draft.section("services")
    for name, entry in services.items():
        if isinstance(entry, dict) and entry.get("type") in _NODE_TYPES:
            services[name] = {**entry, "type": "node"}


def _translate_2(draft: Draft) -> None:
    locator = draft.remove("locator")
    cluster = draft.remove("network")
    for key, target in (("hostname", "hostname"), ("endpoint", "endpoint")):
        if locator.get(key) is not None:
            draft.put(("network", target), locator[key], ("locator", key))
    port = locator.get("port")
    draft.put(
        ("network", "pinned", "locator"),
        LOCATOR_PORT if port is None else port,
        ("locator", "port"),
    )
    ports = locator.get("port-range")
    if ports is not None:
        if isinstance(ports, list):
            ports = [*ports, *_PORT_RANGE[len(ports) :]]
        draft.put(("network", "shared"), ports, ("locator", "port-range"))
    known = ("hostname", "endpoint", "port", "port-range")
    for key in locator:
        if key not in known:
            draft.unknown(("locator", key), known)
    _add_locator(draft, cluster)
    _translate_loggers_2(draft)


def _add_locator(draft: Draft, cluster: dict[str, Any]) -> None:
    """Version 2 has the locator built in; here it is a service as any other."""
    services = draft.tree.get("services")
    if services is not None and not isinstance(services, dict):
        return
    if "locator" in (services or {}):
        draft.fault(
            ("services", "locator"),
            "version 2 brings its own locator; configure it in 'locator'",
        )
        return
    place = ("services", "locator", "args")
    draft.put(("services", "locator", "type"), "locator")
    group = cluster.pop("group", None)
    if group is not None:
        draft.put((*place, "cluster", "type"), "multicast")
        draft.put((*place, "cluster", "args", "group"), group, ("network", "group"))
        draft.note(
            ("network", "group"),
            "peers are found by multicast on port 10053 and must speak 0.12; "
            "nodes of version 0.11 are not heard",
        )
    gateway = cluster.pop("gateway", None)
    if gateway is not None:
        if isinstance(gateway, dict):
            gateway = {"type": "adhoc", **gateway}
        draft.put((*place, "gateway"), gateway, ("network", "gateway"))
    for key in cluster:
        draft.unknown(("network", key), ("group", "gateway"))


def _translate_loggers_2(draft: Draft) -> None:
    draft.tree.pop("logging", None)
    loggers = draft.remove("loggers")
    if not loggers:
        return
    name = "core" if "core" in loggers else next(iter(loggers))
    for other in loggers:
        if other != name:
            draft.note(("loggers", other), f"only {shorten(name)!r} is used; ignored")
    place: Path = ("loggers", name)
    entry = loggers[name]
    kind = entry.get("type") if isinstance(entry, dict) else None
    if not isinstance(entry, dict) or not isinstance(kind, str):
        draft.fault(place, "must be a section with a type")
        return
    args = entry.get("args")
    args = args if isinstance(args, dict) else {}
    verbosity = args.get("verbosity")
    kind = _LOGGER_TYPES.get(kind, kind)
    if kind not in _LOGGER_TYPES.values():
        draft.note((*place, "type"), "has no counterpart here, the console is used")
        kind = CONSOLE
    key = _LOGGER_KEYS.get(kind)
    kept = {key: args[key]} if key in args else {}
    for other in args:
        if other != key and other != "verbosity":
            draft.note((*place, "args", other), "has no meaning here; ignored")
    if verbosity == "ignore":
        draft.put(("logging", "loggers"), [], place)
        return
    draft.put(("logging", "loggers"), [{"type": kind, "args": kept}], place)
    if verbosity is not None:
        draft.put(("logging", "severity"), verbosity, (*place, "args", "verbosity"))
