# -*- test-case-name: tests -*-
"""
The machinery: frames, channels, futures, the light loop. Not a public API.

The sans-IO part is `codec`, `headers`, `graph`, `inbox`, `machine` and
`session`: bytes in, bytes out, no socket and no clock. `stream`, `connect` and
`loop` drive it; they use only `call_soon`, `call_later`, `add_reader` and the
like, methods that the light loop and every asyncio selector loop share, so one
driver serves both.
"""
