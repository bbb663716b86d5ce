# -*- test-case-name: tests.test_benchmarks -*-
"""
How long from starting a worker process to its handshake.

Run ``python benchmarks/coldstart.py [rounds]`` from the directory of the
framework. Prints medians: of a bare interpreter, of a worker with a plain handler,
of one with a coroutine handler.
"""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time

PLAIN = """
from cocaine.worker import Worker
def handle(request, response):
    response.write((yield request.read()))
Worker().run({"echo": handle})
"""
ASYNC = """
from cocaine.worker import Worker
async def handle(request, response):
    response.write(await request.read())
Worker().run({"echo": handle})
"""
UUID = "5c1d6ac8-2f0e-4d0f-9a55-2b8f8c7b9d10"


def start_worker(source: str, path: str) -> subprocess.Popen[bytes]:
    """Start a worker process from source text."""
    arguments = ["--app", "bench", "--endpoint", path, "--protocol", "1"]
    arguments += ["--locator", "127.0.0.1:10053", "--uuid", UUID]
    command = [sys.executable, "-c", source, *arguments]
    where = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    environment = {**os.environ, "PYTHONPATH": where}
    # As after an installation: compiled once, at the latest in the first round.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment["PYTHONPYCACHEPREFIX"] = os.path.join(os.path.dirname(path), "cache")
    return subprocess.Popen(command, env=environment)


def handshake(source: str, folder: str) -> float:
    """Give the milliseconds until the handshake has arrived."""
    path = os.path.join(folder, "engine")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        begin = time.perf_counter()
        process = start_worker(source, path)
        connection, _ = listener.accept()
        data = connection.recv(4096)
        took = time.perf_counter() - begin
        connection.close()
        process.wait()
    os.unlink(path)
    if len(data) != 47:
        raise SystemExit(f"expected 47 bytes of handshake and heartbeat, got {data!r}")
    return took * 1000


def interpreter() -> float:
    """Give the milliseconds of a process that does nothing."""
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    return (time.perf_counter() - begin) * 1000


def main(rounds: int) -> None:
    """Print the medians."""
    with tempfile.TemporaryDirectory() as folder:
        for name, measure in (
            ("bare interpreter, start to end", interpreter),
            ("plain handler, start to handshake", lambda: handshake(PLAIN, folder)),
            ("async handler, start to handshake", lambda: handshake(ASYNC, folder)),
        ):
            measure()
            times = [measure() for _ in range(rounds)]
            print(f"{name:36} {statistics.median(times):7.1f} ms")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
