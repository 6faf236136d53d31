"""One aioquic connection that does one thing a line: usage AUTHORITY NAME ADDRESS PORT [MEMORY].

MEMORY is a file for what the server gave to be shown again: a session ticket and a token.

Prints a line of JSON when it is connected, and one for every line it reads:
identity | begin PATH | finish | rebind | migrate LOCAL-ADDRESS
"""

import asyncio
import json
import os
import pickle
import sys

import aioquic_http3 as http3

ANSWER_SECONDS = 5
DOWNLOAD_SECONDS = 60


async def perform(connection, name, command, state):
    verb, _, argument = command.partition(" ")
    if verb == "identity":
        answer = await connection.get(name, "/", ANSWER_SECONDS)
        return json.loads(bytes(answer.body))
    if verb == "begin":
        state["exchange"] = connection.begin(name, argument)
        return {}
    if verb == "finish":
        answer = await connection.finish(state.pop("exchange"), DOWNLOAD_SECONDS)
        return {"status": answer.status, "length": len(answer.body), "sha256": answer.sha256()}
    if verb == "rebind":
        await connection.rebind(state["local"])
        return {}
    if verb == "migrate":
        state["local"] = argument
        await connection.rebind(argument)
        connection.change_connection_id()
        return {}
    raise http3.RequestFailed(f"what is {command!r}?")


def say(**words):
    print(json.dumps(words), flush=True)


async def lines():
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while line := await reader.readline():
        yield line.decode().strip()


class Memory:
    """What the server gave to be shown again, in a file."""

    def __init__(self, path):
        self.path, self.kept = path, {"session_ticket": None, "token": b""}
        if path is not None and os.path.exists(path):
            with open(path, "rb") as file:
                self.kept = pickle.load(file)

    def keep(self, what):
        def keep(value):
            self.kept[what] = value
            if self.path is not None:
                with open(self.path, "wb") as file:
                    pickle.dump(self.kept, file)

        return keep


async def main(authority, name, address, port, path=None):
    memory = Memory(path)
    made = http3.configuration(authority, name)
    made.session_ticket, made.token = memory.kept["session_ticket"], memory.kept["token"]
    state = {"local": "::" if ":" in address else "0.0.0.0"}
    keep_ticket, keep_token = memory.keep("session_ticket"), memory.keep("token")
    try:
        connection = await http3.connect(
            made, address, int(port), state["local"], keep_ticket, keep_token
        )
    except http3.RequestFailed as error:
        say(error=str(error))
        return
    say(resumed=connection._quic.tls.session_resumed)
    async for command in lines():
        try:
            say(**await perform(connection, name, command, state))
        except http3.RequestFailed as error:
            say(error=str(error))


asyncio.run(main(*sys.argv[1:]))
