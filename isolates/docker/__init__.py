# -*- test-case-name: cocained.test.test_isolates_docker -*-
"""
Workers as containers of a Docker Engine (protocol.md §11.4, plugins.md §5.4).

::

    DockerIsolate          one for each app: spools an image, spawns containers
      │ checks             what it asks for, held against this machine
      │
    Container              one worker, from create to its end
      │ creation           pure: what the engine is asked to create
      │ words              pure: errors and ends, as people read them
      │
    Dock                   what the apps of one node share
      │ orphans            whose a container is, and what dead nodes left
      │
    Pulls, Graves          images on their way, containers to be removed

The engine is spoken to by :mod:`cocained.docker`.
"""

from cocained.isolates.docker.isolate import DockerIsolate

__all__ = ["DockerIsolate"]
