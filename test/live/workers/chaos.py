"""
A worker whose events choose how it misbehaves towards the node.

Each is done for every chunk that comes; what has no name here is sent back.
"""

import os
import time

from speech import CLOSE, ERROR, WRITE, Speaker

#: Chunks of a flood, and the bytes of each.
FLOOD, PIECE = 32, 65536


class Chaos(Speaker):
    def chunk(self, channel, event, data):
        act = EVENTS.get(event, Chaos.echo)
        act(self, channel, data)

    def closed(self, channel, event):
        if event != b"silent":
            self.send(channel, CLOSE, [])

    def echo(self, channel, data):
        self.send(channel, WRITE, [data])

    def twice(self, channel, data):
        for _ in range(2):
            self.answer(channel, data)
            self.send(channel, ERROR, [[42, 1], b"again"])

    def elsewhere(self, channel, data):
        for other in (0, 1, channel - 1, channel + 1, channel + 1000, 2**64 - 1):
            self.send(other, WRITE, [data])
            self.send(other, 77, [])

    def silent(self, channel, data):
        pass

    def die(self, channel, data):
        os._exit(3)

    def flood(self, channel, data):
        self.answer(channel, *[bytes(PIECE)] * FLOOD)

    def chatter(self, channel, data):
        os.write(1, b"\xff\0words\n" * 10000)

    def garbage(self, channel, data):
        self.socket.sendall(b"\xc1" * 100)

    def half(self, channel, data):
        self.socket.sendall(b"\x93\x02\x00\x91\xda\xff")

    def headers(self, channel, data):
        self.send(channel, WRITE, [data], [999, [True, 1, 2]])

    def types(self, channel, data):
        self.send(channel, WRITE, [17])
        self.send(channel, ERROR, [b"x", -1])

    def control(self, channel, data):
        self.send(1, 9, [])
        self.send(1, 1, [])

    def farewell(self, channel, data):
        self.send(1, 1, [7, b"enough"])

    def deaf(self, channel, data):
        time.sleep(30)


EVENTS = {
    name.encode(): function
    for name, function in vars(Chaos).items()
    if name not in ("chunk", "closed") and not name.startswith("_")
}

if __name__ == "__main__":
    Chaos().run()
