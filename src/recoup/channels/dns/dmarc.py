"""Reads what a domain asks of those who receive mail in its name (RFC 7489): policy, alignment, reports."""

from __future__ import annotations

import re

import msgspec

from recoup.channels.dns.dkim import tags
from recoup.channels.dns.names import Names, organization, related

POLICIES = ("none", "quarantine", "reject")


class Dmarc(msgspec.Struct, frozen=True, kw_only=True):
    """The record that counts for `domain`; it may stand at the organization's domain (`at`). `policy` is the one in
    force for this domain. `records` holds what was found: none, one, or the several that make it void."""

    domain: str
    at: str
    records: tuple[str, ...]
    policy: str | None = None
    strict_spf: bool = False
    strict_dkim: bool = False
    share: int = 100
    reports_to: tuple[str, ...] = ()
    unwelcome: tuple[str, ...] = ()
    """Domains that reports shall go to and that have not agreed to take them."""

    @property
    def name(self) -> str:
        return f"_dmarc.{self.at}"

    def with_tag(self, **changed: str) -> str:
        """The record with tags changed or added, the others as they are."""
        had = tags(self.records[0])
        order = ["v", "p", *[k for k in had if k not in ("v", "p")]]
        now = {**had, **changed}
        return "; ".join(f"{k}={now[k]}" for k in [*order, *[k for k in changed if k not in order]])


def read_dmarc(names: Names, domain: str) -> Dmarc:
    """The record for mail from `domain`. Raises `Silent`."""
    top = organization(domain)
    at, found = domain, _records(names, domain)
    if not found and top != domain:
        at, found = top, _records(names, top)
    if len(found) != 1:
        return Dmarc(domain=domain, at=at, records=found)
    own = tags(found[0])
    policy = own.get("p", "").lower()
    if at != domain:
        policy = own.get("sp", policy).lower()
    share = own.get("pct", "100")
    boxes = tuple(re.findall(r"mailto:([^\s,!]+@[^\s,!]+)", own.get("rua", ""), re.IGNORECASE))
    return Dmarc(
        domain=domain, at=at, records=found, policy=policy if policy in POLICIES else None,
        strict_spf=own.get("aspf", "r").lower() == "s", strict_dkim=own.get("adkim", "r").lower() == "s",
        share=int(share) if share.isdecimal() else 100, reports_to=boxes, unwelcome=_unwelcome(names, at, boxes),
    )  # fmt: skip


def _records(names: Names, domain: str) -> tuple[str, ...]:
    return tuple(t for t in names.texts(f"_dmarc.{domain}") if re.match(r"v\s*=\s*DMARC1\s*(;|\Z)", t))


def _unwelcome(names: Names, domain: str, boxes: tuple[str, ...]) -> tuple[str, ...]:
    """RFC 7489, 7.1: another organization must say that it takes reports about this domain."""
    away = {box.rpartition("@")[2].lower() for box in boxes}
    return tuple(
        sorted(
            host
            for host in away
            if not related(host, domain)
            and not any(
                t.lower().startswith("v=dmarc1") for t in names.texts(f"{domain}._report._dmarc.{host}")
            )
        )
    )
