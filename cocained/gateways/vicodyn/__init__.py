# -*- test-case-name: cocained.test.test_gateways_vicodyn -*-
"""
A gateway that relays: apps are reached through this node, wherever they run.

::

    client ──▶ virtual::app ──▶ relay ──▶ peer ──▶ node.enqueue of some node
               (one per app)   (one per  (one connection
                                request)   per node)

``likeness``
    which services are apps, and which are nodes;
``peer``
    the connection to one node;
``virtual``
    the copies of one app, and the service that clients see;
``relay``, ``answer``
    one request on its way, there and back: the hot path;
``gateway``
    what the locator tells and asks;
``info``
    the service ``vicodyn``, for operators.
"""
