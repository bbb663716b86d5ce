# -*- test-case-name: cocained.test.test_fuzz -*-
"""
Manifests, profiles and runlists, from the storage and from the command line.

The first byte of an input chooses the form: msgpack, JSON or YAML.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from cocained.apps.documents import Manifest, Profile, Runlist
from cocained.apps.keys import IsolateKeys, ManifestKeys, ProfileKeys
from cocained.config.source import decode, parse
from cocained.errors import ConfigError, DocumentError, to_wire
from cocained.rpc.codec import pack
from cocained.test.fuzz.targets import Target, law
from cocained.tools.documents import parse_json

MSGPACK, JSON, YAML = range(3)

#: Signs of the longest error: twenty problems that show sixty signs of a key
#: and of a value each, with a sentence.
MAX_REASON = 20 * 512

Document = Manifest | Profile | Runlist
Readers = Mapping[str, type[Document]]

#: Each kind of document.
READERS: Readers = {"manifest": Manifest, "profile": Profile, "runlist": Runlist}


def check(data: bytes, readers: Readers = READERS) -> None:
    """
    Take one input.

    :param readers: of each kind of document, perhaps with a fault.
    """
    if not data:
        return
    form, content = data[0] % 3, data[1:]
    if form == MSGPACK:
        for reader in readers.values():
            _read(reader.from_blob, content)
        return
    try:
        text = decode(content)
        document = parse_json(text) if form == JSON else parse(text).tree
    # The library's own error is how a text is told that is no JSON.
    except (ConfigError, ValueError) as error:
        law(bool(str(error)), "an error says something", error)
        return
    for reader in readers.values():
        _read(reader.from_mapping, document)


def _read(read: Callable[[str, Any], Document], given: Any) -> None:
    """State what holds for one kind of document."""
    try:
        document = read("n", given)
    except DocumentError as error:
        law(bool(error.problems) and all(error.problems), "problems are told", error)
        law("'n'" in str(error), "an error names the document", error)
        law(len(str(error)) <= MAX_REASON, "errors are short", len(str(error)))
        if isinstance(given, bytes):
            # It will be an answer to ``start_app``.
            pack(list(to_wire(error)))
        return
    if isinstance(document, Profile):
        _write_out(document)
    if isinstance(given, bytes) and not isinstance(document, Runlist):
        # ``info`` sends it, and reads the same from what it has sent.
        shown = pack(dict(document.data))
        again = type(document).from_blob("n", shown)
        law(pack(dict(again.data)) == shown, "documents survive being shown", shown)


def _write_out(profile: Profile) -> None:
    """State that a profile that is written out is the same when it is read."""
    again = Profile.from_mapping("n", profile.to_mapping())
    for info in msgspec.structs.fields(ProfileKeys):
        ours, theirs = getattr(profile, info.name), getattr(again, info.name)
        law(repr(ours) == repr(theirs), "profiles survive", info.name, ours, theirs)


def seeds() -> Iterable[bytes]:
    """Documents of each kind in each form, whole and with mistakes."""
    profile = Profile(name="n").to_mapping()
    documents: list[tuple[dict[str, Any], bytes]] = [
        ({"slave": "worker"}, b'{"slave": "worker"}'),
        (profile, msgspec.json.encode(profile)),
        ({"echo": "default"}, b'{"echo": "default"}'),
        (
            {"pool-limit": 4, "isolate": {"type": "process", "args": {"spool": "x"}}},
            b'{"pool-limit": 4, "concurrency": 10, "isolate": {"type": "process"}}',
        ),
        ({"startup-timeout": 0.5, "pool-limit": -1}, b'{"pool-limit": "many"}'),
        (
            {"slave": "w", "environment": {"A": "b"}, "args": ["--fast"]},
            b'{"slave": "w", "environment": {"A": "b"}}',
        ),
    ]
    for mapping, text in documents:
        yield bytes((MSGPACK,)) + pack(mapping)
        yield bytes((JSON,)) + text
        yield bytes((YAML,)) + text.replace(b"{", b"").replace(b"}", b"").replace(
            b", ", b"\n"
        )
    yield bytes((MSGPACK,)) + b"\xc1"
    yield bytes((MSGPACK,)) + b"\x80"
    yield bytes((JSON,)) + b"{}"
    yield bytes((YAML,)) + b"slave: worker\nenvironment:\n  A: b\n"


def _names() -> Iterable[bytes]:
    for struct in (ManifestKeys, ProfileKeys, IsolateKeys):
        for info in msgspec.structs.fields(struct):
            yield info.encode_name.encode()


TARGET = Target(
    run=check,
    seeds=seeds,
    words=tuple(_names()),
    size=1024,
)
