# -*- test-case-name: cocained.test.test_clusters_zookeeper -*-
"""
The other nodes: who is listed, where they are, and who is really gone.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from cocained.clusters.announcement import endpoints_from
from cocained.errors import NoNode, RemoteProtocolError, UnicornError
from cocained.interfaces import (
    Children,
    ILinks,
    IScope,
    IUnicorn,
    IUnicornObserver,
    Versioned,
)

log = Logger()

#: Most members: each has a watch, a link and a connection of its own.
MEMBER_LIMIT = 4096

#: What a node is called; the original draws them so.
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")


@implementer(IUnicornObserver)
class Member:
    """
    One other node that is listed, or was a moment ago.

    :ivar is_linked: whether the links know of it.
    :ivar leaving: drops it, unless it is listed again before.
    """

    def __init__(self, members: Members, uuid: str) -> None:
        self.uuid = uuid
        self.is_linked = False
        self.leaving: IDelayedCall | None = None
        self._members = members
        self._scope: IScope | None = None
        self._later: IDelayedCall | None = None

    def follow(self) -> None:
        """See what it says, unless that is done already."""
        if self._later is not None:
            self._later.cancel()
            self._later = None
        if self._scope is None:
            self._scope = self._members.subscribe(self)

    def close(self) -> None:
        """Let go of everything but the link."""
        for call in (self._later, self.leaving):
            if call is not None and call.active():
                call.cancel()
        self._later = self.leaving = None
        if self._scope is not None:
            self._scope.close()
            self._scope = None

    def observed(self, state: Versioned) -> None:
        if state.version < 0:
            # Whether it is gone, the list of all tells.
            return
        try:
            endpoints = endpoints_from(state.value)
        except RemoteProtocolError as error:
            log.warn(
                "node {uuid} announces no addresses that can be used: {error}",
                uuid=self.uuid,
                error=error,
            )
        else:
            self.is_linked = True
            self._members.links.link(self.uuid, endpoints)

    def failed(self, error: UnicornError) -> None:
        self._scope = None
        if isinstance(error, NoNode):
            # Made anew a moment later, it is in the list as if nothing was.
            self.follow()
        else:
            self._later = self._members.later(self._again)

    def _again(self) -> None:
        self._later = None
        self.follow()


@implementer(IUnicornObserver)
class Members:
    """
    All other nodes.  While the list cannot be had, nobody is dropped.

    :param clock: the reactor's.
    :param unicorn: where.
    :param path: below it are the entries.
    :param links: what to tell.
    :param retry: seconds between attempts.
    :param grace: seconds after trouble during which a node that is not listed
        may come back.
    :param tried: called after each attempt with what went wrong, or ``None``.
    """

    def __init__(
        self,
        clock: IReactorTime,
        unicorn: IUnicorn,
        path: str,
        links: ILinks,
        retry: float,
        grace: float,
        tried: Callable[[UnicornError | None], object],
    ) -> None:
        self.links = links
        self._clock = clock
        self._unicorn = unicorn
        self._path = path
        self._retry = retry
        self._grace = grace
        self._tried = tried
        self._members: dict[str, Member] = {}
        self._scope: IScope | None = None
        self._later: IDelayedCall | None = None
        self._in_trouble = False
        self._patient_until = 0.0

    @property
    def uuids(self) -> list[str]:
        """Those that the links know of."""
        return sorted(m.uuid for m in self._members.values() if m.is_linked)

    def start(self) -> None:
        """List them, and go on with that."""
        self._later = None
        self._scope = self._unicorn.children_subscribe(self._path, self)

    def hurry(self) -> None:
        """Try again at once, if that is what is waited for."""
        if self._later is not None:
            self._later.cancel()
            self.start()

    def stop(self) -> None:
        """Tell nothing more."""
        if self._later is not None:
            self._later.cancel()
            self._later = None
        if self._scope is not None:
            self._scope.close()
            self._scope = None
        for member in self._members.values():
            member.close()

    # For a member

    def subscribe(self, member: Member) -> IScope:
        """Follow what a member says of itself."""
        return self._unicorn.subscribe(f"{self._path}/{member.uuid}", member)

    def later(self, function: Callable[[], None]) -> IDelayedCall:
        """Try something again."""
        return self._clock.callLater(self._retry, function)

    # IUnicornObserver

    def observed(self, state: Children) -> None:
        if self._in_trouble:
            self._in_trouble = False
            self._patient_until = self._clock.seconds() + self._grace
        listed = {name for name in state.names if _UUID.match(name)}
        listed.discard(self.links.uuid)
        if len(listed) > MEMBER_LIMIT:
            log.error(
                "{path} lists {count} nodes, of which {limit} are taken; see who makes"
                " them",
                path=self._path,
                count=len(listed),
                limit=MEMBER_LIMIT,
            )
            listed = set(sorted(listed)[:MEMBER_LIMIT])
        for uuid in sorted(self._members.keys() - listed):
            self._missing(self._members[uuid])
        for uuid in sorted(listed):
            self._listed(uuid)
        self._tried(None)

    def _listed(self, uuid: str) -> None:
        member = self._members.get(uuid)
        if member is None:
            member = self._members[uuid] = Member(self, uuid)
        elif member.leaving is not None:
            member.leaving.cancel()
            member.leaving = None
        member.follow()

    def _missing(self, member: Member) -> None:
        if member.leaving is not None:
            return
        wait = self._patient_until - self._clock.seconds()
        if wait > 0 and member.is_linked:
            member.leaving = self._clock.callLater(wait, self._drop, member)
        else:
            self._drop(member)

    def _drop(self, member: Member) -> None:
        member.leaving = None
        if self._in_trouble:
            # Who is gone will be seen when the list can be had again.
            return
        member.close()
        del self._members[member.uuid]
        if member.is_linked:
            self.links.drop(member.uuid)

    def failed(self, error: UnicornError) -> None:
        self._scope = None
        self._later = self._clock.callLater(self._retry, self.start)
        if isinstance(error, NoNode):
            # Before anybody is announced there is nothing to list, which is well;
            # but where there were nodes, all may have lost their entries.
            self._in_trouble = self._in_trouble or bool(self._members)
        else:
            self._in_trouble = True
            self._tried(error)
