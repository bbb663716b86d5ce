# -*- test-case-name: cocained.test.test_simulation -*-
"""
Clients, well-behaved and otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cocained.rpc.dispatch import Dispatch
from cocained.rpc.graph import CLOSE, ERROR, PING, REVOKE, WRITE
from cocained.rpc.wire import ServerProtocol
from cocained.test.simulation.promises import Call, Foul, Request, chunk
from cocained.test.simulation.stage import Stage
from cocained.test.simulation.wires import Wire
from cocained.testing import frame

#: Methods of an app's service.
ENQUEUE, INFO, CONTROL = 0, 1, 2


class Client:
    """
    One client with one connection.

    :param name: of this client alone.
    :param root: the service.
    """

    def __init__(self, stage: Stage, name: str, root: Dispatch) -> None:
        self.name = name
        self._stage = stage
        self._channel = 0
        #: whose input half is open, and whose is not
        self._open: list[Request] = []
        self._ended: list[Request] = []
        self._is_reading = True
        self._is_finished = False
        self._is_hostile = False
        self._control: int | None = None
        self.wire = Wire(stage, ServerProtocol(stage.wiring, root), self)

    # End, for the wire

    def written(self, frame: list[Any], delayed: bool) -> None:
        channel, kind, args = frame[:3]
        stage = self._stage
        stage.journal.note(self.name, "is sent", channel, kind, *_brief(args))
        if not (self._is_hostile and channel == 0):
            now = stage.clock.seconds()
            stage.ledger.answered(self.name, channel, kind, args, now, delayed)

    def closing(self) -> None:
        ledger = self._stage.ledger
        promises = ledger.of_client(self.name)
        excused = self._is_hostile or self.wire.is_full
        if not excused and not self._is_finished:
            ledger.complain(f"{self.name} did no wrong and was disconnected")
        if not excused:
            # It has shut down its half: what it had ended must be answered.
            ledger.waive(p for p in promises if p.waived or p in self._open)
        else:
            ledger.waive(promises)

    def parted(self) -> None:
        self._stage.ledger.waive(self._open)

    def lost(self) -> None:
        ledger = self._stage.ledger
        ledger.waive(ledger.of_client(self.name))

    # What it does

    def act(self) -> None:
        """Do something."""
        stage = self._stage
        fault = stage.faults.strike("client")
        if fault is not None and not self._is_finished and _FAULTS[fault](self):
            stage.happened(self.name, fault)
        self._read()
        if self.wire.is_lost or self._is_finished:
            return
        setting = stage.setting
        may_ask = len(stage.ledger.requests) < setting.requests
        if may_ask and stage.dice.chance(setting.eagerness):
            for _ in range(stage.dice.pick((1, 1, 1, 2, 6))):
                self._ask()
        elif self._open:
            self._go_on(stage.dice.pick(self._open))
        elif stage.dice.chance(0.2):
            self._call(stage.dice.pick((INFO, PING)))

    def conclude(self) -> None:
        """Read all, and end what was begun, or a part of it."""
        self._is_reading = True
        self._read()
        for request in list(self._open):
            if self._stage.dice.chance(self._stage.setting.tidy):
                self._end(request, CLOSE)

    def _read(self) -> None:
        if self._is_reading:
            self.wire.read()
        elif self._stage.dice.chance(0.05):
            self._is_reading = True
            self._stage.journal.note(self.name, "reads again")

    def _send(self, channel: int, kind: int, *args: Any, headers: Any = None) -> None:
        if not self._is_finished:
            self._stage.journal.note(self.name, "sends", channel, kind, *_brief(args))
            self.wire.send(frame(channel, kind, *args, headers=headers))

    def _next(self) -> int:
        self._channel += 1 if self._stage.dice.chance(0.9) else 7
        return self._channel

    def _ask(self) -> None:
        stage = self._stage
        token = b"%d" % len(stage.ledger.requests)
        request = Request(token, self.name, self._next())
        headers = self._headers(request)
        stage.ledger.asked(request)
        self._open.append(request)
        self._send(request.channel, ENQUEUE, token, headers=headers)

    def _headers(self, request: Request) -> list[Any] | None:
        stage = self._stage
        dice = stage.dice
        headers: list[Any] = []
        if dice.chance(0.3):
            numbers = dice.among(1, 9), dice.among(1, 9), dice.among(0, 9)
            headers += [_header(n, v) for n, v in zip(_TRACE, numbers, strict=True)]
        if dice.chance(0.3):
            pace = stage.setting.pace
            request.timeout = dice.spread(20 * pace, max(100.0, 200 * pace))
        fault = stage.faults.strike("request")
        if fault is None:
            pass
        elif fault == "request with a bad trace":
            request.flawed = True
            headers = [_header(name, 0, size=3) for name in _TRACE]
        elif fault == "request with a bad deadline":
            request.flawed = True
            headers.append(_header(b"request_timeout", 1, size=4))
        else:
            request.timeout = 0.0 if "of 0" in fault else dice.between(0.001, 0.1)
        if fault is not None:
            stage.happened(self.name, fault)
        if request.timeout is not None:
            milliseconds = int(request.timeout * 1000)
            request.timeout = milliseconds / 1000
            headers.append(_header(b"request_timeout", milliseconds))
        return headers or None

    def _go_on(self, request: Request) -> None:
        if self._stage.dice.chance(0.5):
            size = self._stage.dice.pick(self._stage.setting.sizes)
            data = chunk(request.token, request.sent, size)
            request.sent += 1
            self._send(request.channel, WRITE, data)
        else:
            self._end(request, CLOSE)

    def _end(self, request: Request, kind: int, *args: Any) -> None:
        request.client_end = kind
        self._open.remove(request)
        self._ended.append(request)
        self._send(request.channel, kind, *args)

    def _call(self, kind: int, *args: Any, expects: bool = True) -> int:
        channel = self._next()
        self._stage.ledger.asked(Call(self.name, channel, expects))
        self._send(channel, kind, *args)
        return channel

    # What it does wrong

    def _send_error(self) -> bool:
        if self._open:
            request = self._stage.dice.pick(self._open)
            self._end(request, ERROR, [42, 7], b"the client gave up")
            return True
        return False

    def _revoke(self) -> bool:
        if not self._open:
            return False
        request = self._stage.dice.pick(self._open)
        request.waived = True
        request.client_end = ERROR
        self._open.remove(request)
        self._ended.append(request)
        self._call(REVOKE, request.channel, [1, 103])
        return True

    def _reset(self) -> bool:
        self.wire.reset()
        return True

    def _leave(self) -> bool:
        ledger = self._stage.ledger
        ledger.waive(ledger.of_client(self.name))
        self._is_finished = True
        self.wire.finish(deaf=True)
        return True

    def _shut_down(self) -> bool:
        self._is_finished = True
        self.wire.finish(deaf=False)
        return True

    def _stop_reading(self) -> bool:
        self._is_reading = False
        return True

    def _talk_late(self) -> bool:
        if self._ended:
            request = self._stage.dice.pick(self._ended)
            kind = self._stage.dice.pick((WRITE, CLOSE))
            args = [b"too late"] if kind == WRITE else []
            self._send(request.channel, kind, *args)
            return True
        return False

    def _send_unknown(self) -> bool:
        return self._foul(9)

    def _send_number(self) -> bool:
        return self._foul(WRITE, 5)

    def _foul(self, kind: int, *args: Any) -> bool:
        if self._open:
            request = self._stage.dice.pick(self._open)
            request.fouls.add(Foul.CLIENT)
            self._end(request, kind, *args)
            return True
        return False

    def _call_unknown(self) -> bool:
        self._call(self._stage.dice.pick((7, 4711, 65532)), b"x")
        return True

    def _send_noise(self) -> bool:
        self._is_hostile = True
        self.wire.send(b"\xc1\xff no frame")
        return True

    def _ask_on_zero(self) -> bool:
        self._is_hostile = True
        self._send(0, ENQUEUE, b"an old dialect")
        return True


_FAULTS: Mapping[str, Callable[[Client], bool]] = {
    "client sends error": Client._send_error,
    "client revokes": Client._revoke,
    "client resets": Client._reset,
    "client leaves": Client._leave,
    "client shuts down its half": Client._shut_down,
    "client stops reading": Client._stop_reading,
    "client talks on a finished channel": Client._talk_late,
    "client sends an unknown message": Client._send_unknown,
    "client sends a chunk of no string": Client._send_number,
    "client sends an unknown method": Client._call_unknown,
    "client sends bytes that are no frame": Client._send_noise,
    "client asks on channel 0": Client._ask_on_zero,
}

_TRACE = (b"trace_id", b"span_id", b"parent_id")


def _header(name: bytes, number: int, size: int = 8) -> list[Any]:
    return [False, name, number.to_bytes(size, "little")]


def _brief(args: Any) -> list[Any]:
    """Give arguments for the trace; reports hold uuids, chunks much padding."""
    return [arg[:60] if isinstance(arg, bytes) else _plain(arg) for arg in args]


def _plain(value: Any) -> str:
    return str(value) if isinstance(value, list | int) else type(value).__name__
