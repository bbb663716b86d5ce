# -*- test-case-name: cocained.test.live.test_unicorn -*-
"""
The unicorn ``zookeeper`` with a real server.
"""

from __future__ import annotations

from cocained.test.live.support import live_suite
from cocained.test.live.unicorn_case import ZookeeperCase
from cocained.testing.contracts import UnicornContract

test_suite = live_suite(__name__)


class ContractTests(UnicornContract, ZookeeperCase):
    """It keeps the contract of all unicorns."""
