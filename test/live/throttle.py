# -*- test-case-name: cocained.test.live.test_isolates_docker -*-
"""
A program that lets bytes through, but only so many in a second.

Run with its own port, that of the target, and the bytes in a second.
"""

import asyncio
import sys

#: Bytes of one piece.
PIECE = 4096


async def pump(source, target, rate):
    """Copy until the end; without a rate as fast as it goes."""
    try:
        while data := await source.read(PIECE):
            target.write(data)
            await target.drain()
            if rate:
                await asyncio.sleep(len(data) / rate)
    except ConnectionError:
        pass
    finally:
        target.close()


async def main(port, target, rate):
    async def connected(reader, writer):
        there, back = await asyncio.open_connection("127.0.0.1", target)
        await asyncio.gather(pump(reader, back, 0), pump(there, writer, rate))

    server = await asyncio.start_server(connected, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
