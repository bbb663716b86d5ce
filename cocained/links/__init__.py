"""
What nodes tell each other of their services (protocol.md §3.2, §3.3).

::

    cluster plugin ──link, drop──▶ links ──▶ link ──dial, ping──▶ dialer ═══ TCP ═══▶ other locators
                                              │                     │
                                              ▼                     ▼ (tidings)
                      gateway ◀──consume, cleanup                 link.told
                         ▲
    directory ──▶ offers ┤
    publish   ──▶        └──▶ announcements ═══ connect streams ═══▶ links of others

Both directions stand for themselves: a node that listens to another need not be
heard by it.
"""  # noqa: E501
