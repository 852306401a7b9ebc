"""Lets a merchant's own addresses be called only where the public internet is: never the house's own network."""

import ipaddress
import socket

_INSIDE_OTHERS = tuple(
    map(ipaddress.ip_network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32"))
)
"""IPv6 ranges that stand for IPv4 addresses, private ones too."""


class NotPublic(OSError):
    """The name leads to an address that may not be called from here."""


def is_public(address: str) -> bool:
    """Whether this IP address is one of the public internet."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped
        elif any(ip in net for net in _INSIDE_OTHERS):
            return False
    return ip.is_global and not ip.is_multicast


def public_address(host: str, port: int) -> str:
    """The address to connect to for `host`. Raises `NotPublic` where one of its addresses is private: a name that leads
    to both is not trusted to lead to the right one next time; `OSError` where nobody knows the name."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(where[0]) for *_, where in found]
    for address in addresses:
        if not is_public(address):
            raise NotPublic(
                f"{host} leads to {address}, which is no public address; "
                "set RECOUP_ALLOW_PRIVATE_ENDPOINTS=true where that is meant"
            )
    return addresses[0]
