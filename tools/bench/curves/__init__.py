# -*- test-case-name: cocained.test.test_tools_bench_curves -*-
"""
What a request costs while something grows: apps, channels, workers, the past.

A scenario gives figures of one size; a *curve* gives the CPU per request at
several, on one node that nothing else uses.  At each size rounds of the
yardstick, to which nothing is added, alternate with rounds of the node, so what
both do at once is the machine's doing.

``base``: points and what is read off them; ``crowds``: what grows;
``catalogue``: all curves; ``runner``.
"""
