"""Who may connect to a listener, decided before anything of SMPP or TLS is read.

In this order: `proxy_protocol` (who is it really), `allow`, too many failed binds, room. Who is not admitted
finds the connection closed. Invariant: what strangers can make us remember is bounded.
"""

import ipaddress
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.protocols import policies

from gateway.links import proxy
from gateway.links.addresses import Network, within

#: Addresses whose failed binds are remembered; the one that failed longest ago is forgotten for another.
MAX_SOURCES = 10_000
#: An IPv6 host has as many addresses as it likes, all of one network.
IPV6_PREFIX = 64


class FailedBinds:
    """Counts refused binds by source address: `limit` (0: none) of them within `within_s` shut it out for as
    long.
    """

    def __init__(self, limit: int, within_s: float) -> None:
        self._limit = limit
        self._within_s = within_s
        self._sources: OrderedDict[str, tuple[int, float]] = OrderedDict()  # how many, and since when

    def failed(self, address: str, now_s: float) -> bool:
        """Count one; whether this one shuts the address out."""
        source = _source(address)
        count, since_s = self._sources.pop(source, (0, now_s))
        if now_s - since_s > self._within_s:
            count, since_s = 0, now_s
        count += 1
        self._sources[source] = count, now_s if count == self._limit else since_s
        if len(self._sources) > MAX_SOURCES:
            self._sources.popitem(last=False)
        return count == self._limit

    def shut_out(self, address: str, now_s: float) -> bool:
        """Whether connections from it are not taken now."""
        if not self._sources:
            return False
        count, since_s = self._sources.get(_source(address), (0, 0.0))
        return 0 < self._limit <= count and now_s - since_s <= self._within_s


def _source(address: str) -> str:
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return str(ip.ipv4_mapped)
        return str(ipaddress.ip_network((int(ip), IPV6_PREFIX), strict=False))
    return str(ip)


_WrappingFactory: Any = policies.WrappingFactory  # half of their types are wrong
_ProtocolWrapper: Any = policies.ProtocolWrapper


class Gate(_WrappingFactory):  # type: ignore[misc]  # see above
    """Before the factory of a port. `admits` is asked about each peer's address; `has_room` before anything
    is made for it; `refused` is told that a proxy sent no header.
    """

    def __init__(
        self,
        wrapped: Any,
        proxies: Sequence[Network],
        *,
        admits: Callable[[str], bool],
        has_room: Callable[[], bool],
        refused: Callable[[str], None],
    ) -> None:
        super().__init__(wrapped)
        self._proxies = proxies
        self._has_room = has_room
        self.admits = admits
        self.refused = refused

    def buildProtocol(self, addr: Any) -> Any:  # noqa: N802 - Twisted's name
        proxied = within(addr.host, self._proxies)
        if not (proxied or self.admits(addr.host)) or not self._has_room():
            return None  # Twisted closes the connection
        protocol = self.wrappedFactory.buildProtocol(addr)
        return _Proxied(self, protocol) if proxied else protocol


class _Proxied(_ProtocolWrapper):  # type: ignore[misc]  # see above
    """A connection that begins with a PROXY header; who is inside sees the real peer, and its octets only.

    The session inside exists from the beginning, so its `session_init_s` is the deadline of the header too.
    """

    def __init__(self, gate: Gate, wrapped: Any) -> None:
        super().__init__(gate, wrapped)
        self._gate = gate
        self._header: bytes | None = b""  # as far as it has come; None: read
        self._peer: IPv4Address | None = None

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        if self._header is None:
            self.wrappedProtocol.dataReceived(data)
            return
        data = self._header + data
        try:
            header = proxy.read(data)
        except ValueError:
            self._gate.refused("proxy_header")
            self.transport.abortConnection()
            return
        if header is None:
            self._header = data
            return
        self._header = None
        if header.source:
            self._peer = IPv4Address("TCP", header.source, 0)  # as good for IPv6: `host` is what is read
        if not self._gate.admits(self.getPeer().host):
            self.transport.abortConnection()
        elif len(data) > header.length:
            self.wrappedProtocol.dataReceived(data[header.length :])

    def getPeer(self) -> Any:  # noqa: N802 - Twisted's name
        return self._peer or self.transport.getPeer()
