# -*- test-case-name: tests.test_headers -*-
"""
Frame headers: the static and the dynamic table, decoding, encoding.

Source: protocol.md 1.5. What we send is always literal and never stored, so the
peer needs no state for us; what we receive may use every form.
"""

from __future__ import annotations

from cocaine.exceptions import ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

#: Bytes of the dynamic table, counted as name + value + ENTRY_OVERHEAD each.
CAPACITY = 4096
ENTRY_OVERHEAD = 32
#: The first index of the dynamic table; the newest entry has it.
FIRST_DYNAMIC = 83
ZERO = b"\0" * 8

_NAMES = (
    b":authority :method :method :path :path :scheme :scheme :status :status :status "
    b":status :status :status :status accept-charset accept-encoding accept-language "
    b"accept-ranges accept access-control-allow-origin age allow authorization "
    b"cache-control content-disposition content-encoding content-language "
    b"content-length content-location content-range content-type cookie date etag "
    b"expect expires from host if-match if-modified-since if-none-match if-range "
    b"if-unmodified-since last-modified link location max-forwards "
    b"proxy-authenticate proxy-authorization range referer refresh retry-after server "
    b"set-cookie strict-transport-security transfer-encoding user-agent vary via "
    b"www-authenticate"
)
_VALUES = {
    2: b"GET",
    3: b"POST",
    4: b"/",
    5: b"/index.html",
    6: b"http",
    7: b"https",
    8: b"200",
    9: b"204",
    10: b"206",
    11: b"304",
    12: b"400",
    13: b"404",
    14: b"500",
    16: b"gzip, deflate",
    80: ZERO,
    81: ZERO,
    82: ZERO,
}
_TRACE = {"trace_id": 80, "span_id": 81, "parent_id": 82}
#: Headers whose value is an unsigned 64-bit integer, little-endian.
_NUMBERS = frozenset(("trace_id", "span_id", "parent_id", "request_timeout"))
_static: list[bytes] = []


def static_names() -> list[bytes]:
    """Return the names of the static table by index; slot 0 is never valid."""
    if not _static:
        _static.extend((b"", *_NAMES.split()))
        _static.extend([b""] * (80 - len(_static)))
        _static.extend((b"trace_id", b"span_id", b"parent_id"))
    return _static


class HeaderTable:
    """The decoder's table of one connection and direction."""

    __slots__ = ("_entries", "_size")

    def __init__(self) -> None:
        self._entries: list[tuple[bytes, bytes]] = []
        self._size = 0

    def decode(self, raw: list[Any]) -> list[tuple[bytes, bytes]]:
        """
        Turn the fourth element of a frame into pairs, updating the table.

        :raises ProtocolError: when an item has none of the three forms
        """
        pairs = []
        for item in raw:
            if type(item) is int:
                pairs.append(self._at(item))
                continue
            if type(item) is not list or len(item) != 3 or type(item[0]) is not bool:
                raise ProtocolError(f"malformed header {item!r:.80}")
            store, name, value = item
            if type(name) is int:
                name = self._at(name)[0]
            if type(name) is not bytes or type(value) is not bytes:
                raise ProtocolError(f"malformed header {item!r:.80}")
            pairs.append((name, value))
            if store:
                self._add(name, value)
        return pairs

    def _at(self, index: int) -> tuple[bytes, bytes]:
        if 0 < index < FIRST_DYNAMIC:
            return static_names()[index], _VALUES.get(index, b"")
        if FIRST_DYNAMIC <= index < FIRST_DYNAMIC + len(self._entries):
            return self._entries[index - FIRST_DYNAMIC]
        raise ProtocolError(f"header index {index} is beyond the table")

    def _add(self, name: bytes, value: bytes) -> None:
        size = len(name) + len(value) + ENTRY_OVERHEAD
        while self._entries and self._size + size > CAPACITY:
            old = self._entries.pop()
            self._size -= len(old[0]) + len(old[1]) + ENTRY_OVERHEAD
        if size <= CAPACITY:
            self._entries.insert(0, (name, value))
            self._size += size


def is_stateless(raw: list[Any]) -> bool:
    """
    Say whether every item is a literal that is not stored.

    That is what the runtime sends with each frame, so decoding can wait until
    somebody looks at the headers, which is hardly ever.
    """
    for item in raw:
        if type(item) is not list or item[0] is not False or type(item[1]) is int:
            return False
    return True


class HeaderReader:
    """What is known of a frame's headers: raw until it is asked for."""

    __slots__ = ("_table",)

    def __init__(self) -> None:
        self._table: HeaderTable | None = None

    def accept(self, raw: list[Any]) -> list[Any]:
        """
        Take a frame's fourth element; must see every frame in order.

        :returns: something for :func:`to_dict`
        :raises ProtocolError: as :meth:`HeaderTable.decode` does
        """
        if type(raw) is not list:
            raise ProtocolError("the fourth element of a frame is not a list")
        if is_stateless(raw):
            return raw
        if self._table is None:
            self._table = HeaderTable()
        return self._table.decode(raw)


def to_dict(accepted: Iterable[Any] | None) -> dict[str, bytes]:
    """
    Make a dictionary of what :meth:`HeaderReader.accept` returned.

    :returns: names as text, values as bytes; a later duplicate wins
    :raises ProtocolError: for a malformed literal
    """
    result: dict[str, bytes] = {}
    for item in accepted or ():
        if len(item) not in (2, 3):
            raise ProtocolError(f"malformed header {item!r:.80}")
        name, value = item[-2], item[-1]
        if type(name) is not bytes or type(value) is not bytes:
            raise ProtocolError(f"malformed header {item!r:.80}")
        result[name.decode("utf-8", "replace")] = value
    return result


class Trace:
    """
    The position of a call in a distributed trace.

    :param traceid: the trace, 1 to 2**64 - 1; 0 for none
    :param spanid: this span; not 0 when the trace is not
    :param parentid: the span above, 0 at the root
    """

    __slots__ = ("parentid", "spanid", "traceid")

    def __init__(self, traceid: int, spanid: int, parentid: int = 0) -> None:
        self.traceid = traceid
        self.spanid = spanid
        self.parentid = parentid

    def __repr__(self) -> str:
        return f"Trace({self.traceid:#x}, {self.spanid:#x}, {self.parentid:#x})"

    @classmethod
    def from_headers(cls, headers: dict[str, bytes]) -> Trace | None:
        """Read the trace of received headers; None without one."""
        values = [headers.get(name, b"") for name in _TRACE]
        if any(len(value) != 8 for value in values) or values[0] == ZERO:
            return None
        return cls(*(int.from_bytes(value, "little") for value in values))


def encode(headers: dict[str, Any]) -> list[Any]:
    """
    Turn keyword arguments of a call into a frame's fourth element.

    :param headers: text and bytes go out as they are; `trace` takes a
        :class:`Trace`; `request_timeout` (milliseconds) and the three trace
        fields also take integers
    :raises TypeError: for any other value, naming the header
    :raises OverflowError: when a number does not fit 64 bits
    """
    result: list[Any] = []
    for name, value in headers.items():
        if name == "trace":
            if value is None:
                continue
            numbers = (value.traceid, value.spanid, value.parentid)
            for index, number in zip(_TRACE.values(), numbers, strict=True):
                result.append((False, index, number.to_bytes(8, "little")))
            continue
        if type(value) is int and name in _NUMBERS:
            value = value.to_bytes(8, "little")
        elif isinstance(value, str):
            value = value.encode()
        if not isinstance(value, bytes):
            raise TypeError(
                f"header {name!r}: {type(value).__name__} is neither text nor bytes; "
                "keyword arguments of a call are frame headers"
            )
        result.append((False, _TRACE.get(name, name), value))
    return result
