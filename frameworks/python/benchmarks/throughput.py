# -*- test-case-name: tests.test_benchmarks -*-
"""
Requests per second of one worker, driven by a bare engine.

Run ``python benchmarks/throughput.py [requests] [in flight]``. Each request is an
invocation, a 16-byte chunk and a close, with the three trace headers on every
frame, as the runtime sends them.
"""

from __future__ import annotations

import os
import socket
import sys
import tempfile
import time

import msgpack
from coldstart import ASYNC, PLAIN, start_worker

TRACE = [(False, name, b"\0" * 8) for name in ("trace_id", "span_id", "parent_id")]


def request(channel: int) -> bytes:
    """Give the three frames of a request."""
    frames = ((channel, 0, ["echo"]), (channel, 0, [b"x" * 16]), (channel, 2, []))
    return b"".join(
        msgpack.packb([*frame, TRACE], use_bin_type=False) for frame in frames
    )


def measure(source: str, total: int, depth: int, folder: str) -> float:
    """Give the requests per second of a worker."""
    path = os.path.join(folder, "engine")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        process = start_worker(source, path)
        connection, _ = listener.accept()
        connection.recv(4096)
        connection.sendall(b"\x94\x01\x00\x90\x90")
        requests = [request(channel) for channel in range(2, total + 2)]
        unpacker = msgpack.Unpacker(raw=True)
        sent = done = 0
        begin = time.perf_counter()
        while done < total:
            if sent < min(total, done + depth):
                upto = min(total, done + depth)
                connection.sendall(b"".join(requests[sent:upto]))
                sent = upto
            unpacker.feed(connection.recv(1 << 20))
            for frame in unpacker:
                done += frame[1] == 2
        took = time.perf_counter() - begin
        connection.sendall(b"\x94\x01\x01\x92\x00\xa3bye\x90")
        while connection.recv(4096):
            pass
        connection.close()
        process.wait()
    os.unlink(path)
    return total / took


def main(total: int, depth: int) -> None:
    """Print requests per second, best of three."""
    with tempfile.TemporaryDirectory() as folder:
        for name, source in (("generator", PLAIN), ("async", ASYNC)):
            for inflight in (1, depth):
                count = total if inflight > 1 else max(1, total // 5)
                best = max(measure(source, count, inflight, folder) for _ in range(3))
                print(f"{name:10} {inflight:4} in flight {best:10,.0f} requests/s")


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:]] + [50_000, 64][len(sys.argv) - 1 :]
    main(*numbers[:2])
