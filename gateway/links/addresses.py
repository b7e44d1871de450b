"""Which peers a link lets in, by their addresses. Pure."""

import ipaddress
from collections.abc import Iterable

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def within(peer: str, networks: Iterable[Network]) -> bool:
    """Whether the address is in one of the networks; an IPv4 address that came over IPv6 counts as itself."""
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in networks)
