# -*- test-case-name: cocained.test.live.test_rollover_docker -*-
"""
A new image under the name of the old one comes into service by itself (row 187).
"""

from __future__ import annotations

from cocained.test.live.docker_case import IMAGE, DockerCase, build, push
from cocained.test.live.support import live_suite, wait_for

#: Seconds from one look at the registry to the next.
LOOK = 1

#: Seconds that a new image may take on a busy machine.
SOON = 60.0


class ImageTests(DockerCase):
    """Images that are pulled each time."""

    def push(self, word: str) -> None:
        """Have an image of this word at the registry, and not at the engine."""
        lines = f"RUN echo {word} >/word\nCOPY --from={IMAGE} /app /app"
        build(self.engine, "rolled", {}, lines)
        push(self.engine, "rolled", f"{self.lab.registry.name}/rolled:latest")
        self.engine.request("DELETE", "/images/rolled?force=1")

    def test_new_image(self) -> None:
        """It is pulled and run; containers of the old one end."""
        self.push("first")
        self.start(
            registry=self.lab.registry.name,
            image="rolled",
            limits={"auto_update": LOOK},
        )
        self.assertEqual(self.run_inside("cat /word"), ["first"])

        self.push("second")

        wait_for(
            "the new image", lambda: self.run_inside("cat /word") == ["second"], SOON
        )
        wait_for("the old one's end", lambda: len(self.containers()) == 1, SOON)
        self.assertEqual(self.node.info("caged", 0)[b"update"][b"state"], b"done")


test_suite = live_suite(__name__)
