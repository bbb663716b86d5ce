"""
How an app lives.

An app is code in the storage, a *manifest* that says what to run and a
*profile* that says how (:mod:`cocained.apps.documents`)::

    start_app ─▶ documents ─▶ spool ─▶ running ─▶ stopped
                     │          │
                     └──────────┴─▶ broken: keeps its cause, may be started again

A running app has no workers until the first request comes.  Requests wait in
its backlog; the overseer spawns workers by its policy, hands requests to the
least loaded one, and stops those that are idle, silent or sealed.
"""
