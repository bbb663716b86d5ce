# -*- test-case-name: cocained.test.test_docker_client -*-
"""
Calls about containers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.logger import Logger

from cocained.docker.attachment import Attachment
from cocained.docker.calls import Calls, call
from cocained.docker.errors import DockerError
from cocained.docker.models import (
    Container,
    ContainerSummary,
    Created,
    Exit,
    Stats,
)
from cocained.docker.reference import container_name
from cocained.docker.requests import (
    Parameter,
    Request,
    label_filters,
    to_filters,
    to_json,
)
from cocained.docker.stream import Demultiplexer, Output, Terminal
from cocained.docker.transport import MAX_REFUSAL

OnOutput = Callable[[bytes], None]

#: Seconds that an engine gives a container between SIGTERM and SIGKILL.
STOP_SECONDS = 10

#: Seconds that ``stop`` may take beyond that: killing, and taking mounts away.
STOP_EXTRA = 30.0


class ContainerCalls(Calls):
    """
    Their life from ``create`` to ``remove``.

    A container is given by name or identifier.  All raise
    :exc:`.NotFound` if there is none, and :exc:`.Conflict` if its state does
    not allow what is asked.
    """

    log = Logger()

    @call
    async def create(self, config: Mapping[str, Any], name: str | None = None) -> str:
        """
        Make a container; it does not run yet.

        :param config: as the API has it, such as ``{"Image": …, "Cmd": […],
            "Labels": {…}, "HostConfig": {…}}``.
        :param name: or the engine invents one.
        :returns: its identifier.
        :raises NotFound: there is no such image.
        :raises Conflict: the name is taken.
        """
        what = f"container {container_name(name)!r}" if name else "a container"
        request = Request(
            f"create {what} of image {config.get('Image')!r}",
            "POST",
            "/containers/create",
            {"name": name},
            body=to_json(dict(config)),
        )
        created = await self._transport.fetch(request, Created)
        for warning in created.warnings:
            self.log.warn(
                "{engine}: {asked}: {words}",
                engine=str(self._transport.address),
                asked=request.asked,
                words=warning,
            )
        return created.id

    @call
    async def start(self, container: str) -> None:
        """Run it; one that runs already goes on."""
        await self._do("start", container)

    @call
    async def kill(self, container: str, signal: str | int = "SIGKILL") -> None:
        """
        Send a signal.

        :raises Conflict: it does not run.
        """
        await self._do("kill", container, {"signal": str(signal)})

    @call
    async def stop(self, container: str, seconds: int = STOP_SECONDS) -> None:
        """
        End it: SIGTERM, and SIGKILL if that does not help.

        :param seconds: between them.
        """
        await self._do("stop", container, {"t": seconds}, timeout=seconds + STOP_EXTRA)

    @call
    async def remove(
        self, container: str, force: bool = False, volumes: bool = True
    ) -> None:
        """
        Remove it.

        :param force: whether to kill it first if it runs.
        :param volumes: whether its anonymous volumes go with it.
        """
        await self._transport.call(
            Request(
                f"remove container {container!r}",
                "DELETE",
                f"/containers/{container_name(container)}",
                {"force": force, "v": volumes},
            )
        )

    @call
    async def inspect(self, container: str) -> Container:
        """Ask about one."""
        return await self._transport.fetch(
            self._about("inspect", "json", container), Container
        )

    @call
    async def containers(
        self, labels: Mapping[str, str | None] | None = None, all: bool = False
    ) -> list[ContainerSummary]:
        """
        List containers.

        :param labels: which they must have, ``None`` for any value.
        :param all: whether to list those that do not run, too.
        """
        query: dict[str, Parameter] = {
            "all": all,
            "filters": to_filters(label_filters(labels or {})),
        }
        return await self._transport.fetch(
            Request("list containers", "GET", "/containers/json", query),
            list[ContainerSummary],
        )

    @call
    async def stats(self, container: str) -> Stats:
        """Ask what it uses now; engines before 20.10 need two seconds for that."""
        query = {"stream": False, "one-shot": True}
        return await self._transport.fetch(
            self._about("ask for statistics of", "stats", container, query), Stats
        )

    @call
    async def wait(self, container: str, condition: str = "not-running") -> Exit:
        """
        Wait until it has ended, for as long as that takes.

        :param condition: ``not-running``, which holds at once for one that has
            ended, ``next-exit`` or ``removed``.
        """
        answer = bytearray()

        def feed(data: bytes) -> None:
            answer.extend(data[: MAX_REFUSAL - len(answer)])

        request = Request(
            f"wait for container {container!r}",
            "POST",
            f"/containers/{container_name(container)}/wait",
            {"condition": condition},
            # Podman, and engines before 17.06, answer nothing before the end.
            timeout=0,
        )
        stream = await self._transport.open(request, feed, lambda: None)
        try:
            await stream.when_closed()
        finally:
            stream.cancel()
        return self._transport.decoded(request, bytes(answer), Exit)

    @call
    async def attach(
        self,
        container: str,
        on_stdout: OnOutput,
        on_stderr: OnOutput,
        *,
        tty: bool = False,
        logs: bool = False,
    ) -> Attachment:
        """
        Hear what it prints, from now on and until it ends.

        Attached to before its start, nothing is missed.  The stream ends with
        its connection, so that an engine that dies looks like a container that
        ends: only :meth:`wait` and :meth:`inspect` tell which it was.

        :param on_stdout: takes pieces as they come; what it raises ends the
            stream.
        :param on_stderr: the same.
        :param tty: whether it was created with a terminal; *on_stdout* then
            takes everything.
        :param logs: whether what it has printed before comes first.
        :returns: fires once the engine has attached us.
        """
        request = Request(
            f"attach to container {container!r}",
            "POST",
            f"/containers/{container_name(container)}/attach",
            {"stream": True, "stdout": True, "stderr": True, "logs": logs},
        )
        return await self._listen(request, on_stdout, on_stderr, tty)

    @call
    async def logs(
        self,
        container: str,
        on_stdout: OnOutput,
        on_stderr: OnOutput,
        *,
        tty: bool = False,
        follow: bool = False,
        tail: int | None = None,
        since: float | None = None,
        timestamps: bool = False,
    ) -> Attachment:
        """
        Read what it has printed.

        :param follow: whether to go on until it ends.
        :param tail: lines from the end, ``None`` for all.
        :param since: seconds of UNIX time.
        :param timestamps: whether each line begins with its time.
        """
        request = Request(
            f"read the log of container {container!r}",
            "GET",
            f"/containers/{container_name(container)}/logs",
            {
                "stdout": True,
                "stderr": True,
                "follow": follow,
                "tail": tail,
                "since": None if since is None else f"{since:.9f}",
                "timestamps": timestamps,
            },
        )
        return await self._listen(request, on_stdout, on_stderr, tty)

    async def _listen(
        self, request: Request, on_stdout: OnOutput, on_stderr: OnOutput, tty: bool
    ) -> Attachment:
        parser = Terminal() if tty else Demultiplexer()

        def feed(data: bytes) -> None:
            for output, piece in parser.feed(data):
                if output is Output.ENGINE:
                    raise self._complaint(request, piece)
                (on_stderr if output is Output.STDERR else on_stdout)(piece)

        return await self._transport.open(request, feed, parser.finish)

    def _complaint(self, request: Request, piece: bytes) -> DockerError:
        return DockerError(
            piece.decode(errors="replace").strip(),
            asked=request.asked,
            engine=str(self._transport.address),
        )

    async def _do(
        self,
        verb: str,
        container: str,
        query: Mapping[str, Parameter] | None = None,
        timeout: float | None = None,
    ) -> None:
        await self._transport.call(
            Request(
                f"{verb} container {container!r}",
                "POST",
                f"/containers/{container_name(container)}/{verb}",
                query or {},
                timeout=timeout,
            )
        )

    def _about(
        self,
        verb: str,
        part: str,
        container: str,
        query: Mapping[str, Parameter] | None = None,
    ) -> Request:
        return Request(
            f"{verb} container {container!r}",
            "GET",
            f"/containers/{container_name(container)}/{part}",
            query or {},
        )
