# -*- test-case-name: cocained.test.test_simulation -*-
"""
What a worker says to the node, in worker protocol 0 or 1, rightly or wrongly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from cocained.errors import Category, WireError
from cocained.rpc.graph import CLOSE, ERROR, WRITE
from cocained.rpc.roles import Root
from cocained.rpc.wire import SessionProtocol
from cocained.test.simulation.promises import Foul, Request, chunk
from cocained.test.simulation.stage import Stage
from cocained.test.simulation.wires import Wire
from cocained.testing import frame

#: Most seconds that a worker works on after it was told to end.
OVERTIME = 2.0

#: From a channel that the worker knows to one that is nobody's: the node does
#: not open so many while a message is on its way.
FAR = 1000

#: A category that nobody has registered: the client hears of another.
ODD_CATEGORY = 77


class Body(Protocol):
    """The process that speaks."""

    name: str

    def die(self, status: int) -> None:
        """End."""

    def output(self, data: bytes) -> None:
        """Print."""


class Job:
    """One event at a worker."""

    __slots__ = ("channel", "is_over", "request")

    def __init__(self, channel: int, request: Request) -> None:
        self.channel = channel
        self.request = request
        #: whether the worker has said its last word
        self.is_over = False


class Conversation:
    """
    The connection of one worker process.

    :param body: who speaks.
    :param uuid: what it was told to say in its handshake.
    :param root: takes the connections of workers.
    """

    def __init__(self, stage: Stage, body: Body, uuid: bytes, root: Root) -> None:
        self.name = body.name
        self._stage = stage
        self._body = body
        self._uuid = uuid
        self._root = root
        self._version = stage.setting.version
        # Protocol 0 numbers control and stream messages in one row.
        self._beat, self._stream = (0, 0) if self._version else (1, 4)
        self._control = 1
        timeout = stage.setting.profile.heartbeat_timeout
        self._interval = timeout * stage.dice.between(0.1, 0.6)
        self._next_beat = 0.0
        self._end_fault = stage.faults.strike("end")
        self._is_reading = True
        self._is_silent = False
        self._wire: Wire | None = None
        self._jobs: dict[int, Job] = {}
        self._over: list[Job] = []
        #: channels that it has opened and must not have
        self._strange: set[int] = set()

    # End, for the wire

    def written(self, frame: list[Any], delayed: bool) -> None:
        channel, kind, args = frame[:3]
        stage = self._stage
        shown = [a[:60] if isinstance(a, bytes) else str(a) for a in args]
        stage.journal.note(self.name, "is sent", channel, kind, *shown)
        if channel == self._control or channel in self._strange:
            return
        job = self._jobs.get(channel)
        if job is None:
            self._invoked(channel, kind, args, delayed)
        else:
            stage.ledger.passed(job.request, kind - self._stream, args)

    def _invoked(self, channel: int, kind: int, args: list[Any], delayed: bool) -> None:
        ledger = self._stage.ledger
        if kind != (0 if self._version else 3):
            ledger.complain(f"{self.name} was sent {kind} on channel {channel}")
            return
        now = self._stage.clock.seconds()
        request = ledger.invoked(self.name, args[0], now, delayed)
        if request is not None:
            self._jobs[channel] = Job(channel, request)

    def closing(self) -> None:
        self._stage.ledger.went_down(self.name, self._stage.clock.seconds())

    def parted(self) -> None:
        self.closing()

    def lost(self) -> None:
        self.closing()

    # From the process

    @property
    def has_begun(self) -> bool:
        """Whether there is, or was, a connection."""
        return self._wire is not None

    def begin(self, fault: str | None) -> None:
        """
        Connect and shake hands.

        :param fault: what goes wrong, if anything.
        """
        stage = self._stage
        protocol = SessionProtocol(stage.wiring, self._root, hold_itself=False)
        self._wire = Wire(stage, protocol, self)
        if fault == "stranger connects and says nothing":
            return
        if fault == "handshake on an odd channel":
            self._control = 5
        uuid = self._uuid
        if fault == "handshake of a wrong uuid":
            uuid = b"a stranger"
        self._send(self._control, 0, uuid)
        if fault == "handshake twice":
            self._shake_again()
        self._send(self._control, self._beat)
        self._next_beat = stage.clock.seconds() + self._interval

    def act(self, now: float) -> None:
        """Read, answer, show that it lives; or do something wrong."""
        stage = self._stage
        if self._wire is None or self._wire.is_lost:
            return
        if self._is_reading:
            for received in self._wire.read():
                self._hear(received)
        elif stage.dice.chance(0.05):
            self._is_reading = True
        fault = stage.faults.strike("worker")
        if fault is not None and _FAULTS[fault](self):
            stage.happened(self.name, fault)
        if now >= self._next_beat and not self._is_silent:
            self._next_beat = now + self._interval
            self._send(self._control, self._beat)
        job = self._pick()
        if job is not None and stage.dice.chance(stage.setting.diligence):
            if stage.dice.chance(0.4):
                self._write(job)
            else:
                self._close(job)

    def conclude(self) -> None:
        """Read again, and answer everything, or a part of it."""
        self._is_reading = True
        for job in self._jobs.values():
            if not job.is_over and self._stage.dice.chance(self._stage.setting.tidy):
                self._close(job)

    def end(self, abruptly: bool) -> None:
        """
        Say nothing more.

        :param abruptly: whether what is on its way is lost.
        """
        if self._wire is None or self._wire.is_lost:
            return
        if abruptly:
            self._wire.reset()
        else:
            self._wire.finish(deaf=True)

    # What it hears

    def _hear(self, received: list[Any]) -> None:
        channel, kind, args = received[:3]
        if channel == self._control and kind == self._beat + 1 and len(args) == 2:
            self._part(args)

    def _part(self, args: list[Any]) -> None:
        """The node wants it to end."""
        fault = self._end_fault
        if fault is None:
            self._send(self._control, self._beat + 1, *args)
            self._body.die(0)
            return
        self._stage.happened(self.name, fault)
        if fault == "worker exits without a farewell":
            self._body.die(0)
        elif fault == "worker closes its socket without a farewell":
            self._close_socket()
        elif fault == "worker works on after terminate":
            delay = self._stage.dice.between(0.0, OVERTIME)
            self._stage.clock.callLater(delay, self._body.die, 0)

    # What it says

    def _send(self, channel: int, kind: int, *args: Any) -> None:
        assert self._wire is not None
        shown = [a[:60] for a in args if isinstance(a, bytes) and a != self._uuid]
        self._stage.journal.note(self.name, "sends", channel, kind, *shown)
        self._wire.send(frame(channel, kind, *args))

    def _pick(self) -> Job | None:
        jobs = [job for job in self._jobs.values() if not job.is_over]
        return self._stage.dice.pick(jobs) if jobs else None

    def _write(self, job: Job) -> None:
        request = job.request
        size = self._stage.dice.pick(self._stage.setting.sizes)
        data = chunk(request.token, request.said, size)
        request.said += 1
        self._send(job.channel, self._stream + WRITE, data)

    def _close(self, job: Job) -> None:
        self._end(job, None)
        self._send(job.channel, self._stream + CLOSE)

    def _end(self, job: Job, last: WireError | None) -> None:
        job.is_over = True
        job.request.has_said = True
        job.request.said_end = last
        self._over.append(job)

    def _strange_channel(self) -> int:
        channel = max({self._control, *self._jobs, *self._strange}) + FAR
        self._strange.add(channel)
        return channel

    # What it does wrong

    def _killed(self) -> bool:
        self._body.die(self._stage.dice.pick((-9, -11, -6)))
        return True

    def _exit(self) -> bool:
        self._body.die(self._stage.dice.pick((0, 1, 3)))
        return True

    def _close_socket(self) -> bool:
        self.end(abruptly=False)
        return True

    def _reset_socket(self) -> bool:
        self.end(abruptly=True)
        return True

    def _farewell(self) -> bool:
        self._send(self._control, self._beat + 1, 3, b"I have had enough")
        return True

    def _fall_silent(self) -> bool:
        self._is_silent = True
        return True

    def _stop_reading(self) -> bool:
        self._is_reading = False
        return True

    def _answer_twice(self) -> bool:
        if not self._over:
            return False
        job = self._stage.dice.pick(self._over)
        last = self._stage.dice.pick((WRITE, CLOSE))
        args = [b"once more"] if last == WRITE else []
        self._send(job.channel, self._stream + last, *args)
        return True

    def _answer_nobody(self) -> bool:
        self._send(self._strange_channel(), self._stream + CLOSE)
        return True

    def _answer_error(self) -> bool:
        job = self._pick()
        if job is None:
            return False
        dice = self._stage.dice
        code, reason = dice.among(-5, 5), job.request.token
        category = dice.pick((42, 43, ODD_CATEGORY)) if self._version else 42
        head = [[category, code]] if self._version else [code]
        self._send(job.channel, self._stream + ERROR, *head, reason)
        heard = Category.UNKNOWN if category == ODD_CATEGORY else category
        self._end(job, WireError(int(heard), code, reason.decode()))
        return True

    def _send_unknown(self) -> bool:
        return self._foul(9)

    def _send_number(self) -> bool:
        return self._foul(self._stream + WRITE, 5)

    def _foul(self, kind: int, *args: Any) -> bool:
        job = self._pick()
        if job is None:
            return False
        job.request.fouls.add(Foul.WORKER)
        job.is_over = True
        self._over.append(job)
        self._send(job.channel, kind, *args)
        return True

    def _send_odd_control(self) -> bool:
        self._send(self._control, 9, b"?")
        return True

    def _send_noise(self) -> bool:
        assert self._wire is not None
        self._wire.send(b"\xc1\xff no frame")
        return True

    def _shake_again(self) -> bool:
        self._send(self._strange_channel(), 0, self._uuid)
        return True

    def _print(self) -> bool:
        self._body.output(b"I print\nwhat nobody ")
        return True


_FAULTS: Mapping[str, Callable[[Conversation], bool]] = {
    "worker dies by a signal": Conversation._killed,
    "worker exits": Conversation._exit,
    "worker closes its socket": Conversation._close_socket,
    "worker resets its socket": Conversation._reset_socket,
    "worker says terminate by itself": Conversation._farewell,
    "worker stops its heartbeat": Conversation._fall_silent,
    "worker stops reading": Conversation._stop_reading,
    "worker answers twice": Conversation._answer_twice,
    "worker answers on a channel of nobody": Conversation._answer_nobody,
    "worker answers with an error": Conversation._answer_error,
    "worker sends an unknown message": Conversation._send_unknown,
    "worker sends a chunk of no string": Conversation._send_number,
    "worker sends an unknown control message": Conversation._send_odd_control,
    "worker sends bytes that are no frame": Conversation._send_noise,
    "worker shakes hands again": Conversation._shake_again,
    "worker prints": Conversation._print,
}
