# -*- test-case-name: cocained.test.test_errors -*-
"""Tests of :mod:`cocained.errors`: each error and how it travels."""

from __future__ import annotations

import errno
from collections.abc import Iterator

from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SynchronousTestCase

from cocained import errors
from cocained.errors import (
    WORKER_TEXTS,
    Category,
    CocainedError,
    ConfigError,
    DocumentError,
    RemoteError,
    RemoteProtocolError,
    StorageError,
    TransportCode,
    WorkerCode,
    to_wire,
)
from cocained.rpc.codec import pack, unpack

#: Every class of the tree, made as its users make it, with its triple.
TABLE: dict[type[CocainedError], tuple[CocainedError, int, int, str]] = {
    type(error): (error, category, code, reason)
    for error, category, code, reason in (
        (errors.CocainedError("x"), 12, 22, "x"),
        (errors.ConfigError("x", "a.b", 3, "f"), 12, 22, "x"),
        (errors.DocumentError("profile 'p'", ["x"]), 12, 22, "profile 'p': x"),
        (errors.PluginError("x"), 8, 3, "x"),
        (errors.UnknownPlugin("x"), 8, 7, "x"),
        (errors.DuplicatePlugin("x"), 8, 2, "x"),
        (errors.BrokenPlugin("x"), 8, 4, "x"),
        (errors.MissingExtra("x", "redis"), 8, 4, "x"),
        (errors.ProtocolError("x"), 6, 1, "x"),
        (errors.LocalProtocolError("x"), 6, 1, "x"),
        (errors.RemoteProtocolError("x"), 6, 1, "x"),
        (errors.InvalidArgument("x"), 7, 2, "x"),
        (errors.SlotNotFound("x"), 7, 5, "x"),
        (errors.RevokedChannel("x"), 7, 4, "x"),
        (errors.TooManyChannels("x"), 20991, 2, "x"),
        (errors.RemoteError(42, -7, "x"), 42, -7, "x"),
        (errors.ServiceNotAvailable(), 10, 1, "service is not available"),
        (errors.StorageError(2, "x"), 12, 2, "x"),
        (errors.UnicornError("x"), 11, 11, "x"),
        (errors.ChildNotAllowed("x"), 11, 1, "x"),
        (errors.InvalidType("x"), 11, 2, "x"),
        (errors.InvalidValue("x"), 11, 3, "x"),
        (errors.InvalidNodeName("x"), 11, 5, "x"),
        (errors.InvalidPath("x"), 11, 6, "x"),
        (errors.VersionNotAllowed("x"), 11, 7, "x"),
        (errors.NoNode("x"), 11, 8, "x"),
        (errors.NodeExists("x"), 11, 9, "x"),
        (errors.ConnectionLoss("x"), 11, 10, "x"),
        (errors.UnicornBusy("x"), 12, 11, "x"),
        (errors.IsolateError("x"), 12, 22, "x"),
        (errors.SpoolError("x", 28), 12, 28, "x"),
        (errors.DoorError("x", 36), 12, 36, "x"),
        (errors.SpawnError("x"), 12, 22, "x"),
        (errors.Forbidden("x"), 12, 13, "x"),
        (errors.NotDrained("x"), 12, 110, "x"),
        (errors.AppError("x"), 20991, 22, "x"),
        (errors.AppExists("x"), 20991, 5, "x"),
        (errors.AppNotRunning("x"), 20991, 6, "x"),
        (
            errors.AppStopped(),
            12,
            32,
            "the application has been stopped: Broken pipe",
        ),
        (errors.BacklogFull(), 21247, 1, "queue is full"),
        (
            errors.DeadlineExceeded(),
            20991,
            1,
            "the event has expired in the queue",
        ),
        (errors.RequestTimeout(), 20991, 3, "slave has been discarded"),
        (errors.WorkerLost(5, 2), 5, 2, "slave has been discarded"),
    )
}


def tree(root: type[CocainedError]) -> Iterator[type[CocainedError]]:
    """All classes of :mod:`cocained.errors` below *root*, and itself."""
    yield root
    for below in root.__subclasses__():
        if below.__module__.startswith(f"{errors.__name__}."):
            yield from tree(below)


class TreeTests(SynchronousTestCase):
    """The classes."""

    def test_table_is_complete(self) -> None:
        """Every class of the tree has its row in the table."""
        self.assertEqual(set(tree(CocainedError)), set(TABLE))

    def test_triples(self) -> None:
        """Every class travels with the category and code of protocol.md §2.2."""
        for kind, (error, category, code, reason) in TABLE.items():
            wire = to_wire(error)
            self.assertEqual(wire, (category, code, reason), kind.__name__)
            self.assertEqual(wire.category, category)

    def test_triples_can_be_packed(self) -> None:
        """What travels is plain numbers and text, not members of an Enum."""
        for error, category, code, reason in TABLE.values():
            wire = to_wire(error)
            self.assertIs(type(wire.category), int)
            self.assertIs(type(wire.code), int)
            self.assertEqual(
                unpack(pack([[wire.category, wire.code], wire.reason])),
                [[category, code], reason.encode()],
            )

    def test_text(self) -> None:
        """People read the reason, and with a remote error also its codes."""
        for kind, (error, category, code, reason) in TABLE.items():
            if kind is RemoteError:
                self.assertEqual(str(error), f"[{category}, {code}] {reason}")
            elif kind is not ConfigError:
                self.assertEqual(str(error), reason)

    def test_reasons_are_arguments(self) -> None:
        """The reason is in ``args``, for those who print exceptions."""
        for error, _, _, reason in TABLE.values():
            self.assertEqual(error.args, (reason,))

    def test_one_instance_is_not_the_other(self) -> None:
        """The code of one error is not the code of its class."""
        RemoteProtocolError("x", TransportCode.PARSE)
        self.assertEqual(to_wire(RemoteProtocolError("x")).code, 1)
        self.assertEqual(
            to_wire(RemoteProtocolError("x", TransportCode.HPACK))[:2], (6, 2)
        )


class ForeignTests(SynchronousTestCase):
    """Errors that are not ours."""

    def test_any_other(self) -> None:
        """They go out as [7, 7] with their text."""
        self.assertEqual(to_wire(ValueError("parse error")), (7, 7, "parse error"))

    def test_without_text(self) -> None:
        """Those without a text get the original's."""
        for error in (ValueError(), CancelledError()):
            self.assertEqual(to_wire(error), (7, 7, "uncaught invocation exception"))

    def test_of_the_system(self) -> None:
        """An error of the system keeps its number."""
        error = OSError(errno.ENOSPC, "No space left on device", "/var/x")
        self.assertEqual(to_wire(error)[:2], (12, errno.ENOSPC))
        self.assertIn("No space left on device", to_wire(error).reason)

    def test_of_the_system_without_a_number(self) -> None:
        """One without a number is like any other."""
        self.assertEqual(to_wire(OSError("odd")), (7, 7, "odd"))


class TextTests(SynchronousTestCase):
    """Errors that say where."""

    def test_config_error(self) -> None:
        """It names file, line and path, as far as they are known."""
        for arguments, text in (
            (("wrong",), "wrong"),
            (("wrong", "a.b"), "a.b: wrong"),
            (("wrong", "a.b", 3), "3: a.b: wrong"),
            (("wrong", "a.b", 3, "node.yaml"), "node.yaml:3: a.b: wrong"),
            (("wrong", "", None, "node.yaml"), "node.yaml: wrong"),
        ):
            self.assertEqual(str(ConfigError(*arguments)), text)

    def test_document_error(self) -> None:
        """It lists all mistakes, and keeps a list of its own."""
        problems = ["no slave", "no type"]
        error = DocumentError("manifest 'm'", problems)
        problems.clear()
        self.assertEqual(str(error), "manifest 'm': no slave; no type")
        self.assertEqual(error.problems, ["no slave", "no type"])

    def test_storage_error(self) -> None:
        """One of the system becomes the original's text, with the place."""
        error = StorageError.from_os_error(
            OSError(errno.ENOENT, "whatever"), "/var/lib/cocaine/manifests/nope"
        )
        self.assertEqual(
            to_wire(error),
            (12, 2, "/var/lib/cocaine/manifests/nope: No such file or directory"),
        )

    def test_storage_error_without_a_number(self) -> None:
        """One without a number is an error of input and output."""
        error = StorageError.from_os_error(OSError("odd"), "k")
        self.assertEqual(to_wire(error), (12, errno.EIO, "k: Input/output error"))


class NumberTests(SynchronousTestCase):
    """Numbers that others have written down."""

    def test_categories(self) -> None:
        """The categories are those of 0.12.14."""
        self.assertEqual(
            [int(category) for category in Category],
            [*range(1, 14), 42, 43, 255, 20991, 21247, 21503],
        )

    def test_worker_codes(self) -> None:
        """Each reason for which a worker ends has a number and a text."""
        self.assertEqual([int(code) for code in WorkerCode], list(range(1, 15)))
        self.assertEqual(set(WORKER_TEXTS), set(WorkerCode))
        self.assertEqual(WORKER_TEXTS[WorkerCode(14)], "slave is sealing")
