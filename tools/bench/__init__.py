# -*- test-case-name: cocained.test.test_tools_bench -*-
"""
The benchmark: ``python -m cocained.tools.bench``.

::

    load (C) ── TCP ── yardstick | node | peer ── UNIX socket ── echo-worker (C)

Everything is on loopback.  The same native load generator and the same native
worker stand at both ends of three *targets*: the yardstick (a bare Twisted
relay, :mod:`~cocained.tools.bench.yardstick`), a node that the benchmark starts
for itself, and, if asked, a peer that runs already.  Rounds of the targets
alternate within one run, so that their ratios are fair on a noisy machine; a
figure is the median of its rounds.  The CPU per request is the target
process's own, read from the operating system; the generator is one process
written in C whose cost per request stands beside it in the table.

With one request in flight most of the time is the waking of processes, and
where the kernel places them decides more than what they do: the same target may
take twice as long in the next round.  ``--pin`` puts everything on one
processor, which gives steady ratios (and other absolute figures).

From the bottom up: ``frames``, ``client`` (a tiny blocking one), ``toolchain``
(compiles the native programs), ``process``, ``measure``, ``generator``;
``store``, ``targets``, ``relay``, ``subject``; ``scenarios``; ``runner``,
``bars``, ``report``.
"""
