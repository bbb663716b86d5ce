# -*- test-case-name: cocained.test.live.test_isolates_guest -*-
"""
Starts nodes, and a gateway's program, on a slow machine, where their imports
would take most of the time::

    python seed.py FIFO LINE

:mod:`.balancer` converses on the serial line.  Each line that is written into
the FIFO is a JSON object: ``directory`` of the node, its ``configuration``, the
control ``group`` in which it begins its life and the ``user`` that it is.  The
node is ``twistd`` in a process that was forked from this one, with what this one
has imported.  Its process id stands in ``DIRECTORY/node.pid``, what it says in
``DIRECTORY/node.log``.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

# What a node will need, without a reactor: that of a parent is no good.
import twisted.application.app
import twisted.scripts.twistd
import yaml

import cocained.isolates.process
import cocained.node
import cocained.services.locator
import cocained.services.node
import cocained.tap  # noqa: F401
from cocained.test.live import balancer


def grow(seed: dict[str, Any]) -> None:
    """Become a node; does not come back."""
    directory = seed["directory"]
    for part in ("run", "spool", "store"):
        os.makedirs(os.path.join(directory, part), exist_ok=True)
    os.chdir(directory)
    log = os.open("node.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    with open("node.yaml", "w") as file:
        yaml.safe_dump(seed["configuration"], file)
    with open(os.path.join(seed["group"], "cgroup.procs"), "w") as file:
        file.write("0")
    for part in (".", "run", "spool", "store"):
        os.chown(part, seed["user"], seed["user"])
    os.setsid()
    os.setgroups([])
    os.setgid(seed["user"])
    os.setuid(seed["user"])
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with open("node.pid.new", "w") as file:
        file.write(f"{os.getpid()}\n")
    os.rename("node.pid.new", "node.pid")
    sys.argv = ["twistd", "-n", "--pidfile=", "cocained", "-c", "node.yaml"]
    twisted.scripts.twistd.run()


def converse(line: str) -> None:
    """Be the program of gateways; does not come back."""
    for descriptor, mode in ((0, os.O_RDONLY), (1, os.O_WRONLY)):
        os.dup2(os.open(line, mode), descriptor)
    balancer.serve()


def main(fifo: str, line: str) -> None:
    """Start a node for each line, for ever."""
    if not os.fork():
        converse(line)
    # Nobody waits for them.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    # Open for writing, too: it never ends.
    with open(os.open(fifo, os.O_RDWR), "rb", buffering=0) as lines:
        while wish := lines.readline():
            if not os.fork():
                grow(json.loads(wish))


if __name__ == "__main__":
    main(*sys.argv[1:])
