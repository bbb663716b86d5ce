# -*- test-case-name: cocained.test.live.test_storages_s3 -*-
"""
The storage ``s3`` on a store that speaks the protocol.
"""

from __future__ import annotations

import errno
import uuid
from typing import Any

from typing_extensions import override

from cocained.errors import ConfigError
from cocained.storages import s3
from cocained.storages.s3 import FEW, S3Args, S3Storage
from cocained.test.live.s3 import BUCKET, S3, shared
from cocained.test.live.storage_case import RemoteCase
from cocained.test.live.storage_faults import Faults
from cocained.test.live.support import LOOPBACK, live_suite
from cocained.testing.contracts import SharedVersionContract, StorageContract

test_suite = live_suite(__name__)


class S3Case(RemoteCase):
    """A storage with a prefix of its own."""

    @override
    def setUp(self) -> None:
        self.server = self.serve()
        self.prefix = uuid.uuid4().hex
        super().setUp()

    def serve(self) -> Any:
        """Give the server."""
        return shared()

    @override
    def make(self, **changes: Any) -> S3Storage:
        values: dict[str, Any] = {
            "endpoint_url": self.server.url,
            "bucket": BUCKET,
            "prefix": self.prefix,
            "region": "us-east-1",
            "access_key_id": "key",
            "secret_access_key": "secret",
            "max_object": self.max_object,
            **changes,
        }
        return S3Storage(self.node, "core", S3Args(**values))


class ContractTests(S3Case, StorageContract, SharedVersionContract):
    """Objects in a bucket keep the contract."""


class FaultTests(Faults, S3Case):
    """A store that fails; it has nothing on a disk."""

    keeps = False
    rounds = 5
    make_server = S3

    @override
    def through(self, port: int) -> dict[str, Any]:
        return {"endpoint_url": f"http://{LOOPBACK}:{port}"}


class LayoutTests(S3Case):
    """What lies in the bucket."""

    @override
    def setUp(self) -> None:
        super().setUp()
        self.client = self.server.client()
        self.addCleanup(self.client.close)

    def names(self) -> list[str]:
        """List what this storage has, without its prefix."""
        listed = self.client.list_objects_v2(Bucket=BUCKET, Prefix=self.prefix + "/")
        return [each["Key"][33:] for each in listed.get("Contents", ())]

    def test_layout(self) -> None:
        """Objects and tags lie where the documentation says."""
        self.result_of(self.storage.write("apps/a", "k%ü", b"v", ["t"]))

        self.assertEqual(
            self.names(),
            [
                ".cocained-marks/apps/a/k%25%C3%BC/t",
                ".cocained-tags/apps/a/t/k%25%C3%BC",
                "apps/a/k%25%C3%BC",
            ],
        )

    def test_nothing_is_left(self) -> None:
        """A removal leaves nothing behind."""
        self.result_of(self.storage.write("c", "k", b"v", ["a", "b"]))
        self.result_of(self.storage.write("c", "k", b"v", ["c"]))
        self.result_of(self.storage.remove("c", "k"))

        self.assertEqual(self.names(), [])

    def test_foreign_object(self) -> None:
        """What another tool put there can be read, tagged and removed."""
        self.client.put_object(Bucket=BUCKET, Key=f"{self.prefix}/c/k", Body=b"theirs")

        self.assertEqual(self.result_of(self.storage.read("c", "k")), b"theirs")
        self.result_of(self.storage.version("c", "k"))
        self.result_of(self.storage.remove("c", "k"))
        self.assert_refused(errno.ENOENT, self.storage.read("c", "k"))

    def test_marks_without_objects(self) -> None:
        """What a removal that was ended left behind is not found, few or many."""
        names = [f"k{number:02}" for number in range(FEW + 2)]
        for name in names:
            self.result_of(self.storage.write("c", name, b"v", ["t"]))
        for name in names[:2]:
            self.result_of(self.storage.write("c", name, b"v", ["few"]))
        self.client.delete_object(Bucket=BUCKET, Key=f"{self.prefix}/c/k00")

        self.assertEqual(self.result_of(self.storage.find("c", ["t"])), names[1:])
        self.assertEqual(self.result_of(self.storage.find("c", ["few"])), ["k01"])

    def test_many(self) -> None:
        """A search goes on over the pages of an answer, and so does a removal."""
        self.patch(s3, "PAGE", 4)
        self.patch(s3, "BATCH", 4)
        self.patch(s3, "FEW", 5)
        tags = [f"t{number}" for number in range(9)]
        for number in range(9):
            self.result_of(self.storage.write("c", f"k{number}", b"v", ["t"]))
        self.result_of(self.storage.write("c", "k0", b"v", tags))

        self.assertEqual(len(self.result_of(self.storage.find("c", ["t"]))), 9)
        self.result_of(self.storage.remove("c", "k0"))
        self.assertEqual([name for name in self.names() if "k0" in name], [])

    def test_long_names(self) -> None:
        """A name that is too long when it is quoted is refused, and not by half."""
        error = self.assert_refused(
            errno.ENAMETOOLONG,
            self.storage.write("ü" * 100, "ü" * 60, b"v", ["ü" * 60]),
        )

        self.assertIn("1024", error.reason)
        self.assertEqual(self.names(), [])


class AccessTests(S3Case):
    """Buckets, keys and addresses that do not fit."""

    def refused(self, **changes: Any) -> str:
        storage = self.make(**changes)
        self.addCleanup(self.close, storage)
        failed = self.node.reactor.wait_for(storage.start())
        return str(self.failureResultOf(failed, ConfigError).value)

    def test_no_such_bucket(self) -> None:
        """The node does not start, and hears what to do."""
        text = self.refused(bucket="nowhere")

        self.assertIn("create the bucket", text)

    def test_bad_address(self) -> None:
        """Nor with an address that is none."""
        self.assertIn("endpoint-url", self.refused(endpoint_url="nonsense"))

    def test_half_a_key(self) -> None:
        """A key without its secret is refused before anything starts."""
        with self.assertRaises(ConfigError):
            self.make(secret_access_key=None)
