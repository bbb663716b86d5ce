# -*- test-case-name: cocained.test.live.test_unicorn -*-
"""
A real ZooKeeper of one server, in a directory and on a port of its own.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Self

from twisted.trial.unittest import SynchronousTestCase

from cocained.test.live.support import LOOPBACK, free_ports, missing, wait_for
from cocained.testing.lab import Host

#: Names the other archives that it needs; all of /usr/share/java is four times
#: as slow to start.
JAR = Path("/usr/share/java/zookeeper.jar")

#: Where its logging is configured.
SETTINGS = "/etc/zookeeper/conf"

#: Seconds until a server must answer; it takes one or two.
READY_TIMEOUT = 60.0

#: Milliseconds of its unit of time: sessions last two to twenty of them.
TICK = 100

_CONFIGURATION = """\
tickTime={tick}
initLimit=10
syncLimit=5
dataDir={data}
clientPort={port}
clientPortAddress={address}
admin.enableServer=false
4lw.commands.whitelist=*
"""


class Zookeeper:
    """
    One server.  It keeps its data and its port when it is started again.

    :param host: where it runs, in a lab; by default on the loopback interface.
    :ivar address: where it listens.
    :ivar port: of that address.
    :ivar pid: of the running process.
    """

    def __init__(self, host: Host | None = None) -> None:
        if shutil.which("java") is None:
            raise missing("no java: install openjdk-17-jre-headless")
        if not JAR.exists():
            raise missing(f"no {JAR}: install zookeeper")
        self.directory = Path(tempfile.mkdtemp(prefix="zk"))
        (self.port,) = free_ports(1)
        self._host = host
        self.address = LOOPBACK if host is None else host.address
        self._process: subprocess.Popen[bytes] | None = None
        self._settings = self.directory / "zoo.cfg"
        self._settings.write_text(
            _CONFIGURATION.format(
                tick=TICK,
                data=self.directory / "data",
                address=self.address,
                port=self.port,
            )
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it serves; also again after a stop."""
        command = [
            *("java", "-Xmx64m", "-XX:+UseSerialGC"),
            *("-XX:TieredStopAtLevel=1", "-cp", f"{SETTINGS}:{JAR}"),
            "org.apache.zookeeper.server.quorum.QuorumPeerMain",
            str(self._settings),
        ]
        log = self.directory / "log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command if self._host is None else self._host.command(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.directory,
            )
        try:
            wait_for("ZooKeeper serves", self._serves, READY_TIMEOUT)
        except AssertionError as error:
            tail = log.read_text(errors="replace")[-2000:]
            self.close()
            raise AssertionError(f"{error}\n{tail}") from error

    def _serves(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"ZooKeeper ended with {self._process.returncode}")
        return self.ask("ruok") == "imok"

    def ask(self, word: str, timeout: float = 5.0) -> str:
        """Send one of the four-letter words; give the answer, empty if none."""
        inside = contextlib.nullcontext() if self._host is None else self._host.inside()
        address = (self.address, self.port)
        with contextlib.suppress(OSError), inside:
            with socket.create_connection(address, timeout) as connection:
                connection.sendall(word.encode())
                answer = b""
                while data := connection.recv(65536):
                    answer += data
                return answer.decode()
        return ""

    def stop(self) -> None:
        """Let it end in order."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Make it end at once."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGCONT)
            process.send_signal(number)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def freeze(self) -> None:
        """Let it neither answer nor end."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def forget(self) -> None:
        """Remove its data; it must not run."""
        assert self._process is None
        shutil.rmtree(self.directory / "data", ignore_errors=True)

    def close(self) -> None:
        """End it and remove its directory."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)


@functools.cache
def shared() -> Zookeeper:
    """Give a server for all who do not stop it; it ends with the tests."""
    server = Zookeeper()
    atexit.register(server.close)
    server.start()
    return server


def own(test: SynchronousTestCase) -> Zookeeper:
    """Give a server that *test* may stop; it ends with the test."""
    server = Zookeeper()
    test.addCleanup(server.close)
    server.start()
    return server
