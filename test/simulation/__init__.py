# -*- test-case-name: cocained.test.test_simulation -*-
"""
The engine under a storm, again and again: ``python -m cocained.test.simulation``.

One number, the *seed*, decides everything that happens to one engine: its
profile, what its clients and workers say and when, how bytes are cut and
interleaved, what breaks.  There are no sockets, no processes, and no time but
that of a clock in memory, so the same seed gives the same run to the last byte
of its trace::

    Client ── Wire ──▶ Overseer, Pool, Worker … ◀── Wire ── Process
      │                  (the real ones)                      │
      └─────────────────────▶ Ledger ◀────────────────────────┘

What is promised: every accepted request ends in exactly one of reply, error
with cause, or deadline, and never in another's answer; and afterwards nothing
is left.  The ledger (:mod:`~cocained.test.simulation.ledger`) holds the first
half against each frame that the engine writes,
:mod:`~cocained.test.simulation.checks` the second when all is over.

From the bottom up: ``dice``, ``journal``, ``setting`` (what is drawn before a
run), ``faults``; ``promises``, ``causes``, ``ledger``; ``stage`` (what all
actors share), ``wires``, ``clients``, ``conversation``, ``processes``,
``staff``; ``door``, ``checks``, ``world`` (one run), ``runner`` (many),
``__main__``.
"""
