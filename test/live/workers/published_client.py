"""
A client on the published framework, for Python 2.7 and 3.

Takes the port of a locator and the name of a scenario, and prints one line of
JSON: what the scenario has seen.
"""

import json
import sys

from cocaine.exceptions import ServiceError
from cocaine.services import EmptyResponse, Locator, Service
from tornado import gen
from tornado.ioloop import IOLoop

ENDPOINTS = [("127.0.0.1", int(sys.argv[1]))]
TIMEOUT = 15


def service(name):
    return Service(name, endpoints=ENDPOINTS)


def plain(value):
    """Make *value* fit for JSON."""
    if isinstance(value, EmptyResponse):
        return None
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {str(plain(key)): plain(each) for key, each in value.items()}
    return value


def failure(error):
    return {"error": [error.category, error.code, plain(error.reason)]}


@gen.coroutine
def outcome(pending):
    """Give the one answer of a call, or its error."""
    channel = yield pending
    try:
        value = yield channel.rx.get(timeout=TIMEOUT)
    except ServiceError as error:
        value = failure(error)
    raise gen.Return(plain(value))


@gen.coroutine
def stream(app, event, chunks=(), close=True):
    """Give the chunks of an app's answer, or its error."""
    channel = yield app.enqueue(event)
    for chunk in chunks:
        yield channel.tx.write(chunk)
    if close:
        yield channel.tx.close()
    got = []
    while True:
        try:
            value = yield channel.rx.get(timeout=TIMEOUT)
        except ServiceError as error:
            got.append(failure(error))
            break
        if isinstance(value, EmptyResponse):
            break
        got.append(plain(value))
    raise gen.Return(got)


@gen.coroutine
def resolve():
    locator = Locator(endpoints=ENDPOINTS)
    found = yield outcome(locator.resolve("storage"))
    lost = yield outcome(locator.resolve("nope"))
    uuid = yield outcome(locator.uuid())
    raise gen.Return([found[:2], lost, uuid])


@gen.coroutine
def storage():
    blobs = service("storage")
    steps = [
        lambda: blobs.write("documents", "key", "a value", ["tag", "other"]),
        lambda: blobs.read("documents", "key"),
        lambda: blobs.find("documents", ["tag"]),
        lambda: blobs.remove("documents", "key"),
        lambda: blobs.read("documents", "key"),
        lambda: blobs.find("documents", ["tag"]),
    ]
    seen = []
    for step in steps:
        seen.append((yield outcome(step())))
    raise gen.Return(seen)


@gen.coroutine
def logging():
    log = service("logging")
    before = yield outcome(log.verbosity())
    yield log.emit(3, "app/published", "said by a client", [["answer", 42]])
    after = yield outcome(log.verbosity())
    raise gen.Return([before, after])


@gen.coroutine
def node():
    control = service("node")
    seen = []
    for step in (
        lambda: control.list(),
        lambda: control.start_app("published", "default"),
        lambda: control.start_app("published", "default"),
        lambda: control.list(),
        lambda: control.info("published"),
        lambda: control.pause_app("published"),
        lambda: control.list(),
        lambda: control.pause_app("published"),
    ):
        seen.append((yield outcome(step())))
    raise gen.Return(seen)


@gen.coroutine
def streaming():
    app = service("published")
    back = yield stream(app, "echo", ["one", "two", "three"])
    many = yield stream(app, "count", ["50"])
    read = yield stream(app, "stored", ["key"])
    # One chunk after another, both halves open.
    channel = yield app.enqueue("echo")
    turns = []
    for word in ("a", "b", "c"):
        yield channel.tx.write(word)
        turns.append(plain((yield channel.rx.get(timeout=TIMEOUT))))
    yield channel.tx.close()
    turns.append(plain((yield channel.rx.get(timeout=TIMEOUT))))
    raise gen.Return([back, many, read, turns])


@gen.coroutine
def errors():
    app = service("published")
    raised = yield stream(app, "blowup", ["x"])
    unknown = yield stream(app, "nobody")
    refused = yield stream(app, "refuse", ["x"])
    raise gen.Return([raised, unknown, refused])


@gen.coroutine
def crash():
    app = service("published")
    first = yield stream(app, "who")
    crashed = yield stream(app, "crash", ["x"])
    second = yield stream(app, "who")
    raise gen.Return([first, crashed, second])


@gen.coroutine
def who():
    """Name the worker that answers."""
    app = service("published")
    answer = yield stream(app, "who")
    raise gen.Return(answer)


@gen.coroutine
def hang():
    """Wait for an answer that only a pause can give."""
    app = service("published")
    answer = yield stream(app, "hang")
    raise gen.Return(answer)


def main():
    scenario = globals()[sys.argv[2]]
    print(json.dumps(IOLoop.current().run_sync(scenario, timeout=60)))


if __name__ == "__main__":
    main()
