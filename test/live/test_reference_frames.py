# -*- test-case-name: cocained.test.live.test_reference_frames -*-
"""
Frames and headers, probe by probe (reference-behaviour.md §3.1).
"""

from __future__ import annotations

import socket

from cocained.test.live.support import LiveCase, differs, live_suite
from cocained.test.live.transcript import play

NOPE = '[[10, 1], "service is not available"]'
TRACE = (
    '[[false, "trace_id", h"0700000000000000"], [false, "span_id",'
    ' h"0800000000000000"], [false, "parent_id", h"0900000000000000"]]'
)


class ChannelTests(LiveCase):
    """Numbers of channels."""

    @differs("F1")
    def test_f1_zero(self) -> None:
        """Channel 0 is refused, with a hint for clients of the older dialect."""
        self.play(
            "locator",
            f"""
            > [0, 0, ["nope"]]
            < [0, 1, [[7, 4], ~"0.11"]]
            > [1, 0, ["nope"]]
            < [1, 1, {NOPE}]
            """,
        )

    @differs("F2")
    def test_f2_finished(self) -> None:
        """A frame on a finished channel is dropped."""
        self.play(
            "locator",
            f"""
            > [1, 0, ["nope"]]
            < [1, 1, {NOPE}]
            > [1, 0, ["nope"]]
            < (no answer)
            > [2, 0, ["nope"]]
            < [2, 1, {NOPE}]
            """,
        )

    @differs("F3")
    def test_f3_lower(self) -> None:
        """A channel below the last one is dropped."""
        self.play(
            "locator",
            f"""
            > [5, 0, ["nope"]]
            < [5, 1, {NOPE}]
            > [3, 0, ["nope"]]
            < (no answer)
            > [6, 0, ["nope"]]
            < [6, 1, {NOPE}]
            """,
        )

    def test_f4_gaps(self) -> None:
        """Channels may leave gaps, up to 64 bits."""
        for number in (10, 1000000, 1 << 63, (1 << 64) - 1):
            self.play("locator", f'> [{number}, 0, ["nope"]]\n< [{number}, 1, {NOPE}]')

    def test_encodings(self) -> None:
        """F25-F27, F32-F34: every spelling of the same frame is understood."""
        for raw in (
            "93010091c4046e6f7065",
            "93010091d9046e6f7065",
            "93010091da00046e6f7065",
            "93d300000000000000010091a46e6f7065",
            "93cc010091a46e6f7065",
            "dc0003010091a46e6f7065",
        ):
            self.play("locator", f"> raw {raw}\n< [1, 1, {NOPE}]")

    def test_old_strings(self) -> None:
        """Answers have strings of the old family only: raw16 from 32 bytes on."""
        client = self.connect("locator")
        client.send(1, 6, [])
        data = client.socket.recv(4096)
        self.assertEqual(data[:7], b"\x94\x01\x00\x91\xda\x00\x24")

    def test_f24_five_elements(self) -> None:
        """A fifth element is ignored."""
        self.play("locator", f'> [1, 0, ["nope"], [], "junk"]\n< [1, 1, {NOPE}]')

    def test_f28_one_packet(self) -> None:
        """Requests in one packet are all answered."""
        self.play(
            "locator",
            f"""
            > [1, 0, ["nope"]]
            > [2, 0, ["nope"]]
            > [3, 6, []]
            < [1, 1, {NOPE}]
            < [2, 1, {NOPE}]
            < [3, 0, [<uuid>]]
            """,
        )

    def test_f29_split(self) -> None:
        """A frame may come in pieces."""
        self.play(
            "locator",
            f"""
            > raw 93010091
            < (no answer)
            > raw a46e6f7065
            < [1, 1, {NOPE}]
            """,
        )

    def test_f30_half_close(self) -> None:
        """A client that closes its half after the answer is disconnected."""
        client = self.play("locator", f'> [1, 0, ["nope"]]\n< [1, 1, {NOPE}]')
        client.socket.shutdown(socket.SHUT_WR)
        play(client, "< <connection closed>")

    def test_f30b_at_once(self) -> None:
        """A client that has closed its half is answered, then disconnected."""
        client = self.connect("locator")
        client.send(1, 0, ["nope"])
        client.socket.shutdown(socket.SHUT_WR)
        play(client, f"< [1, 1, {NOPE}]\n< <connection closed>")


class BrokenFrameTests(LiveCase):
    """Bytes that are no frame end the connection, as in the original."""

    def test_no_frames(self) -> None:
        """F5-F15b: what is no frame closes the connection without an answer."""
        for text in (
            "raw 05",
            "raw a568656c6c6f",
            "raw 810102",
            "[1, 0]",
            "[]",
            '[-1, 0, ["nope"]]',
            '[nil, 0, ["nope"]]',
            '[1, 0.5, ["nope"]]',
            '[1, "resolve", ["nope"]]',
            '[1, 0, {"name": "nope"}]',
            "[1, 0, nil]",
            "raw c1",
            "raw 93010091c1",
        ):
            self.play("locator", f"> {text}\n< <connection closed>")

    def test_f31_behind_a_good_one(self) -> None:
        """What came before the broken frame is answered."""
        self.play(
            "locator",
            f"""
            > raw 93010091a46e6f706505
            < [1, 1, {NOPE}]
            < <connection closed>
            """,
        )

    def test_broken_headers(self) -> None:
        """F17, F19, F20, F23: headers that cannot be decoded close it too."""
        for headers in ("nil", "[0]", "[9999]", '[["a", "b"]]'):
            self.play(
                "locator", f'> [1, 0, ["nope"], {headers}]\n< <connection closed>'
            )


class HeaderTests(LiveCase):
    """Headers."""

    def test_f16_accepted(self) -> None:
        """F16, F18: no headers, and entries of the static table, are fine."""
        for headers in ("[]", "[80]", "[1]"):
            self.play("locator", f'> [1, 0, ["nope"], {headers}]\n< [1, 1, {NOPE}]')

    def test_f21_trace(self) -> None:
        """A trace comes back with every answer of its channel."""
        by_index = TRACE
        for name, index in (("trace_id", 80), ("span_id", 81), ("parent_id", 82)):
            by_index = by_index.replace(f'"{name}"', str(index))
        for headers in (TRACE, by_index):
            self.play(
                "locator",
                f'> [7, 0, ["nope"], {headers}]\n< [7, 1, {NOPE}, {TRACE}]',
            )

    @differs("F21c")
    def test_f21c_wrong_width(self) -> None:
        """A trace of the wrong width is refused on its channel."""
        self.play(
            "locator",
            f"""
            > [7, 0, ["nope"], [[false, "trace_id", "1"], [false, "span_id", "2"], [false, "parent_id", "3"]]]
            < [7, 1, [*, ~"8 bytes"]]
            > [8, 0, ["nope"]]
            < [8, 1, {NOPE}]
            """,  # noqa: E501
        )

    @differs("trace without span")
    def test_contradicting_trace(self) -> None:
        """A trace needs its span, and a span its trace; only the channel suffers."""
        zero, one = 'h"0000000000000000"', 'h"0100000000000000"'
        for trace, span, reason in (
            (one, zero, "a trace without a span"),
            (zero, one, "without a trace"),
        ):
            self.play(
                "locator",
                f"""
                > [1, 0, ["nope"], [[false, 80, {trace}], [false, 81, {span}], [false, 82, {zero}]]]
                < [1, 1, [[12, 22], ~"{reason}"]]
                > [2, 0, ["nope"]]
                < [2, 1, {NOPE}]
                """,  # noqa: E501
            )

    @differs("trace_bit")
    def test_trace_bit(self) -> None:
        """The header ``trace_bit`` changes nothing, whatever it says."""
        for bit in ("0", "1", "x"):
            self.play(
                "locator",
                f'> [1, 0, ["nope"], [[false, "trace_bit", "{bit}"]]]'
                f"\n< [1, 1, {NOPE}]",
            )

    def test_untraced(self) -> None:
        """Without a trace every answer has the three headers all the same, zero."""
        zero = 'h"0000000000000000"'
        self.play(
            "locator",
            f"""
            > [1, 0, ["nope"]]
            < [1, 1, {NOPE}, [[false, "trace_id", {zero}], [false, "span_id", {zero}], [false, "parent_id", {zero}]]]
            """,  # noqa: E501
        )

    def test_f21d_incomplete(self) -> None:
        """A trace that is not complete is none."""
        client = self.connect("locator")
        client.send(7, 0, ["nope"], [[False, "trace_id", b"\7" + bytes(7)]])
        headers = client.receive()[3:]
        self.assertNotIn(b"\7" + bytes(7), str(headers).encode())
        values = [value for *_, value in (headers[0] if headers else [])]
        self.assertEqual(set(values) - {bytes(8)}, set())

    def test_f22_stored(self) -> None:
        """A stored header can be named by its index; the next index is none."""
        self.play(
            "locator",
            f"""
            > [1, 0, ["nope"], [[true, "x-a", "b"]]]
            < [1, 1, {NOPE}]
            > [2, 0, ["nope"], [83]]
            < [2, 1, {NOPE}]
            > [3, 0, ["nope"], [84]]
            < <connection closed>
            """,
        )


test_suite = live_suite(__name__)
