"""
An app on the published framework, for Python 2.7 and 3.
"""

import os

from cocaine.services import Service
from cocaine.worker import Worker
from tornado import gen


def echo(request, response):
    """Give back chunk after chunk, and the close."""
    while True:
        try:
            chunk = yield request.read()
        except Exception:
            break
        response.write(chunk)
    response.close()


def count(request, response):
    """Answer with many chunks."""
    number = yield request.read()
    for index in range(int(number)):
        response.write(b"chunk %d" % index)
    response.close()


def who(request, response):
    """Say which process this is."""
    response.write(str(os.getpid()).encode())
    response.close()
    yield gen.moment


def blowup(request, response):
    """Raise."""
    yield request.read()
    raise ValueError("handler blew up")


def refuse(request, response):
    """Answer with an error of its own."""
    yield request.read()
    response.error(17, "no such luck")


def crash(request, response):
    """End without a word."""
    yield request.read()
    os._exit(7)


def hang(request, response):
    """Never answer."""
    yield gen.sleep(3600)


def stored(request, response):
    """Read a document from the storage, as a client of the node."""
    key = yield request.read()
    storage = Service("storage")
    channel = yield storage.read("documents", key)
    value = yield channel.rx.get(timeout=5)
    response.write(value)
    response.close()


def main():
    worker = Worker()
    handlers = [echo, count, who, blowup, refuse, crash, hang, stored]
    for handler in handlers:
        worker.on(handler.__name__, handler)
    worker.run()


if __name__ == "__main__":
    main()
