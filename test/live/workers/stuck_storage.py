"""
A storage of somebody's own that forgets to answer while a file exists.
"""

import os

import msgspec
from twisted.internet.defer import Deferred
from zope.interface import implementer

from cocained.component import Component
from cocained.interfaces import IStorage
from cocained.storages.memory import MemoryStorage


class StuckArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Arguments of the storage type ``stuck``."""

    path: str


@implementer(IStorage)
class StuckStorage(Component[StuckArgs]):
    """Type ``stuck``."""

    Args = StuckArgs

    def __init__(self, node, name, args):
        super().__init__(node, name, args)
        self._memory = MemoryStorage(node, name)

    def _unless_stuck(self, function, *args):
        if os.path.exists(self.args.path):
            return Deferred()
        return function(*args)

    def read(self, collection, key):
        return self._unless_stuck(self._memory.read, collection, key)

    def write(self, collection, key, blob, tags=()):
        return self._unless_stuck(self._memory.write, collection, key, blob, tags)

    def remove(self, collection, key):
        return self._unless_stuck(self._memory.remove, collection, key)

    def find(self, collection, tags):
        return self._unless_stuck(self._memory.find, collection, tags)
