# -*- test-case-name: cocained.test.test_isolates_docker -*-
"""
The docker isolate of one app.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger
from typing_extensions import override
from zope.interface import implementer

from cocained.component import Component
from cocained.docker import Reference
from cocained.docker.errors import DockerError, NotFound
from cocained.docker.models import Image
from cocained.errors import SpawnError, SpoolError
from cocained.interfaces import (
    ICodeVersion,
    IDoor,
    IIsolate,
    INode,
    ISpoolProgress,
    IWorkerHandle,
    IWorkerObserver,
)
from cocained.isolates.docker import checks, orphans
from cocained.isolates.docker.container import Container
from cocained.isolates.docker.creation import Order
from cocained.isolates.docker.dock import Dock
from cocained.isolates.docker.graves import Graves
from cocained.isolates.docker.keys import DockerArgs
from cocained.isolates.docker.pulls import Pull
from cocained.isolates.docker.words import explained

log = Logger()

#: Seconds in which the engine may remove what is left of an app that stops.
#: Removing one takes a tenth; what takes longer goes on in the background.
STOP_PATIENCE = 10.0


@implementer(IIsolate, ICodeVersion, ISpoolProgress)
class DockerIsolate(Component[DockerArgs]):
    """Types ``docker`` and ``legacy_docker``."""

    Args = DockerArgs

    def __init__(self, node: INode, name: str, args: DockerArgs) -> None:
        super().__init__(node, name, args)
        self._dock = Dock.of(node)
        self._client, self._pulls = self._dock.engine(args.endpoint)
        self._graves = Graves(
            node.reactor, lambda each: self._client.remove(each, force=True)
        )
        self._pull: Pull | None = None
        self._image: Image | None = None
        self._has_entered = False
        self._door: IDoor | None = None

    @property
    def progress(self) -> Mapping[str, Any] | None:
        return None if self._pull is None else self._pull.progress

    # Spool

    def spool(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._spool())

    async def _spool(self) -> None:
        reference = checks.find_reference(self.args, self.name)
        await self._dock.in_thread(checks.check_binds, self.args, self._dock.runtime)
        try:
            await self._dock.enter()
        except OSError as error:
            raise SpoolError(
                f"cannot write into {self._dock.runtime}: {error.strerror}; let the"
                " node's user do so (paths.runtime)",
                error.errno or errno.EIO,
            ) from error
        self._has_entered = True
        try:
            checks.check_api(await self._client.api_version())
            await self._sweep()
        except DockerError as error:
            raise explained(SpoolError, "cannot use the engine", error) from error
        image = await self._find(reference)
        self._open_door()
        self._image = image
        log.info(
            "app {app} runs image {image}, {id}",
            app=self.name,
            image=str(reference),
            id=image.id,
        )

    def _open_door(self) -> None:
        """Let workers that have no network call what they may."""
        if not self.args.admitted:
            return
        self._door = self.node.directory.open_door(
            # As the engine names it.
            os.path.join(self._dock.runtime, f"{self.name}.{os.getpid()}.door"),
            self.args.admitted,
            self.args.door_path,
            gid=checks.workers_group(os.geteuid(), os.getegid()),
        )

    async def _sweep(self) -> None:
        """Remove what dead nodes have left, while the app goes on to start."""
        for orphan in await self._dock.find_orphans(self._client):
            log.info(
                "removing container {name} of app {app}, whose node is gone",
                name=(orphan.names or [orphan.id])[0].lstrip("/"),
                app=orphan.labels.get(orphans.APP, ""),
            )
            self._graves.bury(orphan.id)

    async def _find(self, reference: Reference) -> Image:
        """
        Get the image.

        :raises SpoolError: it cannot be had; with the engine's words.
        """
        args = self.args
        present: Image | None = None
        if args.policy != "always" or reference.digest:
            try:
                present = await self._client.inspect_image(reference)
            except NotFound:
                present = None
            except DockerError as error:
                raise explained(
                    SpoolError, f"cannot find {reference}", error
                ) from error
        if present is not None:
            return present
        if args.policy == "never":
            why = (
                "the profile names no 'registry'"
                if args.registry is None
                else "'pull' is 'never'"
            )
            raise SpoolError(
                f"the engine has no image {reference}, and {why}: build or load it"
                " there, or have it pulled",
                NotFound.code,
            )
        self._pull = self._pulls.pull(reference, args.auth)
        try:
            return await self._pull.join()
        except DockerError as error:
            raise explained(SpoolError, f"cannot pull {reference}", error) from error
        finally:
            self._pull = None

    # Updates

    def code_version(self) -> Deferred[str]:
        return Deferred.fromCoroutine(self._code_version())

    async def _code_version(self) -> str:
        """
        Say which image :meth:`spool` would take.

        A tag that is pulled only if it is missing, and a digest, are what they
        are: nobody has to be asked.
        """
        reference = checks.find_reference(self.args, self.name)
        try:
            if self.args.policy == "never":
                return (await self._client.inspect_image(reference)).id
            if self.args.policy == "always" and not reference.digest:
                return await self._client.registry_digest(reference, self.args.auth)
        except NotFound:
            # The spool will say so, if it is not that the engine cannot ask.
            return ""
        except DockerError as error:
            raise explained(SpoolError, f"cannot find {reference}", error) from error
        return ""

    # Spawn

    def spawn(
        self,
        executable: str,
        arguments: Mapping[str, str],
        environment: Mapping[str, str],
        observer: IWorkerObserver,
    ) -> Deferred[IWorkerHandle]:
        if self._image is None:
            return fail(SpawnError(f"app {self.name!r} has not been spooled"))
        worker = arguments["--uuid"]
        try:
            group = checks.open_socket(
                arguments["--endpoint"], os.geteuid(), os.getegid()
            )
        except SpawnError as error:
            return fail(error)
        endpoint = os.path.realpath(arguments["--endpoint"])
        arguments = {**arguments, "--endpoint": endpoint}
        if self._door is not None:
            arguments["--locator"] = self._door.locator
        order = Order(
            image=self._image.id,
            executable=executable,
            arguments=arguments,
            environment=environment,
            labels=orphans.labels(
                self.name, self.node.uuid, self._dock.runtime, worker
            ),
            group=group,
            door=None if self._door is None else self._door.path,
        )
        container = Container(
            self.node.reactor,
            self._client,
            self.args,
            f"cocained-{worker}",
            order,
            observer,
            self._graves.bury,
        )
        return container.spawn()

    # The end

    @override
    def stop(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        tried = self._graves.when_tried()
        tried.addTimeout(STOP_PATIENCE, self.node.reactor, lambda *_: None)
        await tried
        if len(self._graves):
            log.warn(
                "{count} containers of app {app} are not removed yet",
                count=len(self._graves),
                app=self.name,
            )
        if self._door is not None:
            door, self._door = self._door, None
            await door.close()
        if self._has_entered:
            self._has_entered = False
            await self._dock.leave()
