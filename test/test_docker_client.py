# -*- test-case-name: cocained.test.test_docker_client -*-
"""
Tests for the calls: what each asks, and what it makes of the answer.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any, cast

from twisted.logger import ILogObserver, LogEvent, globalLogPublisher

from cocained.docker import RegistryAuth, errors
from cocained.docker.errors import InvalidAddress, InvalidName
from cocained.docker.models import Event, Exit
from cocained.docker.progress import Progress
from cocained.test.docker_case import EngineCase
from cocained.test.test_docker_streams import frame

ID = "sha256:" + "1" * 64


class EngineTests(EngineCase):
    """Calls about the engine."""

    def test_address(self) -> None:
        """A client is not made for an address that is none."""
        with self.assertRaises(InvalidAddress):
            type(self.client)(self.reactor, "nowhere")

    def test_ping(self) -> None:
        """``ping`` needs no version."""
        called = self.client.ping()
        exchange = self.accept()
        exchange.answer()

        self.assertEqual(exchange.line, "GET /_ping")
        self.assertIsNone(self.successResultOf(called))
        self.assert_nothing_left()

    def test_api_version(self) -> None:
        """The version that is spoken can be asked for."""
        called = self.client.api_version()
        self.greet()
        self.assertEqual(self.successResultOf(called), "1.41")

    def test_events(self) -> None:
        """Events are filtered by the engine and come typed."""
        heard: list[Event] = []
        called, exchange = self.call(
            "events", heard.append, {"label": ["a=b"]}, since=5.5
        )
        exchange.begin()
        stream = self.successResultOf(called)
        line = (
            b'{"Type":"container","Action":"die","Actor":{"ID":"x",'
            b'"Attributes":{"exitCode":"3"}},"timeNano":1500000000}'
        )
        exchange.send(line[:20])
        exchange.send(line[20:] + b"\n")
        exchange.send(b'{"Type":"image","Action":"pull"}')
        exchange.end()

        self.successResultOf(stream.when_closed())
        self.assertEqual(exchange.path, "/v1.41/events")
        self.assertEqual(
            exchange.query,
            {"filters": ['{"label": ["a=b"]}'], "since": ["5.500000000"]},
        )
        self.assertEqual(
            heard,
            [
                Event("container", "die", "x", {"exitCode": "3"}, 1.5),
                Event("image", "pull"),
            ],
        )


class ImageTests(EngineCase):
    """Calls about images."""

    def stream(self, exchange: Any, *lines: Any) -> None:
        """Answer with progress."""
        exchange.begin()
        for line in lines:
            exchange.send(json.dumps(line).encode() + b"\r\n")
        exchange.end()

    def auth(self, exchange: Any) -> Any:
        return json.loads(base64.urlsafe_b64decode(exchange.headers["x-registry-auth"]))

    def test_pull(self) -> None:
        """A pull names its tag, reports its progress and gives the image."""
        steps: list[Progress] = []
        called, exchange = self.call("pull", "h:1/a", on_progress=steps.append)
        self.stream(exchange, {"status": "Pulling"}, {"status": "Done", "id": "x"})
        inspected = self.accept()
        inspected.answer({"Id": ID, "RepoTags": None, "Config": {"Cmd": ["x"]}})

        self.assertEqual(exchange.line.split("?")[0], "POST /v1.41/images/create")
        self.assertEqual(exchange.query, {"fromImage": ["h:1/a"], "tag": ["latest"]})
        self.assertEqual(steps, [Progress("Pulling"), Progress("Done", "x")])
        self.assertEqual(inspected.line, "GET /v1.41/images/h:1/a:latest/json")
        image = self.successResultOf(called)
        self.assertEqual((image.id, image.repo_tags, image.config.cmd), (ID, [], ["x"]))
        self.assert_nothing_left()

    def test_pull_by_digest(self) -> None:
        """A digest goes before a tag."""
        called, exchange = self.call("pull", f"a:1@{ID}")
        self.unfinished(called)
        self.assertEqual(exchange.query, {"fromImage": ["a"], "tag": [ID]})

    def test_pull_with_credentials(self) -> None:
        """The client's credentials go to their registry only."""
        self.client = self.make_client(registry_auth={"h:1": RegistryAuth("me", "p")})
        called, exchange = self.call("pull", "h:1/a")
        self.unfinished(called)
        self.assertEqual(
            self.auth(exchange),
            {"username": "me", "password": "p", "serveraddress": "h:1"},
        )

    def test_registry_digest(self) -> None:
        """A registry tells which image it has, with the same credentials."""
        auth = RegistryAuth("me", "secret")
        self.client = self.make_client(registry_auth={"h:1": auth})
        called, exchange = self.call("registry_digest", "h:1/a")
        self.assertEqual(exchange.line, "GET /v1.41/distribution/h:1/a:latest/json")
        self.assertIn("x-registry-auth", exchange.headers)

        exchange.answer({"Descriptor": {"digest": ID, "size": 7}, "Platforms": []})

        self.assertEqual(self.successResultOf(called), ID)

    def test_registry_has_none(self) -> None:
        """An image that is not there is an error of its own."""
        called, exchange = self.call("registry_digest", "h:1/a")
        exchange.answer({"message": "manifest unknown"}, "404 Not Found")

        self.failureResultOf(called, errors.NotFound)

    def test_pull_fails_inside(self) -> None:
        """An error line ends a pull with the engine's words."""
        called, exchange = self.call("pull", "a")
        exchange.begin()
        exchange.send(b'{"errorDetail":{"message":"no space"},"error":"no space"}\n')

        error = self.failureResultOf(called, errors.ImageError).value
        self.assertIn(
            "cannot pull a:latest: the engine at unix:///run/d.sock", str(error)
        )
        self.assertIn("no space", str(error))
        self.assertTrue(exchange.wire.is_aborted)
        self.assert_nothing_left()

    def test_pull_cut(self) -> None:
        """A pull whose progress stops inside a line has not succeeded."""
        called, exchange = self.call("pull", "a")
        exchange.begin()
        exchange.send(b'{"status":"Down')
        exchange.end()
        self.failureResultOf(called, errors.MalformedAnswer)

    def test_broken_callback(self) -> None:
        """What ``on_progress`` raises ends the pull."""
        called, exchange = self.call("pull", "a", on_progress=lambda step: 1 / 0)
        exchange.begin()
        exchange.send(b'{"status":"x"}\n')

        self.failureResultOf(called, ZeroDivisionError)
        self.assertTrue(exchange.wire.is_aborted)

    def test_wrong_name(self) -> None:
        """A wrong name is told through the Deferred; nothing is sent."""
        self.failureResultOf(self.client.pull("A B"), InvalidName)
        self.failureResultOf(self.client.inspect_image("../x"), InvalidName)
        self.failureResultOf(self.client.start("../x"), InvalidName)
        self.assert_nothing_left()

    def test_push(self) -> None:
        """A push always has a header for the registry, and gives the digest."""
        called, exchange = self.call("push", "h:1/a:2")
        self.stream(exchange, {"status": "x"}, {"aux": {"Digest": ID, "Tag": "2"}})

        self.assertEqual(exchange.path, "/v1.41/images/h:1/a/push")
        self.assertEqual(exchange.query, {"tag": ["2"]})
        self.assertEqual(self.auth(exchange), {})
        self.assertEqual(self.successResultOf(called), ID)

    def test_build(self) -> None:
        """A build sends its archive, and gives the image of its last line."""
        context = Path(self.mktemp())
        context.write_bytes(b"a tar")
        called, exchange = self.call(
            "build", context, "a", arguments={"x": "y"}, labels={"l": "m"}
        )
        self.reactor.pump([0] * 5)
        self.assertEqual(exchange.body, b"a tar")
        self.stream(exchange, {"stream": "Step"}, {"aux": {"ID": ID}})
        self.accept().answer({"Id": ID})

        self.assertEqual(exchange.headers["content-type"], "application/x-tar")
        query = exchange.query
        self.assertEqual((query["t"], query["rm"]), (["a:latest"], ["1"]))
        self.assertEqual(query["buildargs"], ['{"x": "y"}'])
        self.assertEqual(query["labels"], ['{"l": "m"}'])
        self.assertEqual(self.successResultOf(called).id, ID)
        self.assert_nothing_left()

    def test_build_without_image(self) -> None:
        """A build that tells no image and has no name gives an error."""
        called, exchange = self.call("build", b"x")
        self.reactor.pump([0] * 5)
        self.stream(exchange, {"stream": "done"})
        self.failureResultOf(called, errors.ImageError)

    def test_import(self) -> None:
        """An import sends a root and changes."""
        called, exchange = self.call(
            "import_image", b"root", "a:1", ["ENV A=b", "CMD x"]
        )
        self.reactor.pump([0] * 5)
        self.stream(exchange, {"status": ID})
        self.accept().answer({"Id": ID})

        self.assertEqual(exchange.body, b"root")
        self.assertEqual(
            exchange.query,
            {
                "fromSrc": ["-"],
                "repo": ["a"],
                "tag": ["1"],
                "changes": ["ENV A=b", "CMD x"],
            },
        )
        self.assertEqual(self.successResultOf(called).id, ID)

    def test_commit(self) -> None:
        """A commit makes an image of a container."""
        called, exchange = self.call("commit", "some", "a", ["CMD x"])
        self.reactor.pump([0] * 5)
        exchange.answer({"Id": ID}, "201 Created")

        self.assertEqual(exchange.path, "/v1.41/commit")
        self.assertEqual(
            exchange.query,
            {
                "container": ["some"],
                "repo": ["a"],
                "tag": ["latest"],
                "changes": ["CMD x"],
            },
        )
        self.assertEqual(self.successResultOf(called), ID)

    def test_tag(self) -> None:
        """A tag is a repository and a tag."""
        called, exchange = self.call("tag", ID, "h:1/a:2")
        exchange.answer(None, "201 Created")
        self.assertEqual(exchange.path, f"/v1.41/images/{ID}/tag")
        self.assertEqual(exchange.query, {"repo": ["h:1/a"], "tag": ["2"]})
        self.assertIsNone(self.successResultOf(called))

    def test_images(self) -> None:
        """Images are listed by label."""
        called, exchange = self.call("images", {"a": None})
        exchange.answer([{"Id": ID, "Labels": None, "RepoTags": ["x:1"]}])
        self.assertEqual(exchange.query, {"filters": ['{"label": ["a"]}']})
        (image,) = self.successResultOf(called)
        self.assertEqual((image.labels, image.repo_tags), ({}, ["x:1"]))

    def test_remove(self) -> None:
        """An image can be removed although it is used."""
        called, exchange = self.call("remove_image", "h:1/a:2", force=True)
        exchange.answer([{"Untagged": "x"}])
        self.assertEqual(exchange.line, "DELETE /v1.41/images/h:1/a:2?force=1")
        self.assertIsNone(self.successResultOf(called))


class ContainerTests(EngineCase):
    """Calls about containers."""

    def setUp(self) -> None:
        """Prepare to listen to a container."""
        super().setUp()
        self.printed: list[tuple[str, bytes]] = []

    def out(self, data: bytes) -> None:
        self.printed.append(("out", data))

    def err(self, data: bytes) -> None:
        self.printed.append(("err", data))

    def test_create(self) -> None:
        """A configuration goes as it is; the engine's warnings are logged."""
        seen: list[LogEvent] = []
        observer = cast(ILogObserver, seen.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        called, exchange = self.call("create", {"Image": "a"}, name="some")
        self.reactor.pump([0] * 5)
        exchange.answer({"Id": "x1", "Warnings": ["no swap"]}, "201 Created")

        self.assertEqual(exchange.line, "POST /v1.41/containers/create?name=some")
        self.assertEqual(json.loads(exchange.body), {"Image": "a"})
        self.assertEqual(exchange.headers["content-type"], "application/json")
        self.assertEqual(self.successResultOf(called), "x1")
        self.assertIn("no swap", [event.get("words") for event in seen])

    def test_simple_calls(self) -> None:
        """Calls without an answer, and what each asks."""
        for method, args, line in (
            ("start", (), "POST /v1.41/containers/some/start"),
            ("kill", ("SIGHUP",), "POST /v1.41/containers/some/kill?signal=SIGHUP"),
            ("kill", (9,), "POST /v1.41/containers/some/kill?signal=9"),
            ("stop", (3,), "POST /v1.41/containers/some/stop?t=3"),
            ("remove", (True,), "DELETE /v1.41/containers/some?force=1&v=1"),
        ):
            client = self.make_client()
            called = getattr(client, method)("some", *args)
            self.greet()
            exchange = self.accept()
            exchange.answer(None, "204 No Content")
            self.assertEqual(exchange.line, line)
            self.assertIsNone(self.successResultOf(called))
        self.assert_nothing_left()

    def test_already(self) -> None:
        """Starting what runs, and stopping what does not, is no error."""
        called, exchange = self.call("start", "some")
        exchange.answer(None, "304 Not Modified")
        self.assertIsNone(self.successResultOf(called))

    def test_inspect(self) -> None:
        """The state has what tells why a container ended."""
        called, exchange = self.call("inspect", "some")
        exchange.answer(
            {
                "Id": "x1",
                "State": {"Status": "exited", "OOMKilled": True, "ExitCode": 137},
            }
        )
        state = self.successResultOf(called).state
        self.assertEqual(
            (state.status, state.oom_killed, state.exit_code), ("exited", True, 137)
        )

    def test_containers(self) -> None:
        """Containers are listed by label, those that have ended only if wanted."""
        called, exchange = self.call("containers", {"a": "b"}, all=True)
        exchange.answer([{"Id": "x1", "State": "exited", "Labels": {"a": "b"}}])
        self.assertEqual(
            exchange.query, {"all": ["1"], "filters": ['{"label": ["a=b"]}']}
        )
        (found,) = self.successResultOf(called)
        self.assertEqual((found.state, found.labels), ("exited", {"a": "b"}))

    def test_stats(self) -> None:
        """Statistics are asked for once, not as a stream."""
        called, exchange = self.call("stats", "some")
        exchange.answer(
            {
                "memory_stats": {"usage": 100, "stats": {"total_inactive_file": 30}},
                "cpu_stats": {"cpu_usage": {"total_usage": 1500000000}},
                "pids_stats": {},
            }
        )
        self.assertEqual(exchange.query, {"stream": ["0"], "one-shot": ["1"]})
        stats = self.successResultOf(called)
        self.assertEqual((stats.memory, stats.cpu_seconds), (70, 1.5))

    def test_wait(self) -> None:
        """``wait`` gives the exit code."""
        called, exchange = self.call("wait", "some", "next-exit")
        exchange.begin()
        self.assertNoResult(called)
        exchange.send(b'{"Error":null,"StatusCode":137}\n')
        exchange.end()

        self.assertEqual(exchange.query, {"condition": ["next-exit"]})
        self.assertEqual(self.successResultOf(called), Exit(137))
        self.assert_nothing_left()

    def test_wait_cut(self) -> None:
        """An engine that ends while it waits has told no exit code."""
        called, exchange = self.call("wait", "some")
        exchange.begin()
        exchange.end()
        self.failureResultOf(called, errors.MalformedAnswer)

    def test_endless_wait(self) -> None:
        """An answer without end is cut, and then is none."""
        called, exchange = self.call("wait", "some")
        exchange.begin()
        for _ in range(100):
            exchange.send(b" " * 10000)
        exchange.send(b'{"StatusCode":0}')
        exchange.end()
        self.failureResultOf(called, errors.MalformedAnswer)

    def test_attach(self) -> None:
        """What is printed goes to the callback of its output."""
        called, exchange = self.call("attach", "some", self.out, self.err)
        exchange.begin()
        stream = self.successResultOf(called)
        exchange.send(frame(1, b"a") + frame(2, b"b")[:-1])
        exchange.send(b"b" + frame(1, b"c"))
        exchange.end()

        self.successResultOf(stream.when_closed())
        self.assertEqual(self.printed, [("out", b"a"), ("err", b"b"), ("out", b"c")])
        self.assertEqual(exchange.path, "/v1.41/containers/some/attach")
        self.assertEqual(exchange.query["logs"], ["0"])
        self.assertNotIn("upgrade", exchange.headers)

    def test_attach_terminal(self) -> None:
        """A terminal's output is one."""
        called, exchange = self.call("attach", "some", self.out, self.err, tty=True)
        exchange.begin()
        self.successResultOf(called)
        exchange.send(b"\1\0")
        self.assertEqual(self.printed, [("out", b"\1\0")])

    def test_attach_refused(self) -> None:
        """There may be no such container."""
        called, exchange = self.call("attach", "some", self.out, self.err)
        exchange.answer({"message": "No such container"}, "404 Not Found")
        self.failureResultOf(called, errors.NotFound)

    def test_engine_complains(self) -> None:
        """What the engine says inside the stream is an error in its words."""
        called, exchange = self.call("logs", "some", self.out, self.err)
        exchange.begin()
        closed = self.successResultOf(called).when_closed()
        exchange.send(frame(3, b"log driver does not support reading\n"))

        error = self.failureResultOf(closed, errors.DockerError).value
        self.assertIn("log driver does not support reading", str(error))
        self.assertIn("read the log of container 'some'", str(error))

    def test_attach_cut(self) -> None:
        """A stream that ends inside a frame has lost something, and says so."""
        called, exchange = self.call("attach", "some", self.out, self.err)
        exchange.begin()
        closed = self.successResultOf(called).when_closed()
        exchange.send(frame(1, b"abc")[:-1])
        exchange.end()

        self.failureResultOf(closed, errors.MalformedAnswer)
        self.assertEqual(self.printed, [("out", b"ab")])

    def test_logs(self) -> None:
        """A log can be read from its end, and followed."""
        called, exchange = self.call(
            "logs", "some", self.out, self.err, follow=True, tail=5, since=1.5
        )
        self.unfinished(called)
        query = exchange.query
        self.assertEqual(
            (query["follow"], query["tail"], query["since"]),
            (["1"], ["5"], ["1.500000000"]),
        )
