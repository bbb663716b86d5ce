# -*- test-case-name: cocained.test.test_isolates_child -*-
"""
One child process, watched by descriptors.

``subprocess`` starts it (``vfork`` and ``exec`` in C, and an error of ``exec``
comes back as an exception), a pidfd tells its end, a pipe brings its output.
``docs/decisions/0004`` says why not ``spawnProcess``.
"""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Mapping, Sequence

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from zope.interface import implementer

from cocained.descriptors import Readable
from cocained.errors import SpawnError
from cocained.interfaces import IReactor, IWorkerHandle, IWorkerObserver
from cocained.isolates.cells import Cell

#: Bytes read of a pipe at once, and at most of a dead process's pipe.
READ_SIZE = 65536
LAST_WORDS = 1024 * 1024

#: Seconds between looks at whether all that a worker started has gone: killed
#: processes do within a millisecond, one that waits for a disk takes longer.
FIRST_LOOK = 0.002
LOOKS = 12  # each after twice the time of the one before: 8 seconds in all

log = Logger()


@implementer(IWorkerHandle)
class Child:
    """
    A process in a session of its own, and whatever it starts.

    :param reactor: watches its descriptors.
    :param command: what to run; its first element is an absolute path.
    :param environment: all of it.
    :param directory: where to run it.
    :param observer: hears of output and of the end.
    :param kill_timeout: seconds between SIGTERM and SIGKILL.
    :param cell: what is around the process; by default nothing.
    :raises SpawnError: it cannot be run.
    """

    def __init__(
        self,
        reactor: IReactor,
        command: Sequence[str],
        environment: Mapping[str, str],
        directory: str,
        observer: IWorkerObserver,
        kill_timeout: float,
        cell: Cell | None = None,
    ) -> None:
        self._reactor = reactor
        self._observer = observer
        self._kill_timeout = kill_timeout
        self._cell = Cell() if cell is None else cell
        self._killer: IDelayedCall | None = None
        self._terminated = False
        try:
            pipe, theirs = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise _cannot_run(command[0], directory, error) from error
        os.set_blocking(theirs, True)
        try:
            self._process = subprocess.Popen(
                command,
                env=environment,
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=theirs,
                stderr=theirs,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            os.close(pipe)
            raise _cannot_run(command[0], directory, error) from error
        finally:
            os.close(theirs)
        try:
            end = os.pidfd_open(self._process.pid)
        except OSError as error:
            # Nobody would see it end.
            os.close(pipe)
            self._cell.kill(self._process.pid)
            self._process.wait()
            raise _cannot_run(command[0], directory, error) from error
        self._output = Readable(reactor, pipe, self._read)
        self._end = Readable(reactor, end, self._collect)

    @property
    def identity(self) -> str:
        return f"process {self._process.pid}"

    def terminate(self) -> None:
        if not self._terminated and self._end.connected:
            self._terminated = True
            self._cell.terminate(self._process.pid)
            self._killer = self._reactor.callLater(self._kill_timeout, self.kill)

    def kill(self) -> None:
        if self._end.connected:
            self._cell.kill(self._process.pid)

    def usage(self) -> Mapping[str, float] | None:
        if not self._end.connected:
            return None
        return self._cell.usage(self._process.pid)

    def _read(self) -> None:
        try:
            data = os.read(self._output.fileno(), READ_SIZE)
        except BlockingIOError:
            return
        if data:
            self._observer.output(data)
        else:
            self._output.close()

    def _collect(self) -> None:
        """The process has ended: end what it left behind, and bury it."""
        self._cell.kill(self._process.pid)
        status = self._process.wait()
        self._end.close()
        if self._killer is not None and self._killer.active():
            self._killer.cancel()
        self._clear(status, LOOKS)

    def _clear(self, status: int, looks: int) -> None:
        if not self._cell.clear():
            if looks:
                self._reactor.callLater(
                    FIRST_LOOK * 2 ** (LOOKS - looks), self._clear, status, looks - 1
                )
                return
            log.error(
                "{identity} has ended, but processes that it has started do not",
                identity=self.identity,
            )
        self._drain()
        self._observer.exited(*self._cell.describe(status))

    def _drain(self) -> None:
        """Take what is in the pipe; somebody else may hold its other end."""
        left = LAST_WORDS
        while self._output.connected and left > 0:
            try:
                data = os.read(self._output.fileno(), READ_SIZE)
            except BlockingIOError:
                break
            if not data:
                break
            left -= len(data)
            self._observer.output(data)
        self._output.close()


def check_program(program: str, directory: str) -> None:
    """
    See whether a program can be run, for whoever does not run it directly.

    :raises SpawnError: it cannot; says what :class:`Child` would.
    """
    code = 0
    if not os.path.exists(directory) or not os.path.exists(program):
        code = errno.ENOENT
    elif os.path.isdir(program) or not os.access(program, os.X_OK):
        code = errno.EACCES
    else:
        line = _interpreter(program)
        words = line[2:].split() if line.startswith("#!") else []
        if words and not os.path.exists(words[0]):
            code = errno.ENOENT
    if code:
        raise _cannot_run(program, directory, OSError(code, os.strerror(code)))


def _cannot_run(program: str, directory: str, error: Exception) -> SpawnError:
    if not isinstance(error, OSError):
        return SpawnError(f"cannot run {program!r}: {error}")
    code = error.errno or 0
    reason = os.strerror(code)
    if isinstance(error, FileNotFoundError):
        if not os.path.exists(directory):
            reason = f"its directory {directory} is gone; start the app again"
        elif os.path.exists(program):
            reason = f"its interpreter does not exist ({_interpreter(program)})"
        else:
            reason = "there is no such file in the app's archive; see 'slave'"
    elif isinstance(error, PermissionError):
        reason = "it is not executable; chmod +x it and upload the app again"
    elif code == errno.ENOEXEC:
        reason = "it is no program: a script needs a first line such as #!/bin/sh"
    return SpawnError(f"cannot run {program}: {reason}", code)


def _interpreter(program: str) -> str:
    try:
        with open(program, "rb") as file:
            line = file.readline(256)
    except OSError as error:
        return str(error)
    return line.decode("utf-8", "replace").strip()
