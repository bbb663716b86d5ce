# -*- test-case-name: cocained.test.live.test_isolates_guest -*-
"""
A machine with a kernel of its own, emulated, for what this one's kernel lacks.

It has two serial lines, which are sockets here: one for commands, one for a
conversation with a program.  Its network card sees this machine's loopback as
:data:`HOST`, and some of its ports are ports of ours.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import shlex
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cocained.test.live import guest_node
from cocained.test.live.balancing import PROGRAM, Conversed
from cocained.test.live.guest_node import FIFO, NODE_PORTS, SEED
from cocained.test.live.guest_root import PATH, Root, imported, traced
from cocained.test.live.support import ROOT, free_ports, missing, wait_for
from cocained.testing.lab import Lab, LabError
from cocained.testing.programs import require

#: Names the directory that ``.ci/guest.sh`` has filled.
GUEST = "COCAINED_GUEST"

#: The guest, and what it sees of us.
ADDRESS, HOST = "10.0.2.15", "10.0.2.2"

#: The ports of the guest that can be reached from here: those of gateways, and
#: those of a node.
SHARED = (20000, 20004)
FORWARDED = (*range(*SHARED), *NODE_PORTS)

#: Seconds that a start, or an answer, may take: the machine is emulated, and
#: this one has other work.
PATIENCE = 180.0

DRIVERS = (
    "virtio_pci virtio_net ip_vs ip_vs_rr ip_vs_wrr ip_vs_wlc ip_vs_sh"
    " nft_masq nft_chain_nat nft_ct"
).split()

#: Clients and servers have one address, so connections are masqueraded on both
#: sides: IPVS must tell the connection tracking of what it does.
INIT = f"""#!/bin/sh
export PATH=/bin:/sbin:/usr/bin:/usr/sbin PYTHONPATH={shlex.quote(":".join(PATH))}
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
mount -t cgroup2 cgroup2 /sys/fs/cgroup
while read -r module; do insmod $module; done </modules
ip link set lo up; ip link set eth0 up
ip addr add {ADDRESS}/24 dev eth0
echo 1 >/proc/sys/net/ipv4/ip_forward
echo 1 >/proc/sys/net/ipv4/vs/conntrack
echo 'table ip nat {{
  chain post {{
    type nat hook postrouting priority srcnat;
    ip daddr {HOST} masquerade
  }}
}}' >/tmp/nat; nft -f /tmp/nat
for line in 1 2; do stty -F /dev/ttyS$line raw -echo; done
mkfifo {FIFO}
{sys._base_executable} -S -P {SEED} {FIFO} /dev/ttyS2 >/tmp/log 2>&1 &
{{
    # What is said before a line is open is lost.
    echo ready
    while read -r line; do eval "$line"; echo "rc $?"; done
}} </dev/ttyS1 >/dev/ttyS1 2>&1
poweroff -f
"""


class Guest:
    """
    A running guest.

    :cvar address: its own.
    :param kernel: what ``.ci/guest.sh`` has made.
    """

    address = ADDRESS

    def __init__(self, kernel: Path) -> None:
        self._stack = contextlib.ExitStack()
        self._balancer: GuestBalancer | None = None
        self.ports = dict(zip(FORWARDED, free_ports(len(FORWARDED)), strict=True))
        try:
            self._start(kernel)
        except BaseException:
            self._stack.close()
            raise

    def _start(self, kernel: Path) -> None:
        place = Path(
            self._stack.enter_context(tempfile.TemporaryDirectory(prefix="ck"))
        )
        (version,) = os.listdir(kernel / "lib/modules")
        image = place / "root.cpio"
        _build(kernel, version, place / "root", image)
        self._console = place / "console"
        forwards = "".join(
            f",hostfwd=tcp:127.0.0.1:{ours}-{ADDRESS}:{theirs}"
            for theirs, ours in self.ports.items()
        )
        command = [
            *"qemu-system-x86_64 -accel tcg -cpu max -m 512 -no-reboot".split(),
            *"-nodefaults -display none".split(),
            *("-netdev", f"user,id=n{forwards}"),
            *("-device", "virtio-net-pci,netdev=n,romfile="),
            *("-chardev", f"file,id=console,path={self._console},append=on"),
            *("-serial", "chardev:console"),
        ]
        for name in ("commands", "talk"):
            command += [
                *(
                    "-chardev",
                    f"socket,id={name},path={place / name},server=on,wait=on",
                ),
                *("-serial", f"chardev:{name}"),
            ]
        command += [
            *("-kernel", str(kernel / "boot" / f"vmlinuz-{version}")),
            *("-initrd", str(image)),
            *("-append", "console=ttyS0 quiet panic=-1 mitigations=off"),
        ]
        with self._console.open("ab") as console:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=console, stderr=console
            )
        self._stack.callback(self._process.wait)
        self._stack.callback(self._process.kill)
        self._commands = self._connect(place / "commands")
        self.talk = self._connect(place / "talk")
        if self._commands.readline() != b"ready\n":
            raise AssertionError(f"no guest\n{self._console.read_text()}")
        if self.talk.readline() != b'"serving"\n':
            raise AssertionError(self.run("cat /tmp/log"))

    def _connect(self, path: Path) -> Any:
        """Take one end of a serial line, as soon as it is there."""
        line = self._stack.enter_context(
            socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        )

        def is_connected() -> bool:
            if self._process.poll() is not None:
                raise AssertionError("the emulator has ended")
            with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
                line.connect(str(path))
                return True
            return False

        wait_for("a serial line", is_connected, PATIENCE)
        line.settimeout(PATIENCE)
        return self._stack.enter_context(line.makefile("rwb", buffering=0))

    def run(self, command: str) -> str:
        """
        Run a line of shell, and give what it writes.

        :raises AssertionError: it did not succeed.
        """
        status, output = self._run(command)
        if status:
            raise AssertionError(f"{command}: {status}\n{output}")
        return output

    def says(self, condition: str) -> bool:
        """Run a line of shell, and say whether it succeeds."""
        return not self._run(condition)[0]

    def _run(self, command: str) -> tuple[int, str]:
        self._commands.write(command.encode() + b"\n")
        lines = []
        while True:
            line = self._commands.readline().decode()
            if line.startswith("rc "):
                break
            if not line:
                raise AssertionError(f"no guest\n{self._console.read_text()}")
            lines.append(line)
        return int(line.split()[1]), "".join(lines)

    def balancer(self, args: Mapping[str, Any]) -> GuestBalancer:
        """Give the one gateway that runs there, with these arguments."""
        current = self._balancer
        if current is None or not current.is_running or current.args != args:
            self.silence()
            self._balancer = current = GuestBalancer(self, args)
        return current

    def silence(self) -> None:
        """End the gateway, if there is one."""
        if self._balancer is not None and self._balancer.is_running:
            self._balancer.stop()
        self._balancer = None

    def close(self) -> None:
        """Switch it off."""
        self._stack.close()


class GuestBalancer(Conversed):
    """
    A gateway in a guest.

    :param guest: where.
    :param args: of the gateway.

    :ivar is_running: whether it has begun and not ended.
    """

    def __init__(self, guest: Guest, args: Mapping[str, Any]) -> None:
        super().__init__(guest.talk, guest.talk)
        self._guest = guest
        self.args = args
        self.began = self._converse(settings("ipvs", args, ADDRESS, "/run/cocained"))
        self.is_running = self.began == "ready"
        if not self.is_running:
            assert self.hear() == "stopped"
            assert self.hear() == "over"

    def _converse(self, line: Any) -> Any:
        try:
            return self.say(line)
        except TimeoutError:
            raise AssertionError(self._guest.run("cat /tmp/log")) from None

    def stop(self) -> None:
        """End it in order."""
        self.is_running = False
        answer = self._converse(["stop"])
        assert answer == "stopped", (answer, self._guest.run("cat /tmp/log"))
        assert self.hear() == "over"

    def kill(self) -> None:
        """End it without a chance to do anything."""
        self.is_running = False
        self._guest.run(f"kill -9 {self.ask('pid')}")
        assert self.hear() == "over"


def settings(
    gateway: str, args: Mapping[str, Any], address: str, runtime: str
) -> dict[str, Any]:
    """Give what :mod:`.balancer` wants to know."""
    return {
        "type": gateway,
        "args": dict(args),
        "network": {"endpoint": address, "shared": list(SHARED)},
        "paths": {"runtime": runtime},
    }


def _build(kernel: Path, version: str, place: Path, image: Path) -> None:
    """Make the image of a guest that can run a gateway, and nodes."""
    root = Root(place)
    root.copy_programs()
    root.copy_python(_modules() | guest_node.modules())
    root.copy_drivers(kernel, version, DRIVERS)
    root.write("/init", INIT, 0o755)
    root.pack(image)


def _modules() -> set[Path]:
    """Learn what a gateway imports, from one that works on a machine of the lab."""
    lines = [
        ["consume", "a", "app", [["192.0.2.1", 9]], {}],
        ["resolve", "app"],
        ["report"],
        ["cleanup", "a", None],
        ["stop"],
    ]
    with Lab("ck") as lab, tempfile.TemporaryDirectory() as directory:
        host = lab.add_host("model")
        model = settings("nftables", {}, host.address, directory)
        listing = Path(directory, "modules")
        code = (
            "import cocained.gateways.kernel.ipvs\n"
            "runpy.run_path(sys.argv.pop(1), run_name='__main__')"
        )
        subprocess.run(
            [*host.command(traced(code, listing)), PROGRAM, json.dumps(model)],
            input="".join(json.dumps(line) + "\n" for line in lines),
            capture_output=True,
            text=True,
            check=True,
            cwd="/",
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        return imported(listing) | {PROGRAM}


@functools.cache
def shared() -> Guest:
    """Give the guest that all tests of this run share."""
    try:
        require(["qemu-system-x86_64", "ipvsadm", "modprobe", "cpio", "busybox"])
    except LabError as error:
        raise missing(str(error)) from error
    directory = os.environ.get(GUEST, "")
    if not os.path.exists(os.path.join(directory, "done")):
        raise missing(f"no kernel for a guest: .ci/guest.sh DIR, and set {GUEST}=DIR")
    guest = Guest(Path(directory))
    atexit.register(guest.close)
    return guest
