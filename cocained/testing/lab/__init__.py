# -*- test-case-name: cocained.test.test_testing_lab -*-
"""
A network of your own on one machine, for demonstrations and live tests.

Hosts are network namespaces on a bridge, which lives in a namespace of its own,
so that neither the machine's interfaces nor its firewall notice.  They have
addresses of both families, hear each other's multicast, and can be parted::

    with Lab("try") as lab:
        a, b = lab.add_host("a"), lab.add_host("b")
        node = a.start(["twistd", "-n", "cocained", "-c", "node.yaml"])
        with b.inside():
            client = socket.create_connection((a.address, 10053))
        lab.partition([a], [b])
        lab.heal()

At the end of the block everything is removed, and every process that still runs
in one of the hosts is killed.  Needs root, and the programs of :data:`.NEEDS`.
"""

from cocained.testing.lab.faults import Faults
from cocained.testing.lab.hosts import Host
from cocained.testing.lab.link import LatencyLink
from cocained.testing.lab.network import NEEDS, Lab
from cocained.testing.programs import LabError

__all__ = ["NEEDS", "Faults", "Host", "Lab", "LabError", "LatencyLink"]
