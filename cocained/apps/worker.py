# -*- test-case-name: cocained.test.test_apps_worker -*-
"""
One worker, from spawn to grave (protocol.md §8.5)::

    SPAWNING ─▶ HANDSHAKING ─▶ ACTIVE ─▶ [SEALING ─▶] TERMINATING ─▶ CLOSED
        └────────────┴───────────┴───── something broke ──────────▶ BROKEN

Every state but the last two has a timer.  A worker counts as gone, and its
events are answered, the moment it can work no more; it is *buried* when its
process has been collected.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from cocained.apps.dialect import Dialect
from cocained.apps.invocation import Invocation
from cocained.apps.process import Process
from cocained.apps.roles import Launch, Owner, Speech, Timeouts
from cocained.errors import (
    WORKER_TEXTS,
    Category,
    CocainedError,
    IsolateError,
    RemoteError,
    WorkerCode,
)
from cocained.interfaces import IIsolate
from cocained.rpc.session import Session
from cocained.rpc.wire import cancelled, end_of_file

log = Logger()

#: Seconds that a worker may need to exit by itself after it has said farewell,
#: and that its last words may need to arrive after it has exited.
EXIT_GRACE = 1.0


#: Signs of a worker's farewell that go into the log; it may send megabytes.
FAREWELL_SIZE = 200


class State(Enum):
    """States as ``info`` reports them."""

    SPAWNING = "spawning"
    HANDSHAKING = "handshaking"
    ACTIVE = "active"
    SEALING = "sealing"
    TERMINATING = "terminating"
    CLOSED = "closed"
    BROKEN = "broken"


class Worker:
    """
    One worker's machine.

    :param uuid: lower-case text; the worker says it in its handshake.
    :param owner: hears of what happens.
    :param launch: what to start.
    :param isolate: how to start it.
    :param timeouts: see protocol.md §9.2.
    :param clock: the reactor's.
    """

    #: the worker's connection, once it has made its handshake
    session: Session
    #: how events are spoken on it, likewise
    dialect: Dialect
    _speech: Speech

    def __init__(
        self,
        uuid: str,
        owner: Owner,
        launch: Launch,
        isolate: IIsolate,
        timeouts: Timeouts,
        clock: IReactorTime,
    ) -> None:
        self.uuid = uuid
        self.state = State.SPAWNING
        self.load = 0
        self.accepted = 0
        self.started = clock.seconds()
        #: when it last became free of events
        self.idle_since = self.started
        self.error: CocainedError | None = None
        self.process = Process(isolate, launch, timeouts.crashlog_limit, self)
        self.invocations: dict[Invocation, None] = {}
        self._owner = owner
        self._timeouts = timeouts
        self._clock = clock
        self._timer: IDelayedCall | None = None
        self._heartbeat: IDelayedCall | None = None
        self._is_attached = False
        self._buried = False

    def __repr__(self) -> str:
        return f"<Worker {self.uuid} {self.state.value} load={self.load}>"

    @property
    def is_running(self) -> bool:
        """Whether it works, or will soon."""
        return self.state in (State.SPAWNING, State.HANDSHAKING, State.ACTIVE)

    @property
    def is_gone(self) -> bool:
        """Whether it works no more."""
        return self.state in (State.CLOSED, State.BROKEN)

    @property
    def has_served(self) -> bool:
        """Whether it has had events that ended before it did."""
        return self.accepted > len(self.invocations)

    # Spawning

    def start(self) -> None:
        """Spawn the process."""
        self._arm(self._timeouts.spawn_timeout, WorkerCode.SPAWN_TIMEOUT)
        try:
            self.process.start(self.uuid)
        except IsolateError as error:
            self._break(error)

    # Parent, for the process

    def spawned(self) -> None:
        if self.is_gone:
            self.process.kill()
            return
        log.info(
            "worker {worker} of app {app} has been spawned as {identity}",
            worker=self.uuid,
            app=self.process.app,
            identity=self.process.identity,
        )
        self.state = State.HANDSHAKING
        self._arm(self._timeouts.handshake_timeout, WorkerCode.ACTIVATE_TIMEOUT)
        if self._is_attached:
            self._activate()

    def spawn_failed(self, error: CocainedError | None) -> None:
        if error is not None and not self.is_gone:
            self._break(error)
        self._bury()

    def printed(self, lines: list[bytes]) -> None:
        self._owner.worker_output(self, lines)

    def exited(self) -> None:
        connected = self._is_attached and self.session.connected
        if connected and not self.is_gone:
            # Its last answers may still be on their way to us.
            self._arm_call(EXIT_GRACE, self._hang_up)
            return
        if self.state is State.TERMINATING:
            self._close()
        elif not self.is_gone:
            reason = f"the worker {self.process.end} before its handshake"
            self._break(IsolateError(reason))
        self._bury()

    def _hang_up(self) -> None:
        self.session.hang_up(end_of_file())

    # The handshake

    def attach(self, session: Session, speech: Speech) -> bool:
        """
        Take the worker's handshake.

        :param session: where it came; becomes the worker's own.
        :param speech: how the worker is spoken to.
        :returns: whether it is welcome; it is not twice, or too late.
        """
        if self._is_attached or self.state not in (
            State.SPAWNING,
            State.HANDSHAKING,
        ):
            return False
        self._is_attached = True
        self.session = session
        self.dialect = speech.dialect
        self._speech = speech
        # An early one is kept until the isolate says that the worker runs.
        if self.state is State.HANDSHAKING:
            self._activate()
        return True

    def _activate(self) -> None:
        if not self._speech.ready:
            return  # protocol 0 waits for the first heartbeat
        self._disarm()
        self.state = State.ACTIVE
        self.idle_since = self._clock.seconds()
        self._watch_heartbeats()
        self._owner.worker_active(self)

    def _watch_heartbeats(self) -> None:
        self._heartbeat = self._clock.callLater(
            self._timeouts.heartbeat_timeout, self._no_heartbeat
        )

    # From the worker's control channel

    def heartbeat(self) -> None:
        """The worker lives."""
        if self.state is State.HANDSHAKING:
            self._activate()
        elif self._heartbeat is not None:
            self._heartbeat.reset(self._timeouts.heartbeat_timeout)

    def farewell(self, code: int, reason: str) -> None:
        """The worker said ``terminate``: in answer to ours, or by itself."""
        if self.is_gone:
            return
        if self.state is State.TERMINATING:
            self._close()
            return
        log.warn(
            "worker {worker} of app {app} ends by itself: [{code}] {reason}",
            worker=self.uuid,
            app=self.process.app,
            code=code,
            reason=ascii(reason[:FAREWELL_SIZE]),
        )
        self._break(_why(WorkerCode.COMMITTED_SUICIDE), gently=True)

    def _no_heartbeat(self) -> None:
        self._heartbeat = None
        if self.state is State.TERMINATING:
            self._close()
        elif self.session.held:
            # A slow client holds its connection: we would not hear it.
            self._watch_heartbeats()
        else:
            self._break(_why(WorkerCode.HEARTBEAT_TIMEOUT))

    def control_lost(self, error: CocainedError) -> None:
        """
        The connection is gone; the events learn of it right after this.

        :param error: what ended it.
        """
        if self.state is State.TERMINATING:
            self._close()
        elif not self.is_gone:
            log.info(
                "worker {worker} of app {app} has lost its connection: {error}",
                worker=self.uuid,
                app=self.process.app,
                error=error,
            )
            self._break(_why(WorkerCode.CONTROL_LOST), gently=True)

    # From the overseer

    def inject(self, invocation: Invocation, now: float) -> None:
        """Give an event to the worker, which must be active."""
        self.accepted += 1
        self.invocations[invocation] = None
        invocation.assign(self, now)

    def finished(self, invocation: Invocation) -> None:
        if self.invocations.pop(invocation, self) is None:
            self._owner.worker_freed(self, invocation)
            if not self.invocations and self.state is State.SEALING:
                self.terminate(WorkerCode.SEALING)

    def burdened(self, client: Session | None = None) -> None:
        self._owner.worker_burdened(self, client)

    def seal(self) -> None:
        """Take no more events, finish those that there are, then end."""
        if self.state is not State.ACTIVE:
            return
        self.state = State.SEALING
        if self.invocations:
            self._arm_call(
                self._timeouts.seal_timeout,
                lambda: self.terminate(WorkerCode.SEAL_TIMEOUT),
            )
        else:
            self.terminate(WorkerCode.SEALING)

    def terminate(self, code: WorkerCode) -> None:
        """Ask the worker to end; what does not work yet is ended at once."""
        if self.state in (State.ACTIVE, State.SEALING):
            self.state = State.TERMINATING
            self._speech.terminate(code, WORKER_TEXTS[code])
            self._arm_call(self._timeouts.terminate_timeout, self._not_terminated)
        elif self.state in (State.SPAWNING, State.HANDSHAKING):
            self._close(gently=False)

    def _not_terminated(self) -> None:
        log.warn(
            "worker {worker} of app {app} did not answer to terminate",
            worker=self.uuid,
            app=self.process.app,
        )
        self._close(gently=False)

    def kill(self) -> None:
        """End the worker now."""
        if not self.is_gone:
            self._close(gently=False)
        else:
            self.process.kill()

    # The end

    def _break(self, error: CocainedError, gently: bool = False) -> None:
        self._leave(State.BROKEN, error, gently)

    def _close(self, gently: bool = True) -> None:
        self._leave(State.CLOSED, None, gently)

    def _leave(self, state: State, error: CocainedError | None, gently: bool) -> None:
        """
        Work no more.

        :param gently: let the process exit by itself before it is made to.
        """
        self.state = state
        self.error = error
        self._disarm()
        if self._heartbeat is not None:
            self._heartbeat.cancel()
            self._heartbeat = None
        self._owner.worker_gone(self, error)
        if self._is_attached and self.session.connected:
            self.session.hang_up(cancelled())
        # Those that it had answered wait for their clients' last word only, and
        # the connection knows them no more.
        for invocation in [i for i in self.invocations if not i.load_rx]:
            invocation.finish()
        if gently and self.process.is_running:
            self._arm_call(EXIT_GRACE, self.process.terminate)
        else:
            self.process.kill()
        self._bury()

    def _bury(self) -> None:
        if self._buried or not self.process.is_over:
            return
        self._buried = True
        self._disarm()
        if self.error is not None:
            reason = str(self.error)
            if self.process.has_run:
                reason += f"; the process {self.process.end}"
            self.process.lines.note(f"[cocained] worker ended: {reason}".encode())
            log.warn(
                "worker {worker} of app {app} ended: {reason}",
                worker=self.uuid,
                app=self.process.app,
                reason=reason,
            )
        else:
            log.info(
                "worker {worker} of app {app} has {reason}",
                worker=self.uuid,
                app=self.process.app,
                reason=self.process.end or "ended",
            )
        self._owner.worker_buried(self)

    # Timers

    def _arm(self, seconds: float, code: WorkerCode) -> None:
        self._arm_call(seconds, lambda: self._break(_why(code)))

    def _arm_call(self, seconds: float, function: Callable[[], None]) -> None:
        self._disarm()

        def fire() -> None:
            self._timer = None
            function()

        self._timer = self._clock.callLater(seconds, fire)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _why(code: WorkerCode) -> RemoteError:
    return RemoteError(Category.WORKER_STATE, code, WORKER_TEXTS[code])
