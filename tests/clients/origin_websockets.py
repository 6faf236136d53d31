"""The site of features_websocket.py, of the library websockets: usage PORT."""

import asyncio
import sys

from websockets.asyncio.server import serve

from features_websocket import PARTS


async def talk(connection):
    async for message in connection:
        if message == "fragments":
            await connection.send(PARTS)
        elif message == "ping":
            await (await connection.ping(b"are you there"))
            await connection.send("pong")
        elif message == "close":
            await connection.close(4002, "enough")
        else:
            await connection.send(message)


def chosen(_, offered):
    return "chat" if "chat" in offered else None


async def main(port):
    serving = serve(talk, "127.0.0.1", port, select_subprotocol=chosen, max_size=None)
    async with serving as server:
        await server.serve_forever()


asyncio.run(main(int(sys.argv[1])))
