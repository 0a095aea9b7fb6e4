"""A tracker in a process of its own: serves ``/0``, ``/1``, ... after a delay, as torrents of a given size.

Usage: ``python far_tracker.py COUNT BYTES DELAY_SECONDS``; prints its port.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys

from support.torrents import PIECE_LENGTH, bencode


def torrent(number: int, size: int) -> bytes:
    """Make a torrent that is about this many bytes long, as those of large audiobooks are."""
    pieces = max(size // 20, 1)
    digests = hashlib.shake_128(b"%d" % number).digest(20 * pieces)
    info = {
        "name": f"book {number}",
        "piece length": PIECE_LENGTH,
        "length": PIECE_LENGTH * pieces,
        "pieces": digests,
        "private": 1,
    }
    return bencode({"info": info})


async def serve(count: int, size: int, delay: float) -> None:
    """Serve until the process is ended."""
    bodies = [torrent(number, size) for number in range(count)]
    heads = [b"HTTP/1.1 200 OK\r\nContent-Type: application/x-bittorrent\r\nContent-Length: %d\r\n\r\n" % len(body)
             for body in bodies]  # fmt: skip

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while request := await reader.readuntil(b"\r\n\r\n"):
                number = int(request.split(b" ", 2)[1].strip(b"/"))
                await asyncio.sleep(delay)
                writer.write(heads[number])
                writer.write(bodies[number])
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
