"""
A worker that calls what it is told, for tests of whom it can reach.

The chunk is JSON: a service, a method, arguments.  The answer is JSON, too: what
came back, or the text of the error.
"""

import json

from cocaine.services import Service
from cocaine.worker import Worker


def plain(value):
    return value.decode() if isinstance(value, bytes) else repr(value)


def call(request, response):
    name, method, *args = json.loads((yield request.read()))
    try:
        answer = yield Service(name)[method](*args)
    except Exception as error:
        answer = f"{type(error).__name__}: {error}"
    response.write(json.dumps(answer, default=plain))
    response.close()


def ask(request, response):
    """Send an event and one chunk to an app, and give its first chunk."""
    name, event, chunk = json.loads((yield request.read()))
    try:
        channel = yield Service(name).enqueue(event)
        yield channel.tx.write(chunk)
        answer = plain((yield channel.rx.get()))
    except Exception as error:
        answer = f"{type(error).__name__}: {error}"
    response.write(json.dumps(answer))
    response.close()


Worker().run({"call": call, "ask": ask})
