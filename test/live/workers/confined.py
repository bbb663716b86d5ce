"""
A worker that runs what it is told, for tests of what it cannot do.

Each event is a shell command; its output, and then its status, are the answer.
``!eat`` takes memory without end.  Needs nothing but the standard library, so
that any Python will do.
"""

import select
import socket
import subprocess
import sys

WRITE, CLOSE = 0, 2

arguments = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=False))
connection = socket.socket(socket.AF_UNIX)
connection.connect(arguments["--endpoint"])


class Cut(Exception):
    """The message is not complete yet."""


def pack(value):
    if isinstance(value, int):
        return bytes([value]) if value < 128 else b"\xcd" + value.to_bytes(2, "big")
    if isinstance(value, list):
        return bytes([0x90 | len(value)]) + b"".join(map(pack, value))
    return b"\xdb" + len(value).to_bytes(4, "big") + value


def take(data, place, size):
    if len(data) < place + size:
        raise Cut
    return data[place : place + size], place + size


def unpack(data, place=0):
    """Give a value and where the next begins."""
    head, place = take(data, place, 1)
    kind = head[0]
    if kind < 128:
        return kind, place
    if 0xA0 <= kind <= 0xBF:
        return take(data, place, kind & 31)
    if 0x90 <= kind <= 0x9F or kind == 0xDC:
        count = kind & 15
        if kind == 0xDC:
            size, place = take(data, place, 2)
            count = int.from_bytes(size, "big")
        values = []
        for _ in range(count):
            value, place = unpack(data, place)
            values.append(value)
        return values, place
    if kind in (0xC0, 0xC2, 0xC3):
        return {0xC0: None, 0xC2: False, 0xC3: True}[kind], place
    widths = {0xC4: 1, 0xC5: 2, 0xD9: 1, 0xDA: 2, 0xDB: 4}
    if kind in widths:
        size, place = take(data, place, widths[kind])
        return take(data, place, int.from_bytes(size, "big"))
    numbers = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}
    number, place = take(data, place, numbers[kind])
    return int.from_bytes(number, "big"), place


def send(*frame):
    connection.sendall(pack(list(frame)))


def invoked(channel, event):
    if event == b"!eat":
        eaten = []
        while True:
            eaten.append(bytearray(b"x") * (1 << 20))
    done = subprocess.run(
        ["/bin/sh", "-c", event], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    send(channel, WRITE, [done.stdout + b"%d" % done.returncode])
    send(channel, CLOSE, [])


def main():
    send(1, 0, [arguments["--uuid"].encode()])
    send(1, 0, [])
    data = b""
    known = set()
    while True:
        if not select.select([connection], [], [], 1.0)[0]:
            send(1, 0, [])
            continue
        more = connection.recv(1 << 16)
        if not more:
            return
        data += more
        while data:
            try:
                (channel, kind, values, *_), used = unpack(data)
            except Cut:
                break
            data = data[used:]
            if channel == 1:
                if kind == 1:
                    send(1, 1, values)
                    return
            elif channel not in known:
                known.add(channel)
                invoked(channel, values[0])


main()
