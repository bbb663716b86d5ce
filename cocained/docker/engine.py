# -*- test-case-name: cocained.test.test_docker_client -*-
"""
Calls about the engine itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from cocained.docker.attachment import Attachment
from cocained.docker.calls import Calls, call
from cocained.docker.lines import Lines
from cocained.docker.models import Event, Info, Version, decode_event
from cocained.docker.requests import Request, to_filters


class EngineCalls(Calls):
    """Version, health and events."""

    @call
    async def version(self) -> Version:
        """
        Ask who the engine is; it is asked once, and again after it was away.

        :raises UnsupportedEngine: no version of the API is common to both.
        """
        return await self._transport.version()

    @call
    async def api_version(self) -> str:
        """Give the version of the API that is spoken, such as ``1.41``."""
        return await self._transport.spoken()

    @call
    async def ping(self) -> None:
        """See that the engine answers."""
        await self._transport.call(Request("ping", "GET", "/_ping", versioned=False))

    @call
    async def info(self) -> Info:
        """Ask about the engine's machine."""
        return await self._transport.fetch(
            Request("ask for information", "GET", "/info"), Info
        )

    @call
    async def events(
        self,
        on_event: Callable[[Event], None],
        filters: Mapping[str, Sequence[str]] | None = None,
        since: float | None = None,
        until: float | None = None,
    ) -> Attachment:
        """
        Hear of what happens, from now on.

        There is no limit of time: an engine may be quiet for days.

        :param on_event: called for each; what it raises ends the stream.
        :param filters: such as ``{"type": ["container"], "label": ["a=b"]}``;
            all keys must fit, and of each key one value.
        :param since: seconds of UNIX time; what happened after it comes first.
        :param until: seconds of UNIX time at which the stream ends.
        :returns: fires once the engine listens: nothing is missed after that.
        """
        lines = Lines()

        def feed(data: bytes) -> None:
            for line in lines.feed(data):
                on_event(decode_event(line))

        def finish() -> None:
            for line in lines.finish():
                on_event(decode_event(line))

        request = Request(
            "listen to events",
            "GET",
            "/events",
            {
                "filters": to_filters(filters or {}),
                "since": None if since is None else f"{since:.9f}",
                "until": None if until is None else f"{until:.9f}",
            },
        )
        return await self._transport.open(request, feed, finish)
