# -*- test-case-name: cocained.test.live.test_lab -*-
"""
A cable between two namespaces that is as slow and as bad as one likes.

::

    python -m cocained.testing.lab.latency NAMESPACE INTERFACE NAMESPACE INTERFACE

makes a TAP interface in each of them and carries frames from one to the other.
It is for kernels without ``netem``.  How it does that is told on its standard
input, one line each time: seconds of delay, seconds of jitter (a standard
deviation), percent of loss.  It says ``ready`` when the interfaces are there, and
after each line when it has been taken.  It ends, and they with it, when its
standard input does.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import selectors
import struct
import sys
import time
from collections import deque
from collections.abc import Sequence

from cocained.testing.lab.namespaces import enter

#: Linux (linux/if_tun.h): set up an interface, of frames, without a header.
TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI = 0x0002, 0x1000

#: Bytes of the longest frame that the kernel gives.
FRAME = 1 << 16

#: Frames on their way in one direction, after which further ones are lost as in
#: a full router: a tenth of a second at a gigabit.
QUEUE_LIMIT = 10_000

#: What it says when it works, and when it has done as it was told.
READY = "ready"


class Way:
    """
    One direction of the cable.

    :param source: descriptor of the interface that frames come from.
    :param target: descriptor of the one that they go to.
    """

    def __init__(self, source: int, target: int) -> None:
        self._source = source
        self._target = target
        self._queue: deque[tuple[float, bytes]] = deque()

    @property
    def due(self) -> float | None:
        """When the next frame arrives; ``None`` if none is on its way."""
        return self._queue[0][0] if self._queue else None

    def take(self, now: float, quality: Quality) -> None:
        """Take the frames that are sent."""
        with contextlib.suppress(BlockingIOError):
            while True:
                frame = os.read(self._source, FRAME)
                if len(self._queue) < QUEUE_LIMIT and not quality.is_lost():
                    # A frame never overtakes another, as on a real cable.
                    last = self._queue[-1][0] if self._queue else 0.0
                    arrival = max(last, now + quality.delay())
                    self._queue.append((arrival, frame))

    def give(self, now: float) -> None:
        """Deliver the frames that have arrived."""
        while self._queue and self._queue[0][0] <= now:
            _, frame = self._queue.popleft()
            # An interface that is down or full loses it.
            with contextlib.suppress(OSError):
                os.write(self._target, frame)


class Quality:
    """How slow and how bad the cable is."""

    def __init__(self) -> None:
        self._delay = self._jitter = self._loss = 0.0

    def change(self, line: str) -> None:
        """
        Take a line of the standard input.

        :raises ValueError: it is none.
        """
        delay, jitter, loss = map(float, line.split())
        self._delay, self._jitter, self._loss = delay, jitter, loss

    def delay(self) -> float:
        """Draw the seconds that a frame takes."""
        if not self._jitter:
            return self._delay
        return max(0.0, random.gauss(self._delay, self._jitter))

    def is_lost(self) -> bool:
        """Draw whether a frame is lost."""
        return random.random() * 100 < self._loss


def make_interface(namespace: str, name: str) -> int:
    """
    Make a TAP interface, which lives as long as its descriptor.

    This process stays in the namespace.

    :raises OSError: there is no ``/dev/net/tun``, or the name is taken.
    """
    enter(namespace)
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    request = struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI)
    fcntl.ioctl(descriptor, TUNSETIFF, request)
    return descriptor


def carry(first: int, second: int, control: int) -> None:
    """Carry frames until *control* ends."""
    quality = Quality()
    ways = (Way(first, second), Way(second, first))
    pending = b""
    with selectors.DefaultSelector() as selector:
        for descriptor, way in ((first, ways[0]), (second, ways[1]), (control, None)):
            selector.register(descriptor, selectors.EVENT_READ, way)
        while True:
            dues = [way.due for way in ways if way.due is not None]
            wait = max(0.0, min(dues) - time.monotonic()) if dues else None
            for key, _ in selector.select(wait):
                if key.data is not None:
                    key.data.take(time.monotonic(), quality)
                    continue
                data = os.read(control, FRAME)
                if not data:
                    return
                *lines, pending = (pending + data).split(b"\n")
                for line in lines:
                    quality.change(line.decode())
                    print(READY, flush=True)
            for way in ways:
                way.give(time.monotonic())


def main(arguments: Sequence[str]) -> None:
    """Be the program."""
    first = make_interface(*arguments[:2])
    second = make_interface(*arguments[2:4])
    print(READY, flush=True)
    carry(first, second, sys.stdin.fileno())


if __name__ == "__main__":
    main(sys.argv[1:])
