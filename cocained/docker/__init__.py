# -*- test-case-name: cocained.test.test_docker_client -*-
"""
A thin asynchronous client for the API of the Docker Engine.

It speaks 1.24 to 1.44, whatever is the newest that the engine knows too, over
a UNIX socket, TCP or TLS; Podman's socket answers the same calls.  There is no
stdin for containers: that would need a connection that stops being HTTP.

::

    DockerClient            version, ping, info, events
      │ engine, images,     pull, push, build, import, commit, tag, inspect, …
      │ containers          create, start, attach, logs, wait, kill, stop, …
      │
    Transport               limits of time and size, the version of the API
      │ requests, failures  what is asked; what is said when it fails
      │
    Connection, Body        one connection for each request, and its answer
      │
    lines, stream,          pure: what the bytes mean
    progress, models

Methods return Deferreds that fail with an error of :mod:`cocained.docker.errors`,
or with what a callback of the caller's raised, or the system's error for a file
that cannot be read.  Cancelling one closes its connection.
"""

from cocained.docker.address import DEFAULT_ADDRESS, Address, TLSFiles, parse_address
from cocained.docker.attachment import Attachment
from cocained.docker.auth import RegistryAuth
from cocained.docker.client import DockerClient
from cocained.docker.progress import Progress
from cocained.docker.reference import Reference, parse_reference

__all__ = [
    "DEFAULT_ADDRESS",
    "Address",
    "Attachment",
    "DockerClient",
    "Progress",
    "Reference",
    "RegistryAuth",
    "TLSFiles",
    "parse_address",
    "parse_reference",
]
