# -*- test-case-name: cocained.test.test_directory -*-
"""
The services of a node: their ports, and those who hear of them.
"""

from __future__ import annotations

import errno
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.testing import StringTransport
from twisted.logger import formatEvent
from zope.interface.verify import verifyObject

from cocained.directory import Directory
from cocained.errors import CocainedError, StorageError
from cocained.interfaces import IDirectory, IExposure
from cocained.rpc.codec import pack
from cocained.rpc.wire import Limits
from cocained.test.directory_case import DirectoryCase, EchoService, Recorder
from cocained.test.service_case import PortReactor


class PortTests(DirectoryCase):
    """Where services listen (protocol.md §12.4)."""

    def test_interface(self) -> None:
        """It is a directory, and the test's observer an observer."""
        self.assertTrue(verifyObject(IDirectory, self.directory()))
        self.assertTrue(verifyObject(IExposure, Recorder()))

    def test_pinned(self) -> None:
        """A pinned service has its port."""
        directory = self.directory({"locator": 10053}, (2000, 2001))

        self.assertEqual(self.expose(directory, "locator", "x"), [10053, 2000])

    def test_pinned_to_any(self) -> None:
        """Port 0 is the system's choice, even where there are shared ports."""
        directory = self.directory({"locator": 0}, (2000, 2001))

        self.assertEqual(self.expose(directory, "locator"), [PortReactor.FIRST])

    def test_system_chooses(self) -> None:
        """Without shared ports the operating system chooses."""
        ports = self.expose(self.directory(), "a", "b")

        self.assertEqual(ports, [PortReactor.FIRST, PortReactor.FIRST + 1])
        self.assertEqual([port for port, _ in self.reactor.listened], [0, 0])

    def test_shared(self) -> None:
        """Services share a range of ports, whose end is not part of it."""
        names = [f"s{number}" for number in range(10)]

        ports = self.expose(self.directory(shared=(2000, 2010)), *names)

        self.assertEqual(sorted(ports), list(range(2000, 2010)))

    def test_shuffled(self) -> None:
        """Shared ports are given in no order that one could guess."""
        names = [f"s{number}" for number in range(50)]

        ports = self.expose(self.directory(shared=(2000, 2050)), *names)

        self.assertNotEqual(ports, sorted(ports))

    def test_pinned_inside_shared(self) -> None:
        """A pinned port is not shared, whether its service is there or not."""
        directory = self.directory({"p": 2001}, (2000, 2003))

        self.assertEqual(sorted(self.expose(directory, "a", "b")), [2000, 2002])
        self.assertEqual(self.expose(directory, "p"), [2001])

    def test_exhausted(self) -> None:
        """When all shared ports are taken the error says so, and where to look."""
        directory = self.directory(shared=(2000, 2001))
        self.expose(directory, "a")

        error = self.refuse(directory, "b")

        self.assertEqual(
            str(error),
            "no ports left for allocation: service 'b' needs one; see network.shared",
        )

    def test_released(self) -> None:
        """The port of a removed service can be used again."""
        directory = self.directory(shared=(2000, 2001))
        self.expose(directory, "a")
        self.successResultOf(directory.remove("a"))

        self.assertEqual(self.expose(directory, "b"), [2000])

    def test_released_is_last(self) -> None:
        """A released port is used after all that have not been used yet."""
        directory = self.directory(shared=(2000, 2003))
        (first,) = self.expose(directory, "a")
        self.successResultOf(directory.remove("a"))

        later = self.expose(directory, "b", "c", "d")

        self.assertEqual(later[2], first)

    def test_pinned_is_not_shared_later(self) -> None:
        """The port of a pinned service that is removed stays its own."""
        directory = self.directory({"p": 3000}, (2000, 2001))
        self.expose(directory, "p", "a")
        self.successResultOf(directory.remove("p"))

        self.refuse(directory, "b")

        self.assertEqual(self.expose(directory, "p"), [3000])

    def test_somebody_has_a_shared_port(self) -> None:
        """Ports that other programs have are skipped."""
        self.reactor.taken.update(range(2000, 2009))

        self.assertEqual(self.expose(self.directory(shared=(2000, 2010)), "a"), [2009])

    def test_skipped_ports_stay(self) -> None:
        """A port that was taken once is tried again."""
        self.reactor.taken.add(2000)
        directory = self.directory(shared=(2000, 2002))
        self.expose(directory, "a")
        self.reactor.taken.clear()

        self.assertEqual(self.expose(directory, "b"), [2000])

    def test_in_use(self) -> None:
        """A pinned port in use is an error that names service, place and cause."""
        self.reactor.taken.add(10053)

        error = self.refuse(self.directory({"locator": 10053}), "locator")

        self.assertIsInstance(error, StorageError)
        self.assertEqual((error.category, error.code), (12, errno.EADDRINUSE))
        self.assertEqual(
            error.reason,
            "service 'locator' cannot listen at 127.0.0.1 port 10053: Address already"
            " in use; is another node running, or the port in use?"
            " see network.pinned",
        )

    def test_not_allowed(self) -> None:
        """Another refusal of the system keeps its code."""
        self.reactor.taken.add(53)
        self.reactor.refusal = errno.EACCES

        error = self.refuse(self.directory({"dns": 53}), "dns")

        self.assertEqual(error.code, errno.EACCES)
        self.assertIn("Permission denied", error.reason)

    def test_all_shared_in_use(self) -> None:
        """When others have all shared ports, the last refusal is told."""
        self.reactor.taken.update((2000, 2001))

        error = self.refuse(self.directory(shared=(2000, 2002)), "a")

        self.assertEqual(error.code, errno.EADDRINUSE)
        self.assertIn("'a'", error.reason)

    def test_interface_address(self) -> None:
        """All services listen at the configured address."""
        self.expose(self.directory(interface="192.0.2.7"), "a")

        self.assertEqual(self.reactor.listened, [(0, "192.0.2.7")])


class ExposureTests(DirectoryCase):
    """What is said of services."""

    def test_told(self) -> None:
        """An observer hears name, endpoints, version and graph."""
        directory, observer = self.directory(), Recorder()
        directory.subscribe(observer)

        self.expose(directory, "echo")

        graph = EchoService.protocol.graph
        endpoints = [("127.0.0.1", PortReactor.FIRST)]
        self.assertEqual(observer.told, [("echo", endpoints, 5, graph)])

    def test_late_observer(self) -> None:
        """An observer that comes late hears of all services that there are."""
        directory, observer = self.directory(), Recorder()
        self.expose(directory, "a", "b", "c")
        self.successResultOf(directory.remove("b"))

        directory.subscribe(observer)

        self.assertEqual([told[0] for told in observer.told], ["a", "c"])

    def test_removed(self) -> None:
        """An observer hears of removals; the port is closed."""
        directory, observer = self.directory(), Recorder()
        self.expose(directory, "a")
        directory.subscribe(observer)
        observer.told.clear()

        self.successResultOf(directory.remove("a"))

        self.assertEqual(observer.told, ["a"])
        self.assertEqual(self.reactor.closed, [PortReactor.FIRST])
        self.assertIsNone(directory.get("a"))

    def test_remove_unknown(self) -> None:
        """Removing what is not there is no news."""
        directory, observer = self.directory(), Recorder()
        directory.subscribe(observer)

        self.successResultOf(directory.remove("a"))

        self.assertEqual(observer.told, [])

    def test_unsubscribe(self) -> None:
        """Who has unsubscribed hears nothing more; twice does no harm."""
        directory, observer = self.directory(), Recorder()
        directory.subscribe(observer)
        directory.unsubscribe(observer)
        directory.unsubscribe(observer)

        self.expose(directory, "a")

        self.assertEqual(observer.told, [])

    def test_unsubscribe_inside(self) -> None:
        """An observer may leave while it is told; the others hear all the same."""
        directory, second = self.directory(), Recorder()

        class Leaver(Recorder):
            def service_exposed(self, *args: Any) -> None:
                super().service_exposed(*args)
                directory.unsubscribe(self)

        first = Leaver()
        directory.subscribe(first)
        directory.subscribe(second)

        self.expose(directory, "a", "b")

        self.assertEqual(len(first.told), 1)
        self.assertEqual(len(second.told), 2)

    def test_duplicate(self) -> None:
        """A name is taken once; the first service stays."""
        directory, observer = self.directory(), Recorder()
        self.expose(directory, "a")
        directory.subscribe(observer)

        failed = directory.expose("a", self.service)

        error = self.failureResultOf(failed, CocainedError).value
        self.assertEqual(str(error), "a service 'a' exists already")
        self.assertEqual(len(directory.endpoints("a")), 1)
        self.assertEqual(len(observer.told), 1)

    def test_failed_is_not_told(self) -> None:
        """A service that cannot listen is not announced."""
        self.reactor.taken.add(1)
        directory, observer = self.directory({"a": 1}), Recorder()
        directory.subscribe(observer)

        self.refuse(directory, "a")

        self.assertEqual(observer.told, [])

    def test_all_addresses(self) -> None:
        """A service at all addresses is told with each of the host's."""
        directory = self.directory(
            interface="::", addresses=["192.0.2.1", "2001:db8::1"]
        )
        events = self.record_log()

        (port,) = self.expose(directory, "a")

        self.assertEqual(
            list(directory.endpoints("a")), [("192.0.2.1", port), ("2001:db8::1", port)]
        )
        self.assertEqual(
            formatEvent(events[0]),
            f"service a listens at 192.0.2.1:{port} [2001:db8::1]:{port}",
        )

    def test_endpoints_of_unknown(self) -> None:
        """A service that is not there has no endpoints."""
        self.assertEqual(list(self.directory().endpoints("nope")), [])


class QuietTests(DirectoryCase):
    """A service that is offered without being announced."""

    def setUp(self) -> None:
        super().setUp()
        self.services = self.directory()
        self.recorder = Recorder()
        self.services.subscribe(self.recorder)
        exposed = self.services.expose("quiet", self.service, announce=False)
        self.successResultOf(exposed)

    def test_nobody_is_told(self) -> None:
        """Neither who listens already nor who comes later hears of it."""
        late = Recorder()
        self.services.subscribe(late)
        self.expose(self.services, "loud")

        self.assertEqual([told[0] for told in self.recorder.told], ["loud"])
        self.assertEqual(late.told[0][0], "loud")

    def test_it_is_there(self) -> None:
        """It has a port, and its name is taken."""
        self.assertEqual(len(self.services.endpoints("quiet")), 1)
        failed = self.services.expose("quiet", self.service)
        self.failureResultOf(failed, CocainedError)

    def test_one_because_of_another(self) -> None:
        """Who is told of a service may offer another one at once."""
        self.expose(self.services, "loud")
        test = self

        class Echo(Recorder):
            def service_exposed(self, name: str, *args: Any) -> None:
                done = test.services.expose(f"{name}2", test.service, announce=False)
                test.successResultOf(done)

        self.services.subscribe(Echo())

        self.assertEqual(len(self.services.endpoints("loud2")), 1)

    def test_draining(self) -> None:
        """While the node drains it is not found either, nor announced afterwards."""
        self.services.withdraw()
        self.assertIsNone(self.services.withdrawn("quiet"))

        self.services.restore()

        self.assertEqual(self.recorder.told, [])

    def test_removed(self) -> None:
        """Nobody is told of its end, and its name is free."""
        self.successResultOf(self.services.remove("quiet"))

        self.assertEqual(self.recorder.told, [])
        self.assertEqual(self.services.endpoints("quiet"), ())
        self.expose(self.services, "quiet")
        self.assertEqual([told[0] for told in self.recorder.told], ["quiet"])


class ConnectionTests(DirectoryCase):
    """Those who have connected."""

    def connect(self, directory: Directory, name: str) -> tuple[Any, StringTransport]:
        """Give a connection of a client, and what it is written to."""
        port = directory.endpoints(name)[0][1]
        protocol = self.reactor.ports[port].factory.buildProtocol(None)
        transport = StringTransport()
        if protocol is not None:
            protocol.makeConnection(transport)
        return protocol, transport

    def test_served(self) -> None:
        """A connection is served by its service."""
        directory = self.directory()
        self.expose(directory, "a")
        protocol, transport = self.connect(directory, "a")

        protocol.dataReceived(pack([1, 0, ["hi"]]))

        self.assertTrue(transport.value().startswith(b"\x94\x01\x00\x91\xa2hi"))

    def test_survive_a_removal(self) -> None:
        """Connections live on when their service is removed."""
        directory = self.directory()
        self.expose(directory, "a")
        protocol, transport = self.connect(directory, "a")

        self.successResultOf(directory.remove("a"))
        protocol.dataReceived(pack([1, 0, ["hi"]]))

        self.assertTrue(transport.value())
        self.assertFalse(transport.disconnecting)

    def test_quiesce(self) -> None:
        """No more connections, while those that there are live on."""
        directory, observer = self.directory(), Recorder()
        (port,) = self.expose(directory, "a")
        protocol, transport = self.connect(directory, "a")
        directory.subscribe(observer)
        observer.told.clear()

        self.successResultOf(Deferred.fromCoroutine(directory.quiesce()))

        self.assertEqual(self.reactor.closed, [port])
        protocol.dataReceived(pack([1, 0, ["hi"]]))
        self.assertTrue(transport.value())
        self.assertEqual(observer.told, [])

    def test_close(self) -> None:
        """The end of the directory ends services and connections."""
        directory, observer = self.directory(), Recorder()
        self.expose(directory, "a", "b")
        _, first = self.connect(directory, "a")
        _, second = self.connect(directory, "b")
        directory.subscribe(observer)
        observer.told.clear()

        self.successResultOf(Deferred.fromCoroutine(directory.close()))

        self.assertEqual(sorted(observer.told), ["a", "b"])
        self.assertTrue(first.disconnecting)
        self.assertTrue(second.disconnecting)
        self.assertEqual(self.reactor.ports, {})

    def test_close_twice(self) -> None:
        """A second end does nothing."""
        directory = self.directory()
        self.expose(directory, "a")
        self.successResultOf(Deferred.fromCoroutine(directory.close()))

        self.successResultOf(Deferred.fromCoroutine(directory.close()))

        self.assertEqual(len(self.reactor.closed), 1)

    def test_connections_of_removed_services(self) -> None:
        """The end also ends connections of services that were removed before."""
        directory = self.directory()
        self.expose(directory, "a")
        _, transport = self.connect(directory, "a")
        self.successResultOf(directory.remove("a"))

        self.successResultOf(Deferred.fromCoroutine(directory.close()))

        self.assertTrue(transport.disconnecting)

    def test_limit(self) -> None:
        """More connections than the limit are refused, and one line says so."""
        directory = self.directory(limits=Limits(connections=2))
        self.expose(directory, "a")
        events = self.record_log()

        found = [self.connect(directory, "a")[0] for _ in range(5)]

        self.assertEqual(
            [protocol is None for protocol in found], [False] * 2 + [True] * 3
        )
        (warning,) = events
        self.assertIn("limits.connections", formatEvent(warning))
