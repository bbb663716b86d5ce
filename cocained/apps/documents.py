# -*- test-case-name: cocained.test.test_apps_documents -*-
"""
What an app needs to run: manifest, profile, runlist (protocol.md §9).

All three are msgpack maps in the storage ``core``.  They are read into frozen
structs; what is wrong with one is said all at once.  Keys that mean nothing
here are kept, since ``info`` shows the documents as they were stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from cocained.apps.blobs import check_text, textual, unpack
from cocained.apps.keys import (
    MIN_LOOK,
    IsolateKeys,
    ManifestKeys,
    ProfileKeys,
    RecycleKeys,
)
from cocained.config import Invalid, examine
from cocained.config.convert import declared
from cocained.config.problems import MAX_PROBLEMS, dotted, shorten
from cocained.errors import ConfigError, DocumentError

#: Apps in one runlist: ten times what one node is built to hold.
MAX_RUNLIST = 10_000

#: Spellings of the v0.11 line (legacy-and-seeds.md rows 108, 115).
ALIASES = {
    "startup-timeout": "handshake-timeout",
    "termination-timeout": "terminate-timeout",
}

#: Keys of a profile that have keys of their own.
SECTIONS: Mapping[str, type[msgspec.Struct]] = {
    "isolate": IsolateKeys,
    "recycle": RecycleKeys,
}


class Manifest(ManifestKeys, frozen=True, kw_only=True):
    """
    What to run (protocol.md §9.1).

    :ivar name: the app's name.
    :ivar data: the whole document, as ``info`` shows it.
    """

    name: str
    data: Mapping[str, Any] = {}

    @classmethod
    def from_blob(cls, name: str, blob: bytes) -> Manifest:
        """
        Read what the storage holds under ``manifests``/*name*.

        :raises DocumentError: it cannot be used; lists every problem.
        """
        return cls.from_mapping(name, unpack(f"manifest {name!r}", blob))

    @classmethod
    def from_mapping(cls, name: str, document: object) -> Manifest:
        """
        Check a manifest that has been unpacked.

        :param document: a mapping; keys and texts may be bytes.
        :raises DocumentError: as :meth:`from_blob`.
        """
        what = f"manifest {name!r}"
        data = textual(what, document)
        values, problems = examine(data, ManifestKeys)
        _report(what, problems, _faults(ManifestKeys, values) if not problems else ())
        return cls(**values, name=name, data=data)


class Profile(ProfileKeys, frozen=True, kw_only=True):
    """
    How to run an app (protocol.md §9.2).

    :ivar name: the profile's name.
    :ivar data: the whole document, as ``info`` shows it.
    :ivar unknown: keys that mean nothing here, sorted, for a line in the log.
    """

    name: str
    data: Mapping[str, Any] = {}
    unknown: tuple[str, ...] = ()

    @classmethod
    def from_blob(cls, name: str, blob: bytes) -> Profile:
        """
        Read what the storage holds under ``profiles``/*name*.

        :raises DocumentError: it cannot be used; lists every problem.
        """
        return cls.from_mapping(name, unpack(f"profile {name!r}", blob))

    @classmethod
    def from_mapping(cls, name: str, document: object) -> Profile:
        """
        Check a profile that has been unpacked.

        :param document: a mapping; keys and texts may be bytes.
        :raises DocumentError: as :meth:`from_blob`.
        """
        what = f"profile {name!r}"
        data = textual(what, document)
        known = dict(data)
        for old, new in ALIASES.items():
            if old in known:
                value = known.pop(old)
                known.setdefault(new, value)
        values, problems = examine(known, ProfileKeys)
        _report(what, problems, _thresholds(values, problems))
        return cls(**values, name=name, data=data, unknown=_unknown(known))

    def to_mapping(self) -> dict[str, Any]:
        """
        Write the profile out with all defaults, under today's names.

        Reading it back gives a profile of the same values.
        """
        fields = declared(ProfileKeys)
        whole = {key: getattr(self, info.name) for key, info in fields.items()}
        for key in SECTIONS:
            whole[key] = msgspec.structs.asdict(whole[key])
        return whole


class Runlist(msgspec.Struct, frozen=True, kw_only=True):
    """
    Which apps to start with the node.

    :ivar name: the runlist's name.
    :ivar apps: app → profile.
    """

    name: str
    apps: Mapping[str, str] = {}

    @classmethod
    def from_blob(cls, name: str, blob: bytes) -> Runlist:
        """
        Read what the storage holds under ``runlists``/*name*.

        :raises DocumentError: it cannot be used; lists every problem.
        """
        return cls.from_mapping(name, unpack(f"runlist {name!r}", blob))

    @classmethod
    def from_mapping(cls, name: str, document: object) -> Runlist:
        """
        Check a runlist that has been unpacked.

        :param document: a mapping; keys and texts may be bytes.
        :raises DocumentError: as :meth:`from_blob`.
        """
        what = f"runlist {name!r}"
        data = textual(what, document)
        if len(data) > MAX_RUNLIST:
            raise DocumentError(what, [f"names more than {MAX_RUNLIST} apps"])
        problems = []
        for app, profile in data.items():
            shown = repr(shorten(str(app)))
            if not isinstance(app, str) or not app:
                problems.append(f"the name of an app must be text, not {shown}")
            elif not isinstance(profile, str) or not profile:
                problems.append(f"app {shown}: its profile must be a name")
            else:
                faults = check_text(app + profile)
                problems += [f"app {shown}: {fault}" for fault in faults]
        _report(what, (), problems)
        return cls(name=name, apps=data)


def _thresholds(values: Mapping[str, Any], problems: list[ConfigError]) -> list[str]:
    """Check the rules between keys, of those that are good by themselves."""
    bad = {problem.path for problem in problems}

    def get(name: str, key: str) -> int | None:
        default = getattr(_DEFAULTS, name)
        return None if key in bad else int(values.get(name, default))

    pool = get("pool_limit", "pool-limit")
    publish = get("publish_on", "publish-on")
    under = get("unpublish_under", "unpublish-under")
    found = []
    if 0 < values.get("auto_update", 0) < MIN_LOOK:
        found.append(f"auto-update: must be 0 or at least {MIN_LOOK:g} second")
    if pool is not None and publish is not None and publish > pool:
        found.append("publish threshold must not be greater than pool limit")
    if publish is not None and under is not None and under > publish:
        found.append("publish threshold must not be less than unpublish one")
    return found


def _unknown(known: Mapping[Any, Any]) -> tuple[str, ...]:
    """List the keys that no field reads; *known* has today's names."""
    names = declared(ProfileKeys)
    found = [dotted((str(key),)) for key in known if key not in names]
    for section, struct in SECTIONS.items():
        inside = declared(struct)
        for key in known.get(section) or ():
            if key not in inside:
                found.append(dotted((section, str(key))))
    return tuple(sorted(found))


def _faults(struct: type[msgspec.Struct], values: Mapping[str, Any]) -> list[str]:
    """Give what the struct itself has against values of the right types."""
    try:
        struct(**values)
    except Invalid as error:
        return [f"{dotted(path)}: {reason}" for path, reason in error.faults]
    return []


def _report(
    what: str, problems: Iterable[ConfigError], others: Iterable[str] = ()
) -> None:
    """
    Raise what was found.

    :raises DocumentError: if there is anything.
    """
    texts = [f"{problem.path}: {problem.reason}" for problem in problems]
    texts += others
    if not texts:
        return
    if len(texts) > MAX_PROBLEMS:
        texts[MAX_PROBLEMS:] = [f"and {len(texts) - MAX_PROBLEMS} more"]
    raise DocumentError(what, texts)


_DEFAULTS = ProfileKeys()
