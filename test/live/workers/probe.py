"""
The worker of the probes (reference-behaviour.md §7): no framework, one loop.

Run as every worker is, with ``--endpoint`` and ``--uuid`` among its arguments.
"""

import os
import select
import socket
import sys
import time

import msgpack

WRITE, ERROR, CLOSE = 0, 1, 2
HEADERS = [[False, b"x-worker", b"w"]]

arguments = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=False))
connection = socket.socket(socket.AF_UNIX)
connection.connect(arguments["--endpoint"])
unpacker = msgpack.Unpacker(raw=True, strict_map_key=False)
events: dict = {}
timers: list = []
seen: list = []
beats = 1.0


def send(*frame):
    connection.sendall(msgpack.packb(list(frame), use_bin_type=False))


def later(seconds, *frames):
    timers.append((time.monotonic() + seconds, frames))


def answer(channel, *chunks):
    for chunk in chunks:
        send(channel, WRITE, [chunk])
    send(channel, CLOSE, [])


def invoked(channel, event, headers):
    global beats
    if event == b"ping":
        answer(channel, b"pong")
    elif event == b"err":
        send(channel, ERROR, [[42, 7], b"oops"])
    elif event == b"errbig":
        send(channel, ERROR, [[300, -7], b"neg"])
    elif event in (b"late", b"late3"):
        wait = 0.4 if event == b"late" else 1.0
        later(wait, [channel, WRITE, [b"late"]], [channel, CLOSE, []])
    elif event == b"hdr":
        send(channel, WRITE, [b"withhdr"], HEADERS)
        send(channel, CLOSE, [], HEADERS)
    elif event == b"afterchoke":
        answer(channel)
        send(channel, WRITE, [b"more"])
    elif event == b"twochoke":
        answer(channel)
        send(channel, CLOSE, [])
    elif event == b"errlegacy":
        send(channel, ERROR, [7, b"oops"])
    elif event == b"badargs":
        send(channel, WRITE, [])
    elif event == b"intchunk":
        send(channel, WRITE, [5])
    elif event == b"badtype":
        send(channel, 7, [])
    elif event == b"newch":
        send(1000, 0, [b"hello"])
    elif event == b"badcontrol":
        send(1, 7, [])
        send(1, 1, [])
        send(1000, 7, [])
    elif event == b"badframe":
        connection.sendall(b"\xc1")
    elif event == b"crash":
        print("about to crash", flush=True)
        os._exit(3)
    elif event == b"term":
        send(1, 1, [7, b"enough"])
        time.sleep(0.1)
        sys.exit(0)
    elif event == b"silence":
        beats = 1e9
    elif event == b"stuck":
        time.sleep(3600)
    elif event == b"seen":
        answer(channel, msgpack.packb(seen, use_bin_type=False))
    elif event == b"argv":
        answer(
            channel,
            msgpack.packb([sys.argv[1:], os.getcwd(), dict(os.environ)]),
        )
    elif event == b"headers":
        answer(channel, msgpack.packb(headers, use_bin_type=False))
    elif event == b"who":
        answer(channel, b"%d" % os.getpid())


def streamed(channel, kind, args):
    event = events[channel]
    if event in (b"echo", b"newch") and kind == WRITE:
        send(channel, WRITE, args)
    elif event == b"echo" and kind == CLOSE:
        send(channel, CLOSE, [])
    elif event == b"chunks" and kind == CLOSE:
        answer(channel, b"c0", b"c1", b"c2")


def received(frame):
    channel, kind, args = frame[:3]
    headers = frame[3] if len(frame) > 3 else []
    if channel == 1:
        if kind == 1:
            send(1, 1, args)
            sys.exit(0)
        return
    if channel not in events:
        events[channel] = args[0]
        invoked(channel, args[0], headers)
    else:
        # What comes behind the first frame, for tests that ask for it.
        seen.append([events[channel], kind, args, headers])
        streamed(channel, kind, args)


def main():
    send(1, 0, [arguments["--uuid"]])
    send(1, 0, [])
    beat = time.monotonic()
    while True:
        if select.select([connection], [], [], 0.02)[0]:
            data = connection.recv(1 << 20)
            if not data:
                break
            unpacker.feed(data)
            for frame in unpacker:
                received(frame)
        now = time.monotonic()
        if now - beat > beats:
            beat = now
            send(1, 0, [])
        for timer in [timer for timer in timers if timer[0] <= now]:
            timers.remove(timer)
            for frame in timer[1]:
                send(*frame)


main()
