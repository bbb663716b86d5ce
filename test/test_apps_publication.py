"""
Whether clients can find an app.
"""

from __future__ import annotations

from twisted.logger import LogLevel

from cocained.test.running_case import RunningCase


class PublishTests(RunningCase):
    """``publish-on`` and ``unpublish-under`` (§9.2)."""

    def setUp(self) -> None:
        super().setUp()
        self.app = self.start(publish_on=2, unpublish_under=1, pool_limit=2)

    @property
    def is_published(self) -> bool:
        published = "echo" in self.node.directory.services
        self.assertEqual(self.app.info(0)["publushed"], published)
        return published

    def test_when_there_are_enough(self) -> None:
        """The service appears with the last worker that is needed."""
        self.assertFalse(self.is_published)
        self.app.control(2)
        self.worker(self.app, 0)
        self.assertFalse(self.is_published)

        self.worker(self.app, 1)

        self.assertTrue(self.is_published)

    def test_when_there_are_too_few(self) -> None:
        """It goes when fewer than unpublish-under are left."""
        self.app.control(2)
        first, second = (self.worker(self.app, number) for number in (0, 1))
        first.disconnect()
        self.assertTrue(self.is_published)

        second.disconnect()

        self.assertFalse(self.is_published)

    def test_name_taken(self) -> None:
        """A name that somebody else has by then is a line in the log."""
        self.node.directory.services["echo"] = self.app._publication._service
        events = self.logged()
        self.app.control(2)
        for number in (0, 1):
            self.worker(self.app, number)

        errors = [e for e in events if e["log_level"] is LogLevel.error]
        self.assertEqual(len(errors), 1)
        self.assertFalse(self.app.info(0)["publushed"])
