# -*- test-case-name: cocained.test.test_docs_examples -*-
"""
The examples of ``docs/extending.rst``: they load, are what they say, and work.
"""

from __future__ import annotations

import errno
import json
import os
import runpy
import socket
import sys
from collections.abc import Iterable, Mapping
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.logger import LogLevel
from twisted.python.reflect import namedAny
from twisted.trial.unittest import SkipTest, SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from cocained import interfaces
from cocained.errors import ConfigError, SpawnError, SpoolError, StorageError
from cocained.interfaces import IEventSink, IWorkerObserver
from cocained.repository import Repository
from cocained.rpc.graph import STREAMING
from cocained.rpc.session import CHANNEL_LIMIT
from cocained.testing import FakeNode, MemoryLinks
from cocained.testing.contracts import MemoryObserver
from cocained.unicorns.memory import MemoryUnicorn

DOCS = os.path.join(
    os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "docs"
)
EXAMPLES = os.path.join(DOCS, "examples")
DROPIN = os.path.join(EXAMPLES, "twisted", "plugins", "example_cocained.py")

#: A distribution of its own, and what tools leave in it.
DISTRIBUTION = os.path.join(os.path.dirname(DOCS), "examples", "plugins")
LITTER = (
    *("/build/", "/var/", ".egg-info/", "__pycache__", "dropin.cache"),
    *("/.mypy_cache/", "/.ruff_cache/"),
)

#: What each kind promises.
CONTRACTS = {
    "service": interfaces.IRemoteService,
    "storage": interfaces.IStorage,
    "isolate": interfaces.IIsolate,
    "logger": interfaces.ILogger,
    "gateway": interfaces.IGateway,
    "cluster": interfaces.ICluster,
    "driver": interfaces.IDriver,
    "unicorn": interfaces.IUnicorn,
}

UUID = "0b7c2d74-0000-4000-8000-000000000001"
OTHER = "0b7c2d74-0000-4000-8000-000000000002"


class Examples(SynchronousTestCase):
    """A repository of the examples, and a node in memory to build them for."""

    def setUp(self) -> None:
        if not os.path.exists(DROPIN):
            raise SkipTest("the documentation is not in an installed package")
        sys.path.insert(0, EXAMPLES)
        self.addCleanup(sys.path.remove, EXAMPLES)
        known = set(sys.modules)
        self.addCleanup(self._forget, known)
        self.entries = [
            entry
            for entry in runpy.run_path(DROPIN).values()
            if interfaces.IPluginEntry.providedBy(entry)
        ]
        self.repository = Repository(self.entries)
        self.node = FakeNode()

    def _forget(self, known: set[str]) -> None:
        for name in set(sys.modules) - known:
            if name.startswith("example_"):
                del sys.modules[name]

    def build(self, category: str, type: str, **args: Any) -> Any:
        """Build an example as a node would."""
        made = self.repository.build(category, type, self.node, "mine", args)
        self.assertTrue(verifyObject(CONTRACTS[category], made))
        self.assertEqual(made.name, "mine")
        return made


class DropinTests(Examples):
    """The dropin of the examples."""

    def test_one_of_each_kind(self) -> None:
        """Every kind of plugin has its example."""
        kinds = sorted(entry.category for entry in self.entries)

        self.assertEqual(kinds, sorted(interfaces.CATEGORIES))

    def test_light(self) -> None:
        """Reading the dropin imports no plugin."""
        imported = [name for name in sys.modules if name.startswith("example_")]

        self.assertEqual(imported, [])

    def test_nothing_is_broken(self) -> None:
        """All of them can be imported and have their interface's methods."""
        listing = self.repository.listing()

        self.assertEqual(len(listing), len(interfaces.CATEGORIES))
        self.assertEqual([line.problem for line in listing if line.problem], [])

    def test_the_page_shows_each(self) -> None:
        """The page includes every file of the examples."""
        with open(os.path.join(DOCS, "extending.rst"), encoding="utf-8") as file:
            page = file.read()

        for entry in self.entries:
            module = entry.dotted.partition(".")[0]
            self.assertIn(f"examples/{module}.py", page)
        self.assertIn("examples/twisted/plugins/example_cocained.py", page)
        self.assertIn("examples/setup.cfg", page)

    def test_the_page_shows_the_distribution(self) -> None:
        """Every file of the distribution is in the tree that the page draws."""
        with open(os.path.join(DOCS, "extending.rst"), encoding="utf-8") as file:
            tree = file.read().partition("    examples/plugins\n")[2].partition("\n\n")
        for folder, _, files in os.walk(DISTRIBUTION):
            for name in files:
                place = os.path.join(folder, name)
                if not any(part in place for part in LITTER):
                    self.assertIn(f"─ {name}", tree[0])


class TablesTests(SynchronousTestCase):
    """The parts of the documentation that come from the code."""

    def setUp(self) -> None:
        path = os.path.join(DOCS, "tables.py")
        if not os.path.exists(path):
            raise SkipTest("the documentation is not in an installed package")
        # As for a program that is run there.
        self.patch(sys, "path", [DOCS, *sys.path])
        self.tables = runpy.run_path(path)

    def test_every_method_is_listed(self) -> None:
        """The graph of a service has a row for each of its methods."""
        for name, dotted in self.tables["SERVICES"].items():
            text = self.tables["graphs"](name)
            for method, _, _ in namedAny(dotted).protocol.graph.values():
                self.assertIn(f"- ``{method}``\n", text)

    def test_graphs_have_names(self) -> None:
        """A usual graph is called by its name, another one is written out."""
        name = self.tables["graph_name"]

        self.assertEqual(name(STREAMING), "*streaming*")
        self.assertEqual(name({0: ("other", {})}), "``{0: ('other', {})}``")

    def test_limits_are_those_of_the_code(self) -> None:
        """A limit is shown with the value of its constant."""
        text = self.tables["limits"]()

        self.assertIn(f"* - {CHANNEL_LIMIT:,} channels\n", text)

    def test_every_plugin_is_described(self) -> None:
        """Each key of each shipped plugin has its row."""
        text = self.tables["plugins"]()

        for line in Repository.discover().listing():
            if line.dotted.startswith("cocained."):
                self.assertIn(f"{line.category} ``{line.type}``\n~", text)
        self.assertIn("``max-object``", text)

    def test_no_empty_literals(self) -> None:
        """Nothing is written that the renderer would refuse."""
        for name, text in self.tables["parts"]().items():
            self.assertNotIn("````", text, name)

    def test_every_part_is_used(self) -> None:
        """A part that no page includes is not made."""
        pages = ""
        for name in os.listdir(DOCS):
            if name.endswith(".rst"):
                with open(os.path.join(DOCS, name), encoding="utf-8") as file:
                    pages += file.read()

        for name in self.tables["parts"]():
            self.assertIn(f"include:: _generated/{name}.rst\n", pages)

    def test_write(self) -> None:
        """Files are written once, and left alone while nothing has changed."""
        folder = self.mktemp()
        self.tables["write"](folder)
        path = os.path.join(folder, "_generated", "limits.rst")
        os.utime(path, (1, 1))

        self.tables["write"](folder)

        self.assertEqual(os.stat(path).st_mtime, 1)


class ServiceTests(Examples):
    """The service."""

    def test_value(self) -> None:
        """A method answers with a value, in the configured words."""
        client = self.node.client(self.build("service", "greeting", word="Good day"))

        client.send(1, 0, b"you")

        self.assertEqual(client.take(), [[1, 0, [b"Good day, you!"]]])

    def test_error(self) -> None:
        """What it raises travels as an error of that channel."""
        client = self.node.client(self.build("service", "greeting"))

        client.send(1, 0, b"")

        self.assertEqual(client.take(), [[1, 1, [[7, 2], b"whom shall I greet?"]]])

    def test_stream(self) -> None:
        """A count says a number a second, and then the end."""
        client = self.node.client(self.build("service", "greeting"))

        client.send(1, 1, 2)
        self.assertEqual(client.take(), [[1, 0, [1]]])
        self.node.clock.advance(1)
        self.assertEqual(client.take(), [[1, 0, [2]]])
        self.node.clock.advance(1)
        self.assertEqual(client.take(), [[1, 2, []]])

    def test_discard(self) -> None:
        """A discarded count says nothing more and leaves no timer."""
        client = self.node.client(self.build("service", "greeting"))
        client.send(1, 1, 9)
        client.take()

        client.send(1, 0)
        self.node.clock.advance(5)

        self.assertEqual(client.take(), [])
        self.assertEqual(self.node.clock.getDelayedCalls(), [])

    def test_client_goes_away(self) -> None:
        """A lost connection ends its counts."""
        client = self.node.client(self.build("service", "greeting"))
        client.send(1, 1, 9)

        client.disconnect()
        self.node.clock.advance(5)

        self.assertEqual(self.node.clock.getDelayedCalls(), [])

    def test_stop(self) -> None:
        """A stopped service ends its counts in order."""
        service = self.build("service", "greeting")
        client = self.node.client(service)
        client.send(1, 1, 9)
        client.take()

        service.stop()
        self.node.clock.advance(5)

        self.assertEqual(client.take(), [[1, 2, []]])

    def test_bounded(self) -> None:
        """A count beyond the limit is refused."""
        client = self.node.client(self.build("service", "greeting"))

        client.send(1, 1, 3601)

        self.assertEqual(client.take()[0][2][0], [7, 2])


class StorageTests(Examples):
    """The storage."""

    def setUp(self) -> None:
        super().setUp()
        self.path = os.path.abspath(self.mktemp())
        self.storage = self.started()

    def started(self) -> Any:
        """Open the store."""
        storage = self.build("storage", "sqlite", path=self.path)
        self.wait(storage.start())
        self.addCleanup(lambda: self.wait(storage.stop()))
        return storage

    def wait(self, deferred: Deferred[Any]) -> Any:
        """Give the result of something that a thread does."""
        self.node.clock.wait_for(deferred)
        return self.successResultOf(deferred)

    def refused(self, deferred: Deferred[Any]) -> StorageError:
        """Give the error of something that a thread does."""
        self.node.clock.wait_for(deferred)
        return cast(StorageError, self.failureResultOf(deferred, StorageError).value)

    def test_reads_what_was_written(self) -> None:
        """A blob comes back as it went in, also after a restart."""
        blob = bytes(range(256))
        self.wait(self.storage.write("c", "k", blob))

        self.assertEqual(self.wait(self.started().read("c", "k")), blob)

    def test_missing(self) -> None:
        """A missing object is ``ENOENT``."""
        self.assertEqual(self.refused(self.storage.read("c", "k")).code, errno.ENOENT)

    def test_find(self) -> None:
        """Keys with all of the tags are found, sorted by bytes."""
        self.wait(self.storage.write("c", "b", b"", ["x", "y"]))
        self.wait(self.storage.write("c", "a", b"", ["x", "y"]))
        self.wait(self.storage.write("c", "z", b"", ["x"]))

        self.assertEqual(self.wait(self.storage.find("c", ["x", "y"])), ["a", "b"])
        self.assertEqual(self.wait(self.storage.find("c", [])), [])

    def test_remove(self) -> None:
        """A removed object is neither read nor found; again is no error."""
        self.wait(self.storage.write("c", "k", b"", ["x"]))

        self.wait(self.storage.remove("c", "k"))
        self.wait(self.storage.remove("c", "k"))

        self.assertEqual(self.wait(self.storage.find("c", ["x"])), [])
        self.assertEqual(self.refused(self.storage.read("c", "k")).code, errno.ENOENT)

    def test_names_of_any_bytes(self) -> None:
        """Names that are no UTF-8 are carried along."""
        key = b"\xff".decode("utf-8", "surrogateescape")
        self.wait(self.storage.write("c", key, b"v", ["x"]))

        self.assertEqual(self.wait(self.storage.find("c", ["x"])), [key])

    def test_broken_file(self) -> None:
        """What SQLite says comes out as a ``StorageError``."""
        path = os.path.abspath(self.mktemp())
        with open(path, "wb") as file:
            file.write(b"this is no database, not at all" * 100)
        storage = self.build("storage", "sqlite", path=path)
        self.addCleanup(lambda: self.wait(storage.stop()))

        self.assertEqual(self.refused(storage.start()).code, errno.EIO)


@implementer(IWorkerObserver)
class SilentObserver:
    """Hears of a worker and says nothing."""

    def output(self, data: bytes) -> None:
        """It printed."""

    def exited(self, reason: str, error: bool) -> None:
        """It ended."""


class IsolateTests(Examples):
    """The isolate; that children run is tested with the process isolate."""

    def test_spool(self) -> None:
        """A directory that is there needs nothing."""
        isolate = self.build("isolate", "directory", path=os.path.abspath(EXAMPLES))

        self.assertIsNone(self.successResultOf(isolate.spool()))

    def test_no_directory(self) -> None:
        """A missing one is named."""
        isolate = self.build("isolate", "directory", path="/nonexistent/app")

        failure = self.failureResultOf(isolate.spool(), SpoolError)

        self.assertIn("/nonexistent/app", str(failure.value))

    def test_no_program(self) -> None:
        """A worker that cannot be run fails with ``SpawnError``."""
        path = os.path.abspath(self.mktemp())
        os.mkdir(path)
        isolate = self.build("isolate", "directory", path=path)

        spawning = isolate.spawn("missing", {}, {}, SilentObserver())

        self.failureResultOf(spawning, SpawnError)

    def test_needs_its_path(self) -> None:
        """Arguments are checked before anything is built."""
        self.assertRaises(ConfigError, self.build, "isolate", "directory")


class LoggerTests(Examples):
    """The logger."""

    def setUp(self) -> None:
        super().setUp()
        self.collector = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(self.collector.close)
        self.collector.bind(("127.0.0.1", 0))
        self.collector.settimeout(10)
        port = self.collector.getsockname()[1]
        self.logger = self.build("logger", "udp", host="127.0.0.1", port=port)
        self.logger.start()
        self.addCleanup(self.logger.stop)

    def test_datagram(self) -> None:
        """An event arrives as one object of JSON."""
        self.logger(
            {
                "log_time": 1.5,
                "log_level": LogLevel.warn,
                "log_namespace": "here",
                "log_format": "{what}\n",
                "what": "smoke",
            }
        )

        self.assertEqual(
            json.loads(self.collector.recv(65536)),
            {"time": 1.5, "level": "warn", "source": "here", "message": "smoke\n"},
        )

    def test_bounded(self) -> None:
        """A long message is cut, so that it fits into a datagram."""
        self.logger({"log_format": "{what}", "what": "\x01" * 10**6})

        self.assertLess(len(self.collector.recv(1 << 20)), 8192)

    def test_never_raises(self) -> None:
        """An event that cannot be sent is counted."""
        self.logger({"log_format": "{what}", "log_time": object()})

        self.assertEqual(self.logger.dropped, 1)

    def test_stopped(self) -> None:
        """A stopped logger takes events and does nothing."""
        self.logger.stop()

        self.logger({"log_format": "late"})

        self.assertEqual(self.logger.dropped, 0)


class GatewayTests(Examples):
    """The gateway."""

    def setUp(self) -> None:
        super().setUp()
        self.gateway = self.build("gateway", "sticky")
        for uuid, port in ((UUID, 1), (OTHER, 2)):
            self.gateway.consume(uuid, "app", [("192.0.2.1", port)], 1, {}, {})

    def test_unknown(self) -> None:
        """Nobody carries a service that was never announced."""
        self.assertIsNone(self.gateway.resolve("other", "seed"))

    def test_sticky(self) -> None:
        """A seed leads to the same node always, and seeds to all nodes."""
        seeds = [str(number) for number in range(64)]
        first = [self.gateway.resolve("app", seed) for seed in seeds]
        again = [self.gateway.resolve("app", seed) for seed in seeds]

        self.assertEqual(first, again)
        self.assertEqual({r.endpoints[0][1] for r in first if r}, {1, 2})

    def test_cleanup(self) -> None:
        """What a node carried is forgotten with it; others stay."""
        self.gateway.cleanup(UUID)
        left = self.gateway.resolve("app", "seed")
        self.gateway.cleanup(OTHER, "app")

        self.assertEqual(left.endpoints, [("192.0.2.1", 2)])
        self.assertIsNone(self.gateway.resolve("app", "seed"))


class ClusterTests(Examples):
    """The cluster plugin."""

    PEERS = {
        UUID: {"host": "192.0.2.1", "port": 10053},
        OTHER: {"host": "192.0.2.2", "port": 10053},
    }

    def test_links(self) -> None:
        """It links to the others, at once and again and again, until stopped."""
        links = MemoryLinks(UUID)
        cluster = self.build("cluster", "fixed", peers=self.PEERS, interval=5)
        cluster.attach(links)

        cluster.start()
        self.node.clock.advance(5)
        cluster.stop()
        self.node.clock.advance(50)

        self.assertEqual(links.told, [("link", OTHER, ("192.0.2.2", 10053))] * 2)

    def test_names_are_refused(self) -> None:
        """An address that is a name is refused, with its place."""
        peers: Mapping[str, Any] = {OTHER: {"host": "example.org", "port": 1}}

        error = self.assertRaises(
            ConfigError, self.build, "cluster", "fixed", peers=peers
        )

        self.assertIn("numeric address", str(error))


@implementer(IEventSink)
class MemorySink:
    """An app that answers when a test says so."""

    def __init__(self) -> None:
        self.events: list[tuple[bytes, Deferred[list[bytes]]]] = []

    def enqueue(self, event: bytes, chunks: Iterable[bytes]) -> Deferred[list[bytes]]:
        """Take an event."""
        answer: Deferred[list[bytes]] = Deferred()
        self.events.append((event, answer))
        return answer


class UnicornTests(Examples):
    """``example_unicorn``."""

    def setUp(self) -> None:
        super().setUp()
        self.whole = MemoryUnicorn(self.node, "core")
        self.node.unicorns["core"] = self.whole
        self.unicorn = self.build("unicorn", "folder", folder="/teams/mine")
        self.unicorn.start()

    def test_folder(self) -> None:
        """What is made is below the folder, and seen without it."""
        unicorn, result_of = self.unicorn, self.successResultOf

        self.assertEqual(result_of(unicorn.create("/a/b", 1)), "/a/b")
        self.assertEqual(result_of(self.whole.get("/teams/mine/a/b")), (1, 0))
        self.assertEqual(result_of(unicorn.put("/a/b", 2, 0)), (True, (2, 1)))
        self.assertEqual(result_of(unicorn.increment("/a/b", 2)), (4, 2))
        self.assertEqual(result_of(unicorn.get("/a/b")), (4, 2))
        self.assertIsNone(result_of(unicorn.remove("/a/b", -1)))

    def test_scopes(self) -> None:
        """Subscriptions and locks are below it, too."""
        observers = [MemoryObserver() for _ in range(3)]
        self.successResultOf(self.unicorn.create("/a/b", 1))
        self.unicorn.subscribe("/a/b", observers[0])
        self.unicorn.children_subscribe("/a", observers[1])
        self.unicorn.lock("/lock", observers[2], b"me")

        self.node.clock.pass_time(0)

        self.assertEqual(
            [observer.states for observer in observers],
            [[(1, 0)], [(1, ["b"])], [True]],
        )
        self.assertIsNotNone(self.successResultOf(self.whole.get("/teams/mine/a/b")))


class DriverTests(Examples):
    """The driver."""

    def setUp(self) -> None:
        super().setUp()
        self.sink = MemorySink()
        self.driver = self.build("driver", "every", event="tick", seconds=10)
        self.driver.attach(self.sink)
        self.driver.start()
        self.addCleanup(self.driver.stop)

    def test_raises_events(self) -> None:
        """An event comes every so many seconds."""
        for _ in range(2):
            self.node.clock.advance(10)
            self.sink.events[-1][1].callback([])

        self.assertEqual([event for event, _ in self.sink.events], [b"tick", b"tick"])
        self.assertEqual(self.driver.info()["raised"], 2)

    def test_one_at_a_time(self) -> None:
        """While an event runs there is no second one."""
        self.node.clock.advance(10)
        self.node.clock.advance(10)

        self.assertEqual(len(self.sink.events), 1)

    def test_goes_on_after_a_failure(self) -> None:
        """A failed event is counted, and the next one comes."""
        self.node.clock.advance(10)
        self.sink.events[0][1].errback(StorageError(errno.EIO, "no"))
        self.node.clock.advance(10)

        self.assertEqual(len(self.sink.events), 2)
        self.assertEqual(self.driver.info()["failed"], 1)

    def test_stop(self) -> None:
        """A stopped driver raises nothing more."""
        self.driver.stop()
        self.node.clock.advance(100)

        self.assertEqual(self.sink.events, [])
