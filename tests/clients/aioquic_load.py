"""Busy aioquic connections: usage AUTHORITY NAME PORT CONNECTIONS ANSWER-SECONDS
BETWEEN-HANDSHAKES BETWEEN-REQUESTS LEAST-REQUESTS IPV4 IPV6.

Prints "done" when all are connected and after each move, and a tally in JSON at the end. Reads
phase before|event|after|finish | rebind | migrate LOCAL-IPV4 LOCAL-IPV6
"""

import asyncio
import json
import sys
import time

import aioquic_http3 as http3


class Load:
    """All connections, and what became of them."""

    def __init__(self, authority, name, answer, between_requests, least):
        self.authority, self.name, self.answer = authority, name, answer
        self.between_requests, self.least = between_requests, least
        self.phase = "before"
        self.connections = []
        self.tally = dict(
            connections=0, survived=0, requests=0, requests_failed=0,
            before_us=[], after_us=[], fates=[],
        )

    async def connect(self, address, port):
        made = http3.configuration(self.authority, self.name)
        local = "::" if ":" in address else "0.0.0.0"
        connection = await http3.connect(made, address, port, local)
        self.connections.append((connection, ":" in address))
        self.tally["connections"] += 1
        return connection

    async def be_busy(self, connection):
        """Requests one after another, until one fails or the run is over."""
        owner, count, failed = None, 0, False
        while (self.phase != "finish" or count < self.least) and not failed:
            count += 1
            began, start = self.phase, time.monotonic()
            try:
                answer = await connection.get(self.name, "/", self.answer)
                identity = json.loads(bytes(answer.body))
                owner = owner or identity["owner"]
                failed = identity["owner"] != owner
            except (http3.RequestFailed, ValueError):
                failed = True
            if not failed:
                self.note(began, int((time.monotonic() - start) * 1e6))
                await asyncio.sleep(self.between_requests)
        self.tally["requests"] += count
        self.tally["requests_failed"] += failed
        survived = not failed and connection.terminated is None
        self.tally["survived"] += survived
        self.tally["fates"].append((owner or "", survived))
        connection.close()

    def note(self, began, took_us):
        if self.phase == "before":
            self.tally["before_us"].append(took_us)
        elif began == "after":
            self.tally["after_us"].append(took_us)

    async def move(self, locals_by_family, new_id):
        for connection, ipv6 in self.connections:
            if connection.terminated is None:
                await connection.rebind(locals_by_family[ipv6])
                if new_id:
                    connection.change_connection_id()


def done():
    print("done", flush=True)


async def commands():
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while line := await reader.readline():
        yield line.decode().split()


async def main(
    authority, name, port, connections, answer, between_handshakes, between_requests, least,
    *addresses,
):
    load = Load(authority, name, float(answer), float(between_requests), int(least))
    busy = []
    for number in range(int(connections)):
        connection = await load.connect(addresses[number % len(addresses)], int(port))
        busy.append(asyncio.create_task(load.be_busy(connection)))
        await asyncio.sleep(float(between_handshakes))
    done()
    async for verb, *arguments in commands():
        if verb == "phase":
            (load.phase,) = arguments
        elif verb == "rebind":
            await load.move(["0.0.0.0", "::"], new_id=False)
            done()
        elif verb == "migrate":
            await load.move(arguments, new_id=True)
            done()
        if load.phase == "finish":
            break
    await asyncio.gather(*busy)
    print(json.dumps(load.tally), flush=True)


asyncio.run(main(*sys.argv[1:]))
