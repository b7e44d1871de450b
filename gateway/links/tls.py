"""TLS of the links: verified by default, TLS 1.2 at least, client certificates where configured.

Twisted's own options verify the host's name and send SNI; what is added here is the reading of the files,
with errors that name the key of the configuration, and their reading again: at each new connection the files
are looked at, and when one has changed all are read anew. What cannot be used then is told and not used.
"""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import structlog
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import crypto
from OpenSSL.SSL import Error as OpenSSLError
from service_identity import VerificationError
from twisted.internet import ssl as twisted_ssl

from gateway.config.models import ClientTls, ServerTls
from gateway.errors import GatewayError

ssl: Any = twisted_ssl  # without types of its own
log = structlog.get_logger("cxmyd")


class Credentials:
    """What stands in the files of one `tls` table, as they are now. Raises GatewayError when made from files
    that cannot be used.
    """

    def __init__(self, tls: ClientTls | ServerTls, key: str, options: "Callable[[Material], Any]") -> None:
        self._tls, self._key = tls, f"{key}.tls"
        self._options = options
        self._files = [path for path in (tls.ca, tls.cert, tls.key) if path is not None]
        self._seen = self._signature()
        self._read()

    def _read(self) -> None:
        material = read(self._tls, self._key)
        self.current = self._options(material)
        self.expires = material.expires

    def options(self) -> Any:
        """Twisted's options for a new connection."""
        seen = self._signature()
        if seen != self._seen:
            self._seen = seen
            try:
                self._read()
            except GatewayError as error:
                log.error("tls.kept", key=self._key, why=str(error))
            else:
                log.info("tls.loaded", key=self._key, expires=str(self.expires))
        return self.current

    def getContext(self) -> Any:  # noqa: N802 - Twisted's name: asked by a port for each connection
        return self.options().getContext()

    def _signature(self) -> list[tuple[int, int, int]]:
        return [_stat(path) for path in self._files]


def complaint(error: BaseException | None) -> str:
    """What TLS has against the peer, or the peer against us; empty where a connection ended otherwise."""
    if isinstance(error, VerificationError):
        return "TLS: the certificate is for another name: see tls.server_name"
    if isinstance(error, OpenSSLError) and error.args and isinstance(error.args[0], list):
        return "TLS: " + ", ".join(each[-1] for each in error.args[0])
    return ""


class Material(NamedTuple):
    """Certificates and keys as OpenSSL has them; `chain`: what stands behind our certificate in its file."""

    authorities: list[Any]
    certificate: Any
    private_key: Any
    chain: list[Any]

    @property
    def expires(self) -> datetime | None:
        """When our certificate ends; None without one."""
        if self.certificate is None:
            return None
        end: datetime = self.certificate.to_cryptography().not_valid_after_utc
        return end


def client(host: str, tls: ClientTls, key: str) -> Credentials:
    """For our connections to `host`. `key` is the configuration's, for the errors. Raises GatewayError."""

    def options(material: Material) -> Any:
        trust = _trust(material.authorities) if material.authorities else ssl.platformTrust()
        more = _ours(material) if material.certificate is not None else {}
        return ssl.optionsForClientTLS(tls.server_name or host, trustRoot=trust, extraCertificateOptions=more)

    return Credentials(tls, key, options)


def server(tls: ServerTls, key: str) -> Credentials:
    """For connections to our listener; with `ca`, peers must show a certificate that it signed. Raises
    GatewayError.
    """

    def options(material: Material) -> Any:
        trust = {"trustRoot": _trust(material.authorities)} if material.authorities else {}
        return ssl.CertificateOptions(**_ours(material), **trust)

    return Credentials(tls, key, options)


def _ours(material: Material) -> dict[str, Any]:
    return {
        "privateKey": material.private_key,
        "certificate": material.certificate,
        "extraCertChain": material.chain,
    }


def _trust(authorities: list[Any]) -> Any:
    return ssl.trustRootFromCertificates([ssl.Certificate(each) for each in authorities])


def read(tls: ClientTls | ServerTls, key: str) -> Material:
    """What the files hold. Raises GatewayError for what cannot be used."""
    authorities = _certificates(tls.ca, f"{key}.ca") if tls.ca else []
    if tls.cert is None or tls.key is None:
        return Material(authorities, None, None, [])
    certificate, *chain = _certificates(tls.cert, f"{key}.cert")
    try:
        private_key: Any = load_pem_private_key(_octets(tls.key, f"{key}.key"), password=None)
        ours = crypto.PKey.from_cryptography_key(private_key)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise GatewayError(f"{key}.key = {tls.key}: no private key in PEM form without password") from error
    if private_key.public_key() != certificate.to_cryptography().public_key():
        raise GatewayError(f"{key}.key = {tls.key}: not the key of {key}.cert = {tls.cert}")
    return Material(authorities, certificate, ours, chain)


def _certificates(path: Path, key: str) -> list[Any]:
    """All that stand in the file, one at least."""
    try:
        found = x509.load_pem_x509_certificates(_octets(path, key))
    except ValueError as error:
        raise GatewayError(f"{key} = {path}: not a certificate in PEM form") from error
    return [crypto.X509.from_cryptography(each) for each in found]


def _octets(path: Path, key: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise GatewayError(f"{key} = {path}: cannot be read ({error.strerror})") from error


def _stat(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return 0, 0, 0
    return found.st_mtime_ns, found.st_size, found.st_ino
