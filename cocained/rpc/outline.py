# -*- test-case-name: cocained.test.test_rpc_codec -*-
"""
What an unfinished frame claims to be.

msgpack puts lengths in front, so the headers of a frame tell how large it will
be, long before it is there.
"""

from __future__ import annotations

from cocained.errors import RemoteProtocolError, TransportCode

#: Most bytes handed to the unpacker at once: Twisted's own read size.  No
#: frame that lies whole within one piece can exceed :data:`MIN_FRAME_LIMIT`.
PIECE = 65536

#: Most values in one frame, claimed or present; no fewer than a piece can hold.
VALUE_LIMIT = 4 * PIECE

#: Deepest nesting; the C unpacker has a stack of this many entries.
DEPTH_LIMIT = 1024


class Outline:
    """
    Follows the headers of one unfinished frame.

    :param frame_limit: most bytes that the frame may claim.
    """

    __slots__ = ("_carry", "_done", "_limit", "_open", "_skip", "claimed", "values")

    def __init__(self, frame_limit: int) -> None:
        self._limit = frame_limit
        self._open: list[int] = []
        self._skip = 0
        self._carry = b""
        self._done = False
        #: bytes claimed so far, present or announced
        self.claimed = 0
        #: values claimed so far, present or announced
        self.values = 1

    @property
    def finished(self) -> bool:
        """Whether the last byte of the frame has been seen."""
        return self._done and not self._skip

    def feed(self, data: bytes) -> int:
        """
        Look at the next bytes.

        :returns: how many of them belong to the frame.
        :raises RemoteProtocolError: it claims more than is allowed.
        """
        size = len(data)
        if self._done:
            taken = min(self._skip, size)
            self._skip -= taken
            return taken
        carried = len(self._carry)
        if carried:
            data = self._carry + data
            self._carry = b""
        at = self._skip
        end = len(data)
        while at < end:
            first = data[at]
            width = _WIDTHS[first]
            if at + 1 + width > end:
                self._carry = data[at:]
                self._skip = 0
                return size
            payload, children = _measure(first, data[at + 1 : at + 1 + width])
            at += 1 + width + payload
            self.claimed += 1 + width + payload
            self.values += children
            if self.claimed > self._limit:
                raise RemoteProtocolError(
                    f"a frame claims {self.claimed} bytes or more, "
                    f"the limit is {self._limit}"
                )
            if self.values > VALUE_LIMIT:
                raise RemoteProtocolError(
                    f"a frame claims {self.values} values or more, "
                    f"the limit is {VALUE_LIMIT}"
                )
            if self._closes(children):
                # All headers are known; what is left is one string's body.
                self._done = True
                self._skip = max(0, at - end)
                return min(at, end) - carried
        self._skip = at - end
        return size

    def _closes(self, children: int) -> bool:
        """Count one value; say whether the frame ends with it."""
        stack = self._open
        if children:
            if len(stack) >= DEPTH_LIMIT:
                raise RemoteProtocolError(
                    f"a frame nests deeper than {DEPTH_LIMIT} levels",
                    TransportCode.PARSE,
                )
            stack.append(children)
            return False
        while stack:
            stack[-1] -= 1
            if stack[-1]:
                return False
            stack.pop()
        return True


def _widths() -> tuple[int, ...]:
    """Bytes of length that follow each first byte, scalars included."""
    table = [0] * 256
    for first, width in {
        0xC4: 1, 0xC5: 2, 0xC6: 4,
        0xC7: 1, 0xC8: 2, 0xC9: 4,
        0xD9: 1, 0xDA: 2, 0xDB: 4,
        0xDC: 2, 0xDD: 4, 0xDE: 2, 0xDF: 4,
    }.items():  # fmt: skip
        table[first] = width
    return tuple(table)


_WIDTHS = _widths()

#: Payload bytes of scalars with a size of their own (fixext: type and data).
_SCALARS = {
    0xCA: 4, 0xCB: 8,
    0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8,
    0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8,
    0xD4: 2, 0xD5: 3, 0xD6: 5, 0xD7: 9, 0xD8: 17,
}  # fmt: skip


def _measure(first: int, length: bytes) -> tuple[int, int]:
    """Give the payload bytes and the number of children of one value."""
    if length:
        number = int.from_bytes(length, "big")
        if first in (0xDC, 0xDD):
            return 0, number
        if first in (0xDE, 0xDF):
            return 0, 2 * number
        return number + (0xC7 <= first <= 0xC9), 0
    if 0xA0 <= first <= 0xBF:
        return first & 0x1F, 0
    if 0x90 <= first <= 0x9F:
        return 0, first & 0x0F
    if 0x80 <= first <= 0x8F:
        return 0, 2 * (first & 0x0F)
    return _SCALARS.get(first, 0), 0
