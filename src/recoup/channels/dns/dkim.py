"""Reads the public keys that mail of a domain is signed by (RFC 6376), and says how strong they are."""

from __future__ import annotations

import base64
import binascii

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from recoup.channels.dns.names import Names

FEWEST_BITS = 1024
"""RFC 8301: a verifier takes no shorter RSA key."""
ENOUGH_BITS = 2048


class DkimKey(msgspec.Struct, frozen=True, kw_only=True):
    """One published key. `bits` is 0 where there is none to read; `wrong` says why it cannot be used."""

    selector: str
    domain: str
    kind: str = "rsa"
    bits: int = 0
    testing: bool = False
    wrong: str | None = None

    @property
    def name(self) -> str:
        return f"{self.selector}._domainkey.{self.domain}"


def read_key(names: Names, selector: str, domain: str) -> DkimKey | None:
    """The key under this selector; None where there is none. Raises `Silent`."""
    texts = names.texts(f"{selector}._domainkey.{domain}")
    found = [t for t in map(tags, texts) if t.get("v", "DKIM1") == "DKIM1" and "p" in t]
    if not found:
        return None
    own = DkimKey(
        selector=selector, domain=domain, kind=found[0].get("k", "rsa").lower(),
        testing="y" in found[0].get("t", "").split(":"),
    )  # fmt: skip
    if len(found) > 1:
        return msgspec.structs.replace(own, wrong="there are several keys under one name")
    return _measured(own, found[0]["p"])


def _measured(own: DkimKey, written: str) -> DkimKey:
    packed = "".join(written.split())
    if not packed:
        return msgspec.structs.replace(own, wrong="the key was revoked: p= is empty")
    try:
        raw = base64.b64decode(packed, validate=True)
        if own.kind == "ed25519":
            return msgspec.structs.replace(
                own, bits=8 * len(raw), wrong=None if len(raw) == 32 else "p= is no key"
            )
        key = load_der_public_key(raw)
    except (binascii.Error, ValueError, UnsupportedAlgorithm):
        return msgspec.structs.replace(own, wrong="p= is no key that can be read; a part of it may be lost")
    if not isinstance(key, RSAPublicKey):
        return msgspec.structs.replace(own, wrong=f"the key is not of the kind {own.kind}")
    return msgspec.structs.replace(own, bits=key.key_size)


def tags(record: str) -> dict[str, str]:
    """`name=value` pairs of a DKIM or DMARC record; names in small letters, the first of a name counts."""
    found: dict[str, str] = {}
    for piece in record.split(";"):
        name, equals, value = piece.partition("=")
        if equals:
            found.setdefault(name.strip().lower(), value.strip())
    return found
