"""TLS in both roles, with client certificates: smpplib as the client, the standard library as the server."""

from __future__ import annotations

import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
import smpplib.client
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.conftest import free_port
from tests.foreign.service import Service

LISTEN = """
[[listen]]
port = {port}
tls = {{ cert = "{cert}", key = "{key}", ca = "{ca}" }}
clients = [{{ system_id = "hub", password = "secret", carrier = "plain" }}]
"""
SMSC = """
[[smsc]]
name = "secure"
port = {port}
system_id = "cxmyd"
password = "secret"
carrier = "plain"
tls = {{ ca = "{ca}", cert = "{cert}", key = "{key}" }}
"""


class Authority:
    """A certificate authority of the test's own."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.file = self._write(f"{name}.pem", self._sign(self._name, self._key))

    def issue(self, name: str, host: str = "127.0.0.1") -> dict[str, str]:
        """Certificate and key for `host`, as paths."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        private = self.folder / f"{name}.key"
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return {"cert": self._write(f"{name}.pem", self._sign(subject, key, host)), "key": str(private)}

    def _sign(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, host: str | None = None
    ) -> x509.Certificate:
        """For `host`; without one, an authority's."""
        now = datetime.now(UTC)
        names: list[x509.GeneralName] = []
        if host is not None:
            numeric = host.replace(".", "").isdigit()
            names = [x509.IPAddress(ip_address(host)) if numeric else x509.DNSName(host)]
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=host is None, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(self._key, hashes.SHA256())
        )

    def _write(self, name: str, certificate: x509.Certificate) -> str:
        path = self.folder / name
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return str(path)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "authority")


def test_a_client_with_our_certificate_binds(service: Service, authority: Authority) -> None:
    """And it can verify ours: TLS 1.2 at least."""
    port, ours, theirs = free_port(), authority.issue("gateway"), authority.issue("hub")
    with service.gateway(LISTEN.format(port=port, ca=authority.file, **ours)):
        context = ssl.create_default_context(cafile=authority.file)
        context.check_hostname = False  # smpplib does not say which host it wants
        context.load_cert_chain(theirs["cert"], theirs["key"])
        client = smpplib.client.Client(
            "127.0.0.1", port, timeout=5, ssl_context=context, allow_unknown_opt_params=True
        )
        client.connect()
        client.bind_transceiver(system_id="hub", password="secret")
        client.unbind()
        client.disconnect()


def test_a_client_without_certificate_is_kept_out(service: Service, authority: Authority) -> None:
    port, ours = free_port(), authority.issue("gateway")
    with service.gateway(LISTEN.format(port=port, ca=authority.file, **ours)):
        context = ssl.create_default_context(cafile=authority.file)
        with socket.create_connection(("127.0.0.1", port), 5) as plain:
            assert _first_octet(context, plain) == b""


def _first_octet(context: ssl.SSLContext, plain: socket.socket) -> bytes:
    """What a peer is told through TLS; nothing where the handshake or the connection ends."""
    try:
        wrapped = context.wrap_socket(plain, server_hostname="127.0.0.1")
        wrapped.sendall(bytes.fromhex("00000010000000150000000000000001"))  # enquire_link
        return wrapped.recv(1)
    except OSError:
        return b""


def test_old_tls_is_refused(service: Service, authority: Authority) -> None:
    port, ours = free_port(), authority.issue("gateway")
    with service.gateway(LISTEN.format(port=port, ca=authority.file, **ours)):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.minimum_version = ssl.TLSVersion.TLSv1
        with (
            socket.create_connection(("127.0.0.1", port), 5) as plain,
            pytest.raises((ssl.SSLError, OSError)),
        ):
            context.wrap_socket(plain)


class SecureSmsc:
    """Accepts one TLS connection and keeps the first octets that come."""

    def __init__(self, port: int, authority: Authority, certificate: dict[str, str]) -> None:
        self.first = b""
        self.error: Exception | None = None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority.file)
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(certificate["cert"], certificate["key"])
        self._socket = socket.create_server(("127.0.0.1", port))
        self._socket.settimeout(10)
        self._thread = threading.Thread(target=self._serve, args=(context,))
        self._thread.start()

    def _serve(self, context: ssl.SSLContext) -> None:
        try:
            connection, _ = self._socket.accept()
            with context.wrap_socket(connection, server_side=True) as secure:
                self.first = secure.recv(16)
        except OSError as error:
            self.error = error

    def join(self) -> None:
        self._thread.join()
        self._socket.close()


def test_we_bind_to_an_smsc_that_we_can_verify(service: Service, authority: Authority) -> None:
    """The bind arrives inside TLS, and our certificate was accepted."""
    port = free_port()
    smsc = SecureSmsc(port, authority, authority.issue("smsc"))
    sections = SMSC.format(port=port, ca=authority.file, **authority.issue("us"))
    with service.gateway(sections, await_ready=False):
        smsc.join()
    assert smsc.error is None
    assert smsc.first[4:8] == bytes([0, 0, 0, 9])  # bind_transceiver


def test_we_do_not_bind_to_an_smsc_that_another_authority_vouches_for(
    service: Service, authority: Authority, tmp_path: Path
) -> None:
    """No octet of the bind, so no password, leaves."""
    (tmp_path / "other").mkdir()
    stranger = Authority(tmp_path / "other", "stranger")
    port = free_port()
    smsc = SecureSmsc(port, authority, stranger.issue("smsc"))
    sections = SMSC.format(port=port, ca=authority.file, **authority.issue("us"))
    with service.gateway(sections, await_ready=False):
        smsc.join()
    assert smsc.first == b""
