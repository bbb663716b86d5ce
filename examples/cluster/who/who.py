#!/usr/bin/env python
"""An app that says on which host it has been asked."""

import socket

from cocaine.worker import Worker

# Where this host's interface is: nothing is sent to find that out.
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
    probe.connect(("239.0.100.53", 10053))
    HERE = probe.getsockname()[0]


def who(request, response):
    response.write(HERE)
    response.close()


Worker().run({"who": who})
