"""TLS of the links: verified by default, TLS 1.2 at least, client certificates where configured.

Twisted's own options verify the host's name and send SNI; what is added here is the reading of the files,
with errors that name the key of the configuration.
"""

from pathlib import Path
from typing import Any

from OpenSSL.SSL import Error as OpenSSLError
from twisted.internet import ssl as twisted_ssl

from gateway.config.models import ClientTls, ServerTls
from gateway.errors import GatewayError

ssl: Any = twisted_ssl  # without types of its own


def client_options(host: str, tls: ClientTls, key: str) -> Any:
    """For our connections to `host`. `key` is the configuration's, for the errors. Raises GatewayError."""
    trust = ssl.trustRootFromCertificates([_certificate(tls.ca, f"{key}.tls.ca")]) if tls.ca else None
    ours = None
    if tls.cert is not None:
        ours = _private(tls.cert, tls.key or tls.cert, f"{key}.tls.cert")
    return ssl.optionsForClientTLS(host, trustRoot=trust or ssl.platformTrust(), clientCertificate=ours)


def server_options(tls: ServerTls, key: str) -> Any:
    """For connections to our listener; with `ca`, peers must show a certificate that it signed. Raises
    GatewayError.
    """
    ours = _private(tls.cert, tls.key, f"{key}.tls.cert")
    if tls.ca is None:
        return ours.options()
    return ours.options(_certificate(tls.ca, f"{key}.tls.ca"))


def _certificate(path: Path, key: str) -> Any:
    return ssl.Certificate.loadPEM(_read(path, key))


def _private(cert: Path, private_key: Path, key: str) -> Any:
    try:
        return ssl.PrivateCertificate.loadPEM(_read(cert, key) + b"\n" + _read(private_key, key))
    except (OpenSSLError, ValueError) as error:
        raise GatewayError(f"{key} = {cert}: not a certificate and key in PEM form") from error


def _read(path: Path, key: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise GatewayError(f"{key} = {path}: cannot be read ({error.strerror})") from error
