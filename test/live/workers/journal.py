"""
A worker that keeps a journal, for tests of a worker's life.

Speaks worker protocol 1, or 0 if no ``--protocol`` is given.  Its environment
says where the JOURNAL is, one JSON list a line, and its MANNERS, some of

* ``slow``: waits after its handshake until a file ``go`` is beside the journal;
* ``deaf``: does not answer to terminate;
* ``lingers``: stays when it has said terminate itself, until it gets SIGTERM.
"""

import json
import os
import select
import signal
import socket
import sys
import time

import msgpack

options = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=True))
manners = os.environ.get("MANNERS", "").split()
place = os.environ["JOURNAL"]
modern = "--protocol" in options
# What the messages are called by number: protocol 0 has them all in one row.
HEARTBEAT, TERMINATE = (0, 1) if modern else (1, 2)
INVOKE, WRITE, ERROR, CLOSE = (0, 0, 1, 2) if modern else (3, 4, 5, 6)


def note(*what):
    with open(place, "a") as journal:
        journal.write(json.dumps([os.getpid(), *what]) + "\n")


def ended(number, frame):
    note("signal", number)
    os._exit(0)


signal.signal(signal.SIGTERM, ended)
connection = socket.socket(socket.AF_UNIX)
connection.connect(options["--endpoint"])
unpacker = msgpack.Unpacker(raw=False, strict_map_key=False)
events = {}


def send(*frame):
    connection.sendall(msgpack.packb(list(frame), use_bin_type=False))


def farewell(code, reason):
    if "deaf" in manners:
        return
    send(1, TERMINATE, [code, reason])
    if "lingers" not in manners:
        sys.exit(0)


def invoked(channel, event):
    events[channel] = event
    note("invoke", channel, event)
    if event == "who":
        send(channel, WRITE, [str(os.getpid())])
        send(channel, CLOSE, [])
    elif event == "fail":
        code = [42, 7] if modern else 7
        send(channel, ERROR, [code, "oops"])
        if not modern:
            send(channel, CLOSE, [])
    elif event == "normal":
        farewell(1, "all is well")
    elif event == "abnormal":
        farewell(2, "something is wrong")
    elif event == "print":
        print("to stdout", flush=True)
        print("to stderr", file=sys.stderr, flush=True)
        print("no end", end="", flush=True)
        os._exit(3)


def streamed(channel, kind, args):
    note({WRITE: "write", ERROR: "error", CLOSE: "close"}[kind], channel, *args)
    if events[channel] == "echo" and kind in (WRITE, CLOSE):
        send(channel, kind, args)


def received(channel, kind, args):
    if channel == 1 and kind == HEARTBEAT and not args:
        note("heartbeat")
    elif channel == 1 and kind == TERMINATE and channel not in events:
        note("terminate", *args)
        farewell(*args)
    elif channel not in events:
        invoked(channel, args[0])
    else:
        streamed(channel, kind, args)


def main():
    note("start", sys.argv, os.getcwd())
    send(1, 0, [options["--uuid"]])
    while "slow" in manners and not os.path.exists(place + ".go"):
        if select.select([connection], [], [], 0.02)[0]:
            note("too early", repr(connection.recv(1 << 16)))
    send(1, HEARTBEAT, [])
    beat = time.monotonic()
    while True:
        if select.select([connection], [], [], 0.05)[0]:
            data = connection.recv(1 << 16)
            if not data and "lingers" not in manners:
                break
            if not data:
                time.sleep(0.05)
            unpacker.feed(data)
            for frame in unpacker:
                received(*frame[:3])
        if time.monotonic() - beat > 1:
            beat = time.monotonic()
            try:
                send(1, HEARTBEAT, [])
            except OSError:
                pass
    note("end of file")


main()
