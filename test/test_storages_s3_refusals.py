# -*- test-case-name: cocained.test.test_storages_s3_refusals -*-
"""Tests of :mod:`cocained.storages.s3_refusals`."""

from __future__ import annotations

import errno
from typing import Any

from botocore import exceptions as errors
from twisted.trial.unittest import SynchronousTestCase

from cocained.errors import StorageError
from cocained.storages.lines import Lost
from cocained.storages.s3_refusals import is_missing, translated

URL = {"endpoint_url": "http://127.0.0.1:1"}


def answered(code: str, status: int = 400) -> errors.ClientError:
    """Make what the driver raises for the answer of a store."""
    response: Any = {
        "Error": {"Code": code, "Message": "no"},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return errors.ClientError(response, "PutObject")


class RefusalCase(SynchronousTestCase):
    """Errors, said as ours."""

    def assert_said(
        self, error: Exception, kind: type[StorageError], code: int, remedy: str
    ) -> None:
        """Insist on the kind, the number, the name of the storage and a remedy."""
        said = translated("core", error)

        assert said is not None
        self.assertIs(type(said), kind)
        self.assertEqual(said.code, code)
        self.assertIn("storage 'core': S3 says: ", said.reason)
        self.assertIn(remedy, said.reason)


class AnswerTests(RefusalCase):
    """What a store answers."""

    def test_no_bucket(self) -> None:
        """A bucket that is not there is to be created."""
        error = answered("NoSuchBucket", 404)

        self.assert_said(error, StorageError, errno.ENOENT, "create the bucket")

    def test_full(self) -> None:
        """Stores have several words for being full."""
        for code in ("QuotaExceeded", "XMinioStorageFull"):
            self.assert_said(answered(code), StorageError, errno.ENOSPC, "quota")

    def test_forbidden(self) -> None:
        """Wrong keys are told by code or by status alone."""
        for error in (answered("SignatureDoesNotMatch"), answered("", 403)):
            self.assert_said(error, StorageError, errno.EACCES, "keys")

    def test_too_large(self) -> None:
        """What is too large for the store leads to the key that limits it."""
        error = answered("EntityTooLarge")

        self.assert_said(error, StorageError, errno.EFBIG, "max-object")

    def test_busy(self) -> None:
        """A busy store is worth another attempt."""
        for error in (answered("SlowDown", 503), answered("?", 502)):
            self.assert_said(error, Lost, errno.EAGAIN, "later")

    def test_other(self) -> None:
        """Any other answer is an error with the store's own words."""
        self.assert_said(answered("Odd"), StorageError, errno.EIO, "Odd")

    def test_bare(self) -> None:
        """An answer that says nothing at all is an error nevertheless."""
        bare: Any = {}

        self.assert_said(errors.ClientError(bare, "x"), StorageError, errno.EIO, "x")

    def test_missing(self) -> None:
        """No such object is told by the code alone, a missing bucket is another."""
        self.assertTrue(is_missing(answered("NoSuchKey")))
        self.assertTrue(is_missing(answered("404")))
        self.assertFalse(is_missing(answered("NoSuchBucket", 404)))


class DriverTests(RefusalCase):
    """What the driver raises by itself."""

    def test_no_keys(self) -> None:
        """Without keys nothing is asked, and both places for them are named."""
        error = errors.NoCredentialsError()

        self.assert_said(error, StorageError, errno.EACCES, "AWS_ACCESS_KEY_ID")

    def test_time(self) -> None:
        """After a timeout nobody knows what took effect."""
        error = errors.ReadTimeoutError(**URL)

        self.assert_said(error, Lost, errno.ETIMEDOUT, "unknown")

    def test_nobody_there(self) -> None:
        """A store that does not run leads to its address."""
        error = errors.EndpointConnectionError(**URL)

        self.assert_said(error, Lost, errno.ECONNREFUSED, "endpoint-url")

    def test_cut(self) -> None:
        """A connection that was cut is a line that was lost."""
        error = errors.ConnectionClosedError(**URL)

        self.assert_said(error, Lost, errno.ECONNRESET, "was cut")

    def test_other(self) -> None:
        """What else the driver dislikes is told in one line."""
        error = errors.ParamValidationError(report="two\n lines")

        self.assert_said(error, StorageError, errno.EINVAL, "two lines")

    def test_strange(self) -> None:
        """What is not the driver's is left to others."""
        self.assertIs(translated("core", KeyError("x")), None)
