# -*- test-case-name: cocained.test.test_storages,cocained.test.test_gateways_adhoc -*-
"""
What every implementation of an interface must do, as mixins for test cases.

Run by the real thing and by its double, so that the double cannot drift; and by
whoever brings an implementation of their own (``docs/extending.rst``).
"""

from cocained.testing.contracts.cases import StorageCase
from cocained.testing.contracts.clusters import ClusterContract
from cocained.testing.contracts.gateways import (
    ForwardingContract,
    GatewayContract,
    NodeObserverContract,
)
from cocained.testing.contracts.names import NameSpaceContract
from cocained.testing.contracts.storages import StorageContract
from cocained.testing.contracts.unicorn_case import MemoryObserver, UnicornCase
from cocained.testing.contracts.unicorns import UnicornContract
from cocained.testing.contracts.versions import SharedVersionContract, VersionContract

__all__ = [
    "ClusterContract",
    "ForwardingContract",
    "GatewayContract",
    "MemoryObserver",
    "NameSpaceContract",
    "NodeObserverContract",
    "SharedVersionContract",
    "StorageCase",
    "StorageContract",
    "UnicornCase",
    "UnicornContract",
    "VersionContract",
]
