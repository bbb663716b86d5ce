# -*- test-case-name: cocained.test.test_docs_examples -*-
"""An isolate of one's own: runs the code of a directory, nothing unpacked."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from typing import Annotated

import msgspec
from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from cocained.component import Component
from cocained.errors import SpawnError, SpoolError
from cocained.interfaces import IIsolate, INode, IWorkerHandle, IWorkerObserver
from cocained.isolates.child import Child


class DirectoryArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Arguments of the directory isolate."""

    path: Annotated[
        str, msgspec.Meta(min_length=1, description="Directory of the app's code.")
    ]
    kill_timeout: Annotated[
        float, msgspec.Meta(gt=0, le=3600, description="From SIGTERM to SIGKILL.")
    ] = 5.0


@implementer(IIsolate)
class DirectoryIsolate(Component[DirectoryArgs]):
    """Type ``directory``: for the developer who edits the code in place."""

    Args = DirectoryArgs

    def __init__(self, node: INode, name: str, args: DirectoryArgs) -> None:
        super().__init__(node, name, args)
        self._path = node.resolve(args.path)

    def spool(self) -> Deferred[None]:
        if not os.path.isdir(self._path):
            return fail(
                SpoolError(
                    f"{self._path} is no directory; see 'path' of the isolate",
                    errno.ENOTDIR,
                )
            )
        return succeed(None)

    def spawn(
        self,
        executable: str,
        arguments: Mapping[str, str],
        environment: Mapping[str, str],
        observer: IWorkerObserver,
    ) -> Deferred[IWorkerHandle]:
        command = [os.path.join(self._path, executable)]
        for pair in sorted(arguments.items()):
            command += pair
        try:
            child = Child(
                self.node.reactor,
                command,
                {**os.environ, **environment},
                self._path,
                observer,
                self.args.kill_timeout,
            )
        except SpawnError as error:
            return fail(error)
        return succeed(child)
