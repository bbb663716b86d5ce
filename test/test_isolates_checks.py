# -*- test-case-name: cocained.test.test_isolates_checks -*-
"""
What a machine cannot do is an error with a remedy.
"""

from __future__ import annotations

import errno
import os
import pwd
import resource
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from cocained.config import convert
from cocained.errors import SpoolError
from cocained.isolates import checks
from cocained.isolates.keys import ProcessArgs
from cocained.isolates.launch import PACKAGES, Identity


class ToolTests(SynchronousTestCase):
    """The programs of the system."""

    def needed(self, **keys: Any) -> dict[str, str]:
        return checks.needed_tools(convert(keys, ProcessArgs))

    def test_needed(self) -> None:
        """Each argument needs its program, and no other."""
        self.assertEqual(self.needed(), {})
        self.assertEqual(self.needed(tmpdir="private"), {})
        self.assertEqual(list(self.needed(memory=2**26)), ["sh"])
        self.assertEqual(list(self.needed(contain=True)), ["sh"])
        self.assertEqual(self.needed(rlimits={"core": 0}), {"prlimit": "rlimits"})
        self.assertEqual(self.needed(user="x"), {"setpriv": "user"})
        self.assertEqual(self.needed(no_new_privs=True), {"setpriv": "no_new_privs"})
        self.assertEqual(self.needed(sandbox="bwrap"), {"bwrap": "sandbox"})

    def test_found(self) -> None:
        """They are found by their paths."""
        found = checks.find_tools({"sh": "contain"})

        self.assertTrue(os.access(found["sh"], os.X_OK))

    def test_missing(self) -> None:
        """One that is not installed is named with its package."""
        for name, package in PACKAGES.items():
            error = self.assertRaises(
                SpoolError, checks.find_tools, {name: "key"}, self.mktemp()
            )

            self.assertEqual(
                error.reason,
                f"isolate argument 'key': needs the program {name}, which is not"
                f" installed; install it (Debian: apt-get install {package})",
            )
            self.assertEqual(error.code, errno.ENOENT)


class UserTests(SynchronousTestCase):
    """Who workers may be."""

    def test_root_may_be_anybody(self) -> None:
        """By name or by number, with the user's own group or another."""
        known = pwd.getpwnam("nobody")
        whole = Identity(known.pw_uid, known.pw_gid, "nobody", known.pw_dir)

        self.assertEqual(checks.identify("nobody", 0), whole)
        self.assertEqual(checks.identify(str(known.pw_uid), 0), whole)
        self.assertEqual(checks.identify("nobody:0", 0).gid, 0)
        self.assertEqual(checks.identify("nobody:root", 0).gid, 0)

    def test_unknown_number(self) -> None:
        """A number that nobody has will do, with a group."""
        self.assertEqual(checks.identify("3999999999:12", 0), Identity(3999999999, 12))

    def refused(self, text: str, euid: int = 0) -> SpoolError:
        return self.assertRaises(SpoolError, checks.identify, text, euid)

    def test_unknown(self) -> None:
        """Users and groups that are not there are named."""
        for text, part in (
            ("no-such-user", "there is no user 'no-such-user'"),
            ("3999999999", "or write numbers: uid:gid"),
            ("no-such-user:0", "there is no user 'no-such-user'"),
            ("nobody:no-such-group", "there is no group 'no-such-group'"),
        ):
            error = self.refused(text)
            self.assertTrue(error.reason.startswith("isolate argument 'user': "))
            self.assertIn(part, error.reason)
            self.assertEqual(error.code, errno.ENOENT)

    def test_only_root(self) -> None:
        """Others may only be themselves."""
        error = self.refused("nobody", 1000)

        self.assertIn("only root may run workers as 'nobody'", error.reason)
        self.assertIn("start the node as root", error.reason)
        self.assertEqual(error.code, errno.EPERM)
        nobody = pwd.getpwnam("nobody").pw_uid
        self.assertEqual(checks.identify("nobody", nobody).uid, nobody)


class RlimitTests(SynchronousTestCase):
    """Limits that may be set."""

    def check(self, may_raise: bool = False, **limits: Any) -> Any:
        rlimits: Any = limits
        return checks.check_rlimits(rlimits, may_raise, lambda name: 500)

    def test_lower(self) -> None:
        """Everybody may have less."""
        self.assertEqual(self.check(nofile=[100, 500]), {"nofile": (100, 500)})

    def test_higher(self) -> None:
        """More than the node itself has is an error that names the limit."""
        error = self.assertRaises(SpoolError, self.check, nofile=501)

        self.assertEqual(
            error.reason,
            "isolate argument 'rlimits.nofile': 501 is above the node's own hard limit"
            " of 500; ask for no more, or raise it where the node is started"
            " (ulimit -H, systemd: LimitNOFILE=)",
        )
        self.assertIn(
            "no limit is above",
            self.assertRaises(SpoolError, self.check, nofile=[1, -1]).reason,
        )

    def test_privileged(self) -> None:
        """Unless it may raise its own."""
        self.assertEqual(self.check(may_raise=True, nofile=-1), {"nofile": (-1, -1)})

    def test_unlimited(self) -> None:
        """Where the node has no limit, anything will do."""
        found = checks.check_rlimits({"as": -1}, False, lambda name: -1)

        self.assertEqual(found, {"as": (-1, -1)})

    def test_every_name(self) -> None:
        """Each name that a profile may have is one of the system's."""
        for name in ("as", "core", "cpu", "data", "fsize", "memlock", "msgqueue"):
            self.assertIsInstance(checks.hard_limit(name), int)
        for name in ("nice", "nproc", "rss", "rtprio", "rttime", "sigpending"):
            self.assertIsInstance(checks.hard_limit(name), int)
        self.assertEqual(
            checks.hard_limit("nofile"), resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        )

    def test_may_raise(self) -> None:
        """One capability lets a process raise its limits."""
        process = self.mktemp()
        os.makedirs(process)
        for capabilities, expected in (
            ("000001fffeffffff", False),
            ("000001ffffffffff", True),
            ("0000000000000000", False),
        ):
            with open(f"{process}/status", "w") as file:
                file.write(f"Name:\tx\nCapEff:\t{capabilities}\n")
            self.assertEqual(checks.may_raise(process), expected)
        with open(f"{process}/status", "w") as file:
            file.write("Name:\tx\n")
        self.assertFalse(checks.may_raise(process))


class BindTests(SynchronousTestCase):
    """What a sandbox shares with the machine."""

    def test_binds(self) -> None:
        """Paths that are there, writable or not."""
        self.assertEqual(
            checks.check_binds(["/etc", "/usr:ro"]), (("/etc", False), ("/usr", True))
        )

    def test_missing(self) -> None:
        """One that is not is named."""
        error = self.assertRaises(SpoolError, checks.check_binds, ["/no/such:ro"])

        self.assertIn("'bwrap.binds': /no/such does not exist", error.reason)
