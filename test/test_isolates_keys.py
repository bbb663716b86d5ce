# -*- test-case-name: cocained.test.test_isolates_keys -*-
"""
The arguments of the process isolate.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from cocained.config import convert
from cocained.config.describe import table
from cocained.errors import ConfigError
from cocained.isolates.keys import SERVICES, ProcessArgs, soft_and_hard


class KeysTests(SynchronousTestCase):
    """What is accepted, and what is said of the rest."""

    def args(self, **keys: Any) -> ProcessArgs:
        return convert(keys, ProcessArgs)

    def refused(self, **keys: Any) -> str:
        return str(self.assertRaises(ConfigError, self.args, **keys))

    def test_plain(self) -> None:
        """By default, and whatever the older arguments say, a worker is plain."""
        self.assertTrue(self.args().is_plain)
        self.assertTrue(self.args(kill_timeout=1, spool="x", limits={}).is_plain)
        self.assertTrue(self.args(no_new_privs=False).is_plain)

    def test_not_plain(self) -> None:
        """Each new argument alone needs a launch."""
        for key, value in (
            ("memory", 64 * 1024**2),
            ("cpu", 0.5),
            ("pids", 10),
            ("contain", True),
            ("user", "nobody"),
            ("no_new_privs", True),
            ("rlimits", {"core": 0}),
            ("tmpdir", "private"),
            ("sandbox", "bwrap"),
        ):
            self.assertFalse(self.args(**{key: value}).is_plain, key)

    def test_groups(self) -> None:
        """Those limits that the kernel keeps for a group need one."""
        for keys in ({"memory": 2**26}, {"cpu": 1}, {"pids": 1}, {"contain": True}):
            self.assertTrue(self.args(**keys).wants_group)
        self.assertFalse(self.args(user="nobody", sandbox="bwrap").wants_group)

    def test_ranges(self) -> None:
        """Slips of units are noticed."""
        self.assertIn("memory: must be a whole number from", self.refused(memory=64))
        self.assertIn("memory", self.refused(memory="64M"))
        self.assertIn("cpu: must be a number from 0.01", self.refused(cpu=0))
        self.assertIn("pids", self.refused(pids=0))

    def test_users(self) -> None:
        """A name, a number, or two of them with a colon."""
        for user in ("nobody", "65534", "65534:65534", "www-data:adm", "host$"):
            self.assertEqual(self.args(user=user).user, user)
        for user in ("a b", ":", "a:", "-x", "a:b:c", "x\n"):
            self.assertIn("user", self.refused(user=user))

    def test_rlimits(self) -> None:
        """A number, or the soft limit and the hard one."""
        args = self.args(rlimits={"nofile": [100, 200], "core": 0, "stack": [5, -1]})

        self.assertEqual(soft_and_hard(args.rlimits["nofile"]), (100, 200))
        self.assertEqual(soft_and_hard(args.rlimits["core"]), (0, 0))
        for value, text in (
            ([1], "a list of the soft and the hard limit"),
            ([1, 2, 3], "a list of the soft and the hard limit"),
            ([2, 1], "the soft limit must not be above the hard one"),
            ([-1, 5], "the soft limit must not be above the hard one"),
            (-2, "must be from -1"),
            (2**63, "must be from -1"),
        ):
            self.assertIn(text, self.refused(rlimits={"nofile": value}))
        self.assertIn("rlimits", self.refused(rlimits={"files": 1}))
        self.assertIn("rlimits.core", self.refused(rlimits={"core": "0"}))

    def test_binds(self) -> None:
        """What a sandbox shares is named from the root, and is not the root."""
        for bind in ("relative", "", "/a\0b"):
            reason = self.refused(sandbox="bwrap", bwrap={"binds": [bind]})
            self.assertIn("bwrap.binds[0]: must be an absolute path", reason)
        for bind in ("/", "/:ro", "/../."):
            reason = self.refused(sandbox="bwrap", bwrap={"binds": [bind]})
            self.assertIn("is everything; see 'read_only'", reason)

    def test_contradictions(self) -> None:
        """What would have no effect is an error, not a silence."""
        self.assertIn(
            "no_new_privs: is always on in a sandbox",
            self.refused(sandbox="bwrap", no_new_privs=False),
        )
        self.assertIn(
            "bwrap: has no effect without 'sandbox: bwrap'",
            self.refused(bwrap={"network": True}),
        )

    def test_documented(self) -> None:
        """Each argument stands in the table of the documentation."""
        text = table(ProcessArgs)

        for name in ProcessArgs.__struct_fields__:
            self.assertIn(f"``{name}``", text)
        self.assertIn("``bwrap.network``", text)


class ServicesTests(SynchronousTestCase):
    """What workers without a network can call."""

    def admitted(self, **keys: Any) -> tuple[str, ...]:
        return convert({"sandbox": "bwrap", "bwrap": keys}, ProcessArgs).bwrap.admitted

    def test_default(self) -> None:
        """Without a network the log and the storage, with one nothing."""
        self.assertEqual(self.admitted(), SERVICES)
        self.assertEqual(self.admitted(network=True), ())

    def test_given(self) -> None:
        """What the profile names, whatever the network is."""
        for network in (True, False):
            found = self.admitted(network=network, services=["a", "b"])
            self.assertEqual(found, ("a", "b"))
        self.assertEqual(self.admitted(services=[]), ())

    def test_refused(self) -> None:
        """Names of services, and not too many."""
        for services in ("storage", [""], ["n" * 256], ["a"] * 65, [7], True):
            error = self.assertRaises(ConfigError, self.admitted, services=services)
            self.assertIn("services", str(error))
