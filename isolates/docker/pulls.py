# -*- test-case-name: cocained.test.test_isolates_docker_pulls -*-
"""
Images on their way from a registry: each once, for all who wait for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from cocained.docker import DockerClient, Progress, Reference, RegistryAuth
from cocained.docker.models import Image

log = Logger()

#: Seconds between two lines of the log about one pull.
INTERVAL = 5.0

#: Layers of an image that are followed; engines make no more than 127.
MAX_LAYERS = 256

#: What an engine says of a layer that is to be fetched, or has been.  Those that
#: it has already do not count.
DONE = frozenset(("Download complete", "Pull complete", "Extracting"))
FETCHING = "Downloading"
ANNOUNCED = frozenset(("Pulling fs layer", "Waiting", FETCHING, "Verifying Checksum"))


class Course:
    """
    How far a pull is; pure.

    Layers are announced first, and their sizes become known one by one.
    """

    def __init__(self) -> None:
        #: bytes done and bytes to do, by layer
        self._layers: dict[str, tuple[int, int]] = {}
        self._percent = 0

    @property
    def percent(self) -> int:
        """Percent of the bytes, 0…100; never less than before."""
        return self._percent

    def follow(self, step: Progress) -> None:
        """Take one step."""
        known = step.status in DONE or step.status in ANNOUNCED
        if not known or not step.id:
            return
        if step.id not in self._layers and len(self._layers) >= MAX_LAYERS:
            return
        done, whole = self._layers.get(step.id, (0, 0))
        if step.status == FETCHING:
            whole = step.total or whole
            done = min(step.current or done, whole)
        elif step.status in DONE:
            # The size of a small one may never be told: it counts as a byte.
            done = whole = whole or 1
        self._layers[step.id] = done, whole
        sized = [layer for layer in self._layers.values() if layer[1]]
        if sized:
            share = sum(done for done, _ in sized) / sum(whole for _, whole in sized)
            percent = int(100 * share * len(sized) / len(self._layers))
            self._percent = max(self._percent, percent)


class Pull:
    """
    One pull, and who waits for it.

    :param clock: the reactor's.
    :param reference: of the image.
    :param finished: called when it is over, in whatever way.
    """

    def __init__(
        self, clock: IReactorTime, reference: Reference, finished: Callable[[], None]
    ) -> None:
        self._clock = clock
        self._reference = reference
        self._finished = finished
        self._course = Course()
        self._told = clock.seconds()
        self._status = ""
        self._waiting: list[Deferred[Image]] = []
        self._pulling: Deferred[Image] | None = None

    def begin(self, client: DockerClient, auth: RegistryAuth | None) -> None:
        """Ask the engine; called once."""
        log.info("pulling {image}", image=str(self._reference))
        self._pulling = client.pull(self._reference, auth, self._follow)
        self._pulling.addBoth(self._over)

    @property
    def progress(self) -> dict[str, Any]:
        """How far it is, for people (``text``) and programs (``percent``)."""
        percent = self._course.percent
        return {
            "text": f"pulling {self._reference}: {percent} %",
            "percent": percent,
        }

    def join(self) -> Deferred[Image]:
        """
        Wait for it.

        :returns: fires with the image.  When all who wait have cancelled, the
            pull is cancelled, too.
        """
        waiting: Deferred[Image] = Deferred(self._leave)
        self._waiting.append(waiting)
        return waiting

    def _leave(self, waiting: Deferred[Image]) -> None:
        self._waiting.remove(waiting)
        if not self._waiting and self._pulling is not None:
            log.info("nobody waits for {image} any more", image=str(self._reference))
            # Who comes now begins anew.
            self._finished()
            self._pulling.cancel()

    def _follow(self, step: Progress) -> None:
        self._status = step.status or self._status
        self._course.follow(step)
        now = self._clock.seconds()
        if now - self._told >= INTERVAL:
            self._told = now
            log.info("{text}", text=self.progress["text"])

    def _over(self, result: Image | Failure) -> None:
        self._finished()
        if isinstance(result, Image):
            log.info(
                "pulled {image}: {status}",
                image=str(self._reference),
                status=self._status or "it is there",
            )
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if isinstance(result, Failure):
                each.errback(result)
            else:
                each.callback(result)


class Pulls:
    """
    All pulls from one engine.

    :param clock: the reactor's.
    :param client: of the engine.
    """

    def __init__(self, clock: IReactorTime, client: DockerClient) -> None:
        self._clock = clock
        self._client = client
        self._running: dict[tuple[str, RegistryAuth | None], Pull] = {}

    def pull(self, reference: Reference, auth: RegistryAuth | None) -> Pull:
        """Give the pull of an image, which may be under way for others."""
        key = str(reference), auth
        pull = self._running.get(key)
        if pull is None:
            pull = Pull(self._clock, reference, lambda: self._forget(key, pull))
            self._running[key] = pull
            pull.begin(self._client, auth)
        return pull

    def _forget(self, key: tuple[str, RegistryAuth | None], pull: Pull | None) -> None:
        # Another one may have begun since.
        if self._running.get(key) is pull:
            del self._running[key]
