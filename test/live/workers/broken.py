"""
A worker that goes wrong at its start, as its environment says.
"""

import os
import socket
import sys
import time

import msgpack

arguments = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=False))
how = os.environ["HOW"]

print(f"this is the {how} worker", flush=True)
if how == "exits":
    print("Traceback: no module named nothing", file=sys.stderr, flush=True)
    sys.exit(5)
if how == "silent":
    time.sleep(3600)

connection = socket.socket(socket.AF_UNIX)
connection.connect(arguments["--endpoint"])
uuid = arguments["--uuid"]
if how == "stranger":
    uuid = "00000000-0000-4000-8000-000000000000"
if how == "garbage":
    connection.sendall(b"\xc1" * 100)
    time.sleep(3600)
for frame in ([1, 0, [uuid]], [1, 0, []]):
    connection.sendall(msgpack.packb(frame, use_bin_type=False))
if how == "floods":
    line = b"x" * 999 + b"\n"
    for _ in range(100):
        os.write(1, line * 1000)
    print("the flood is over", flush=True)
    os._exit(9)
time.sleep(3600)
