# -*- test-case-name: cocained.test.test_cluster_simulation -*-
"""
A whole cluster under a storm: ``python -m cocained.test.cluster_simulation``.

One number, the *seed*, decides everything that happens to one cluster: how many
nodes it has and what is on them, which of them come, leave, die and return, what
is lost between them and for how long.  There are no sockets, and no time but
that of one clock for all nodes, so the same seed gives the same run::

    Speaker, Member ──link, drop──▶ Links, Link, Agenda ──▶ gateway ◀── Offers
      (discovery)                       │ (the real ones)        │         │
                                        ▼                        ▼         ▼
                                      Wire ═══ network ═══ Far ◀── Announcements, Stream

What is promised: when nothing is in the way, each change is known everywhere
within one latency; when the storm is over, each gateway knows exactly what there
is, and each ring is that of the storage; nobody hears of whom it was told to
forget; nobody dials more often than its back-off allows; at rest there are signs
of life and nothing else; and in the end nothing is left.

From the bottom up: ``broken``, ``clock``, ``reading`` (frames), ``network``,
``far``, ``wires``, ``storage``, ``discovery``; ``ledger`` (what is true), ``node``;
``setting``, ``storm``, ``world`` (one run), ``runner`` (many); ``figures`` (what
one cluster costs), ``growth`` (many), ``plot``; ``__main__``.
"""
