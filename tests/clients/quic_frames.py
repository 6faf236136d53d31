"""Packets that no client sends, one on a connection of its own: usage AUTHORITY NAME ADDRESS PORT PATH.

Reads a line of JSON for each: {"space": "handshake" or "1-rtt", "frames": in hexadecimal, whatever they
are, "bits": set in the first byte, "leaves": whether the client goes on with another connection ID}.

Prints a line of JSON for each: "said" is `transport CODE` or `application CODE` where the server closes
the connection, `status STATUS` where it answers a request for PATH that is sent behind the packet; "frame" is
the type of frame that the server blames; "beside" is the status of a request on a connection that lasts.
"""

import asyncio
import json
import sys

import aioquic_http3 as http3
from aioquic.quic.connection import QuicConnection, QuicConnectionState
from aioquic.tls import Epoch

ANSWER_SECONDS = 10
ALL_SECONDS = 120
# RFC 9000 sections 17.2.4 and 17.3.1; with a packet number of four bytes, a packet without frames is long
# enough for header protection.
HANDSHAKE_FIRST, ONE_RTT_FIRST = 0xE3, 0x43
KEY_PHASE = 2
NUMBER_BYTES = 4


class Sender(QuicConnection):
    """Sends the packet as soon as there are keys: before the Finished, or behind HANDSHAKE_DONE."""

    def __init__(self, case, configuration):
        super().__init__(configuration=configuration)
        self.case = case
        self.has_sent = False

    def datagrams_to_send(self, now):
        first = []
        if not self.has_sent and self.may_send():
            self.has_sent = True
            first.append((self.packet(), self._network_paths[0].addr))
            if self.case["leaves"]:
                self._consume_peer_cid()
        return first + super().datagrams_to_send(now)

    def may_send(self):
        if self.case["space"] == "handshake":
            return self._cryptos[Epoch.HANDSHAKE].send.is_valid()
        return self._handshake_confirmed and (not self.case["leaves"] or self._peer_cid_available)

    def _get_or_create_stream(self, frame_type, stream_id):
        """Takes what the server says of a stream that the packet alone has opened."""
        is_request = stream_id % 4 == 0
        if is_request and not (stream_id in self._streams or self._stream_is_discarded(stream_id)):
            self._get_or_create_stream_for_send(stream_id)
        return super()._get_or_create_stream(frame_type, stream_id)

    def packet(self):
        number, frames = self._packet_number, bytes.fromhex(self.case["frames"])
        self._packet_number += 1
        end = number.to_bytes(NUMBER_BYTES, "big")
        if self.case["space"] == "handshake":
            crypto = self._cryptos[Epoch.HANDSHAKE]
            length = NUMBER_BYTES + len(frames) + crypto.aead_tag_size
            ids = b"".join(bytes([len(cid)]) + cid for cid in (self._peer_cid.cid, self.host_cid))
            rest = self._version.to_bytes(4, "big") + ids + (length | 0x4000).to_bytes(2, "big")
            first = HANDSHAKE_FIRST
        else:
            crypto, rest = self._cryptos[Epoch.ONE_RTT], self._peer_cid.cid
            first = ONE_RTT_FIRST | crypto.key_phase << KEY_PHASE
        header = bytes([first | self.case["bits"]]) + rest + end
        return crypto.encrypt_packet(header, frames, number)


class Connection(http3.Http3):
    """Tells when the packet is sent, and when the server closes."""

    def __init__(self, quic):
        super().__init__(quic)
        self.sent = asyncio.get_running_loop().create_future()
        self.closed = asyncio.get_running_loop().create_future()

    def datagram_received(self, data, addr):
        super().datagram_received(data, addr)
        if self._quic.has_sent and not self.sent.done():
            self.sent.set_result(None)
        # What it closes itself is no answer.
        if self._quic._state == QuicConnectionState.DRAINING and not self.closed.done():
            self.closed.set_result(self._quic._close_event)

    async def until(self, future):
        """Waits for it, or for the end. Whether it has ended."""
        await asyncio.wait(
            [future, self.closed], timeout=ANSWER_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        return self.closed.done()


async def said(connection, name, path):
    """What the server answers to the packet."""
    if not await connection.until(connection.sent):
        if not connection.sent.done():
            return {"said": "no handshake"}
        exchange = connection.begin(name, path)
        if not await connection.until(exchange.done):
            if not exchange.done.done():
                return {"said": "nothing"}
            why = exchange.done.exception()
            return {"said": f"status {exchange.status}" if why is None else str(why)}
    event = connection.closed.result()
    by = "application" if event.frame_type is None else "transport"
    return {"said": f"{by} {event.error_code:#x}", "frame": event.frame_type}


async def perform(case, authority, name, address, port, path):
    quic = Sender(case, http3.configuration(authority, name))
    _, connection = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Connection(quic), sock=http3.bound_socket("0.0.0.0")
    )
    connection.connect((address, port))
    answer = await said(connection, name, path)
    connection.close()
    connection._transport.close()
    return answer


async def main(authority, name, address, port, path):
    port = int(port)
    beside = await http3.connect(http3.configuration(authority, name), address, port, "0.0.0.0")
    for line in sys.stdin.readlines():
        answer = await perform(json.loads(line), authority, name, address, port, path)
        answer["beside"] = (await beside.get(name, path, ANSWER_SECONDS)).status
        print(json.dumps(answer), flush=True)


asyncio.run(asyncio.wait_for(main(*sys.argv[1:]), ALL_SECONDS))
