# -*- test-case-name: cocained.test.live.test_fuzz_live -*-
"""
What peers say to a node in :mod:`cocained.test.live.chaos`.

Names are few, so that they meet, and none that may be changed is an app's.
"""

from __future__ import annotations

from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from cocained.test.live.chaos import BAD, GOOD
from cocained.test.live.support import CLOSE, pack

TEXTS = st.sampled_from([b"", b"k", b"fuzz", b"nope", b"../up", b"\xff\0", b"n" * 300])
BLOBS = st.one_of(
    st.just(b""), st.binary(min_size=1, max_size=40), st.just(bytes(1 << 20))
)
NUMBERS = st.sampled_from([0, 1, 2, -1, 7, 255, 65532, 65535, 2**31, 2**63, 2**64 - 1])
VALUES = st.recursive(
    st.one_of(TEXTS, NUMBERS, st.none(), st.booleans(), st.floats()),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.integers(0, 9), inner, max_size=3)
    ),
    max_leaves=6,
)
#: Numbers of channels are few as well: most are open, or have been.
CHANNELS = st.integers(1, 8) | st.sampled_from([0, 100, 2**32, 2**64 - 1])
HEADERS = st.one_of(
    st.just([]),
    st.lists(
        st.one_of(
            st.integers(0, 90),
            st.tuples(st.booleans(), TEXTS, TEXTS),
            st.tuples(
                st.just(False),
                st.sampled_from([b"request_timeout", b"trace_id", b"uuid"]),
                st.binary(min_size=1, max_size=9),
            ),
        ),
        max_size=3,
    ),
)

#: Events of ``workers/chaos.py``; the last has no meaning there.
EVENT_NAMES = (
    b"echo twice elsewhere silent die flood chatter garbage half headers types"
    b" control farewell deaf what"
).split()
EVENTS = st.sampled_from(EVENT_NAMES)


def _call(method: int, *arguments: SearchStrategy[Any]) -> SearchStrategy[bytes]:
    return st.builds(
        lambda channel, values: pack([channel, method, list(values)]),
        CHANNELS,
        st.tuples(*arguments),
    )


FUZZED = st.just(b"fuzz")

#: What each service understands.
CALLS: Final = {
    "locator": st.one_of(
        _call(0, TEXTS),
        _call(0, st.sampled_from([b"good", b"bad", b"storage"])),
        _call(1, TEXTS),
        _call(2, st.lists(TEXTS, max_size=3)),
        _call(3),
        _call(5, TEXTS),
        _call(6),
    ),
    "storage": st.one_of(
        _call(0, FUZZED, TEXTS),
        _call(1, FUZZED, TEXTS, BLOBS, st.lists(TEXTS, max_size=3)),
        _call(2, FUZZED, TEXTS),
        _call(3, FUZZED, st.lists(TEXTS, max_size=3)),
    ),
    "node": st.one_of(
        _call(0, TEXTS, TEXTS),
        _call(1, TEXTS),
        _call(2),
        _call(3, st.just(b"bad") | TEXTS, st.integers(0, 15)),
        _call(4, st.just(b"bad") | TEXTS),
        _call(5, st.just(b"bad"), EVENTS),
    ),
    BAD: st.one_of(_call(0, EVENTS), _call(2), _call(1)),
    GOOD: st.one_of(_call(0, st.just(b"echo")), _call(1)),
}


@st.composite
def conversations(draw: DrawFn) -> bytes:
    """An event for the bad app with chunks, and mostly an end."""
    channel = draw(CHANNELS)
    frames = [pack([channel, 0, [draw(EVENTS)]])]
    frames += [
        pack([channel, 0, [draw(BLOBS)]]) for _ in range(draw(st.integers(0, 4)))
    ]
    if draw(st.booleans()):
        frames.append(pack([channel, CLOSE, []]))
    return b"".join(frames)


#: Frames that may mean nothing.
FRAMES = st.builds(
    lambda channel, kind, values, headers: pack([channel, kind, values, headers]),
    CHANNELS,
    st.integers(0, 9) | NUMBERS.filter(lambda number: number >= 0),
    st.lists(VALUES, max_size=4),
    HEADERS,
)

#: Bytes after which a connection cannot go on, or waits.
GARBAGE = st.one_of(
    st.binary(min_size=1, max_size=60),
    st.builds(
        lambda channel, rest: pack([channel, *rest]),
        CHANNELS,
        st.lists(VALUES, max_size=4),
    ),
    st.sampled_from(
        [
            b"\xc1" * 50,
            b"GET / HTTP/1.1\r\n\r\n",
            b"\x93\x01\x00\x91\xdb\xff\xff\xff\xff",
            b"\x93\x01\x00\xdd\xff\xff\xff\xff",
            b"\x93\x01\x00\x91\xdb\x07\xff\xff\xff" + bytes(1000),
            b"\x91" * 5000,
            b"\x94\x01\x00\x90" + b"\x91" * 2000,
            b"\x93\x01",
            b"\x90",
            b"\x93\xa1x\x00\x90",
        ]
    ),
)

#: Where to cut what is sent.
CUTS = st.lists(st.integers(0, 60), max_size=4)
