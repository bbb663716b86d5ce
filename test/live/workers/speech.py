"""
What the workers of the fault tests have in common: frames over a socket.

No framework, so that a worker starts in thirty milliseconds.
"""

import select
import socket
import sys
import time

import msgpack

WRITE, ERROR, CLOSE = 0, 1, 2

#: Seconds between heartbeats.
BEAT = 0.3


class Speaker:
    """
    One worker: shakes hands, and tells what comes.

    :ivar events: the names of the open events, by channel.
    """

    def __init__(self):
        arguments = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=False))
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(arguments["--endpoint"])
        self.unpacker = msgpack.Unpacker(raw=True, strict_map_key=False)
        self.events = {}
        self.timers = []
        self.send(1, 0, [arguments["--uuid"]])
        self.send(1, 0, [])

    def send(self, *frame):
        """Send one frame; its end is the end of the worker."""
        try:
            self.socket.sendall(msgpack.packb(list(frame), use_bin_type=False))
        except ConnectionError:
            sys.exit(0)

    def answer(self, channel, *chunks):
        """Send chunks and the close."""
        for chunk in chunks:
            self.send(channel, WRITE, [chunk])
        self.send(channel, CLOSE, [])

    def later(self, seconds, function, *args):
        """Call *function* after so many seconds."""
        self.timers.append((time.monotonic() + seconds, function, args))

    def chunk(self, channel, event, data):
        """A chunk has come; to be overridden."""

    def closed(self, channel, event):
        """The client has said all; to be overridden."""

    def _received(self, channel, kind, args):
        if channel == 1:
            if kind == 1:
                self.send(1, 1, args)
                sys.exit(0)
        elif channel == 0:
            pass  # what the node has to say of frames on channel 0
        elif channel not in self.events:
            self.events[channel] = args[0]
        elif kind == WRITE:
            self.chunk(channel, self.events[channel], args[0])
        else:
            self.closed(channel, self.events.pop(channel))

    def run(self):
        """Serve until the node hangs up."""
        beat = time.monotonic()
        while True:
            if select.select([self.socket], [], [], 0.05)[0]:
                try:
                    data = self.socket.recv(1 << 18)
                except ConnectionError:
                    return
                if not data:
                    return
                self.unpacker.feed(data)
                for frame in self.unpacker:
                    self._received(*frame[:3])
            now = time.monotonic()
            if now - beat > BEAT:
                beat = now
                self.send(1, 0, [])
            for timer in [timer for timer in self.timers if timer[0] <= now]:
                self.timers.remove(timer)
                timer[1](*timer[2])
