"""What is to be said about SPF: whether those who hand our mail on are named, and the record that names them."""

from __future__ import annotations

import ipaddress

from recoup.channels.dns.finding import Finding, fail, ok, txt, warn
from recoup.channels.dns.names import Names
from recoup.channels.dns.senders import Sender, Sending
from recoup.channels.dns.spf import MOST_LOOKUPS, MOST_VOIDS, Spf, read_spf, spf_records, terms

ABOUT = "SPF"
_OWN_WORDS = frozenset({"all", "ip4", "ip6", "a", "mx", "ptr", "exists", "include", "redirect", "exp"})
_HIDDEN = "the address your mail leaves by cannot be seen from here; make sure that the record covers it"


def spf_line(names: Names, sending: Sending, domain: str) -> Finding:
    """How the SPF of the return path's `domain` stands. Raises `Silent`."""
    base = wanted(names, sending)
    found = read_spf(names, domain)
    written = base or "ip4:ADDRESS"
    if not found.records:
        return fail(
            ABOUT, f"{domain} says nothing about who may send for it", f"publish this record{_address_hint(base)}",
            txt(domain, f"v=spf1 {written} ~all"),
        )  # fmt: skip
    if len(found.records) > 1:
        return fail(
            ABOUT, f"{domain} has {len(found.records)} SPF records, so receivers believe none",
            "delete them and publish this one", txt(domain, merged(found.records, base)),
        )  # fmt: skip
    own = found.records[0]
    if found.broken:
        return fail(ABOUT, f"the record cannot be used: {'; '.join(found.broken)}", "replace it",
                    txt(domain, rewritten(own, add=base, drop=_useless(names, own))))  # fmt: skip
    if found.lookups > MOST_LOOKUPS or found.voids > MOST_VOIDS:
        return _too_much(found, sending, written)
    return _who(names, sending, found, base)


def wanted(names: Names, sending: Sending) -> str:
    """The term that names whoever hands our mail on; empty where that cannot be known from here."""
    if sending.sender.include is not None:
        return f"include:{sending.sender.include}"
    if sending.host is None:
        return ""
    public = [
        a for a in names.addresses(sending.host) if ipaddress.ip_address(a).is_global or _for_documents(a)
    ]
    return " ".join(f"ip{'6' if ':' in a else '4'}:{a}" for a in public)


def _for_documents(address: str) -> bool:
    """Networks kept for examples (RFC 5737, RFC 3849) are as good as public ones."""
    kept = ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
    own = ipaddress.ip_address(address)
    return any(
        own in ipaddress.ip_network(net) for net in kept if own.version == ipaddress.ip_network(net).version
    )


def _too_much(found: Spf, sending: Sending, base: str) -> Finding:
    dear = ", ".join(f"{term} {n}" for term, n in sorted(found.cost, key=lambda c: -c[1]))
    if found.lookups <= MOST_LOOKUPS:
        says = f"{found.voids} of its look-ups find nothing, {MOST_VOIDS} are allowed, so receivers believe none of it"
        return fail(ABOUT, says, f"take out what leads nowhere ({dear})")
    says = f"it takes {found.lookups} look-ups and {MOST_LOOKUPS} are allowed, so receivers believe none of it: {dear}"
    sub = f"billing.{found.domain}"
    fix = f"take out what you no longer send through, or send from a name with a record of its own: from=...@{sub}, and"
    return fail(ABOUT, says, fix, txt(sub, f"v=spf1 {base} ~all"))


def _who(names: Names, sending: Sending, found: Spf, base: str) -> Finding:
    own, domain = found.records[0], found.domain
    who = sending.sender.shown
    missing = _missing(names, sending.sender, sending, found)
    if missing:
        return fail(ABOUT, f"the record does not name {who}{f' ({missing})' if sending.host else ''}", "replace it",
                    txt(domain, rewritten(own, add=base)))  # fmt: skip
    if found.ends == "+":
        return fail(ABOUT, "it ends in +all: anybody may send in your name", "replace it",
                    txt(domain, rewritten(own, end="~all")))  # fmt: skip
    if found.ends in (None, "?"):
        return warn(ABOUT, "it says nothing about everybody else", "let it end in ~all",
                    txt(domain, rewritten(own, end="~all")))  # fmt: skip
    if found.uses_ptr:
        ptr = {t.written for t in terms(own) if t.name == "ptr"}
        return warn(ABOUT, "it uses ptr, which large receivers pass over", "take it out",
                    txt(domain, rewritten(own, drop=ptr)))  # fmt: skip
    if not base:
        return warn(
            ABOUT, f"{domain} has a record that takes {found.lookups} of {MOST_LOOKUPS} look-ups", _HIDDEN
        )
    return ok(ABOUT, f"{domain} names {who}, with {found.lookups} of {MOST_LOOKUPS} look-ups")


def _missing(names: Names, sender: Sender, sending: Sending, found: Spf) -> str:
    """What the record does not cover, in words; empty where nothing is missing or known."""
    if sender.include is not None:
        return "" if sender.include in found.includes else f"include:{sender.include}"
    if sending.host is None:
        return ""
    addresses = wanted(names, sending).split()
    return ", ".join(a for a in (term[4:] for term in addresses) if not found.covers(a))


def _address_hint(base: str) -> str:
    return "" if base else ", with the address your mail leaves by in the place of ADDRESS"


def rewritten(
    record: str, *, add: str = "", drop: frozenset[str] | set[str] = frozenset(), end: str = ""
) -> str:
    """The record with terms added before its end, others left out, and another end where one is given."""
    kept = [t for t in terms(record) if t.written not in drop]
    ends = [t.written for t in kept if t.name in ("all", "redirect")]
    middle = [t.written for t in kept if t.name not in ("all", "redirect")]
    middle += [term for term in add.split() if term not in middle]
    return " ".join(["v=spf1", *middle, *([end] if end else ends)])


def merged(records: tuple[str, ...], add: str) -> str:
    """One record that says what several said; it ends as the most careful of them."""
    every = [t for record in records for t in terms(record)]
    middle = dict.fromkeys(
        t.written for t in every if t.name not in ("all", "redirect") and t.name in _OWN_WORDS
    )
    middle |= dict.fromkeys(add.split())
    signs = {t.sign for t in every if t.name == "all"}
    end = next((f"{sign}all" for sign in "-~" if sign in signs), "~all")
    return " ".join(["v=spf1", *middle, end])


def _useless(names: Names, record: str) -> set[str]:
    """The terms that break a record: words SPF has not, and includes that lead nowhere."""
    return {
        t.written
        for t in terms(record)
        if t.name not in _OWN_WORDS or (t.name == "include" and len(spf_records(names, t.value)) != 1)
    }
