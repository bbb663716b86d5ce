# -*- test-case-name: cocained.test.test_apps_publication -*-
"""
Whether clients can find an app: ``publish-on`` and ``unpublish-under``.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

from cocained.apps.documents import Profile
from cocained.apps.service import AppService, Served
from cocained.errors import CocainedError
from cocained.interfaces import IDirectory, IRemoteService

log = Logger()


@implementer(IRemoteService)
class _PublishedService(AppService):
    """The app service, as the directory wants it."""


class Publication:
    """
    The place of one app in the node's directory.

    :param directory: the node's.
    :param app: what is found there, under its name.

    :ivar is_on: whether it is there.
    """

    def __init__(self, directory: IDirectory, app: Served) -> None:
        self.is_on = False
        self._directory = directory
        self._service = _PublishedService(app)
        self._is_closed = False

    async def publish(self) -> None:
        """
        Let clients find the app.

        :raises CocainedError: the name is taken, or no port can be bound.
        """
        if not self.is_on and not self._is_closed:
            self.is_on = True
            try:
                await self._directory.expose(self._service.name, self._service)
            except CocainedError:
                self.is_on = False
                raise

    async def _unpublish(self) -> None:
        if self.is_on:
            self.is_on = False
            await self._directory.remove(self._service.name)

    async def close(self) -> None:
        """Let nobody find the app from now on."""
        self._is_closed = True
        await self._unpublish()

    def permit(self) -> None:
        """Undo :meth:`close`, and publish nothing by itself."""
        self._is_closed = False

    async def reopen(self, profile: Profile, active: int) -> None:
        """
        Let clients find the app again, if it has workers enough.

        :param profile: has the thresholds.
        :param active: how many there are.
        """
        self.permit()
        if active >= profile.publish_on:
            await self.publish()

    def population_changed(self, profile: Profile, active: int) -> None:
        """
        So many workers take events now.

        :param profile: has the thresholds.
        """
        if not profile.publish_on or self._is_closed:
            return
        if not self.is_on and active >= profile.publish_on:
            self._later(self.publish())
        elif self.is_on and active < profile.unpublish_under:
            self._later(self._unpublish())

    def release_changed(self, profile: Profile, active: int) -> None:
        """
        Another release serves now.

        :param profile: that of the new one; it may have other thresholds.
        :param active: its workers.
        """
        if profile.publish_on:
            self.population_changed(profile, active)
        else:
            self._later(self.publish())

    def _later(self, coroutine: Coroutine[Any, Any, None]) -> None:
        Deferred.fromCoroutine(coroutine).addErrback(
            lambda failure: log.error(
                "app {app} cannot be published: {error}",
                app=self._service.name,
                error=failure.value,
            )
        )
