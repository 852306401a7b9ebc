"""A real name server for tests, on a free port of this machine, with zones made by the test."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

Zone = dict[str, dict[str, list[str]]]
"""Name -> type -> values as in a zone file; TXT values without quotes."""


class NameServer:
    """What is answered. `zone` may be changed while it runs; `broken` names get SERVFAIL; `silent`: nobody gets anything."""

    def __init__(self) -> None:
        self.zone: Zone = {}
        self.broken: set[str] = set()
        self.silent = False
        self.asked: list[str] = []
        self.address = ""

    def answer(self, raw: bytes) -> bytes:
        """The answer to one question."""
        asked = dns.message.from_wire(raw)
        reply = dns.message.make_response(asked)
        question = asked.question[0]
        name, kind = (
            question.name.to_text(omit_final_dot=True).lower(),
            dns.rdatatype.to_text(question.rdtype),
        )
        self.asked.append(f"{name} {kind}")
        if name in self.broken:
            reply.set_rcode(dns.rcode.SERVFAIL)
            return reply.to_wire()
        self._fill(reply, name, kind)
        return reply.to_wire()

    def _fill(self, reply: dns.message.Message, name: str, kind: str) -> None:
        for _ in range(8):
            held = self.zone.get(name)
            if held is None:
                below = any(other.endswith(f".{name}") for other in self.zone)
                reply.set_rcode(dns.rcode.NOERROR if below or reply.answer else dns.rcode.NXDOMAIN)
                return
            if "CNAME" in held and kind != "CNAME":
                reply.answer.append(dns.rrset.from_text(f"{name}.", 60, "IN", "CNAME", held["CNAME"][0]))
                name = held["CNAME"][0].rstrip(".").lower()
                continue
            if kind in held:
                values = [_quoted(v) for v in held[kind]] if kind == "TXT" else held[kind]
                reply.answer.append(dns.rrset.from_text(f"{name}.", 60, "IN", kind, *values))
            return


def _quoted(text: str) -> str:
    """A TXT value in pieces of at most 255 characters."""
    return " ".join(f'"{text[at : at + 255]}"' for at in range(0, max(len(text), 1), 255))


@contextmanager
def name_server() -> Iterator[NameServer]:
    """A name server; `address` is where it listens (`127.0.0.1:5353`)."""
    own = NameServer()

    class Door(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            raw, line = self.request
            if not own.silent:
                line.sendto(own.answer(raw), self.client_address)

    with socketserver.UDPServer(("127.0.0.1", 0), Door) as server:
        own.address = f"127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield own
        finally:
            server.shutdown()
            thread.join(10)
