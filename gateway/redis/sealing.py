"""What is kept of messages in Redis, sealed: AES-GCM, each value bound to its place by what is authenticated
with it. Called by the park and by the joining of long messages.
"""

import json
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.dialog.carrier import Carrier
from gateway.flow.messages import Mo
from gateway.smpp.pdu import Address
from location_store.errors import StoreError


class UnreadableEntryError(StoreError):
    """A parked entry that cannot be opened: another key file, or damage."""


def seal(aead: AESGCM, mo: Mo, context: bytes) -> bytes:
    """The message as one sealed value, bound to `context`."""
    nonce = secrets.token_bytes(12)
    plain = json.dumps(
        [
            mo.carrier.name,
            mo.msisdn,
            list(mo.source),
            list(mo.destination),
            mo.text,
            mo.digest.hex(),
            mo.received_s,
        ]
    ).encode()
    return nonce + aead.encrypt(nonce, plain, context)


def unseal(
    aeads: Sequence[AESGCM], sealed: bytes, context: bytes, route: str, carriers: Mapping[str, Carrier]
) -> Mo:
    """The message again, under whichever key it was sealed. Raises UnreadableEntryError."""
    try:
        plain = opened(aeads, sealed, context)
        carrier, msisdn, source, destination, text, digest, received_s = json.loads(plain)
        return Mo(
            route=route,
            carrier=carriers[carrier],
            msisdn=msisdn,
            source=Address(*source),
            destination=Address(*destination),
            text=text,
            digest=bytes.fromhex(digest),
            received_s=received_s,
        )
    except (InvalidTag, ValueError, TypeError) as error:
        raise UnreadableEntryError("a parked message cannot be opened: was the key file replaced?") from error
    except KeyError as error:
        raise UnreadableEntryError(
            f"a parked message belongs to carrier {error}, which is not configured"
        ) from error


def opened(aeads: Sequence[AESGCM], sealed: bytes, context: bytes) -> bytes:
    """What was sealed under one of the keys. Raises InvalidTag."""
    for aead in aeads[:-1]:
        with suppress(InvalidTag):
            return aead.decrypt(sealed[:12], sealed[12:], context)
    return aeads[-1].decrypt(sealed[:12], sealed[12:], context)
