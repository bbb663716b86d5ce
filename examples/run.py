"""
The five-minute tour, as ``make run`` gives it.

Starts a node, uploads and starts the app in ``examples/length``, calls it
once, and keeps the node until Ctrl-C.  Every step that a user would do by
hand is done by the command that a user would type, and the command is shown.
"""

import contextlib
import os
import shlex
import signal
import socket
import subprocess
import sys
import time

import msgpack

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BIN = os.path.dirname(os.path.abspath(sys.executable))
LOCATOR = ("127.0.0.1", 10053)
LOG = os.path.join("var", "node.log")
TEXT = "If you wanna get down, down on the ground"

#: Seconds within which a node is there, or has said why not.
READY_TIMEOUT = 20

#: Seconds that the node has to stop: it drains, then ends its workers.
STOP_TIMEOUT = 30


class Stopped(Exception):
    """Somebody wants us to end."""


def main() -> int:
    os.chdir(ROOT)
    os.makedirs("var", exist_ok=True)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    node = None
    try:
        if is_listening():
            host, port = LOCATOR
            print(f"Something listens at {host}:{port} already; stop it first.")
            return 1
        node = start_node()
        tour()
        node.wait()
        print(f"The node has ended by itself; its log is {LOG}")
        return 1
    except Stopped:
        return 0
    except subprocess.CalledProcessError as error:
        print(f"That did not work (exit status {error.returncode}).")
        print(f"The node's log is {LOG}")
        return 1
    finally:
        if node is not None:
            stop_node(node)


def interrupt(number: int, frame: object) -> None:
    raise Stopped()


def is_listening() -> bool:
    with contextlib.suppress(OSError), socket.create_connection(LOCATOR, 1):
        return True
    return False


def start_node() -> "subprocess.Popen[bytes]":
    command = ["twistd", "-n", "cocained", "-c", "examples/node.yaml"]
    step(1, "a node, with storage in var/ and workers as processes", command)
    with open(LOG, "wb") as log:
        node = subprocess.Popen(
            [os.path.join(BIN, "twistd"), "--pidfile=var/node.pid", *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        wait_until_ready(node)
    except BaseException:
        stop_node(node)
        raise
    return node


def wait_until_ready(node: "subprocess.Popen[bytes]") -> None:
    for _ in range(READY_TIMEOUT * 20):
        if is_listening():
            return
        if node.poll() is not None:
            break
        time.sleep(0.05)
    with open(LOG, encoding="utf-8", errors="replace") as log:
        print("The node did not start. Its log ends with:")
        print("".join(log.readlines()[-20:]), end="")
    raise subprocess.CalledProcessError(node.poll() or 1, "twistd")


def tour() -> None:
    step(2, "a profile: how to run apps")
    tool("profile", "upload", "-n", "default", "--profile", "examples/profile.json")
    step(3, "the app of the README, uploaded")
    tool("app", "upload", "-n", "length", "examples/length")
    step(4, "the value that it measures, in the storage")
    tool("call", "storage", "write", "collection", "key", TEXT)
    step(5, "the app, started")
    tool("app", "restart", "-n", "length", "-r", "default")
    step(6, "one call, through the locator")
    call()
    print()
    print("It works. The node keeps serving; Ctrl-C ends it. In another shell, try:")
    print()
    for command in (
        "info",
        "call length enqueue calculate_length -d key --unpack",
        "crashlog list -n length",
    ):
        print(f"    .venv/bin/cocaine-tool {command}")
    print(flush=True)


def call() -> None:
    from cocaine.services import Service

    begun = time.monotonic()
    channel = Service("length").enqueue("calculate_length").get(timeout=20)
    channel.tx.write("key")
    channel.tx.close()
    reply = msgpack.unpackb(channel.rx.get(timeout=20).get(timeout=20))
    took = (time.monotonic() - begun) * 1000
    print(f"    calculate_length('key') = {reply}    (cold start, {took:.0f} ms)")
    if reply != len(TEXT):
        raise subprocess.CalledProcessError(1, "calculate_length")


def step(number: int, what: str, command: "list[str] | None" = None) -> None:
    print(f"[{number}/6] {what}", flush=True)
    if command is not None:
        print(f"    $ {shlex.join(command)}", flush=True)


def tool(*arguments: str) -> None:
    print(f"    $ cocaine-tool {shlex.join(arguments)}", flush=True)
    subprocess.run([os.path.join(BIN, "cocaine-tool"), *arguments], check=True)


def stop_node(node: "subprocess.Popen[bytes]") -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if node.poll() is None:
        print("\nStopping the node: it drains and ends its workers", flush=True)
        node.terminate()
        try:
            node.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            node.kill()
            node.wait()
        print("Stopped.", flush=True)


if __name__ == "__main__":
    sys.exit(main())
