"""Asks name servers, tells "there is none" from "no answer", and knows which part of a name an organization owns."""

from __future__ import annotations

import functools
import ipaddress
import re

import dns.exception
import dns.name
import dns.rdatatype
import dns.resolver
from publicsuffixlist import PublicSuffixList

LIFETIME_S = 4.0
_RESERVED = re.compile(r"(.*\.)?(example|test|invalid|localhost|local|internal|example\.(com|net|org))\Z")


class Silent(OSError):
    """No name server answered; the message says which name was asked for."""


class Names:
    """Asks for records; each name is asked for once. `server` (`1.1.1.1`, `127.0.0.1:5353`) instead of the system's.

    An answer of "there is none" is an empty tuple; no answer at all raises `Silent`.
    """

    def __init__(self, server: str = "", *, lifetime: float = LIFETIME_S) -> None:
        self._own = server != ""
        self._server = server
        self._lifetime = lifetime
        self._found: dict[tuple[str, str], tuple[str, ...]] = {}

    def knows(self, name: str) -> bool:
        """Whether it makes sense to ask: names kept for examples are in nobody's zone, unless a server is named."""
        return self._own or not _RESERVED.match(name)

    def texts(self, name: str) -> tuple[str, ...]:
        """Every TXT record, its pieces put together."""
        return self._ask(name, "TXT")

    def aliases(self, name: str) -> tuple[str, ...]:
        """The name that this one stands for."""
        return self._ask(name, "CNAME")

    def mail_servers(self, name: str) -> tuple[str, ...]:
        """The hosts that take mail, the preferred first; `.` alone: it takes none (RFC 7505)."""
        ranked = sorted((int(text.split()[0]), text.split()[1]) for text in self._ask(name, "MX"))
        return tuple(host for _, host in ranked)

    def addresses(self, name: str) -> tuple[str, ...]:
        """IPv4 and IPv6 addresses; an address is its own."""
        try:
            return (str(ipaddress.ip_address(name.strip("[]"))),)
        except ValueError:
            return self._ask(name, "A") + self._ask(name, "AAAA")

    def _ask(self, name: str, kind: str) -> tuple[str, ...]:
        key = (name.lower().rstrip("."), kind)
        if key not in self._found:
            self._found[key] = self._answered(*key)
        return self._found[key]

    def _answered(self, name: str, kind: str) -> tuple[str, ...]:
        try:
            where = dns.name.from_text(name)
            answer = self._resolver.resolve(where, kind, raise_on_no_answer=False, search=False)
        except dns.resolver.NXDOMAIN:
            return ()
        except (dns.name.LabelTooLong, dns.name.NameTooLong, dns.name.EmptyLabel, UnicodeError):
            return ()
        except (dns.exception.DNSException, OSError) as e:
            raise Silent(f"no name server answered for {name}") from e
        if answer.rrset is None:
            return ()
        if kind == "TXT":
            texts = (b"".join(r.strings).decode("utf-8", "replace") for r in answer.rrset)
            return tuple(sorted(texts))  # servers answer in any order; what we say about it stays the same
        return tuple(sorted(_short(r.to_text()) for r in answer.rrset))

    @functools.cached_property
    def _resolver(self) -> dns.resolver.Resolver:
        try:
            made = dns.resolver.Resolver(configure=not self._own)
        except dns.exception.DNSException as e:
            raise Silent("this machine names no name server") from e
        if self._own:
            try:
                host, port = _host_port(self._server)
            except ValueError as e:
                raise Silent(f"RECOUP_DNS is {self._server!r}, which is no address such as 1.1.1.1") from e
            made.nameservers, made.port = [host], port
        made.lifetime = self._lifetime
        made.timeout = self._lifetime / 2
        return made


def _short(text: str) -> str:
    return text.rstrip(".") if text != "." and not text.endswith(" .") else text


def _host_port(server: str) -> tuple[str, int]:
    """`1.1.1.1`, `127.0.0.1:5353` or `[::1]:53`. Raises `ValueError`."""
    host, colon, port = (
        server.rpartition(":") if server.count(":") == 1 or "]:" in server else (server, "", "")
    )
    return str(ipaddress.ip_address(host.strip("[]"))), int(port) if colon else 53


@functools.cache
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList()


@functools.lru_cache(maxsize=4096)
def organization(name: str) -> str:
    """The domain that an organization registered: `acme.co.uk` of `pay.eu.acme.co.uk`, by the Public Suffix List."""
    plain = name.lower().rstrip(".")
    return str(_suffixes().privatesuffix(plain) or plain)


def related(one: str, other: str, *, strict: bool = False) -> bool:
    """Whether two domains are aligned as DMARC means it (RFC 7489, 3.1): the same, or of one organization."""
    one, other = one.lower().rstrip("."), other.lower().rstrip(".")
    return one == other or (not strict and organization(one) == organization(other))
