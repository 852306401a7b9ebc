"""Reads a domain's SPF record to its leaves (RFC 7208): who may send, what it costs in look-ups, what breaks it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

import msgspec

from recoup.channels.dns.names import Names

MOST_LOOKUPS = 10
MOST_VOIDS = 2
_STOP = 40
_ASKING = frozenset({"include", "a", "mx", "ptr", "exists", "redirect"})
_KNOWN = _ASKING | {"all", "ip4", "ip6", "exp"}
_TERM = re.compile(r"([+?~-]?)([A-Za-z0-9_.-]+)(?:([:=])([^/\s]*))?((?:/[/0-9]*)?)\Z")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Term(msgspec.Struct, frozen=True, kw_only=True):
    """One term of a record as it is written: `-all`, `include:amazonses.com`, `a/24`."""

    written: str
    sign: str
    name: str
    value: str
    length: str


class Spf(msgspec.Struct, frozen=True, kw_only=True):
    """What the record of one domain comes to. `ends` is what happens to everybody else: `-`, `~`, `?`, `+`, or None where
    it says nothing. `cost` is how many look-ups each term of the domain's own record takes."""

    domain: str
    records: tuple[str, ...]
    lookups: int = 0
    voids: int = 0
    includes: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()
    ends: str | None = None
    broken: tuple[str, ...] = ()
    cost: tuple[tuple[str, int], ...] = ()
    uses_ptr: bool = False

    def covers(self, address: str) -> bool:
        """Whether this address may send."""
        own = ipaddress.ip_address(address)
        return any(own.version == net.version and own in net for net in self.networks)


def read_spf(names: Names, domain: str) -> Spf:
    """The record of `domain` with everything it leads to. Raises `Silent` where no name server answers."""
    records = spf_records(names, domain)
    if len(records) != 1:
        return Spf(domain=domain, records=records)
    walk = _Walk(names)
    cost, ends = [], None
    for term in counting(records[0]):
        before = walk.lookups
        ends = walk.take(domain, term, (domain,), passing=True) or ends
        if walk.lookups > before:
            cost.append((term.written, walk.lookups - before))
    return Spf(
        domain=domain, records=records, lookups=walk.lookups, voids=walk.voids, includes=frozenset(walk.includes),
        networks=tuple(walk.networks), ends=ends, broken=tuple(dict.fromkeys(walk.broken)), cost=tuple(cost),
        uses_ptr=walk.uses_ptr,
    )  # fmt: skip


def spf_records(names: Names, domain: str) -> tuple[str, ...]:
    """The TXT records of `domain` that are SPF."""
    return tuple(text for text in names.texts(domain) if re.match(r"v=spf1(\s|\Z)", text, re.IGNORECASE))


def terms(record: str) -> Iterator[Term]:
    """The terms after `v=spf1`; one that cannot be read has no name."""
    for written in record.split()[1:]:
        match = _TERM.match(written)
        sign, name, _, value, length = match.groups() if match else ("", "", "", "", "")
        yield Term(
            written=written, sign=sign or "+", name=name.lower(), value=value or "", length=length or ""
        )


def counting(record: str) -> Iterator[Term]:
    """The terms that receivers look at (RFC 7208, 5.1 and 6.1): nothing after `all`, and no redirect beside one. What is no
    term at all breaks the record wherever it stands."""
    found = list(terms(record))
    ends = next((n for n, term in enumerate(found) if term.name == "all"), None)
    for n, term in enumerate(found):
        if ends is None or term.name not in _KNOWN or (n <= ends and term.name != "redirect"):
            yield term


class _Walk:
    """Goes through records depth first, counting."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self.lookups = self.voids = 0
        self.includes: set[str] = set()
        self.networks: list[Network] = []
        self.broken: list[str] = []
        self.uses_ptr = False

    def take(self, domain: str, term: Term, path: tuple[str, ...], *, passing: bool) -> str | None:
        """Follows one term; the sign of `all` where it is one (or where a redirect ends in one)."""
        if term.name not in _KNOWN:
            self._unknown(domain, term)
            return None
        if term.name in _ASKING:
            self.lookups += 1
        if self.lookups > _STOP or "%" in term.value:
            return None
        passing = passing and term.sign == "+"
        match term.name:
            case "all":
                return term.sign
            case "ip4" | "ip6":
                self._network(term.value + term.length, domain, term, passing)
            case "a" | "mx":
                self._hosts(term, domain, passing)
            case "ptr":
                self.uses_ptr = True
            case "include":
                self._include(domain, term, path, passing)
            case "redirect":
                return self._record(term.value, domain, (*path, term.value.lower()), passing=True)
        return None

    def _unknown(self, domain: str, term: Term) -> None:
        # Unknown modifiers (name=value) are to be ignored, unknown mechanisms break the record.
        if "=" not in term.written:
            self.broken.append(f"{term.written!r} in the record of {domain} is no term of SPF")

    def _include(self, domain: str, term: Term, path: tuple[str, ...], passing: bool) -> None:
        target = term.value.lower().rstrip(".")
        self.includes.add(target)
        if target in path:
            self.broken.append(f"{target} includes itself")
            return
        self._record(target, domain, (*path, target), passing=passing)

    def _record(self, target: str, domain: str, path: tuple[str, ...], *, passing: bool) -> str | None:
        if path.count(target.lower()) > 1:
            self.broken.append(f"{target} leads back to itself")
            return None
        found = spf_records(self._names, target)
        if len(found) != 1:
            how = "has no SPF record" if not found else "has more than one SPF record"
            self.broken.append(f"{domain} leads to {target}, which {how}")
            self.voids += not found
            return None
        ends = None
        for term in counting(found[0]):
            ends = self.take(target, term, path, passing=passing) or ends
        return ends

    def _hosts(self, term: Term, domain: str, passing: bool) -> None:
        target = term.value or domain
        hosts = self._names.mail_servers(target) if term.name == "mx" else (target,)
        addresses = [a for host in hosts if host != "." for a in self._names.addresses(host)]
        if not addresses:
            self.voids += 1
        short, _, long = term.length.lstrip("/").partition("//")
        for address in addresses:
            bits = long if ":" in address else short
            self._network(f"{address}/{bits}" if bits else address, domain, term, passing)

    def _network(self, written: str, domain: str, term: Term, passing: bool) -> None:
        try:
            network = ipaddress.ip_network(written, strict=False)
        except ValueError:
            self.broken.append(f"{term.written!r} in the record of {domain} is no address")
            return
        if passing:
            self.networks.append(network)
