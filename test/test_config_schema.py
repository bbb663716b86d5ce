# -*- test-case-name: cocained.test.test_config_schema -*-
"""
The rules of the node's own keys.
"""

from __future__ import annotations

import os
import socket
import tempfile

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cocained.config import (
    ComponentConfig,
    LimitsConfig,
    NetworkConfig,
    NodeConfig,
    Settings,
    ShutdownConfig,
    convert,
    loads,
    runtime_directory,
)
from cocained.config.schema import SETTLE
from cocained.errors import ConfigError


class RuntimeDirectoryTests(SynchronousTestCase):
    """Where sockets go by default."""

    def test_of_the_session(self) -> None:
        """A session's own directory comes first, also for root."""
        environ = {"XDG_RUNTIME_DIR": "/run/user/5"}

        self.assertEqual(runtime_directory(environ, 5), "/run/user/5/cocained")
        self.assertEqual(runtime_directory(environ, 0), "/run/user/5/cocained")

    def test_relative_session_is_ignored(self) -> None:
        """A relative or empty variable counts as none."""
        for value in ("", "run"):
            environ = {"XDG_RUNTIME_DIR": value}
            self.assertEqual(runtime_directory(environ, 0), "/run/cocained")

    def test_of_root(self) -> None:
        """Root without a session uses the system's directory."""
        self.assertEqual(runtime_directory({}, 0), "/run/cocained")

    def test_of_a_user(self) -> None:
        """Others get a directory that carries their number."""
        expected = os.path.join(tempfile.gettempdir(), "cocained-1234")

        self.assertEqual(runtime_directory({}, 1234), expected)

    def test_of_this_process(self) -> None:
        """Without arguments, this process is asked."""
        self.assertEqual(
            runtime_directory(), runtime_directory(dict(os.environ), os.getuid())
        )


class DefaultTests(SynchronousTestCase):
    """What an empty file would mean."""

    def test_network(self) -> None:
        """The original's defaults."""
        network = convert({}, NetworkConfig)

        self.assertEqual((network.endpoint, network.shared), ("::", (0, 0)))
        self.assertEqual(network.hostname, socket.gethostname())
        self.assertEqual(network.pinned, {})

    def test_limits(self) -> None:
        """The bounds of the wire."""
        limits = convert({}, LimitsConfig)

        self.assertEqual(
            (limits.frame, limits.connections, limits.write_stall),
            (128 * 1024 * 1024, 16384, 60.0),
        )

    def test_logging(self) -> None:
        """A node talks to its console."""
        logging = convert({}, Settings).logging

        self.assertEqual(logging.loggers, (ComponentConfig(type="console"),))
        self.assertEqual(logging.severity, "info")

    def test_shutdown_and_spool(self) -> None:
        """Ten seconds to drain; the original's spool."""
        settings = convert({}, Settings)

        self.assertEqual(settings.shutdown, ShutdownConfig(drain=10.0))
        self.assertEqual(settings.paths.spool, "/var/spool/cocaine")
        self.assertEqual(settings.paths.runtime, runtime_directory())

    def test_defaults_obey_their_own_rules(self) -> None:
        """Written out and read back, the defaults are accepted."""
        settings = convert({}, Settings)

        self.assertEqual(convert(msgspec.to_builtins(settings), Settings), settings)


class RuleTests(SynchronousTestCase):
    """What is refused, and what just passes."""

    def refused(self, tree: object) -> str:
        """Convert what is wrong and give the text of the error."""
        return str(self.assertRaises(ConfigError, convert, tree, Settings))

    def test_endpoint_is_numeric(self) -> None:
        """Names of hosts cannot be listened on."""
        for endpoint in ("localhost", "127.0.0.1:80", "*", "1.2.3"):
            text = self.refused({"network": {"endpoint": endpoint}})
            self.assertIn("network.endpoint: must be a numeric address", text)

    def test_endpoints_of_both_families(self) -> None:
        """Numeric addresses of both families are fine."""
        for endpoint in ("127.0.0.1", "0.0.0.0", "::", "::1", "fe80::1%eth0"):
            built = convert({"endpoint": endpoint}, NetworkConfig)
            self.assertEqual(built.endpoint, endpoint)

    def test_ports(self) -> None:
        """Ports end at 65535."""
        for port in (-1, 65536, "80", True, 1.0, None):
            text = self.refused({"network": {"pinned": {"locator": port}}})
            self.assertIn("network.pinned.locator: must be a whole number", text)
        good = convert({"pinned": {"a": 0, "b": 65535}}, NetworkConfig)
        self.assertEqual(good.pinned, {"a": 0, "b": 65535})

    def test_two_services_on_one_port(self) -> None:
        """A port can be given once; 0 as often as one likes."""
        text = self.refused({"network": {"pinned": {"b": 80, "a": 80, "c": 81}}})

        self.assertIn("network.pinned: port 80 is given to a and b", text)
        convert({"pinned": {"a": 0, "b": 0}}, NetworkConfig)

    def test_shared_range(self) -> None:
        """The range of shared ports must hold at least one port."""
        for shared in ([5, 5], [6, 5], [0, 10]):
            self.assertIn("network.shared: must", self.refused_range(shared))
        shapes: list[object] = [[1], [1, 2, 3], [1, 65537], "1-2"]
        for shape in shapes:
            self.assertIn("network.shared", self.refused_range(shape))

    def refused_range(self, shared: object) -> str:
        """Give the text of the error about a range."""
        return self.refused({"network": {"shared": shared}})

    def test_whole_shared_range(self) -> None:
        """The end is exclusive, so that it may be one above the last port."""
        for shared in ([1, 65536], [0, 0], [5, 6]):
            built = convert({"shared": shared}, NetworkConfig)
            self.assertEqual(built.shared, tuple(shared))

    def test_all_faults_of_the_network(self) -> None:
        """Rules between keys are reported together."""
        text = self.refused(
            {"network": {"endpoint": "x", "shared": [2, 1], "pinned": {"a": 1, "b": 1}}}
        )

        self.assertEqual(len(text.splitlines()), 3)

    def test_uuid(self) -> None:
        """An identity has the form that peers expect."""
        good = "0f0e0d0c-0b0a-0908-0706-050403020100"

        self.assertEqual(convert({"uuid": good}, Settings).uuid, good)
        for bad in ("", "x", good.upper(), good + "0", good + "\n", 5):
            self.assertIn("uuid: must be text", self.refused({"uuid": bad}))

    def test_severity(self) -> None:
        """Only the four words of the original are severities."""
        text = self.refused({"logging": {"severity": "warn"}})

        self.assertIn("one of debug, info, warning, error", text)

    def test_component_needs_a_type(self) -> None:
        """A component without a type is refused by path."""
        text = self.refused({"services": {"node": {"args": {}}}})

        self.assertIn("services.node.type: is missing", text)

    def test_component_names(self) -> None:
        """A component must have a name, and one that fits a frame."""
        for name in ("", "x" * 256):
            text = self.refused({"storages": {name: {"type": "files"}}})
            self.assertIn("its name must be text of 1 to 255 signs", text)

    def test_loggers_are_components(self) -> None:
        """The place of a bad logger is named by number."""
        text = self.refused({"logging": {"loggers": [{"type": "console"}, {}]}})

        self.assertIn("logging.loggers[1].type: is missing", text)

    def test_limits(self) -> None:
        """Limits have limits."""
        table: list[tuple[str, object]] = [
            ("frame", 65535),
            ("frame", 2**32),
            ("connections", 0),
            ("write-stall", 0),
            ("write-stall", 86401),
        ]

        for key, value in table:
            self.assertIn(
                f"limits.{key}: must be", self.refused({"limits": {key: value}})
            )

    def test_drain(self) -> None:
        """No time to drain is allowed, negative time is not."""
        self.assertEqual(convert({"drain": 0}, ShutdownConfig).drain, 0)
        self.assertIn("drain", self.refused({"shutdown": {"drain": -1}}))

    def test_everything_is_frozen(self) -> None:
        """A configuration does not change while the node runs."""
        config = NodeConfig()

        with self.assertRaises(AttributeError):
            config.base = "/elsewhere"  # type: ignore[misc]
        with self.assertRaises(AttributeError):
            config.limits.frame = 1  # type: ignore[misc]

    def test_internal_fields_are_no_keys(self) -> None:
        """What the reader adds cannot be written in a file."""
        for key in ("base", "notes", "where"):
            self.assertIn(f"{key}: unknown key", self.refused({key: "x"}))


class ResolveTests(SynchronousTestCase):
    """Paths of the file."""

    def test_relative_and_absolute(self) -> None:
        """Relative paths start at the base and are tidied."""
        config = NodeConfig(base="/etc/node")

        self.assertEqual(config.resolve("store"), "/etc/node/store")
        self.assertEqual(config.resolve("../x/./y"), "/etc/x/y")
        self.assertEqual(config.resolve("/var/x"), "/var/x")

    @given(path=st.text(max_size=20))
    def test_result_is_absolute(self, path: str) -> None:
        """Whatever is asked, the answer is absolute and stable."""
        config = NodeConfig(base="/etc/node")

        found = config.resolve(path)

        self.assertTrue(os.path.isabs(found))
        self.assertEqual(config.resolve(found), found)


class SettleTests(SynchronousTestCase):
    """How long a node serves that is about to stop."""

    def settle(self, text: str) -> float:
        return loads(text, "node.yaml").settle

    def test_alone(self) -> None:
        """A node alone has nobody to send clients to."""
        self.assertEqual(self.settle("services: {locator: {type: locator}}"), 0.0)
        self.assertEqual(self.settle("services: {}"), 0.0)

    def test_cluster(self) -> None:
        """A node of a cluster gives those who have resolved time to come."""
        text = "{type: locator, args: {cluster: {type: multicast}}}"

        self.assertEqual(self.settle(f"services: {{locator: {text}}}"), SETTLE)

    def test_given(self) -> None:
        """What the file says holds."""
        text = "{type: locator, args: {cluster: {type: multicast}}}"

        for value in (0, 2.5):
            found = self.settle(
                f"services: {{locator: {text}}}\nshutdown: {{settle: {value}}}"
            )
            self.assertEqual(found, value)

    def test_negative(self) -> None:
        """Negative time is refused."""
        error = self.assertRaises(ConfigError, self.settle, "shutdown: {settle: -1}")
        self.assertIn("shutdown.settle", str(error))
