# -*- test-case-name: cocained.test.test_docs_examples -*-
"""A unicorn of one's own: a folder of another one, for those who share it."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from twisted.internet.defer import Deferred
from zope.interface import implementer

from cocained.component import Component
from cocained.interfaces import (
    INode,
    IScope,
    IUnicorn,
    IUnicornObserver,
    Versioned,
)


class FolderArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Arguments of the folder."""

    folder: Annotated[
        str, msgspec.Meta(pattern=r"^/.*[^/]\Z", description="Where all paths begin.")
    ]
    backend: Annotated[
        str, msgspec.Meta(description="Name of the unicorn that has the folder.")
    ] = "core"


@implementer(IUnicorn)
class FolderUnicorn(Component[FolderArgs]):
    """Type ``folder``."""

    Args = FolderArgs
    _whole: IUnicorn

    def __init__(self, node: INode, name: str, args: FolderArgs) -> None:
        super().__init__(node, name, args)
        self._folder = args.folder

    def start(self) -> None:
        # Not before: unicorns are built one after the other.
        self._whole = self.node.unicorn(self.args.backend)

    def get(self, path: str) -> Deferred[Versioned]:
        return self._whole.get(self._folder + path)

    def put(
        self, path: str, value: Any, version: int
    ) -> Deferred[tuple[bool, Versioned]]:
        return self._whole.put(self._folder + path, value, version)

    def create(
        self, path: str, value: Any, ephemeral: bool = False, sequence: bool = False
    ) -> Deferred[str]:
        made = self._whole.create(self._folder + path, value, ephemeral, sequence)
        return made.addCallback(lambda whole: whole.removeprefix(self._folder))

    def remove(self, path: str, version: int) -> Deferred[None]:
        return self._whole.remove(self._folder + path, version)

    def increment(self, path: str, value: Any) -> Deferred[Versioned]:
        return self._whole.increment(self._folder + path, value)

    def subscribe(self, path: str, observer: IUnicornObserver) -> IScope:
        return self._whole.subscribe(self._folder + path, observer)

    def children_subscribe(self, path: str, observer: IUnicornObserver) -> IScope:
        return self._whole.children_subscribe(self._folder + path, observer)

    def lock(self, path: str, observer: IUnicornObserver, value: Any = ...) -> IScope:
        return self._whole.lock(self._folder + path, observer, value)
