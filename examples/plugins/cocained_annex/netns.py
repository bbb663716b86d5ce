# -*- test-case-name: cocained_annex.test.test_netns -*-
"""
The isolate ``netns``: workers as processes in a network namespace.

The namespace is the administrator's, made by ``ip netns add``: with a bridge, a
VPN, a firewall of its own, or with nothing at all.  Workers see its interfaces
only.  They reach their node all the same, since the UNIX socket that they get
is a file; its TCP ports they reach if the namespace has a route there.

Everything else is the isolate ``process``, which this one inherits: spooling,
limits, sandboxes, the watch over the processes.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Mapping
from typing import Annotated

import msgspec
from cocained.config import Invalid
from cocained.errors import SpawnError, SpoolError
from cocained.interfaces import IIsolate, INode, IWorkerHandle, IWorkerObserver
from cocained.isolates.process import ProcessArgs, ProcessIsolate
from twisted.internet.defer import Deferred, fail
from twisted.internet.threads import deferToThreadPool
from typing_extensions import override
from zope.interface import implementer

#: Where ``ip netns`` keeps namespaces.
NAMESPACES = "/run/netns"

#: Bytes of a namespace's name: it is that of a file.
MAX_NAME = 255

#: Seconds that entering a namespace may take; it takes a millisecond.
ENTER_TIMEOUT = 10.0

#: Characters that are repeated of what ``nsenter`` complains of.
COMPLAINT = 300


class NetnsArgs(ProcessArgs, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Arguments of the isolate ``netns``: one more than those of ``process``."""

    netns: Annotated[
        str,
        msgspec.Meta(
            min_length=1,
            max_length=MAX_NAME,
            description="Name of the network namespace, as ``ip netns list`` has it.",
        ),
    ]

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.netns in (".", "..") or "/" in self.netns or "\0" in self.netns:
            raise Invalid(
                ("netns", "must be a name as `ip netns list` shows it, not a path")
            )
        if self.sandbox != "none" and not self.bwrap.network:
            raise Invalid(
                ("netns", "has no effect in a sandbox without 'bwrap.network: true'")
            )


@implementer(IIsolate)
class NetnsIsolate(ProcessIsolate):
    """
    Type ``netns``.

    :ivar namespaces: directory of the namespaces.
    """

    Args = NetnsArgs
    namespaces = NAMESPACES

    def __init__(self, node: INode, name: str, args: NetnsArgs) -> None:
        super().__init__(node, name, args)
        self._netns = args.netns

    @property
    def _path(self) -> str:
        return os.path.join(self.namespaces, self._netns)

    @override
    def spool(self) -> Deferred[None]:
        """
        See that the namespace can be entered, then spool the code.

        :returns: fails with ``SpoolError`` naming the namespace and the remedy.
        """
        reactor = self.node.reactor
        entering = deferToThreadPool(reactor, reactor.getThreadPool(), self._thd_enter)
        return entering.addCallback(self._entered)

    def _entered(self, launcher: list[str]) -> Deferred[None]:
        self.launcher = launcher
        return super().spool()

    def _thd_enter(self) -> list[str]:
        """Enter the namespace once; give the words that do it."""
        if not os.path.exists(self._path):
            raise SpoolError(self._gone(), errno.ENOENT)
        nsenter = shutil.which("nsenter")
        if nsenter is None:
            raise SpoolError(
                "there is no program 'nsenter'; install the package util-linux",
                errno.ENOENT,
            )
        launcher = [os.path.abspath(nsenter), f"--net={self._path}", "--"]
        try:
            done = subprocess.run(
                [*launcher, "true"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=ENTER_TIMEOUT,
                check=False,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise self._refused(str(error)) from error
        if done.returncode:
            raise self._refused(done.stderr.decode("utf-8", "replace"))
        return launcher

    def _gone(self) -> str:
        return (
            f"there is no network namespace {self._netns!r}; make it with"
            f" `ip netns add {self._netns}`"
        )

    def _refused(self, complaint: str) -> SpoolError:
        return SpoolError(
            f"cannot enter the network namespace {self._netns!r}:"
            f" {complaint.strip()[-COMPLAINT:]!a}; the node must be root, and"
            f" {self._path} be made by `ip netns add {self._netns}`",
            errno.EPERM,
        )

    @override
    def spawn(
        self,
        executable: str,
        arguments: Mapping[str, str],
        environment: Mapping[str, str],
        observer: IWorkerObserver,
    ) -> Deferred[IWorkerHandle]:
        # A look at a file system in memory, which takes microseconds: without
        # it the worker would start, complain in its crash log, and end.
        if not os.path.exists(self._path):
            return fail(SpawnError(self._gone(), errno.ENOENT))
        return super().spawn(executable, arguments, environment, observer)
