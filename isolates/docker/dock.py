# -*- test-case-name: cocained.test.test_isolates_docker -*-
"""
What the apps of one node share: clients of engines, pulls, and the claim that
says that the node lives.

Isolates are built one by one, each for its app; so this is found by the node.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar
from weakref import WeakKeyDictionary

from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.threads import deferToThreadPool

from cocained.docker import DockerClient
from cocained.docker.models import ContainerSummary
from cocained.interfaces import INode
from cocained.isolates.docker import orphans
from cocained.isolates.docker.pulls import Pulls

T = TypeVar("T")

_docks: WeakKeyDictionary[INode, Dock] = WeakKeyDictionary()


class Dock:
    """
    What one node's apps share.

    :param node: whose they are.
    """

    def __init__(self, node: INode) -> None:
        self._reactor = node.reactor
        self._uuid = node.uuid
        #: as the engine names it, links resolved
        self.runtime = os.path.realpath(node.runtime)
        self._engines: dict[str, tuple[DockerClient, Pulls]] = {}
        self._lock = DeferredLock()
        self._claim: int | None = None
        self._users = 0

    @classmethod
    def of(cls, node: INode) -> Dock:
        """Give that of a node."""
        dock = _docks.get(node)
        if dock is None:
            dock = _docks[node] = cls(node)
        return dock

    def engine(self, address: str) -> tuple[DockerClient, Pulls]:
        """Give the client of an engine, and what is being pulled there."""
        found = self._engines.get(address)
        if found is None:
            client = DockerClient(self._reactor, address)
            found = self._engines[address] = client, Pulls(self._reactor, client)
        return found

    def in_thread(self, function: Callable[..., T], *args: object) -> Deferred[T]:
        """Run something that waits for a disk."""
        pool = self._reactor.getThreadPool()
        return deferToThreadPool(self._reactor, pool, function, *args)

    async def enter(self) -> None:
        """
        Be one of the users; the first one claims the node.

        :raises OSError: the claim cannot be made.
        """
        async with self._lock:
            if self._claim is None:
                await self.in_thread(self._thd_claim)
            self._users += 1

    def _thd_claim(self) -> None:
        # Kept here and not by the Deferred, which may be cancelled meanwhile.
        claim = orphans.claim_node(self.runtime, self._uuid)
        if self._claim is None:
            self._claim = claim
        else:
            os.close(claim)

    async def leave(self) -> None:
        """Be none any more; the last one gives the claim up."""
        async with self._lock:
            self._users -= 1
            if not self._users and self._claim is not None:
                claim, self._claim = self._claim, None
                await self.in_thread(
                    orphans.release_node, self.runtime, self._uuid, claim
                )

    async def find_orphans(self, client: DockerClient) -> list[ContainerSummary]:
        """Find what dead nodes have left with an engine."""
        found = await client.containers({orphans.RUNTIME: self.runtime}, all=True)
        left = await self.in_thread(
            orphans.find_orphans, found, self.runtime, self._uuid
        )
        await self.in_thread(orphans.remove_claims, self.runtime)
        return left
