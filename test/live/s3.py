# -*- test-case-name: cocained.test.live.test_storages_s3 -*-
"""
A store that speaks S3.
"""

from __future__ import annotations

import functools
import http.client
import io
import sys
import threading
from importlib.util import find_spec
from typing import Any

import botocore.session
from typing_extensions import override

from cocained.test.live.servers import Server
from cocained.test.live.support import LOOPBACK, missing

BUCKET = "cocaine"


class S3(Server):
    """One store in memory, with one bucket."""

    program = (sys.executable, "python3")

    def __init__(self) -> None:
        if find_spec("moto") is None:
            raise missing("no moto: install cocained[live]")
        super().__init__()

    @override
    def command(self) -> list[str]:
        port = str(self.port)
        return [sys.executable, "-m", __name__, port]

    @override
    def is_ready(self) -> bool:
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=5)
        try:
            connection.request("GET", "/moto-api/")
            return connection.getresponse().status == http.client.OK
        except OSError:
            return False
        finally:
            connection.close()

    @override
    def start(self) -> None:
        super().start()
        self.client().create_bucket(Bucket=BUCKET)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{LOOPBACK}:{self.port}"

    def client(self) -> Any:
        """Connect, to look behind the storage."""
        return botocore.session.get_session().create_client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="key",
            aws_secret_access_key="secret",
        )


@functools.cache
def shared() -> S3:
    """Give the store that all tests of a run may share, and must not stop."""
    server = S3()
    server.start()
    return server


def main(port: int) -> None:
    """Serve until the process is ended."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import run_simple

    store = DomainDispatcherApplication(create_backend_app)
    lock = threading.Lock()

    def serve(environ: Any, start: Any) -> list[bytes]:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length)
        if len(body) < length:
            # It would take half an object for one; real stores do not.
            start("400 Bad Request", [])
            return []
        environ["wsgi.input"] = io.BytesIO(body)
        # It is not made for two writes of one object at one time.
        with lock:
            return list(store(environ, start))

    run_simple(LOOPBACK, port, serve, threaded=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
