"""
A worker whose events say how it goes wrong; ``echo`` does not.

Every event answers with the chunk that came, which is the token of the request.
"""

import os
import time

from speech import CLOSE, ERROR, WRITE, Speaker

#: Bytes of a flood, in lines of a thousand.
FLOOD = 100_000_000

#: Seconds that a slow answer takes, and one that is too late.
SLOW, LATE = 0.3, 1.0


class Faulty(Speaker):
    def chunk(self, channel, event, data):
        name = event.decode()
        getattr(self, name)(channel, data)

    def echo(self, channel, token):
        self.answer(channel, token)

    def who(self, channel, token):
        self.answer(channel, b"%d" % os.getpid())

    def keep(self, channel, token):
        """Answer with the first chunk, and keep the stream open."""
        self.send(channel, WRITE, [token])

    def hold(self, channel, token):
        """Never answer."""

    def slow(self, channel, token):
        self.later(SLOW, self.answer, channel, token)

    def late(self, channel, token):
        self.later(LATE, self.answer, channel, token)

    def twice(self, channel, token):
        self.answer(channel, token)
        self.answer(channel, b"again " + token)
        self.send(channel, ERROR, [[42, 1], b"and once more"])

    def error(self, channel, token):
        self.send(channel, ERROR, [[42, 7], b"no"])
        self.answer(channel, token)

    def strange(self, channel, token):
        """Speak on channels that are not ours: none, ended, never opened."""
        ended = range(max(2, channel - 20), channel)
        for other in (0, *ended, channel + 1, channel + 1000):
            self.send(other, WRITE, [b"not yours"])
            self.send(other, CLOSE, [])
        self.answer(channel, token)

    def nonsense(self, channel, token):
        """Say what no stream knows."""
        self.send(channel, 9, [token])

    def number(self, channel, token):
        """Say what no chunk is."""
        self.send(channel, WRITE, [17])

    def garbage(self, channel, token):
        """Say what is no frame."""
        self.socket.sendall(b"\xc1" * 100)

    def flood(self, channel, token):
        """Print a hundred megabytes before the answer."""
        lines = (b"x" * 999 + b"\n") * 1000
        for _ in range(FLOOD // len(lines)):
            os.write(1, lines)
        self.answer(channel, token)

    def deaf(self, channel, token):
        """Read no more; the heart goes on beating."""
        while True:
            self.send(1, 0, [])
            time.sleep(0.5)

    def large(self, channel, size):
        """Answer with so many bytes."""
        self.answer(channel, b"x" * int(size))

    def die(self, channel, token):
        os._exit(3)


if __name__ == "__main__":
    Faulty().run()
