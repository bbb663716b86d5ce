# -*- test-case-name: tests.test_future -*-
"""
Tests for `cocaine.detail.future` and `cocaine.detail.loop`.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
import unittest

from cocaine.detail import loop as loops
from cocaine.detail.future import READY, Future
from cocaine.detail.loop import Loop, current_loop, light_loop
from cocaine.exceptions import Cancelled

from .support import ClockLoop


class FutureTests(unittest.TestCase):
    """A future by itself."""

    def test_result(self):
        """It has a result once it is set."""
        future = Future()
        self.assertFalse(future.done())
        future.set_result(5)
        self.assertTrue(future.done())
        self.assertEqual((future.result(), future.exception()), (5, None))

    def test_error(self):
        """Or raises."""
        future = Future()
        future.set_exception(KeyError("x"))
        with self.assertRaises(KeyError):
            future.result()
        self.assertIsInstance(future.exception(), KeyError)

    def test_first_counts(self):
        """What comes second is ignored."""
        future = Future()
        future.set_result(1)
        future.set_result(2)
        future.set_exception(KeyError())
        self.assertEqual(future.result(), 1)
        self.assertFalse(future.cancel())

    def test_not_done(self):
        """Asking early is an error that says what to do."""
        for ask in (Future().result, Future().exception):
            with self.assertRaises(RuntimeError) as caught:
                ask()
            self.assertIn("yield", str(caught.exception))

    def test_callbacks(self):
        """They run inside set_result, in order; later ones at once."""
        future = Future()
        seen = []
        future.add_done_callback(lambda f: seen.append(1))
        future.add_done_callback(lambda f: seen.append(f.result()))
        future.set_result(2)
        self.assertEqual(seen, [1, 2])
        future.add_done_callback(lambda f: seen.append(3))
        self.assertEqual(seen, [1, 2, 3])

    def test_cancel(self):
        """Cancelling is a failure of its own kind."""
        future = Future()
        self.assertTrue(future.cancel())
        self.assertTrue(future.cancelled())
        with self.assertRaises(Cancelled):
            future.result()

    def test_other_failure_is_not_cancelled(self):
        """Only cancelling is."""
        future = Future()
        future.set_exception(KeyError())
        self.assertFalse(future.cancelled())

    def test_expiry(self):
        """A future fails when its time is up, and says of what."""
        loop = ClockLoop()
        future = Future(loop)
        future.expire_after(5, "reading")
        loop.advance(4.9)
        self.assertFalse(future.done())
        loop.advance(0.2)
        self.assertIsInstance(future.exception(), TimeoutError)
        self.assertIn("reading: 5 s", str(future.exception()))

    def test_expiry_is_cancelled(self):
        """A result takes the timer away."""
        loop = ClockLoop()
        future = Future(loop)
        future.expire_after(5, "reading")
        future.set_result(None)
        self.assertEqual(loop.pending(), [])

    def test_no_expiry(self):
        """0, None and less mean for ever."""
        loop = ClockLoop()
        for seconds in (0, None, -1):
            Future(loop).expire_after(seconds, "x")
        self.assertEqual(loop.pending(), [])

    def test_ready(self):
        """The shared future is done."""
        self.assertIsNone(READY.result())


class GetTests(unittest.TestCase):
    """Waiting in a plain script."""

    def test_get(self):
        """The loop runs until the result is there."""
        loop = Loop()
        future = Future(loop)
        loop.call_later(0.001, future.set_result, "x")
        self.assertEqual(future.get(), "x")
        self.assertEqual(future.wait(), "x")

    def test_timeout(self):
        """Not longer than allowed."""
        loop = Loop()
        with self.assertRaises(TimeoutError):
            Future(loop).get(timeout=0.01)

    def test_nothing_left(self):
        """Waiting for what cannot happen is noticed."""
        with self.assertRaises(RuntimeError) as caught:
            Future(Loop()).get()
        self.assertIn("nothing is left", str(caught.exception))

    def test_inside_the_loop(self):
        """A handler cannot block on its own loop."""
        loop = Loop()
        outer = Future(loop)

        def handler():
            try:
                Future(loop).get()
            except RuntimeError as error:
                outer.set_result(str(error))

        loop.call_soon(handler)
        self.assertIn("yield", outer.get())

    def test_inside_asyncio(self):
        """Neither can a coroutine."""

        async def main():
            with self.assertRaises(RuntimeError) as caught:
                Future(current_loop()).get()
            self.assertIn("await", str(caught.exception))

        asyncio.run(main())


class AwaitTests(unittest.TestCase):
    """Waiting in a coroutine."""

    def test_await(self):
        """A future of the running loop is awaited."""

        async def main():
            loop = current_loop()
            future = Future(loop)
            loop.call_soon(future.set_result, 5)
            return await future

        self.assertEqual(asyncio.run(main()), 5)

    def test_error(self):
        """Its error is raised."""

        async def main():
            future = Future(current_loop())
            asyncio.get_running_loop().call_soon(future.set_exception, KeyError())
            with self.assertRaises(KeyError):
                await future

        asyncio.run(main())

    def test_cancelled_waiter(self):
        """A task that is cancelled takes its future along."""

        async def main():
            future = Future(current_loop())
            with self.assertRaises(TimeoutError):
                await asyncio.wait_for(future, 0.001)
            return future

        self.assertTrue(asyncio.run(main()).cancelled())

    def test_unwanted(self):
        """Between the cancellation and its effect nobody wants the result."""

        async def main():
            future = Future(current_loop())

            async def wait():
                await future

            task = asyncio.create_task(wait())
            await asyncio.sleep(0)
            before = future.wanted()
            task.cancel()
            after = future.wanted()
            await asyncio.gather(task, return_exceptions=True)
            return before, after

        self.assertEqual(asyncio.run(main()), (True, False))

    def test_foreign_loop(self):
        """A call made before asyncio ran says so instead of hanging."""
        future = Future(light_loop())

        async def main():
            with self.assertRaises(RuntimeError) as caught:
                await future
            self.assertIn("outside", str(caught.exception))

        asyncio.run(main())


class LoopTests(unittest.TestCase):
    """The light loop."""

    def setUp(self):
        self.loop = Loop()
        self.addCleanup(self.loop.close)

    def run_for(self, seconds):
        done = Future(self.loop)
        self.loop.call_later(seconds, done.set_result, None)
        self.loop.run_until(done)

    def test_order(self):
        """Timers fire by time, not by creation."""
        seen = []
        self.loop.call_later(0.004, seen.append, 2)
        self.loop.call_later(0.002, seen.append, 1)
        self.loop.call_soon(seen.append, 0)
        self.run_for(0.006)
        self.assertEqual(seen, [0, 1, 2])

    def test_cancelled_timer(self):
        """A cancelled one does not, and may be cancelled again."""
        seen = []
        timer = self.loop.call_later(0.001, seen.append, 1)
        timer.cancel()
        timer.cancel()
        self.run_for(0.003)
        self.assertEqual(seen, [])

    def test_cancelled_timers_are_swept(self):
        """A million cancelled timeouts do not stay in memory."""
        for _ in range(1000):
            self.loop.call_later(3600, print).cancel()
        self.run_for(0.001)
        self.assertLess(len(self.loop._timers), 10)

    def test_call_soon_is_next_turn(self):
        """A callback that schedules itself does not starve timers."""
        done = Future(self.loop)

        def again():
            if not done.done():
                self.loop.call_soon(again)

        self.loop.call_soon(again)
        self.loop.call_later(0.002, done.set_result, None)
        self.loop.run_until(done, timeout=5)
        self.assertTrue(done.done())

    def test_readiness(self):
        """Readers and writers are called while they are registered."""
        one, two = socket.socketpair()
        self.addCleanup(one.close)
        self.addCleanup(two.close)
        done = Future(self.loop)
        self.loop.add_writer(
            one, lambda: (one.send(b"x"), self.loop.remove_writer(one))
        )
        self.loop.add_reader(two, lambda: done.set_result(two.recv(9)))
        self.loop.run_until(done, timeout=5)
        self.assertEqual(done.result(), b"x")
        self.assertTrue(self.loop.remove_reader(two))
        self.assertFalse(self.loop.remove_reader(two))
        self.assertFalse(self.loop.remove_writer(one))

    def test_both_sides_of_one_socket(self):
        """Removing the writer leaves the reader."""
        one, two = socket.socketpair()
        self.addCleanup(one.close)
        self.addCleanup(two.close)
        done = Future(self.loop)
        self.loop.add_reader(one, done.set_result, "read")
        self.loop.add_writer(one, lambda: self.loop.remove_writer(one))
        self.loop.call_later(0.002, two.send, b"x")
        self.loop.run_until(done, timeout=5)
        self.assertEqual(done.result(), "read")

    def test_catch_up(self):
        """What is ready is handled without running, but not from within."""
        one, two = socket.socketpair()
        self.addCleanup(one.close)
        self.addCleanup(two.close)
        seen = []
        self.loop.catch_up()
        self.loop.add_reader(one, lambda: seen.append(one.recv(9)))
        self.loop.catch_up()
        self.assertEqual(seen, [])
        two.send(b"x")
        self.loop._running = True
        self.loop.catch_up()
        self.assertEqual(seen, [])
        self.loop._running = False
        self.loop.catch_up()
        self.assertEqual(seen, [b"x"])

    def test_removed_within_a_poll(self):
        """A socket that an earlier callback removed is not called any more."""
        pairs = [socket.socketpair() for _ in range(2)]
        seen = []

        def first(name):
            seen.append(name)
            for one, _ in pairs:
                self.loop.remove_reader(one)

        for name, (one, two) in enumerate(pairs):
            self.addCleanup(one.close)
            self.addCleanup(two.close)
            two.send(b"x")
            self.loop.add_reader(one, first, name)
        self.run_for(0.001)
        self.assertEqual(len(seen), 1)

    def test_thread(self):
        """Another thread wakes a sleeping loop."""
        self.loop.enable_wakeups()
        self.loop.enable_wakeups()
        done = Future(self.loop)
        begin = time.monotonic()
        threading.Timer(
            0.005, self.loop.call_soon_threadsafe, (done.set_result, 1)
        ).start()
        self.loop.run_until(done, timeout=10)
        self.assertLess(time.monotonic() - begin, 5)

    def test_exception_ends_the_run(self):
        """A loop can be run again after a callback failed."""

        def leave():
            raise SystemExit(3)

        self.loop.call_soon(leave)
        with self.assertRaises(SystemExit):
            self.run_for(1)
        self.assertFalse(self.loop.is_running())
        self.run_for(0.001)

    def test_not_reentrant(self):
        """A loop runs once at a time."""
        done = Future(self.loop)

        def nested():
            with self.assertRaises(RuntimeError):
                self.loop.run_until(Future(self.loop))
            done.set_result(self.loop.is_running())

        self.loop.call_soon(nested)
        self.loop.run_until(done)
        self.assertTrue(done.result())

    def test_one_per_thread(self):
        """Threads have loops of their own."""
        seen = []
        thread = threading.Thread(target=lambda: seen.append(light_loop()))
        thread.start()
        thread.join()
        self.assertIsNot(seen[0], light_loop())
        self.assertIs(light_loop(), light_loop())

    def test_current(self):
        """Inside asyncio its loop, else the light one."""

        async def main():
            return current_loop() is asyncio.get_running_loop()

        self.assertTrue(asyncio.run(main()))
        self.assertIs(current_loop(), light_loop())
        self.assertIsNone(loops.running_asyncio())
