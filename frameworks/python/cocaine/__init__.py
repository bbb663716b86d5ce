# -*- test-case-name: tests -*-
"""
What runs inside an app of a Cocaine node.

Import :class:`cocaine.worker.Worker` to serve events,
:class:`cocaine.services.Service` to call services, and
:class:`cocaine.logger.Logger` to log. This module imports nothing, so that a
worker pays at start-up only for what it uses.
"""

__version__ = "1.0.0.dev0"
