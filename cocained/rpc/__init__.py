"""
The wire: many channels over one connection, in the 0.12.14 dialect.

From the bottom up::

    outline    what an unfinished frame claims to be            pure
    codec      bytes <-> frames, bounded and incremental        pure
    headers    header tables, traces                            pure
    graph      which messages follow which                      pure
    arguments  wire values -> typed arguments                   pure
    session    frames -> channels, answers -> one write a turn  pure
    dispatch   a service's methods -> slots of a root graph
    wire       sessions on Twisted transports
    outbox     large frames in pieces
    connection, calls, client
               connect, call, resolve and reconnect

*Pure* modules know nothing of Twisted: bytes go in, method calls and bytes
come out.  ``docs/protocol.rst`` draws the frames.
"""
