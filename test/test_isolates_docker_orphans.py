# -*- test-case-name: cocained.test.test_isolates_docker_orphans -*-
"""
Whose a container is.
"""

from __future__ import annotations

import os

from twisted.trial.unittest import SynchronousTestCase

from cocained.docker.models import ContainerSummary
from cocained.isolates.docker import orphans
from cocained.isolates.docker.keys import RESERVED


class OrphanTests(SynchronousTestCase):
    """Nodes that live, and nodes that do not."""

    def setUp(self) -> None:
        self.runtime = os.path.abspath(self.mktemp())
        os.makedirs(self.runtime)

    def live(self, node: str) -> int:
        descriptor = orphans.claim_node(self.runtime, node)
        self.open = descriptor
        return descriptor

    def container(self, node: str, runtime: str | None = None) -> ContainerSummary:
        labels = orphans.labels("app", node, runtime or self.runtime, "w")
        return ContainerSummary(id=f"of-{node}", labels=labels)

    def find(self, *containers: ContainerSummary) -> list[str]:
        found = orphans.find_orphans(containers, self.runtime, "me")
        return [container.id for container in found]

    def test_labels(self) -> None:
        """Our labels are those that no profile can have."""
        for name in orphans.labels("a", "n", "r", "w"):
            self.assertTrue(name.startswith(RESERVED))

    def test_mine(self) -> None:
        """One's own are no orphans."""
        self.assertEqual(self.find(self.container("me")), [])

    def test_living(self) -> None:
        """Those of a node that lives are left alone."""
        descriptor = self.live("other")
        self.addCleanup(os.close, descriptor)

        self.assertEqual(self.find(self.container("other")), [])

    def test_killed(self) -> None:
        """A node that ended without a word has left its directory, unlocked."""
        os.close(self.live("other"))

        self.assertEqual(self.find(self.container("other")), ["of-other"])

    def test_ended(self) -> None:
        """A node that ended in order has left nothing but what it could not remove."""
        orphans.release_node(self.runtime, "other", self.live("other"))

        self.assertEqual(os.listdir(self.runtime), [])
        self.assertEqual(self.find(self.container("other")), ["of-other"])

    def test_elsewhere(self) -> None:
        """Those of another runtime directory are nobody's but that one's."""
        self.assertEqual(self.find(self.container("other", "/elsewhere")), [])

    def test_unlabelled(self) -> None:
        """What is not ours is not touched."""
        self.assertEqual(self.find(ContainerSummary(id="x")), [])

    def test_hostile(self) -> None:
        """A label that is a path leads nowhere."""
        os.makedirs(os.path.join(self.runtime, ".docker-x"))
        self.assertEqual(self.find(self.container("x/../..")), ["of-x/../.."])
        self.assertTrue(os.path.isdir(os.path.join(self.runtime, ".docker-x")))

    def test_claims_removed(self) -> None:
        """Directories of dead nodes are removed, those of living ones are not."""
        os.close(self.live("dead"))
        descriptor = self.live("alive")
        self.addCleanup(os.close, descriptor)
        with open(os.path.join(self.runtime, "app.7"), "w"):
            pass

        orphans.remove_claims(self.runtime)

        self.assertEqual(sorted(os.listdir(self.runtime)), [".docker-alive", "app.7"])
        orphans.remove_claims(os.path.join(self.runtime, "nothing"))
