"""The way to a daemon that is far away, in a process of its own: each round trip takes its time, and is counted.

Usage: ``python far_daemon.py DAEMON_PORT ROUND_TRIP_SECONDS``; prints its port. A request for
``/_in_flight`` is answered with the largest number of requests that were under way at once, which starts anew.
"""

from __future__ import annotations

import asyncio
import re
import sys

from attrs import define


@define
class Road:
    """What is under way."""

    port: int
    delay: float
    in_flight: int = 0
    most: int = 0

    async def carry(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        """Carry requests of one connection there and their answers back, one after the other."""
        far = None
        try:
            await asyncio.sleep(self.delay)  # a handshake is a round trip too
            while True:
                head, body = await message(near)
                if b"/_in_flight" in head:
                    await self.tell(back)
                    continue
                self.in_flight += 1
                self.most = max(self.most, self.in_flight)
                try:
                    await asyncio.sleep(self.delay / 2)
                    far = far or await asyncio.open_connection("127.0.0.1", self.port)
                    # qBittorrent refuses a request that names another port than its own.
                    head = re.sub(rb"(?i)\r\nhost: 127\.0\.0\.1:\d+", b"\r\nHost: 127.0.0.1:%d" % self.port, head)
                    far[1].write(head + body)
                    head, body = await message(far[0])
                    await asyncio.sleep(self.delay / 2)
                finally:
                    self.in_flight -= 1
                back.write(head + body)
                await back.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            back.close()
            if far:
                far[1].close()

    async def tell(self, back: asyncio.StreamWriter) -> None:
        """Tell how many requests were under way at once at most, and count anew."""
        body = str(self.most).encode()
        self.most = 0
        back.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        await back.drain()


async def message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Read a request or an answer whole: its head, and its body."""
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return head, await reader.readexactly(int(line.partition(b":")[2]))
    return head, b""


async def serve(port: int, delay: float) -> None:
    """Serve until the process is ended."""
    server = await asyncio.start_server(Road(port, delay).carry, "127.0.0.1", 0, limit=1 << 20)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2])))
