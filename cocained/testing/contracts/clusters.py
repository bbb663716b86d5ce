# -*- test-case-name: cocained.test.test_clusters_predefine -*-
# mypy: allow-untyped-calls
# (Assertions of trial have no types.)
"""
What every cluster plugin must do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import maybeDeferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from cocained.interfaces import ICluster
from cocained.testing.links import MemoryLinks

if TYPE_CHECKING:
    _Case = SynchronousTestCase
else:
    # Trial runs every test case that it finds in a module, imported or not.
    _Case = object


class ClusterContract(_Case):
    """
    What every cluster plugin must do (protocol.md §3.7).

    A test case inherits it beside its own base.  In ``setUp`` it sets a
    ``cluster`` that has been built, in a world in which there is a node to be
    found; its ``pass_time`` lets seconds pass, and everything happen that is due.
    """

    cluster: Any
    pass_time: Callable[[float], None]

    def attached(self) -> MemoryLinks:
        """Give the plugin something to report to."""
        links = MemoryLinks()
        self.cluster.attach(links)
        return links

    def started(self) -> MemoryLinks:
        """Start the plugin, and let it find the node."""
        links = self.attached()
        self.cluster.start()
        self.pass_time(60)
        return links

    def stop(self) -> None:
        """Stop the plugin, and wait for it."""
        stopped = maybeDeferred(self.cluster.stop)
        self.pass_time(60)
        self.successResultOf(stopped)

    def test_provides_the_interface(self) -> None:
        """The object has every method of a cluster plugin."""
        self.assertTrue(verifyObject(ICluster, self.cluster))

    def test_nothing_before_its_start(self) -> None:
        """A plugin that has not been started looks for nobody."""
        links = self.attached()

        self.pass_time(60)

        self.assertEqual(links.told, [])

    def test_finds(self) -> None:
        """It finds the node, and says where it is."""
        links = self.started()

        self.assertTrue(links.nodes)
        self.assertTrue(all(links.nodes.values()), links.nodes)
        self.stop()

    def test_nothing_after_its_end(self) -> None:
        """A plugin that has been stopped says nothing more, not even who is gone."""
        links = self.started()
        self.stop()
        links.take()

        self.pass_time(600)

        self.assertEqual(links.told, [])

    def test_stop_twice(self) -> None:
        """Stopping it again does no harm."""
        self.started()

        self.stop()
        self.stop()

    def test_never_started(self) -> None:
        """Neither does stopping one that was never started."""
        self.attached()

        self.stop()
