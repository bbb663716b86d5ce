# -*- test-case-name: cocained.test.live.test_gateways_nftables -*-
"""
A gateway in a process of its own, told what to do by lines::

    python balancer.py '{"type": …, "args": …, "network": …, …}'
    python balancer.py

Each line of the input is a JSON list, a method and its arguments; each is
answered by a line.  The first line of the output says that it is ready, or why
not; the end of the input ends it in order.

Without an argument such settings are a line of the input.  Each of these gets a
process of its own, one after the other, and all share what has been imported.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.stdio import StandardIO
from twisted.internet.task import react
from twisted.logger import globalLogBeginner, textFileLogObserver
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure
from typing_extensions import override

from cocained.config import loads
from cocained.errors import CocainedError
from cocained.node import Node
from cocained.repository import Entry, Repository
from twisted.plugins import cocained_builtins

#: A service with one method, as the locator would give it.
GRAPH = {0: ("m", {}, {0: ("value", {}), 1: ("error", {})})}


class Feed(LineOnlyReceiver):
    """
    The conversation on the standard streams.

    :param gateway: what it is about.

    :ivar ended: fires at the end of the input.
    """

    delimiter = b"\n"

    def __init__(self, gateway: Any) -> None:
        self._gateway = gateway
        self.ended: Deferred[None] = Deferred()

    @override
    def lineReceived(self, line: bytes) -> None:
        method, *arguments = json.loads(line)
        if method == "stop":
            self.ended.callback(None)
            return
        try:
            answer = getattr(self, method)(*arguments)
        except CocainedError as error:
            answer = {"error": str(error)}
        self.say(answer)

    def say(self, answer: Any) -> None:
        """Write a line, at once."""
        print(json.dumps(answer), flush=True)

    def consume(self, uuid: str, name: str, endpoints: Any, extra: Any) -> None:
        """A node has a service."""
        pairs = [(host, port) for host, port in endpoints]
        self._gateway.consume(uuid, name, pairs, 1, GRAPH, extra)

    def cleanup(self, uuid: str, name: str | None) -> None:
        """A node has it no more, or none at all."""
        self._gateway.cleanup(uuid, name)

    def resolve(self, name: str) -> Any:
        """Ask where a service is."""
        found = self._gateway.resolve(name)
        return None if found is None else list(found[0])

    def report(self) -> Any:
        """Ask how the gateway is."""
        return dict(self._gateway.report())

    def pid(self) -> int:
        """Ask for the process."""
        return os.getpid()

    @override
    def connectionLost(self, reason: Failure | None = None) -> None:
        if not self.ended.called:
            self.ended.callback(None)


async def main(reactor: Any, text: str) -> None:
    """Be a node with nothing but a gateway."""
    settings = json.loads(text)
    gateway_type, args = settings.pop("type"), settings.pop("args")
    node = Node(reactor, loads(json.dumps(settings)), _builtins(), _raise)
    os.makedirs(node.runtime, exist_ok=True)
    gateway = node.component("gateway", gateway_type, "locator:gateway", args)
    feed = Feed(gateway)
    # It would make the output one that does not block.
    StandardIO(feed, stdout=os.open(os.devnull, os.O_WRONLY))
    try:
        await gateway.start()
    except CocainedError as error:
        feed.say({"error": str(error)})
    else:
        feed.say("ready")
        await feed.ended
    await gateway.stop()
    await node.directory.close()
    feed.say("stopped")


def _builtins() -> Repository:
    """Give what we ship, without a search among all that Twisted has."""
    entries = vars(cocained_builtins).values()
    return Repository(each for each in entries if isinstance(each, Entry))


def _raise(failure: Failure) -> None:
    failure.raiseException()


def run(text: str) -> None:
    """Be such a node until it is over."""
    globalLogBeginner.beginLoggingTo(
        [textFileLogObserver(sys.stderr)], redirectStandardIO=False
    )
    react(lambda reactor: Deferred.fromCoroutine(main(reactor, text)))


def serve() -> None:
    """Be one such node after the other."""
    # What each would import.

    import cocained.gateways.kernel.ipvs  # noqa: F401

    print(json.dumps("serving"), flush=True)
    # The lines behind the first are the child's.
    with open(0, "rb", buffering=0, closefd=False) as lines:
        while line := lines.readline():
            child = os.fork()
            if not child:
                run(line.decode())
            os.waitpid(child, 0)
            # What the child did to its input it did to ours.
            os.set_blocking(0, True)
            print(json.dumps("over"), flush=True)


if __name__ == "__main__":
    if sys.argv[1:]:
        run(sys.argv[1])
    else:
        serve()
