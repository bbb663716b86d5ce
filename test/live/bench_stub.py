# -*- test-case-name: cocained.test.live.test_bench -*-
"""
A stand-in for a node: as much of one as the benchmark asks of it.

Takes the path of a ``node.yaml``, offers locator, storage and node on the
pinned ports, reads apps from the ``files`` storage in the layout of protocol.md
§4.1, unpacks them, and relays their calls with the yardstick's two classes.  A
worker is spawned when the first client connects.
"""

from __future__ import annotations

import io
import itertools
import os
import subprocess
import sys
import tarfile
import uuid
from pathlib import Path
from typing import Any

import msgpack
import yaml
from twisted.internet import reactor
from twisted.internet.protocol import Factory
from typing_extensions import override

from cocained.tools.bench.yardstick import ClientSide, Side, WorkerSide, pack_frame

VALUE, ERROR = 0, 1


class Refused(Exception):
    """Ends a call with an error frame."""

    def __init__(self, category: int, code: int, reason: str) -> None:
        super().__init__(reason)
        self.pair = [category, code]


class Service(Side):
    """Answers calls by a table of methods."""

    def __init__(self, methods: dict[int, Any]) -> None:
        super().__init__()
        self.methods = methods

    @override
    def dataReceived(self, data: bytes) -> None:
        self.unpacker.feed(data)
        for channel, message, arguments, *_ in self.unpacker:
            try:
                answer = VALUE, self.methods[message](*arguments)
            except Refused as refused:
                answer = ERROR, [refused.pair, str(refused)]
            self.output.append(pack_frame(channel, *answer))
        self.flush()


class App:
    """A started app: two listening sockets, and a worker when one is needed."""

    numbers = itertools.count(1)

    def __init__(self, stub: Stub, name: str) -> None:
        self.name = name
        manifest = stub.document("manifests", name)
        self.place = stub.spool / name
        packed = stub.document("apps", name)
        with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
            tar.extractall(self.place, filter="data")
        self.program = self.place / manifest[b"slave"].decode()
        self.environment = {
            name.decode(): value.decode()
            for name, value in manifest[b"environment"].items()
        }
        self.endpoint = str(stub.runtime / f"{next(self.numbers)}.{os.getpid()}")
        self.worker = WorkerSide()
        self.process: subprocess.Popen[bytes] | None = None
        self.ports = [
            reactor.listenUNIX(self.endpoint, Factory.forProtocol(lambda: self.worker)),
            reactor.listenTCP(
                0, Factory.forProtocol(self.client), interface="127.0.0.1"
            ),
        ]

    def client(self) -> ClientSide:
        if self.process is None:
            arguments = ["--app", self.name, "--endpoint", self.endpoint]
            arguments += ["--locator", "127.0.0.1:1", "--protocol", "1"]
            arguments += ["--uuid", str(uuid.uuid4())]
            self.process = subprocess.Popen(
                [self.program, *arguments], env={**os.environ, **self.environment}
            )
        return ClientSide(self.worker)

    def stop(self) -> None:
        for port in self.ports:
            port.stopListening()
        if self.process is not None:
            self.process.kill()
            self.process.wait()


class Stub:
    """The node."""

    def __init__(self, configuration: dict[str, Any]) -> None:
        self.runtime = Path(configuration["paths"]["runtime"])
        self.spool = Path(configuration["paths"]["spool"])
        self.store = Path(configuration["storages"]["core"]["args"]["path"])
        self.apps: dict[str, App] = {}
        self.pinned = configuration["network"]["pinned"]
        services = {
            "locator": {0: self.resolve},
            "storage": {0: self.read, 1: self.write},
            "node": {0: self.start_app, 1: self.pause_app, 2: self.list},
        }
        for name, methods in services.items():
            factory = Factory.forProtocol(lambda methods=methods: Service(methods))
            reactor.listenTCP(
                self.pinned[name], factory, backlog=1024, interface="127.0.0.1"
            )

    def document(self, collection: str, key: str) -> Any:
        tag = {"profiles": "profile"}.get(collection, "app")
        link = self.store / collection / tag / key
        if not link.is_symlink():
            raise Refused(12, 2, f"{link}: No such file or directory")
        return msgpack.unpackb(link.read_bytes(), raw=True)

    def resolve(self, name: bytes, seed: bytes = b"") -> list[Any]:
        known = name.decode()
        if known in self.apps:
            port = self.apps[known].ports[1].getHost().port
        elif known in self.pinned:
            port = self.pinned[known]
        else:
            raise Refused(10, 1, "service is not available")
        return [[["127.0.0.1", port]], 1, {0: ["method", {}, {}]}]

    def read(self, collection: bytes, key: bytes) -> list[Any]:
        return [(self.store / collection.decode() / key.decode()).read_bytes()]

    def write(
        self, collection: bytes, key: bytes, blob: bytes, tags: Any = ()
    ) -> list[Any]:
        directory = self.store / collection.decode()
        directory.mkdir(exist_ok=True)
        path = directory / key.decode()
        path.write_bytes(blob)
        for tag in tags:
            (directory / tag.decode()).mkdir(exist_ok=True)
            link = directory / tag.decode() / key.decode()
            if not link.is_symlink():
                link.symlink_to(path)
        return []

    def start_app(self, app: bytes, profile: bytes) -> list[Any]:
        self.document("profiles", profile.decode())
        if app.decode() in self.apps:
            raise Refused(20991, 5, "app is running")
        self.apps[app.decode()] = App(self, app.decode())
        return []

    def pause_app(self, app: bytes) -> list[Any]:
        if app.decode() not in self.apps:
            raise Refused(20991, 6, "app is not running")
        self.apps.pop(app.decode()).stop()
        return []

    def list(self) -> list[Any]:
        return [list(self.apps)]


def main(path: str) -> None:
    stub = Stub(yaml.safe_load(Path(path).read_text()))

    def end() -> None:
        for app in stub.apps.values():
            app.stop()

    reactor.addSystemEventTrigger("before", "shutdown", end)
    reactor.run()


if __name__ == "__main__":
    main(sys.argv[1])
