# -*- test-case-name: cocained.test.live.test_bench_native -*-
"""
Child processes of the benchmark: started, waited for, ended for certain.
"""

from __future__ import annotations

import os
import resource
import selectors
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import cocained
from cocained.tools.bench.errors import BenchError

#: After this many seconds SIGTERM is followed by SIGKILL.
STOP_TIMEOUT = 10.0

#: Where this package is, for children that run elsewhere from a bare checkout.
ROOT = Path(cocained.__file__).absolute().parent.parent

#: A line on standard output is a small JSON object.
LINE_LIMIT = 64 * 1024

#: Shown of the log of a child that failed.
TAIL_LIMIT = 1500


class Child:
    """
    One child process.

    Its standard output is a pipe, read by :meth:`read_line`; its standard
    error goes to a file.  It leads a process group of its own, so that a signal
    from the keyboard reaches the benchmark only, which then ends its children
    in order.

    :param name: for messages.
    :param command: program and arguments.
    :param log: file for its standard error, and with *quiet* for both.
    :param quiet: whether standard output goes to the log too.
    :param directory: where it runs.
    :param environment: added to ours.
    :raises BenchError: the program cannot be run.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        quiet: bool = False,
        directory: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self._pending = b""
        with log.open("ab") as errors:
            try:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=errors if quiet else subprocess.PIPE,
                    stderr=errors,
                    cwd=directory,
                    env=child_environment(os.environ, environment or {}),
                    start_new_session=True,
                )
            except OSError as error:
                raise BenchError(f"{name}: {command[0]}: {error.strerror}") from error
        self.pid = self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def exit_status(self) -> int | None:
        """Give the exit status, negative for a signal, ``None`` while it runs."""
        return self._process.poll()

    def failed(self, what: str) -> BenchError:
        """Make an error that shows the end of the log."""
        status = self.exit_status()
        state = "still runs" if status is None else f"ended with status {status}"
        return BenchError(f"{self.name}: {what}; it {state}; {self.tail()}")

    def tail(self) -> str:
        """Give the end of the log for an error message."""
        try:
            with self.log.open("rb") as file:
                file.seek(0, os.SEEK_END)
                file.seek(max(0, file.tell() - TAIL_LIMIT))
                text = file.read().decode(errors="replace").strip()
        except OSError:
            text = ""
        return f"its output ends:\n{text}" if text else "it printed nothing"

    def read_line(self, timeout: float) -> str:
        """
        Wait for a line of standard output.

        :param timeout: seconds.
        :raises BenchError: none came in time, the child ended, or the line
            is longer than :data:`LINE_LIMIT`.
        """
        until = time.monotonic() + timeout
        pipe = self._process.stdout
        assert pipe is not None, "a quiet child has no pipe"
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            while b"\n" not in self._pending:
                rest = until - time.monotonic()
                if rest <= 0 or not selector.select(rest):
                    raise self.failed(f"no line of output within {timeout:g} s")
                data = os.read(pipe.fileno(), LINE_LIMIT)
                if not data:
                    self._process.wait(STOP_TIMEOUT)
                    raise self.failed("its output ended")
                self._pending += data
                if len(self._pending) > LINE_LIMIT:
                    raise self.failed(f"a line of more than {LINE_LIMIT} bytes")
        line, _, self._pending = self._pending.partition(b"\n")
        return line.decode(errors="replace")

    def close_input(self) -> None:
        """Close its standard input, which tells a holding generator to go on."""
        pipe = self._process.stdin
        if pipe is not None and not pipe.closed:
            pipe.close()

    def stop(self, timeout: float = STOP_TIMEOUT) -> float:
        """
        End the child: SIGTERM, then SIGKILL to its whole group.

        :param timeout: seconds between the two.
        :returns: how many seconds it took.  Calling it again does no harm.
        """
        began = time.monotonic()
        if self.exit_status() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout)
            except subprocess.TimeoutExpired:
                os.killpg(self.pid, signal.SIGKILL)
                self._process.wait()
        took = time.monotonic() - began
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        return took


def child_environment(
    ours: Mapping[str, str], added: Mapping[str, str]
) -> dict[str, str]:
    """
    Make the environment of a child.

    A Python that may not keep its bytecode compiles all it imports at each
    start.  What is installed has its bytecode, so the children of a checkout
    keep theirs, whatever this process does.

    :param ours: of this process.
    :param added: on top of it.
    :returns: both, and this package can be imported.
    """
    paths = [str(ROOT), *filter(None, [ours.get("PYTHONPATH")])]
    made = {**ours, "PYTHONPATH": os.pathsep.join(paths), **added}
    made.pop("PYTHONDONTWRITEBYTECODE", None)
    return made


def pin(cpu: int) -> None:
    """
    Keep this process and the children it will have on one processor.

    :param cpu: its number.
    :raises BenchError: this process may not use it.
    """
    allowed = os.sched_getaffinity(0)
    if cpu not in allowed:
        known = ", ".join(str(each) for each in sorted(allowed))
        raise BenchError(f"there is no processor {cpu} to pin to; there are: {known}")
    os.sched_setaffinity(0, {cpu})


@contextmanager
def on_one_processor() -> Iterator[None]:
    """
    Keep this process, and the children that it starts in the block, on the last
    processor that it may use.
    """
    allowed = os.sched_getaffinity(0)
    pin(max(allowed))
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def raise_file_limit() -> int:
    """
    Let this process and its children open as many files as they may.

    :returns: how many that is.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):
            return soft
    return hard
