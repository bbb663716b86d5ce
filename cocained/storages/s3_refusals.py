# -*- test-case-name: cocained.test.test_storages_s3_refusals -*-
"""
What an S3 store and its driver say, as errors of a storage with a remedy.
"""

from __future__ import annotations

import errno
from typing import Any

from botocore import exceptions as errors

from cocained.errors import StorageError
from cocained.storages.lines import Lost

#: What a store answers: codes, or the status of HTTP where it has no words.
_ANSWERS: tuple[tuple[tuple[str, ...], type[StorageError], int, str], ...] = (
    (
        ("NoSuchBucket", "404"),
        StorageError,
        errno.ENOENT,
        "create the bucket, or name another",
    ),
    (
        ("QuotaExceeded", "XMinioStorageFull", "507"),
        StorageError,
        errno.ENOSPC,
        "raise the quota, or remove something",
    ),
    (
        ("403", "401", "InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied"),
        StorageError,
        errno.EACCES,
        "see whether the keys are right, and what they may do in this bucket",
    ),
    (("EntityTooLarge",), StorageError, errno.EFBIG, "lower max-object"),
    (
        ("SlowDown", "500", "502", "503", "504", "RequestTimeout", "429"),
        Lost,
        errno.EAGAIN,
        "the store is busy or broken; try again later",
    ),
)

#: What the driver raises by itself.
_KINDS: tuple[tuple[Any, type[StorageError], int, str], ...] = (
    (
        (errors.NoCredentialsError, errors.PartialCredentialsError),
        StorageError,
        errno.EACCES,
        "set access-key-id and secret-access-key, or AWS_ACCESS_KEY_ID and its like",
    ),
    (
        (errors.ConnectTimeoutError, errors.ReadTimeoutError),
        Lost,
        errno.ETIMEDOUT,
        "see whether the store hangs, and the network lets it be reached; whether the"
        " operation took effect is unknown",
    ),
    (
        errors.EndpointConnectionError,
        Lost,
        errno.ECONNREFUSED,
        "see whether the store runs, and whether endpoint-url names it",
    ),
    (
        (
            errors.ConnectionClosedError,
            errors.HTTPClientError,
            errors.ResponseStreamingError,
        ),
        Lost,
        errno.ECONNRESET,
        "the connection was cut",
    ),
)


def is_missing(error: errors.ClientError) -> bool:
    """Say whether there is no such object."""
    return error.response.get("Error", {}).get("Code") in ("NoSuchKey", "404")


def translated(storage: str, error: Exception) -> StorageError | None:
    """
    Say it as an error of ours.

    :param storage: name of the storage.
    :returns: ``None`` for what does not come from the driver.
    """
    words = " ".join(str(error).split())
    text = f"storage {storage!r}: S3 says: {words}"
    if isinstance(error, errors.ClientError):
        return _translated_answer(error, text)
    for kinds, make, code, remedy in _KINDS:
        if isinstance(error, kinds):
            return make(code, f"{text}; {remedy}")
    if isinstance(error, errors.BotoCoreError):
        return StorageError(errno.EINVAL, text)
    return None


def _translated_answer(error: errors.ClientError, text: str) -> StorageError:
    answer: Any = error.response
    code = answer.get("Error", {}).get("Code", "")
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    for codes, make, number, remedy in _ANSWERS:
        if code in codes or str(status) in codes:
            return make(number, f"{text}; {remedy}")
    return StorageError(errno.EIO, text)
