"""
A member of a cluster in a process of its own, to be killed by a test::

    python -m cocained.test.live.member PORT PREFIX UUID ADDRESS

It announces the address, links to nobody, and lives until it is killed.
"""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet import reactor

from cocained.clusters.zookeeper import UnicornCluster, UnicornClusterArgs
from cocained.test.live.support import LOOPBACK
from cocained.testing import MemoryLinks
from cocained.unicorns.zookeeper import Endpoint, ZookeeperArgs, ZookeeperUnicorn


class Node:
    """As much of a node as a cluster uses."""

    def __init__(self) -> None:
        self.reactor = reactor

    def unicorn(self, name: str) -> Any:
        return self.backend

    backend: Any = None


def main(port: int, prefix: str, uuid: str, address: str) -> None:
    """Be a member."""
    node: Any = Node()
    node.backend = ZookeeperUnicorn(
        node,
        "core",
        ZookeeperArgs(
            endpoints=(Endpoint(LOOPBACK, port),),
            prefix=prefix,
            recv_timeout_ms=20_000,
            session_timeout_ms=1000,
        ),
    )
    cluster = UnicornCluster(node, "cluster", UnicornClusterArgs(backend="core"))
    cluster.attach(MemoryLinks(uuid, [(address, 10053)]))
    node.backend.start()
    cluster.start()
    run: Any = reactor
    run.run()


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
