# -*- test-case-name: tests.test_task -*-
"""
Tests for `cocaine.detail.task`.
"""

from __future__ import annotations

import asyncio
import unittest
from concurrent.futures import ThreadPoolExecutor

from cocaine.detail.future import Future
from cocaine.detail.loop import Loop
from cocaine.detail.task import Task, as_future

from .support import ClockLoop, failure_of


class TaskTests(unittest.TestCase):
    """Generators that yield futures."""

    def setUp(self):
        self.loop = ClockLoop()

    def done(self, value):
        future = Future(self.loop)
        future.set_result(value)
        return future

    def test_runs_at_once(self):
        """Without unfinished futures no turn is needed."""

        def work():
            one = yield self.done(1)
            two = yield self.done(2)
            return one + two

        self.assertEqual(Task(self.loop, work()).result(), 3)

    def test_waits(self):
        """It goes on inside set_result."""
        future = Future(self.loop)

        def work():
            return (yield future)

        task = Task(self.loop, work())
        self.assertFalse(task.done())
        future.set_result("x")
        self.assertEqual(task.result(), "x")

    def test_error_is_thrown_in(self):
        """The generator may catch what a future raises."""
        future = Future(self.loop)

        def work():
            try:
                yield future
            except KeyError:
                return "caught"

        task = Task(self.loop, work())
        future.set_exception(KeyError())
        self.assertEqual(task.result(), "caught")

    def test_uncaught(self):
        """What it does not catch is the task's."""

        def work():
            yield self.done(1)
            raise KeyError("x")

        self.assertIsInstance(failure_of(Task(self.loop, work())), KeyError)

    def test_deep(self):
        """A hundred thousand finished futures need no stack."""

        def work():
            for _ in range(100_000):
                yield self.done(None)
            return "done"

        self.assertEqual(Task(self.loop, work()).result(), "done")

    def test_none_lets_others_run(self):
        """A bare yield costs one turn."""

        def work():
            yield
            return 1

        task = Task(self.loop, work())
        self.assertFalse(task.done())
        self.loop.turn()
        self.assertEqual(task.result(), 1)

    def test_nested(self):
        """A generator may be yielded, and raise."""

        def inner(value):
            yield self.done(None)
            if not value:
                raise KeyError
            return value

        def outer():
            one = yield inner(1)
            try:
                yield inner(0)
            except KeyError:
                return one

        self.assertEqual(Task(self.loop, outer()).result(), 1)

    def test_coroutine(self):
        """A coroutine that awaits only our futures runs on the light loop."""
        future = Future(self.loop)

        async def inner():
            return await future

        task = as_future(self.loop, inner())
        future.set_result(5)
        self.assertEqual(task.result(), 5)

    def test_several(self):
        """A list, a tuple and a dictionary wait for all and keep their shape."""
        future = Future(self.loop)

        def work():
            one = yield [future, self.done(2)]
            two = yield (self.done(3),)
            three = yield {"a": self.done(4)}
            empty = yield []
            return one, two, three, empty

        task = Task(self.loop, work())
        self.assertFalse(task.done())
        future.set_result(1)
        self.assertEqual(task.result(), ([1, 2], (3,), {"a": 4}, []))

    def test_several_with_an_error(self):
        """One error is raised after all are done."""
        bad, late = Future(self.loop), Future(self.loop)
        task = as_future(self.loop, [bad, late])
        bad.set_exception(KeyError())
        self.assertFalse(task.done())
        late.set_result(1)
        self.assertIsInstance(failure_of(task), KeyError)

    def test_nonsense(self):
        """What cannot be waited for is a TypeError at the yield."""

        def work():
            try:
                yield 5
            except TypeError as error:
                return str(error)

        self.assertIn("cannot wait for a int", Task(self.loop, work()).result())

    def test_cancel(self):
        """The generator is closed, and what it waited for is cancelled."""
        future = Future(self.loop)
        closed = []

        def work():
            try:
                yield future
            finally:
                closed.append(True)

        task = Task(self.loop, work())
        self.assertTrue(task.cancel())
        self.assertFalse(task.cancel())
        self.assertEqual(closed, [True])
        self.assertTrue(future.cancelled())
        self.assertTrue(task.cancelled())

    def test_stubborn_generator(self):
        """One that yields while being closed is left alone."""

        def work():
            try:
                yield Future(self.loop)
            finally:
                yield Future(self.loop)

        self.assertTrue(Task(self.loop, work()).cancel())

    def test_expiry(self):
        """A task that is too slow fails, and its generator is closed."""
        closed = []

        def work():
            try:
                yield Future(self.loop)
            finally:
                closed.append(True)

        task = Task(self.loop, work())
        task.expire_after(1, "work")
        self.loop.advance(2)
        self.assertIsInstance(failure_of(task), TimeoutError)
        self.assertEqual(closed, [True])

    def test_exit(self):
        """SystemExit goes through to the loop."""

        def work():
            yield self.done(1)
            raise SystemExit(2)

        with self.assertRaises(SystemExit):
            Task(self.loop, work())

    def test_thread_pool(self):
        """A future of concurrent.futures is waited for across threads."""
        loop = Loop()
        self.addCleanup(loop.close)
        with ThreadPoolExecutor(1) as pool:

            def work():
                value = yield pool.submit(lambda: 5)
                try:
                    yield pool.submit(lambda: {}["x"])
                except KeyError:
                    return value

            self.assertEqual(Task(loop, work()).get(timeout=20), 5)


class AsyncioTaskTests(unittest.TestCase):
    """Generators on asyncio."""

    def test_coroutines_and_futures(self):
        """They may yield coroutines and futures of asyncio."""

        async def inner():
            await asyncio.sleep(0)
            return 1

        async def main():
            loop = asyncio.get_running_loop()
            future = loop.create_future()
            loop.call_soon(future.set_result, 2)

            def work():
                one = yield inner()
                two = yield future
                return one + two

            return await Task(loop, work())

        self.assertEqual(asyncio.run(main()), 3)

    def test_cancelled_future(self):
        """The cancellation of what it waits for is raised in the generator."""

        async def main():
            loop = asyncio.get_running_loop()
            future = loop.create_future()
            loop.call_soon(future.cancel)

            def work():
                try:
                    yield future
                except asyncio.CancelledError:
                    return "cancelled"

            return await Task(loop, work())

        self.assertEqual(asyncio.run(main()), "cancelled")
