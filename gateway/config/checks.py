"""What no key shows by itself: names used twice, carriers that do not exist, ports and files that collide.

Invariant: `mistakes` works on the file as written, so that it finds its own also where other keys are wrong;
files are looked at only to see whether they are there. Called by `gateway.config.loading`.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gateway.config.carriers import Found
from gateway.config.models import Http, Listen, Settings, Smsc
from gateway.config.problems import Location, key_path, shown, suggestion
from gateway.config.toml import links, tables
from gateway.dialog.carrier import Carrier
from gateway.errors import Problem

DRIFT_TUNED_FOR_H = 4.0
Document = Mapping[str, Any]


def mistakes(document: Document, base: Path, found: Found) -> Iterator[Problem]:
    """Everything that makes the configuration unusable, `base` being the folder of its file."""
    yield from _used_twice(document)
    yield from _unknown_carriers(document, found.names)
    yield from _number_of_two_carriers(document, found.carriers)
    yield from _address_twice(document)
    yield from _bind_unknown_to_version(document)
    for section in ("smsc", "listen"):
        for index, table in tables(document, section):
            yield from _tls_files((section, index, "tls"), table.get("tls"), base)


def warnings(settings: Settings, used: frozenset[str], carriers: Mapping[str, Carrier]) -> Iterator[Problem]:
    """What works, but probably not as the operator thinks."""
    for name in sorted(used):
        carrier = carriers[name]
        if carrier.stay_hours < DRIFT_TUNED_FOR_H:
            mend = "the limits against border drift were tuned for 4 h: expect more false cities below it"
            yield Problem(f"carrier.{name}.stay_hours", f"{carrier.stay_hours:g}", mend)
        if not carrier.numbers:
            mend = f'the carrier has no number: give it one, [carrier.{name}] numbers = ["…"]'
            yield Problem(f"carrier.{name}.numbers", "[]", mend)
    if not used:
        yield Problem("", "", "neither [[smsc]] nor [[listen]]: `cxmyd serve` has nobody to talk to")
    for index, smsc in enumerate(settings.smsc):
        others = any(other.carrier == smsc.carrier for other in settings.smsc if other is not smsc)
        if smsc.version == "3.3" and smsc.bind == "outbind" and not others:
            mend = "an outbind of 3.3 is answered by bind_receiver alone: answers need another [[smsc]]"
            yield Problem(f"smsc[{index}].bind", '"outbind"', f"{mend} of carrier {smsc.carrier}")
        if smsc.version == "3.3" and smsc.long_messages in ("sar", "payload"):
            mend = "SMPP 3.3 has no TLVs: long answers leave by udh-8"
            yield Problem(f"smsc[{index}].long_messages", f'"{smsc.long_messages}"', mend)
        if settings.park.after_s >= smsc.response_timeout_s:
            mend = f"an SMSC that waits as long as smsc[{index}].response_timeout_s gives up first"
            yield Problem("park.after_s", f"{settings.park.after_s:g}", mend)


def carriers_in_use(document: Document) -> frozenset[str]:
    """The names that links and listeners' clients point to."""
    return frozenset(peer["carrier"] for _, peer in links(document) if isinstance(peer.get("carrier"), str))


def _used_twice(document: Document) -> Iterator[Problem]:
    """Links of one name; clients of one system_id, whose answers could not be told apart."""
    first: dict[Location, Location] = {}
    for location, peer in links(document):
        key = "name" if location[0] == "smsc" else "system_id"
        value = peer.get(key)
        if isinstance(value, str) and first.setdefault((key, value), location) != location:
            where = key_path(first[key, value])
            yield _problem((*location, key), value, f"the {key} of {where} too: give each its own")


def _unknown_carriers(document: Document, known: tuple[str, ...]) -> Iterator[Problem]:
    for location, peer in links(document):
        name = peer.get("carrier")
        if isinstance(name, str) and name not in known:
            near = suggestion(name, known)
            mend = f"no such carrier, here or among those shipped: {', '.join(sorted(known))}{near}"
            yield _problem((*location, "carrier"), name, mend)


def _number_of_two_carriers(document: Document, carriers: Mapping[str, Carrier]) -> Iterator[Problem]:
    owner: dict[str, str] = {}
    for name in sorted(carriers_in_use(document) & carriers.keys()):
        for number in carriers[name].numbers:
            if owner.setdefault(number, name) != name:
                mend = f"the number of {owner[number]} too: a number belongs to one carrier"
                yield _problem(("carrier", name, "numbers"), number, mend)


def _address_twice(document: Document) -> Iterator[Problem]:
    """Two sections that would listen on one port."""
    taken: dict[tuple[str, int], str] = {}
    for location, host, port in _listening(document):
        key = key_path(location)
        first = taken.setdefault((host, port), key)
        if port and first != key:
            yield _problem(location, port, f"{first} listens there already: choose another port")


def _bind_unknown_to_version(document: Document) -> Iterator[Problem]:
    """bind_transceiver came with 3.4."""
    for index, smsc in tables(document, "smsc"):
        if smsc.get("version") == "3.3" and smsc.get("bind", "transceiver") == "transceiver":
            mend = 'version "3.3" has no bind_transceiver: use bind = "transmitter+receiver"'
            yield _problem(("smsc", index, "bind"), smsc.get("bind"), mend)


def _listening(document: Document) -> Iterator[tuple[Location, str, int]]:
    http = document.get("http")
    address = http.get("listen") if isinstance(http, dict) else None
    host, _, port = (address if isinstance(address, str) else Http().listen).rpartition(":")
    if port.isascii() and port.isdigit():
        yield ("http", "listen"), host, int(port)
    for section, model in (("listen", Listen), ("smsc", Smsc)):
        for index, table in tables(document, section):
            host = table.get("host", model.model_fields["host"].default)
            number = table.get("port", model.model_fields["port"].default)
            listens = section == "listen" or table.get("bind") == "outbind"
            if listens and isinstance(host, str) and isinstance(number, int):
                yield (section, index, "port"), host, number


def _tls_files(location: Location, tls: Any, base: Path) -> Iterator[Problem]:
    if not isinstance(tls, dict):
        return
    if ("cert" in tls) != ("key" in tls):
        yield _problem(location, None, "cert and key belong together: give both")
    for key in ("ca", "cert", "key"):
        name = tls.get(key)
        if isinstance(name, str) and not os.access(base / Path(name).expanduser(), os.R_OK):
            yield _problem((*location, key), name, "no such file, or not readable")


def _problem(location: Location, value: Any, mend: str) -> Problem:
    return Problem(key_path(location), shown(location, value), mend)
