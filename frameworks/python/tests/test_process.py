# -*- test-case-name: tests.test_process -*-
"""
Real worker processes against a fake engine, a fake locator and a fake storage.
"""

from __future__ import annotations

import os
import statistics
import textwrap
import time
import unittest

from .support import HANDSHAKE, ROOT, FakeEngine, FakeNode, FolderTestCase, raw

#: The example of the project's first README, word for word.
SEED = """\
#!/usr/bin/env python

from cocaine.services import Service
from cocaine.worker import Worker

storage = Service("storage")

def process(value):
    return len(value)

def handle(request, response):
    key = yield request.read()
    value = yield storage.read("collection", key)

    response.write(process(value))
    response.close()

Worker().run({
    'calculate_length': handle
})
"""

ECHO = """
from cocaine.worker import Worker

def echo(request, response):
    response.write((yield request.read()))

Worker().run({"echo": echo})
"""

TERMINATE = (1, 1, [11, "overseer is shutting down"], [])


class ProcessTestCase(FolderTestCase):
    """An engine that starts one worker."""

    def setUp(self):
        super().setUp()
        self.engine = FakeEngine(self)

    def start(self, source, **options):
        self.process = self.engine.start(source, **options)
        return self.engine.accept()

    def end(self):
        """Wait for the process; give its status and what it wrote."""
        out, err = self.process.communicate(timeout=20)
        return self.process.returncode, out.decode(), err.decode()

    def terminate(self):
        """End the worker in good order."""
        self.engine.send(TERMINATE)
        frames = self.engine.read(1)
        self.assertEqual(frames, [[1, 1, [11, b"overseer is shutting down"]]])
        return self.end()


class SeedTests(ProcessTestCase):
    """The README's example."""

    def test_word_for_word(self):
        """A key in, the packed length of the stored value out (row 98)."""
        node = FakeNode(self)
        host, port = node.locators[0]
        self.start(SEED, locator=f"{host}:{port}")

        self.engine.send(
            (2, 0, ["calculate_length"], []), (2, 0, ["k"], []), (2, 2, [], [])
        )

        self.assertEqual(self.engine.read(2), [[2, 0, [b"\x05"]], [2, 2, []]])
        self.assertEqual(node.storage.received, [[1, 0, [b"collection", b"k"]]])
        self.assertEqual(self.terminate(), (0, "", ""))

    def test_readme(self):
        """It is the first example of the README."""
        with open(os.path.join(ROOT, "README.rst")) as file:
            blocks = file.read().split(".. code:: python\n\n")
        self.assertTrue(blocks[1].startswith(textwrap.indent(SEED, "    ")))

    def test_missing_key(self):
        """The storage's error is an uncaught exception of the handler."""
        node = FakeNode(self)
        host, port = node.locators[0]
        self.start(SEED, locator=f"{host}:{port}")

        self.engine.send((2, 0, ["calculate_length"], []), (2, 0, ["nope"], []))

        (frame,) = self.engine.read(1)
        self.assertEqual(frame[:2], [2, 1])
        self.assertEqual(frame[2][0], [42, 100])
        self.assertIn(b"No such file", frame[2][1])
        status, _, err = self.terminate()
        self.assertEqual(status, 0)
        self.assertIn("ServiceError", err)

    def test_protocol_0(self):
        """The same program under the first protocol of 0.12."""
        node = FakeNode(self)
        host, port = node.locators[0]
        self.start(SEED, protocol=None, locator=f"{host}:{port}")

        self.engine.send((1, 3, ["calculate_length"]), (1, 4, ["k"]), (1, 6, []))

        self.assertEqual(self.engine.read(2), [[1, 4, [b"\x05"]], [1, 6, []]])
        self.engine.send((1, 2, [1, "slave is idle"]))
        self.assertEqual(self.engine.read(1), [[1, 2, [1, b"slave is idle"]]])
        self.assertEqual(self.end(), (0, "", ""))


class LifeTests(ProcessTestCase):
    """Start, end and everything a worker may meet."""

    def test_greeting(self):
        """Handshake and heartbeat are one segment of 47 bytes."""
        self.assertEqual(self.start(ECHO), raw(HANDSHAKE + "93 01 00 90"))

    def test_greeting_of_protocol_0(self):
        """`--protocol 0` says the same as none."""
        self.assertEqual(self.start(ECHO, protocol="0"), raw(HANDSHAKE + "93 01 01 90"))

    def test_greeting_of_async(self):
        """A worker on asyncio greets before it loads asyncio."""
        source = ECHO.replace("def echo", "async def echo").replace("yield", "await")
        self.assertEqual(self.start(source), raw(HANDSHAKE + "93 01 00 90"))
        self.engine.send((2, 0, ["echo"], []), (2, 0, ["x"], []))
        self.assertEqual(self.engine.read(2), [[2, 0, [b"x"]], [2, 2, []]])
        self.assertEqual(self.terminate(), (0, "", ""))

    def test_terminate(self):
        """The frame is answered, the status is 0."""
        self.start(ECHO)
        self.assertEqual(self.terminate(), (0, "", ""))

    def test_terminate_waits_for_handlers(self):
        """A running handler may finish its answer first."""
        self.start(ECHO)
        self.engine.send((2, 0, ["echo"], []), TERMINATE)
        self.engine.send((2, 0, ["late"], []))
        frames = self.engine.read(3)
        self.assertEqual(frames[:2], [[2, 0, [b"late"]], [2, 2, []]])
        self.assertEqual(frames[2][:2], [1, 1])
        self.assertEqual(self.end()[0], 0)

    def test_generators_are_closed(self):
        """The `finally` of a generator runs when its worker ends."""
        self.start(
            "from cocaine.worker import Worker\n"
            "def wait(request, response):\n"
            "    try:\n"
            "        yield request.read()\n"
            "    finally:\n"
            "        print('cleaned up')\n"
            "Worker(grace=0).run({'wait': wait})\n"
        )
        self.engine.send((2, 0, ["wait"], []), TERMINATE)
        frames = self.engine.read(2)
        self.assertEqual(frames[0][2][0], [42, 212])
        self.assertEqual(frames[1][:2], [1, 1])
        self.assertEqual(self.end(), (0, "cleaned up\n", ""))

    def test_lost_connection(self):
        """Without an engine there is nothing to do."""
        self.start(ECHO)
        self.engine.connection.close()
        status, _, err = self.end()
        self.assertEqual(status, 0)
        self.assertIn("connection to the engine is gone", err)

    def test_garbage(self):
        """Neither is there with one that speaks nonsense."""
        self.start(ECHO)
        self.engine.connection.sendall(b"\xc1")
        status, _, err = self.end()
        self.assertEqual(status, 0)
        self.assertIn("protocol violated", err)

    def test_no_engine(self):
        """A worker that cannot connect says so and fails."""
        self.engine.listener.close()
        self.process = self.engine.start(ECHO)
        status, _, err = self.end()
        self.assertEqual(status, 1)
        self.assertIn("--endpoint", err)

    def test_by_hand(self):
        """A worker that nobody gave an engine explains itself."""
        self.process = self.engine.start("import sys; del sys.argv[1:]\n" + ECHO)
        status, _, err = self.end()
        self.assertEqual(status, 1)
        self.assertIn("a worker is started by the runtime", err)

    def test_traceback(self):
        """An exception is answered and its traceback written."""
        self.start(
            "from cocaine.worker import Worker\n"
            "def blow(request, response):\n"
            "    raise ValueError('handler blew up')\n"
            "Worker().run({'blow': blow})\n"
        )
        self.engine.send((5, 0, ["blow"], []))
        self.assertEqual(self.engine.read(1), [[5, 1, [[42, 100], b"handler blew up"]]])
        _, _, err = self.terminate()
        self.assertIn("in the handler of event 'blow'", err)
        self.assertIn("worker.py", err)
        self.assertIn("ValueError: handler blew up", err)

    def test_prints_arrive_at_once(self):
        """What a handler prints does not wait for the end of the process."""
        self.start(
            "from cocaine.worker import Worker\n"
            "Worker().run({'say': lambda request, response: print('hello')})\n",
            PYTHONUNBUFFERED="",
        )
        self.engine.send((2, 0, ["say"], []))
        self.assertEqual(self.process.stdout.readline(), b"hello\n")
        self.assertEqual(self.engine.read(1), [[2, 2, []]])
        self.terminate()

    def test_exit_in_a_handler(self):
        """sys.exit() ends the process with its status."""
        self.start(
            "import sys\nfrom cocaine.worker import Worker\n"
            "Worker().run({'quit': lambda request, response: sys.exit(7)})\n"
        )
        self.engine.send((2, 0, ["quit"], []))
        self.assertEqual(self.end()[0], 7)

    def test_disowned(self):
        """An engine that does not answer heartbeats counts as gone."""
        self.start(ECHO.replace("Worker()", "Worker(disown_timeout=0.05)"))
        status, _, err = self.end()
        self.assertEqual(status, 0)
        self.assertIn("disowned", err)

    def test_heartbeats(self):
        """They go on at the interval asked for."""
        self.start(ECHO.replace("Worker()", "Worker(heartbeat_timeout=0.02)"))
        self.assertEqual(self.engine.read(3), [[1, 0, []]] * 3)
        self.terminate()

    def test_blocked_handler_is_shown(self):
        """The stack of a handler that blocks the loop is on standard error."""
        self.start(
            "import time\nfrom cocaine.worker import Worker\n"
            "def block_here(request, response):\n"
            "    time.sleep(0.5)\n"
            "Worker(stuck_timeout=0.1).run({'block': block_here})\n"
        )
        self.engine.send((2, 0, ["block"], []))
        self.assertEqual(self.engine.read(1), [[2, 2, []]])
        self.assertIn("in block_here", self.terminate()[2])

    def test_thread_pool(self):
        """Blocking work in a pool leaves the loop free for other requests."""
        self.start(
            "import threading\n"
            "from concurrent.futures import ThreadPoolExecutor\n"
            "from cocaine.worker import Worker\n"
            "gate = threading.Event()\n"
            "pool = ThreadPoolExecutor(1)\n"
            "def slow(request, response):\n"
            "    response.write(str((yield pool.submit(gate.wait, 20))))\n"
            "def free(request, response):\n"
            "    gate.set()\n"
            "Worker().run({'slow': slow, 'free': free})\n"
        )
        self.engine.send((2, 0, ["slow"], []), (3, 0, ["free"], []))
        self.assertEqual(
            self.engine.read(3), [[3, 2, []], [2, 0, [b"True"]], [2, 2, []]]
        )
        self.terminate()

    def test_long_answer(self):
        """A handler that waits for its writes sends any amount in little memory."""
        self.start(
            "import resource\nfrom cocaine.worker import Worker\n"
            "def flood(request, response):\n"
            "    for _ in range(128):\n"
            "        yield response.write(b'x' * 1048576)\n"
            "    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
            "    response.write(str(used))\n"
            "Worker().run({'flood': flood})\n"
        )
        self.engine.send((2, 0, ["flood"], []))
        frames = self.engine.read(130)
        self.assertEqual(sum(len(frame[2][0]) for frame in frames[:128]), 128 << 20)
        self.assertLess(int(frames[128][2][0]), 100 * 1024)
        self.terminate()


class AsyncioProcessTests(ProcessTestCase):
    """Coroutine handlers use asyncio as they please."""

    SOURCE = """
import asyncio
from cocaine.services import Service
from cocaine.worker import Worker

storage = Service("storage")

async def sleeper(request, response):
    key = await asyncio.wait_for(request.read(), 10)
    async with asyncio.TaskGroup() as group:
        one = group.create_task(get(key))
        two = group.create_task(get(key))
    await asyncio.sleep(0)
    response.write(one.result() + two.result())

async def get(key):
    return await storage.read("collection", key)

def old(request, response):
    channel = yield storage.read("collection", (yield request.read()))
    response.write((yield channel.rx.get()))

async def stuck(request, response):
    try:
        await asyncio.sleep(3600)
    finally:
        print("cleaned up")

Worker(grace=0.05).run({"sleeper": sleeper, "old": old, "stuck": stuck})
"""

    def setUp(self):
        super().setUp()
        node = FakeNode(self)
        host, port = node.locators[0]
        self.start(self.SOURCE, locator=f"{host}:{port}")

    def test_tasks_and_sleep(self):
        """Tasks, timeouts and services together."""
        self.engine.send((2, 0, ["sleeper"], []), (2, 0, ["k"], []))
        self.assertEqual(self.engine.read(2), [[2, 0, [b"1234512345"]], [2, 2, []]])
        self.assertEqual(self.terminate()[0], 0)

    def test_generator_beside(self):
        """Generator handlers of the same worker run on asyncio too."""
        self.engine.send((2, 0, ["old"], []), (2, 0, ["k"], []))
        self.assertEqual(self.engine.read(2), [[2, 0, [b"12345"]], [2, 2, []]])
        self.terminate()

    def test_cancelled_at_the_end(self):
        """A handler that outlives the grace is cancelled and answered for it."""
        self.engine.send((2, 0, ["stuck"], []), TERMINATE)
        frames = self.engine.read(2)
        self.assertEqual(frames[0][:2], [2, 1])
        self.assertEqual(frames[0][2][0], [42, 212])
        self.assertEqual(frames[1][:2], [1, 1])
        self.assertEqual(self.end(), (0, "cleaned up\n", ""))


class AsyncioLifeTests(ProcessTestCase):
    """Failures and the end of a worker on asyncio."""

    SOURCE = """
import asyncio, sys
from cocaine.exceptions import ChokeEvent, RequestError
from cocaine.worker import Worker

worker = Worker()

@worker.on("blow")
async def blow(request, response):
    await asyncio.sleep(0)
    raise ValueError("handler blew up")

@worker.on("quit")
async def quit(request, response):
    sys.exit(7)

@worker.on("ends")
async def ends(request, response):
    try:
        while True:
            await response.write(await request.read(timeout=10))
    except ChokeEvent:
        response.write("choke")
    except RequestError as error:
        response.write(str(error))

@worker.on("wait")
async def wait(request, response):
    try:
        await asyncio.sleep(3600)
    finally:
        print("cleaned up", flush=True)

@worker.on("plain")
def plain(request, response):
    response.write(type(asyncio.get_running_loop()).__name__)

worker.run()
"""

    def setUp(self):
        super().setUp()
        self.start(self.SOURCE)

    def test_exception(self):
        """It is answered, and its traceback written."""
        self.engine.send((2, 0, ["blow"], []))
        self.assertEqual(self.engine.read(1), [[2, 1, [[42, 100], b"handler blew up"]]])
        status, _, err = self.terminate()
        self.assertEqual(status, 0)
        self.assertIn("ValueError: handler blew up", err)
        self.assertNotIn("never retrieved", err)

    def test_exit(self):
        """sys.exit() ends the process with its status."""
        self.engine.send((2, 0, ["quit"], []))
        self.assertEqual(self.end()[0], 7)

    def test_stream(self):
        """Chunks come and go until the client closes."""
        self.engine.send((2, 0, ["ends"], []), (2, 0, ["a"], []))
        self.assertEqual(self.engine.read(1), [[2, 0, [b"a"]]])
        self.engine.send((2, 0, ["b"], []), (2, 2, [], []))
        self.assertEqual(
            self.engine.read(3), [[2, 0, [b"b"]], [2, 0, [b"choke"]], [2, 2, []]]
        )
        self.terminate()

    def test_client_gone(self):
        """Or fails."""
        self.engine.send((2, 0, ["ends"], []), (2, 1, [[5, 2], "End of file"], []))
        self.assertEqual(
            self.engine.read(2), [[2, 0, [b"End of file [5, 2]"]], [2, 2, []]]
        )
        self.terminate()

    def test_lost_connection(self):
        """Running handlers are cancelled and may clean up."""
        self.engine.send((2, 0, ["wait"], []), (3, 0, ["plain"], []))
        self.engine.read(2)
        self.engine.connection.close()
        status, out, err = self.end()
        self.assertEqual((status, out), (0, "cleaned up\n"))
        self.assertIn("connection to the engine is gone", err)

    def test_plain_handler(self):
        """A plain handler runs on asyncio as well."""
        self.engine.send((2, 0, ["plain"], []))
        (frame,) = self.engine.read(2)[:1]
        self.assertIn(b"EventLoop", frame[2][0])
        self.terminate()

    def test_no_handler(self):
        """An event without a handler is answered."""
        self.engine.send((2, 0, ["none"], []))
        self.assertEqual(self.engine.read(1)[0][2][0], [42, 200])
        self.terminate()


class ColdStartTests(ProcessTestCase):
    """The bar: 60 ms from the start of the process to the handshake."""

    def test_no_heavy_imports(self):
        """Nothing that costs time is loaded for plain handlers."""
        self.start(
            "import sys\nfrom cocaine.worker import Worker\n"
            "def loaded(request, response):\n"
            "    response.write(' '.join(sys.modules))\n"
            "Worker().run({'loaded': loaded})\n"
        )
        self.engine.send((2, 0, ["loaded"], []))
        loaded = set(self.engine.read(2)[0][2][0].decode().split())
        heavy = {"asyncio", "typing", "dataclasses", "logging", "uuid", "inspect"}
        heavy |= {"re", "argparse", "traceback", "threading", "cocaine.services"}
        self.assertEqual(loaded & heavy, set())
        self.terminate()

    def test_handshake_in_time(self):
        """The median of five starts stays far below a second on any machine."""
        times = []
        for _ in range(5):
            begin = time.monotonic()
            self.start(ECHO)
            times.append(time.monotonic() - begin)
            self.terminate()
        self.assertLess(statistics.median(times), 0.3)


if __name__ == "__main__":
    unittest.main()
