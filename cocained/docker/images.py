# -*- test-case-name: cocained.test.test_docker_client -*-
"""
Calls about images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cocained.docker.auth import RegistryAuth
from cocained.docker.calls import Calls, call
from cocained.docker.errors import ImageError
from cocained.docker.models import Created, Distribution, Image, ImageSummary
from cocained.docker.progress import Complaint, Progress, ProgressParser
from cocained.docker.reference import (
    Reference,
    container_name,
    image_name,
    parse_reference,
)
from cocained.docker.requests import (
    TAR,
    Request,
    label_filters,
    quoted,
    to_filters,
    to_json,
)

OnProgress = Callable[[Progress], None]


class _Course:
    """
    Watches over a pull, push, build or import.

    :param request: what it began with.
    :param engine: its address, for errors.
    :param on_progress: hears of each step.
    """

    def __init__(
        self, request: Request, engine: str, on_progress: OnProgress | None
    ) -> None:
        self._parser = ProgressParser()
        self._request = request
        self._engine = engine
        self._on_progress = on_progress
        self.image = ""
        self.digest = ""
        self.status = ""

    def feed(self, data: bytes) -> None:
        self._follow(self._parser.feed(data))

    def finish(self) -> None:
        self._follow(self._parser.finish())

    def _follow(self, steps: list[Progress | Complaint]) -> None:
        for step in steps:
            if isinstance(step, Complaint):
                raise ImageError(
                    step.message, asked=self._request.asked, engine=self._engine
                )
            self.image = step.image or self.image
            self.digest = step.digest or self.digest
            self.status = step.status or self.status
            if self._on_progress is not None:
                self._on_progress(step)


class ImageCalls(Calls):
    """
    Pull, push, build and the like.

    Those that stream their progress may take as long as they like, but not be
    silent for longer than the client's ``idle_timeout``; what ``on_progress``
    raises ends them.
    """

    async def _run(self, request: Request, on_progress: OnProgress | None) -> _Course:
        idle = self._transport.idle_timeout
        course = _Course(request, str(self._transport.address), on_progress)
        stream = await self._transport.open(request, course.feed, course.finish, idle)
        try:
            await stream.when_closed()
        finally:
            stream.cancel()
        return course

    @call
    async def pull(
        self,
        reference: str | Reference,
        auth: RegistryAuth | None = None,
        on_progress: OnProgress | None = None,
    ) -> Image:
        """
        Fetch an image from its registry.

        :param reference: without tag and digest it means ``latest``.
        :param auth: goes before the client's own credentials.
        :returns: the image as the engine has it now.
        :raises ImageError: it failed after it had begun.
        """
        wanted = _parsed(reference).pinned()
        request = Request(
            f"pull {wanted}",
            "POST",
            "/images/create",
            {"fromImage": wanted.repository, "tag": wanted.digest or wanted.tag},
            {"X-Registry-Auth": self._credentials.header(wanted, auth)},
            timeout=self._transport.idle_timeout,
        )
        await self._run(request, on_progress)
        return await self._inspect(str(wanted))

    @call
    async def registry_digest(
        self, reference: str | Reference, auth: RegistryAuth | None = None
    ) -> str:
        """
        Ask a registry which image it has, without fetching that; API 1.30.

        :param reference: without tag and digest it means ``latest``.
        :param auth: goes before the client's own credentials.
        :returns: digest of the manifest, or of the list of manifests.
        :raises NotFound: there is none, or the engine cannot ask (Podman).
        """
        wanted = _parsed(reference).pinned()
        request = Request(
            f"ask the registry for {wanted}",
            "GET",
            f"/distribution/{quoted(str(wanted))}/json",
            headers={"X-Registry-Auth": self._credentials.header(wanted, auth)},
        )
        return (await self._transport.fetch(request, Distribution)).descriptor.digest

    @call
    async def push(
        self,
        reference: str | Reference,
        auth: RegistryAuth | None = None,
        on_progress: OnProgress | None = None,
    ) -> str:
        """
        Send an image to the registry that its name begins with.

        :param reference: without tag it means ``latest``.
        :param auth: goes before the client's own credentials.
        :returns: digest of the manifest; empty if the engine does not tell.
        :raises ImageError: it failed after it had begun.
        """
        wanted = _parsed(reference).pinned()
        request = Request(
            f"push {wanted}",
            "POST",
            f"/images/{quoted(wanted.repository)}/push",
            {"tag": wanted.tag or None},
            {"X-Registry-Auth": self._credentials.header(wanted, auth)},
            timeout=self._transport.idle_timeout,
        )
        return (await self._run(request, on_progress)).digest

    @call
    async def build(
        self,
        context: bytes | Path,
        tag: str | Reference | None = None,
        dockerfile: str = "Dockerfile",
        on_progress: OnProgress | None = None,
        *,
        arguments: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        pull: bool = False,
        no_cache: bool = False,
        network: str | None = None,
    ) -> Image:
        """
        Build an image.

        :param context: a tar archive, or the file that has it.
        :param tag: name of the image.
        :param dockerfile: path inside of *context*.
        :param on_progress: what steps print is in ``text``.
        :param arguments: of the build.
        :param labels: of the image.
        :param pull: whether to look for a newer base image.
        :param no_cache: whether to repeat steps done before.
        :param network: of the steps, such as ``none``.
        :raises ImageError: a step failed, in the engine's words.
        """
        name = None if tag is None else str(_parsed(tag).pinned())
        request = Request(
            f"build {name or 'an image'}",
            "POST",
            "/build",
            {
                "t": name,
                "dockerfile": dockerfile,
                "buildargs": to_json(dict(arguments or {})).decode(),
                "labels": to_json(dict(labels or {})).decode(),
                "pull": pull,
                "nocache": no_cache,
                "networkmode": network,
                # Leave no containers of steps behind, whatever becomes of them.
                "rm": True,
                "forcerm": True,
            },
            {"X-Registry-Config": self._credentials.all()},
            body=context,
            content_type=TAR,
            timeout=self._transport.idle_timeout,
        )
        course = await self._run(request, on_progress)
        built = course.image or name
        if built is None:
            raise ImageError(
                "it does not say which image it has built",
                asked=request.asked,
                engine=str(self._transport.address),
                remedy="give the image a tag",
            )
        return await self._inspect(built)

    @call
    async def import_image(
        self,
        root: bytes | Path,
        tag: str | Reference,
        changes: Sequence[str] = (),
        on_progress: OnProgress | None = None,
    ) -> Image:
        """
        Make an image of a root file system.

        :param root: a tar archive, or the file that has it.
        :param tag: name of the image.
        :param changes: lines of a Dockerfile, such as ``ENV A=b``.
        """
        wanted = _parsed(tag).pinned()
        request = Request(
            f"import {wanted}",
            "POST",
            "/images/create",
            {
                "fromSrc": "-",
                "repo": wanted.repository,
                "tag": wanted.tag,
                "changes": changes,
            },
            body=root,
            content_type=TAR,
            timeout=self._transport.idle_timeout,
        )
        await self._run(request, on_progress)
        return await self._inspect(str(wanted))

    @call
    async def commit(
        self,
        container: str,
        tag: str | Reference,
        changes: Sequence[str] = (),
        comment: str = "",
    ) -> str:
        """
        Make an image of a container as it is now; it stands still meanwhile.

        :param tag: name of the image.
        :param changes: lines of a Dockerfile.
        :returns: identifier of the image.
        """
        wanted = _parsed(tag).pinned()
        request = Request(
            f"commit container {container!r} as {wanted}",
            "POST",
            "/commit",
            {
                "container": container_name(container),
                "repo": wanted.repository,
                "tag": wanted.tag,
                "changes": changes,
                "comment": comment or None,
            },
            body=to_json({}),
            # It answers when all is written, and is silent until then.
            timeout=self._transport.idle_timeout,
        )
        return (await self._transport.fetch(request, Created)).id

    @call
    async def tag(self, image: str, reference: str | Reference) -> None:
        """
        Give an image one more name.

        :param image: a name or an identifier.
        """
        wanted = _parsed(reference).pinned()
        await self._transport.call(
            Request(
                f"tag image {image!r} as {wanted}",
                "POST",
                f"/images/{quoted(image_name(image))}/tag",
                {"repo": wanted.repository, "tag": wanted.tag},
            )
        )

    @call
    async def inspect_image(self, image: str | Reference) -> Image:
        """
        Ask about an image.

        :param image: a name or an identifier.
        :raises NotFound: the engine does not have it.
        """
        return await self._inspect(image_name(image))

    async def _inspect(self, image: str) -> Image:
        request = Request(
            f"inspect image {image!r}", "GET", f"/images/{quoted(image)}/json"
        )
        return await self._transport.fetch(request, Image)

    @call
    async def images(
        self, labels: Mapping[str, str | None] | None = None
    ) -> list[ImageSummary]:
        """
        List images.

        :param labels: which they must have, ``None`` for any value.
        """
        query = {"filters": to_filters(label_filters(labels or {}))}
        return await self._transport.fetch(
            Request("list images", "GET", "/images/json", query), list[ImageSummary]
        )

    @call
    async def remove_image(self, image: str | Reference, force: bool = False) -> None:
        """
        Take a name from an image; the last one takes its layers along.

        :param image: a name or an identifier.
        :param force: whether stopped containers of it, or several names, matter
            not.
        :raises Conflict: a container needs it.
        """
        name = image_name(image)
        await self._transport.call(
            Request(
                f"remove image {name!r}",
                "DELETE",
                f"/images/{quoted(name)}",
                {"force": force},
            )
        )


def _parsed(reference: Any) -> Reference:
    return reference if isinstance(reference, Reference) else parse_reference(reference)
