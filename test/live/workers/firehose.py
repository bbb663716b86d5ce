"""
A worker for streams that are too much for somebody.

Events: ``ping`` is answered; ``source BYTES CHUNK`` sends so many bytes and their
digest; ``sink RATE`` takes what comes, so many bytes a second (0 is any), and
answers the close with number and digest; ``deaf`` reads nothing more.
"""

import hashlib
import os
import selectors
import socket
import sys
import time

import msgpack

WRITE, ERROR, CLOSE = 0, 1, 2

#: Unsent bytes from which on nothing more is made.
HIGH_WATER = 1 << 20

arguments = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=False))
connection = socket.socket(socket.AF_UNIX)
connection.connect(arguments["--endpoint"])
connection.setblocking(False)
unpacker = msgpack.Unpacker(raw=True, strict_map_key=False, max_buffer_size=1 << 30)
out = bytearray()
sources: dict = {}
sinks: dict = {}
known: set = set()
deaf = False


def send(*frame):
    out.extend(msgpack.packb(list(frame), use_bin_type=False))


class Source:
    """A stream out of here; each chunk begins with its number."""

    def __init__(self, channel, total, chunk):
        self.channel, self.left, self.number = channel, total, 0
        self.pattern = bytes(range(256)) * (chunk // 256)
        self.digest = hashlib.sha256()

    def step(self):
        if not self.left:
            send(self.channel, WRITE, [self.digest.hexdigest().encode()])
            send(self.channel, CLOSE, [])
            del sources[self.channel]
            return
        size = min(self.left, len(self.pattern))
        chunk = self.number.to_bytes(8, "big") + self.pattern[8:size]
        self.digest.update(chunk)
        self.number += 1
        self.left -= size
        send(self.channel, WRITE, [chunk])


class Sink:
    """A stream that ends here."""

    def __init__(self, channel, rate):
        self.channel, self.rate, self.size = channel, rate, 0
        self.digest = hashlib.sha256()
        self.began = time.monotonic()

    def take(self, chunk):
        self.digest.update(chunk)
        self.size += len(chunk)

    def pause(self):
        """Seconds until the next may be read."""
        if not self.rate:
            return 0
        return max(0, self.began + self.size / self.rate - time.monotonic())

    def close(self):
        del sinks[self.channel]
        text = f"{self.size} {self.digest.hexdigest()}"
        send(self.channel, WRITE, [text.encode()])
        send(self.channel, CLOSE, [])


def invoked(channel, event):
    global deaf
    name, *rest = event.split()
    numbers = [int(each) for each in rest]
    if name == b"ping":
        send(channel, WRITE, [b"%d" % os.getpid()])
        send(channel, CLOSE, [])
    elif name == b"source":
        sources[channel] = Source(channel, *numbers)
    elif name == b"sink":
        sinks[channel] = Sink(channel, *numbers)
    elif name == b"deaf":
        deaf = True


def received(frame):
    channel, kind, args = frame[:3]
    if channel == 1:
        if kind == 1:
            connection.setblocking(True)
            connection.sendall(out + msgpack.packb([1, 1, args], use_bin_type=False))
            sys.exit(0)
    elif channel not in known:
        known.add(channel)
        invoked(channel, args[0])
    elif channel in sinks:
        if kind == WRITE:
            sinks[channel].take(args[0])
        elif kind == CLOSE:
            sinks[channel].close()
        else:
            del sinks[channel]
    elif kind == ERROR:
        sources.pop(channel, None)


def read():
    data = connection.recv(1 << 18)
    if not data:
        sys.exit(0)
    unpacker.feed(data)
    for frame in unpacker:
        received(frame)


def main():
    send(1, 0, [arguments["--uuid"]])
    send(1, 0, [])
    beat = time.monotonic()
    selector = selectors.DefaultSelector()
    selector.register(connection, selectors.EVENT_READ)
    while True:
        for source in list(sources.values()):
            if len(out) < HIGH_WATER:
                source.step()
        pause = max((sink.pause() for sink in sinks.values()), default=0)
        events = 0 if deaf or pause else selectors.EVENT_READ
        if out:
            events |= selectors.EVENT_WRITE
        if events:
            selector.modify(connection, events)
            for _, ready in selector.select(pause or 0.2):
                if ready & selectors.EVENT_WRITE:
                    del out[: connection.send(out[: 1 << 18])]
                if ready & selectors.EVENT_READ:
                    read()
        else:
            time.sleep(min(pause, 0.2) if pause else 0.2)
        if time.monotonic() - beat > 1:
            beat = time.monotonic()
            send(1, 0, [])


main()
