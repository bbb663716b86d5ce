# -*- test-case-name: cocained.test.test_testing_docker -*-
"""
A Docker Engine and a registry of your own, for demonstrations and live tests.

Each has its own data in a directory that is removed at the end, and runs in
whatever network namespace it is started in, so that neither an engine of the
machine nor its firewall notices.  Nothing is pulled from anywhere:
:func:`.make_root` makes a file system of this machine's interpreter::

    with Engine() as engine, Registry() as registry:
        engine.address    # unix:///tmp/cd…/docker.sock
        registry.name     # 127.0.0.1:5000

Needs root, and the programs of :data:`.PROGRAMS`.
"""

from cocained.testing.docker.daemon import Daemon
from cocained.testing.docker.engine import Engine
from cocained.testing.docker.registry import Registry
from cocained.testing.docker.root import LIBRARY, make_root
from cocained.testing.programs import PROGRAMS, LabError, lacking

__all__ = [
    "LIBRARY",
    "PROGRAMS",
    "Daemon",
    "Engine",
    "LabError",
    "Registry",
    "lacking",
    "make_root",
]
