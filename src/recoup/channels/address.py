"""Tells a usable mail address from one that is broken or would smuggle something into a command."""

from __future__ import annotations

import re

import msgspec

_LOCAL = re.compile(r"[^\s<>()\[\],;:\\\"@]+\Z")
_DOMAIN = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*\Z")
_MASK = re.compile(r"<?[^\s<>@\"']+@[^\s<>@\"',;]+>?")


class BadAddress(ValueError):
    """Not a bare mail address; the message says why and never repeats the address."""


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """A checked address: `written` with its domain in ASCII, `needs_utf8` when its local part is not ASCII."""

    written: str
    domain: str
    needs_utf8: bool


def check_address(text: str) -> Address:
    """`local@domain`, with an international domain turned into its ASCII form.

    Quoted local parts and address literals are refused: customers do not have them and they are the
    usual carriers of injected commands. Raises BadAddress.
    """
    local, at, domain = text.strip(" ").rpartition("@")
    if not at:
        raise BadAddress("there is no @")
    if not local.isprintable() or not _LOCAL.match(local) or len(local.encode()) > 64:
        raise BadAddress("the part before @ is empty, too long or holds a character that is not allowed")
    try:
        ascii_domain = domain if domain.isascii() else domain.encode("idna").decode("ascii")
    except UnicodeError as exc:
        raise BadAddress("the domain cannot be written in ASCII") from exc
    if len(ascii_domain) > 253 or not _DOMAIN.match(ascii_domain):
        raise BadAddress("the part after @ is no domain name")
    return Address(written=f"{local}@{ascii_domain}", domain=ascii_domain, needs_utf8=not local.isascii())


def mask_addresses(text: str) -> str:
    """The same text with every mail address in it replaced: server answers like to quote them."""
    return _MASK.sub("<address>", text)
