# -*- test-case-name: cocained.test.live.test_isolates_docker -*-
"""
Workers in containers of a real engine, with a real registry
(plugins.md §5.4, legacy-and-seeds.md rows 22 to 26, 68 to 73, 258, 259).
"""

from __future__ import annotations

import itertools
import os
import subprocess
import time
from pathlib import Path
from typing import Any

from typing_extensions import override

from cocained.errors import RemoteError
from cocained.test.live.docker_case import (
    IMAGE,
    PLACE,
    SOON,
    VARIABLES,
    DockerCase,
    Throttle,
    build,
    load_apps,
    push,
)
from cocained.test.live.docker_engine import BASE, Engine, Registry, base_image
from cocained.test.live.ledger import Ending, Ledger
from cocained.test.live.load import Load
from cocained.test.live.support import live_suite, wait_for
from cocained.testing.docker.registry import PORT

MIB = 1024**2

#: Ports inside the namespace of the engine, where nobody else listens.
_ports = itertools.count(PORT + 1)

#: Names of images that nothing else has.
_numbers = itertools.count(1)

#: A limit of the first tree that has it, of either version of control groups.
LIMIT = "cat /sys/fs/cgroup/{} 2>/dev/null || cat /sys/fs/cgroup/{}"


class LifeTests(DockerCase):
    """From a profile and an image to an answer (rows 22 to 26, 259)."""

    def test_life(self) -> None:
        """
        An app answers from a container, which is gone when the app is
        (rows 22, 23, 24, 25, 26, 259).
        """
        self.start(environment={**VARIABLES, "COLOUR": "blue"})

        lines = self.run_inside("pwd; echo $COLOUR; cat /proc/1/cmdline | tr '\\0' ' '")
        self.assertEqual(lines[:2], [PLACE, "blue"])
        self.assertIn("--app caged --endpoint /run/cocaine/caged.", lines[2])
        (slave,) = self.slaves().values()
        self.assertEqual(slave[b"state"], b"active")
        self.assertIn(self.inspect()["Id"][:12], self.node.log.read_text())

        self.node.pause_app("caged")
        wait_for("no container is left", lambda: not self.containers(), SOON)
        self.until_nothing_runs()
        # The image is the engine's (row 26).
        self.engine.request("GET", f"/images/{IMAGE}/json")

    def test_defaults(self) -> None:
        """
        By default a worker has no capability, no new privilege, no network, an
        init, a limit of processes, and no socket but its own.
        """
        self.start()
        self.start("other")

        status = dict(
            line.split(":", 1) for line in self.run_inside("cat /proc/self/status")
        )
        sets = {name: int(value, 16) for name, value in status.items() if "Cap" in name}
        self.assertEqual(set(sets.values()), {0})
        self.assertEqual(status["NoNewPrivs"].strip(), "1")
        self.assertEqual(self.run_inside("ls /sys/class/net"), ["lo"])
        socket, services = self.run_inside("ls -A /run/cocaine")
        self.assertTrue(socket.startswith("caged."))
        self.assertEqual(services, "services")
        self.assertEqual(self.run_inside("ls /var/run/docker.sock")[-1][:3], "ls:")
        self.assertIn("init", self.run_inside("cat /proc/1/cmdline")[0])
        self.assertEqual(
            self.run_inside(LIMIT.format("pids/pids.max", "pids.max")), ["512"]
        )

    def test_usage(self) -> None:
        """``info`` tells what a worker takes."""
        self.start()
        self.run_inside("true")

        def usage() -> Any:
            (slave,) = self.slaves().values()
            return slave.get(b"usage")

        found = wait_for("the usage is known", usage, SOON)
        self.assertGreater(found[b"memory"], MIB)
        self.assertGreater(found[b"cpu"], 0)
        self.assertGreaterEqual(found[b"processes"], 2)

    def test_output(self) -> None:
        """What a worker prints is in its crash log, and so is its exit code."""
        self.start(slave=f"{PLACE}/probe.py")
        with self.node.client("caged") as client:
            self.assertRaises(RemoteError, client.stream, "crash")

        logs = wait_for("a crash log", lambda: self.node.crashlogs("caged"), SOON)
        self.assertIn(b"about to crash", logs[0])
        self.assertIn(b"exited with status 3", logs[0][-1])

    def test_killed(self) -> None:
        """A container that somebody kills is told as that."""
        self.start()
        self.run_inside("true")
        self.engine.request("POST", f"/containers/{self.inspect()['Id']}/kill")

        self.assertIn("was killed by SIGKILL", self.crashed())
        # The next one comes in its place.
        self.assertEqual(self.run_inside("echo again"), ["again"])

    def test_removed(self) -> None:
        """A container that somebody removes under a worker is no worker more."""
        self.start()
        self.run_inside("true")
        path = f"/containers/{self.inspect()['Id']}?force=1"
        self.engine.request("DELETE", path)

        self.assertIn("worker ended", self.crashed())
        self.assertEqual(self.run_inside("echo again"), ["again"])


class KeyTests(DockerCase):
    """Every argument, seen from inside (row 258)."""

    def test_limits(self) -> None:
        """Memory, processors, processes and limits of each process (row 258)."""
        self.start(
            memory=64 * MIB,
            cpu=0.5,
            cpu_shares=512,
            pids=40,
            ulimits={"nofile": [100, 200], "core": 0},
            resources={"CpusetCpus": "0"},
        )

        for paths, value in (
            (("memory/memory.limit_in_bytes", "memory.max"), str(64 * MIB)),
            (("pids/pids.max", "pids.max"), "40"),
            (("cpuset/cpuset.cpus", "cpuset.cpus"), "0"),
        ):
            self.assertEqual(self.run_inside(LIMIT.format(*paths)), [value])
        self.assertEqual(self.run_inside("ulimit -Sn; ulimit -Hn"), ["100", "200"])
        host = self.inspect()["HostConfig"]
        self.assertEqual(host["NanoCpus"], 5 * 10**8)
        self.assertEqual(host["CpuShares"], 512)
        self.assertEqual(host["MemorySwap"], 64 * MIB)

    def test_places(self) -> None:
        """Binds, memory file systems, directories, the user and labels."""
        shared = self.node.directory / "shared"
        shared.mkdir()
        (shared / "word").write_text("hello")
        os.chmod(self.node.directory, 0o755)
        self.start(
            binds=[f"{shared}:/shared:ro", "scratch:/scratch"],
            tmpfs={"/fast": "size=1m,mode=1777"},
            user="nobody",
            cwd="/tmp",
            labels={"team": "blue"},
            read_only=True,
            **{"runtime-path": "/sockets"},
        )

        script = (
            "cat /shared/word; echo; id -u; pwd; ls /sockets; touch /tmp/x && echo yes;"
            " touch /fast/x && echo yes; touch /x; touch /shared/x; mount"
        )
        lines = self.run_inside(script)
        self.assertEqual(lines[:3], ["hello", "65534", "/tmp"])
        self.assertTrue(lines[3].startswith("caged."))
        self.assertEqual(lines[4:7], ["services", "yes", "yes"])
        self.assertEqual([line.count("Read-only") for line in lines[7:9]], [1, 1])
        labels = self.inspect()["Config"]["Labels"]
        self.assertEqual((labels["team"], labels["cocained.app"]), ("blue", "caged"))
        self.assertEqual(self.inspect()["HostConfig"]["Privileged"], False)

    def test_privileges(self) -> None:
        """Capabilities, the network and the rest are had by whom asks for them."""
        self.start(
            capabilities=["NET_BIND_SERVICE"],
            network_mode="host",
            no_new_privs=False,
            init=False,
        )

        status = self.run_inside("cat /proc/self/status")
        self.assertIn("CapEff:\t0000000000000400", status)
        self.assertIn("NoNewPrivs:\t0", status)
        self.assertNotIn("init", self.run_inside("cat /proc/1/cmdline")[0])
        self.assertEqual(self.inspect()["HostConfig"]["NetworkMode"], "host")

    def test_original(self) -> None:
        """A profile of the original's works as it is, by its type and keys."""
        push(self.engine, IMAGE, f"{self.lab.registry.name}/apps/old:latest")
        self.start(
            "old",
            image=None,
            registry=self.lab.registry.name,
            repository="apps",
            memory_limit=128 * MIB,
            memory_swap=256 * MIB,
            cpu_shares=100,
            network_mode="host",
            capabilities=["CHOWN"],
            **{"runtime-path": "/run/cocaine"},
        )

        self.assertEqual(self.run_inside("echo $0", "old"), ["/bin/sh"])
        host = self.inspect("old")["HostConfig"]
        self.assertEqual(host["Memory"], 128 * MIB)
        self.assertEqual(host["MemorySwap"], 256 * MIB)
        self.assertEqual(host["CpuShares"], 100)


class LimitTests(DockerCase):
    """Limits that bite (row 258)."""

    def test_memory(self) -> None:
        """Who takes too much memory is killed, and the crash log says why."""
        self.start(memory=64 * MIB)
        with self.node.client("caged") as client:
            self.assertRaises(RemoteError, client.stream, "!eat")

        self.assertIn(
            "was killed by the kernel: out of its memory limit of 64 MiB",
            self.crashed(),
        )

    def test_bomb(self) -> None:
        """One that forks without end is stopped, and its neighbours go on."""
        self.start(pids=40)
        self.start("other")
        self.run_inside("true", "other")
        bomb = "while true; do sleep 60 & done"
        with self.node.client("caged") as client:
            client.send(1, 0, [bomb])
            client.send(1, 2, [])
            for number in range(20):
                answer = self.run_inside(f"echo {number}", "other")
                self.assertEqual(answer, [str(number)])
        wait_for("it has all that it may", lambda: self.processes() >= 39, SOON)
        self.assertLessEqual(self.processes(), 40)
        self.node.pause_app("caged")
        wait_for("the bomb is gone", lambda: len(self.containers()) == 1, SOON)

    def processes(self) -> int:
        """Give how many processes the worker has, once that is known."""
        (slave,) = self.slaves().values()
        return int(slave.get(b"usage", {}).get(b"processes", 0))


class ImageTests(DockerCase):
    """How images come, and why they do not (rows 68 to 73)."""

    def name(self) -> str:
        """Give the name of an image that nobody has yet."""
        return f"image{next(_numbers)}"

    def test_pulled(self) -> None:
        """
        An image is built, pushed, pulled and run (rows 69, 70, 72, 73); a newer
        one of the same name is run from the next start on.
        """
        name, registry = self.name(), self.lab.registry.name
        for word in ("first", "second"):
            lines = f"RUN echo {word} >/word"
            build(self.engine, name, {}, f"{lines}\nCOPY --from={IMAGE} /app /app")
            push(self.engine, name, f"{registry}/{name}:latest")
            self.engine.request("DELETE", f"/images/{name}?force=1")
            self.start(registry=registry, image=name)
            self.assertEqual(self.run_inside("cat /word"), [word])
            self.node.pause_app("caged")
            wait_for("it has stopped", lambda: not self.containers(), SOON)

    def test_committed(self) -> None:
        """What a container has become is an image, once committed (row 71)."""
        self.start()
        self.run_inside("echo kept >/word")
        name = self.name()
        id = self.inspect()["Id"]
        self.engine.request("POST", f"/commit?container={id}&repo={name}")
        self.node.pause_app("caged")
        wait_for("it has stopped", lambda: not self.containers(), SOON)

        self.start(image=name)
        self.assertEqual(self.run_inside("cat /word"), ["kept"])

    def test_no_image(self) -> None:
        """An image that nobody has is named, with what to do (row 68)."""
        self.refused("has no image nobody:latest", "build or load it", image="nobody")
        self.refused(
            "cannot pull 127.0.0.1:5000/nobody:latest",
            "push it there",
            registry=self.lab.registry.name,
            image="nobody",
        )
        self.refused("cannot be the name of an image", image="No Image")

    def test_no_registry(self) -> None:
        """A registry that is not there is named; the engine's images still run."""
        self.refused(
            "cannot pull 127.0.0.1:1/",
            "connection refused",
            "see that the registry is up",
            registry="127.0.0.1:1",
        )
        name, registry = self.name(), self.lab.registry.name
        self.engine.request("POST", f"/images/{IMAGE}/tag?repo={registry}/{name}")
        self.lab.registry.stop()
        self.addCleanup(self.lab.registry.start)
        self.refused("'pull': 'missing'", registry=registry, image=name)
        self.start(registry=registry, image=name, pull="missing")
        self.assertEqual(self.run_inside("echo up"), ["up"])

    def test_credentials(self) -> None:
        """A registry that wants to know who asks is told by the profile."""
        users = {"eve": "secret"}
        closed = Registry(self.lab.network, users, next(_ports))
        self.addCleanup(closed.close)
        name, auth = self.name(), {"username": "eve", "password": "secret"}
        push(self.engine, IMAGE, f"{closed.name}/{name}:latest", auth)
        keys = {"registry": closed.name, "image": name}

        self.refused("cannot pull", "correct 'auth'", **keys)
        self.refused("cannot pull", auth={**auth, "password": "guess"}, **keys)
        self.start(auth=auth, **keys)
        self.assertEqual(self.run_inside("echo in"), ["in"])
        self.assertNotIn("secret", self.node.log.read_text())

    def test_slow(self) -> None:
        """
        A slow pull tells how far it is, others wait for the same one, and a pause
        ends it at once and leaves nothing.
        """
        name = self.name()
        build(self.engine, name, {"big": os.urandom(2 * MIB)}, "COPY big /big")
        push(self.engine, name, f"{self.lab.registry.name}/{name}:latest")
        self.engine.request("DELETE", f"/images/{name}?force=1")
        port = next(_ports)
        slow = Throttle(self.lab.network, port, PORT, MIB // 8)
        self.addCleanup(slow.close)
        waiting = self.connect("node")
        args = {
            "endpoint": self.engine.address,
            "registry": slow.name,
            "image": name,
        }
        for app in ("one", "two"):
            self.node.upload(app, {"unused": b""})
            self.node.profile(app, isolate={"type": "docker", "args": args})
            waiting.send(1 + len(self.node_apps()), 0, [app, app])
            wait_for("it is known", lambda a=app: a.encode() in self.node_apps(), SOON)

        progress = wait_for("it tells how far it is", self.progress, SOON)
        self.assertIn(name.encode(), progress[b"text"])
        self.assertLess(progress[b"percent"], 100)
        log = self.node.log.read_text()
        self.assertEqual(log.count(f"pulling {slow.name}/{name}:latest\n"), 1)
        for app in ("one", "two"):
            self.node.pause_app(app)
        for _ in range(2):
            self.assertIn(b"was paused", waiting.receive()[2][1])
        self.assertEqual(self.node_apps(), [])
        self.node.wait_for_log("nobody waits for")
        images = self.engine.request("GET", "/images/json")
        self.assertNotIn(name.encode(), images)

    def node_apps(self) -> list[bytes]:
        """List the apps of the node."""
        with self.node.client("node") as node:
            found: list[bytes] = node.call(2)[0]
        return found

    def progress(self) -> Any:
        """Give how far the spooling of an app is, once that is known."""
        found = self.node.info("one").get(b"progress")
        return found if found and found[b"percent"] else None

    def test_no_program(self) -> None:
        """A program that the image does not have is named, with or without init."""
        for init in (True, False):
            self.start("lost", slave="/app/nothing", init=init)
            with self.node.client("lost") as client:
                client.send(1, 0, ["ping"])
                logs = wait_for(
                    "a crash log", lambda: self.node.crashlogs("lost"), SOON
                )
            self.assertIn(b"'/app/nothing'", logs[-1][-1])
            self.assertIn(b"slave", logs[-1][-1])
            self.node.pause_app("lost")
            wait_for("it has stopped", lambda: not self.containers(), SOON)
            with self.node.client("storage") as storage:
                for key in storage.call(3, "crashlogs", ["lost"])[0]:
                    storage.call(2, "crashlogs", key)

    def test_full_disk(self) -> None:
        """An engine whose disk is full says so, and other engines go on."""
        data = self.node.directory / "small"
        data.mkdir()
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64m", "none", str(data)], check=True
        )
        self.addCleanup(subprocess.run, ["umount", "-l", str(data)], check=True)
        name = self.name()
        build(self.engine, name, {"big": os.urandom(70 * MIB)}, "COPY big /big")
        push(self.engine, name, f"{self.lab.registry.name}/{name}:latest")
        self.engine.request("DELETE", f"/images/{name}?force=1")
        small = SmallEngine(self.lab.network, data)
        self.addCleanup(small.close)

        self.refused(
            "no space left on device",
            "free some space",
            endpoint=small.address,
            registry=self.lab.registry.name,
            image=name,
        )
        self.start("other")
        self.assertEqual(self.run_inside("echo well", "other"), ["well"])


class SmallEngine(Engine):
    """
    An engine with another directory of data.

    :param data: that directory.
    """

    def __init__(self, network: Any, data: Path) -> None:
        self.data = data
        super().__init__(network)

    @override
    def command(self) -> list[str]:
        command = super().command()
        command[command.index("--data-root") + 1] = str(self.data)
        # What is on a memory file system is no place for overlays on some kernels.
        command[command.index("--storage-driver") + 1] = "vfs"
        return command


class CrowdTests(DockerCase):
    """Many workers at once."""

    COUNT = 50

    def test_crowd(self) -> None:
        """Fifty workers come, answer, and go without a trace."""
        mounts = self.mounts()
        processes = self.shims()
        self.start(limits={"pool_limit": self.COUNT, "spawn_timeout": 120})
        began = time.monotonic()
        with self.node.client("caged") as control:
            control.send(1, 2, [])
            control.send(1, 0, [self.COUNT])
            self.until_active(self.COUNT, timeout=100)
            came = time.monotonic() - began
        self.assertEqual(len(self.containers()), self.COUNT)
        self.assertEqual(self.run_inside("echo all"), ["all"])

        began = time.monotonic()
        self.node.pause_app("caged")
        wait_for("no container is left", lambda: not self.containers(), 60)
        went = time.monotonic() - began
        self.until_nothing_runs()
        wait_for("no shim is left", lambda: self.shims() == processes, SOON)
        self.assertEqual(self.mounts(), mounts)
        print(f"\n{self.COUNT} containers: {came:.1f} s to come, {went:.1f} s to go")

    def mounts(self) -> list[str]:
        """List what is mounted for the engine."""
        lines = Path("/proc/self/mounts").read_text().splitlines()
        return [line for line in lines if str(self.engine.directory) in line]

    def shims(self) -> int:
        """Count the processes of the engine and its containers."""
        return sum(
            str(self.engine.directory).encode() in self.line(entry)
            for entry in Path("/proc").iterdir()
            if entry.name.isdigit() and int(entry.name) != os.getpid()
        )

    def line(self, entry: Path) -> bytes:
        """Give the command line of a process."""
        try:
            return (entry / "cmdline").read_bytes()
        except OSError:
            return b""


class LastingEngine(Engine):
    """An engine whose containers outlive it, until it is closed."""

    is_closing = False

    @property
    @override
    def state(self) -> Path:
        """The same place at each start: the containers are found by it."""
        return self.directory / "exec"

    @override
    def sweep(self) -> None:
        if self.is_closing:
            super().sweep()

    @override
    def close(self) -> None:
        self.is_closing = True
        super().close()


class FaultTests(DockerCase):
    """Engines and nodes that go away."""

    def test_engine(self) -> None:
        """
        An engine that is stopped, or dies, under load ends no request without an
        answer, and the app comes back with it.
        """
        engine = Engine(self.lab.network)
        self.addCleanup(engine.close)
        engine.load(base_image(), BASE)
        load_apps(engine)
        self.start(
            "echo",
            slave=f"{PLACE}/probe.py",
            endpoint=engine.address,
            limits={"pool_limit": 2, "queue_limit": 1000},
        )
        ledger = Ledger()
        with Load(self.node.resolve("echo"), ledger, 2, 4, timeout=5) as load:
            load.run(3)
            for fault in (engine.stop, engine.kill):
                before = ledger.count(Ending.REPLY)
                self.assertGreater(before, 0)
                fault()
                load.run(1)
                engine.start()

                def comes_back(before: int = ledger.count(Ending.REPLY)) -> bool:
                    return ledger.count(Ending.REPLY) < before + 50

                load.run(30, comes_back)
                self.assertFalse(comes_back(), ledger.table("after a fault"))
            load.finish(10)
        self.assertEqual(ledger.problems(), [])
        self.node.pause_app("echo")
        wait_for(
            "no container is left",
            lambda: engine.request("GET", "/containers/json?all=1") == b"[]\n",
            30,
        )

    def test_survived(self) -> None:
        """
        A worker whose container outlives its engine goes on to answer, and ends
        as any other when the engine is back.
        """
        engine = LastingEngine(self.lab.network, "--live-restore")
        self.addCleanup(engine.close)
        engine.load(base_image(), BASE)
        load_apps(engine)
        self.start(endpoint=engine.address)
        (worker,) = self.run_inside("hostname")
        engine.stop()
        self.assertEqual(self.run_inside("hostname"), [worker])
        self.node.wait_for_log(f"the engine of container {worker} is lost")
        engine.start()

        self.assertEqual(self.run_inside("hostname"), [worker])
        (slave,) = self.slaves().values()
        self.assertEqual(slave[b"accepted"], 3)
        self.node.pause_app("caged")
        wait_for(
            "no container is left",
            lambda: engine.request("GET", "/containers/json?all=1") == b"[]\n",
            SOON,
        )

    def test_node_killed(self) -> None:
        """
        What a node that was killed has left is removed at the next start; what a
        living one has is left alone.
        """
        self.start()
        self.run_inside("true")
        orphan = self.inspect()["Id"]
        second = self.start_node()
        self.start("other", node=second)
        with second.client("other") as client:
            client.stream("true")
        assert self.node.process is not None
        self.node.process.kill()
        self.node.process.wait()
        living = self.inspect("other")["Id"]

        self.node.start()
        self.node.start_app("caged", "caged")
        wait_for(
            "the orphan is gone",
            lambda: orphan not in [each["Id"] for each in self.containers()],
            SOON,
        )
        self.assertEqual(self.run_inside("echo here"), ["here"])
        self.assertIn(living, [each["Id"] for each in self.containers()])
        with second.client("other") as client:
            self.assertEqual(client.stream("echo there"), [b"there\n0"])

    def test_no_engine(self) -> None:
        """An engine that is not there is an error of the start, with its address."""
        self.refused(
            "cannot use the engine",
            "unix:///nonexistent/docker.sock",
            endpoint="unix:///nonexistent/docker.sock",
        )


test_suite = live_suite(__name__)
