"""
Gateways that let the kernel forward.

::

    locator ──consume, cleanup──▶ gateway ──▶ table ──plan──▶ convergence
       ▲                             ▲                            │ apply
       └────────── resolve ──────────┘                            ▼
                 (what is in force)                  balancer: ipvs | nftables
    health ──up, down──▶ gateway                         │ rules on stdin
                                                         ▼
                                                 program: ipvsadm | nft

Every service that other nodes announce gets a *virtual service*: an address and
a port of this node at which nobody listens.  Clients are told that address, and
the kernel forwards their connections to the nodes that carry the service.

``table``, ``plan``, ``ipvsadm`` and ``rules`` are pure: what there is to
forward, what has changed, and the words for it.
"""
