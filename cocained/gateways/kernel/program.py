# -*- test-case-name: cocained.test.test_gateways_kernel_program -*-
"""
A program of the system that tells the kernel what to do, one run at a time.

It is started as workers are (``docs/decisions/0004``).  What it is to read is in
memory before it starts, so nobody has to feed it.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall

from cocained.descriptors import Readable
from cocained.errors import CocainedError
from cocained.interfaces import IReactor

#: Seconds that one run may take: it takes milliseconds, and some more while the
#: kernel loads a module.
TIME_LIMIT: Final = 10.0

#: Bytes that a program may write: a listing of a hundred thousand destinations.
OUTPUT_LIMIT: Final = 16 * 1024 * 1024

#: Bytes read at once.
READ_SIZE: Final = 65536

#: Characters of a program's words that an error repeats.
WORDS_LIMIT: Final = 500

#: Where such programs are, although the path of an ordinary user does not say so.
SYSTEM_PATH: Final = "/usr/sbin:/sbin"


class KernelError(CocainedError):
    """The kernel did not do what it was told, or could not be told."""

    code = errno.EIO


class ProgramFailed(KernelError):
    """
    A program ended with an error.

    :ivar words: what it wrote.
    """

    def __init__(self, reason: str, words: str = "") -> None:
        super().__init__(reason)
        self.words = words


class Runner(Protocol):
    """What runs programs, for those who use it."""

    def run(self, command: Sequence[str], rules: str = "") -> Deferred[str]:
        """
        Run a program.

        :param command: the name of the program, and its arguments.
        :param rules: what it can read from its standard input.
        :returns: fires with all that it wrote; fails with
            :class:`KernelError` if it cannot be run or does not succeed.
            Cancelling it kills the program.
        """


class ProgramRunner:
    """
    Runs programs of the system.

    :param reactor: watches them.
    :param environ: where ``PATH`` is.
    """

    def __init__(
        self, reactor: IReactor, environ: Mapping[str, str] = os.environ
    ) -> None:
        self._reactor = reactor
        self._path = os.pathsep.join(
            filter(None, [environ.get("PATH", ""), SYSTEM_PATH])
        )

    def run(self, command: Sequence[str], rules: str = "") -> Deferred[str]:
        name = command[0]
        program = shutil.which(name, path=self._path)
        if program is None:
            return fail(
                ProgramFailed(
                    f"there is no program {name!r}; install the package that brings"
                    f" it, such as {PACKAGES.get(name, name)}"
                )
            )
        try:
            return _Run(
                self._reactor, name, [program, *command[1:]], rules, self._path
            ).ended
        except OSError as error:
            reason = os.strerror(error.errno or errno.EIO)
            return fail(ProgramFailed(f"{program} cannot be run: {reason}"))


#: The packages of distributions, by program.
PACKAGES: Final = {"ipvsadm": "ipvsadm", "nft": "nftables"}


class _Run:
    """
    One process.

    :ivar ended: fires with its output, or fails.
    :raises OSError: it cannot be started.
    """

    def __init__(
        self,
        reactor: IReactor,
        name: str,
        command: Sequence[str],
        rules: str,
        path: str,
    ) -> None:
        self._name = name
        self._chunks: list[bytes] = []
        self._size = 0
        self._broken = ""
        pipe, theirs = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(theirs, True)
        try:
            self._process = _start(command, rules, theirs, path)
            end = _watch(self._process)
        except BaseException:
            os.close(pipe)
            raise
        finally:
            os.close(theirs)
        self.ended: Deferred[str] = Deferred(lambda _: self._kill("was given up"))
        self._output = Readable(reactor, pipe, self._read)
        self._end = Readable(reactor, end, self._collect)
        self._timer: IDelayedCall = reactor.callLater(
            TIME_LIMIT, self._kill, f"did not end within {TIME_LIMIT:g} s"
        )

    def _kill(self, why: str) -> None:
        if self._end.connected:
            self._broken = self._broken or why
            os.killpg(self._process.pid, signal.SIGKILL)

    def _read(self) -> None:
        """Take what there is; called again as long as there is more."""
        try:
            data = os.read(self._output.fileno(), READ_SIZE)
        except BlockingIOError:
            return
        if not data:
            self._output.close()
        elif self._size + len(data) > OUTPUT_LIMIT:
            self._kill(f"wrote more than {OUTPUT_LIMIT} bytes")
        else:
            self._size += len(data)
            self._chunks.append(data)

    def _collect(self) -> None:
        status = self._process.wait()
        self._end.close()
        if self._timer.active():
            self._timer.cancel()
        before = -1
        # What is in the pipe; nobody writes to it any more.
        while self._output.connected and self._size != before:
            before = self._size
            self._read()
        self._output.close()
        words = b"".join(self._chunks).decode("utf-8", "replace")
        if not self.ended.called:
            self._tell(status, words)

    def _tell(self, status: int, words: str) -> None:
        how = self._broken
        if not how and status > 0:
            how = f"ended with status {status}"
        elif not how and status < 0:
            how = f"was killed by {signal.Signals(-status).name}"
        if how:
            self.ended.errback(failed(self._name, how, words))
        else:
            self.ended.callback(words)


def _start(
    command: Sequence[str], rules: str, output: int, path: str
) -> subprocess.Popen[bytes]:
    stdin = os.memfd_create("rules", os.MFD_CLOEXEC)
    try:
        with open(stdin, "wb", closefd=False) as file:
            file.write(rules.encode())
        os.lseek(stdin, 0, os.SEEK_SET)
        return subprocess.Popen(
            command,
            env={"PATH": path, "LC_ALL": "C"},
            cwd="/",
            stdin=stdin,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    finally:
        os.close(stdin)


def _watch(process: subprocess.Popen[bytes]) -> int:
    try:
        return os.pidfd_open(process.pid)
    except OSError:
        # Nobody would see it end.
        process.kill()
        process.wait()
        raise


def failed(name: str, how: str, words: str) -> ProgramFailed:
    """Say how a program failed, in its own words and with the remedy."""
    said = " ".join(words.split())
    if len(said) > WORDS_LIMIT:
        said = said[:WORDS_LIMIT] + "…"
    reason = f"{name} {how}"
    if said:
        reason += f": {said}"
    remedy = remedy_for(words)
    if remedy:
        reason += f"; {remedy}"
    return ProgramFailed(reason, words)


#: What programs say, and what is to be done about it; the first that fits.
_REMEDIES = (
    (
        "operation not permitted",
        "run the node as root or give it the capability CAP_NET_ADMIN",
    ),
    (
        "permission denied",
        "run the node as root or give it the capability CAP_NET_ADMIN",
    ),
    (
        "can't initialize ipvs",
        "load the kernel's module ip_vs (modprobe ip_vs; name it in"
        " /etc/modules-load.d), or take the gateway nftables",
    ),
    (
        "scheduler or persistence engine not found",
        "load the scheduler's module (modprobe ip_vs_NAME) or choose another one",
    ),
    (
        "protocol not supported",
        "this kernel has no nf_tables; load the module or take another gateway",
    ),
    (
        "could not process rule: no such file or directory",
        "load the kernel's modules nft_chain_nat, nft_numgen, nft_hash, nft_masq",
    ),
)


def remedy_for(words: str) -> str:
    """Say what to do about a program's words, or nothing."""
    said = words.lower()
    return next((remedy for phrase, remedy in _REMEDIES if phrase in said), "")
