"""`cxmyd demo`: starts everything, shows three conversations, keeps running until it is told to end.

Invariant: however it ends, its processes have ended, its ports are free and its folder is gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click

from gateway import children, engine
from gateway.demo import conversations, ports, settings
from gateway.demo.conversations import Phone, Script
from gateway.demo.parts import PartError, Parts
from gateway.demo.screen import Screen
from gateway.demo.settings import Ports
from gateway.demo.smsc_api import Message, SmscApi, is_ready

READY_TIMEOUT_S = 60.0
SAMPLE = ("--seed", "1", "--subscribers", "300")


class _Told(BaseException):
    """SIGINT, SIGTERM or SIGHUP: end, from wherever we are."""


@click.command("demo")
@click.option("--once", is_flag=True, help="Show the conversations, then end.")
def demo(*, once: bool) -> None:
    """See it work: sample history, simulated SMSC, gateway, a conversation with each carrier, a phone page.

    Needs nothing but this command; everything is synthetic. REDIS_URL names an empty database to use in
    place of the embedded engine. Ctrl-C ends all of it and leaves nothing behind.
    """
    if "MAKELEVEL" in os.environ:
        children.end_with_parent()  # `make run`, killed, does not tell us
    screen = Screen()
    with _told_by_signals():
        try:
            with tempfile.TemporaryDirectory(prefix="cxmyd-demo-", ignore_cleanup_errors=True) as folder:
                good = _run(Path(folder), screen, once=once)
        except PartError as error:
            for line in error.last_lines:
                screen.say(f"    {line}", style="dim")
            raise
        except _Told:
            good = not once
            screen.say("\nEnded, and nothing is left running.")
    sys.exit(0 if good else 1)


def _run(folder: Path, screen: Screen, *, once: bool) -> bool:
    """Everything, in `folder`. Gives whether all conversations were good."""
    with screen.step("Start the engine") as result:
        server = engine.start(folder / "engine")
        result.append("the server that REDIS_URL names" if server.borrowed else engine.find_server().name)
    with server, engine.emptied(server), ports.Reserved(Ports()) as reserved:
        listening = Ports(*reserved.ports)
        config = settings.write(folder, server.url, listening)
        with Parts(folder, server, config) as parts:
            phones = _start(folder, screen, parts, reserved)
            good = _talk(screen, parts, phones, SmscApi(_url(listening.page)))
            if not once:
                _show_places(screen, config, listening)
                parts.watch()
            return good


def _start(folder: Path, screen: Screen, parts: Parts, reserved: ports.Reserved) -> dict[str, Phone]:
    """Data in, processes up. Gives one subscriber for each carrier."""
    sample, listening = folder / "sample", Ports(*reserved.ports)
    with screen.step("Make a key and a synthetic sample") as result:
        made = parts.run({"keys init": (), "sample": (str(sample), *SAMPLE, "--json")})["sample"]
        result.append(_counted(made, "subscribers"))
    reserved.release()
    parts.start("gateway", "serve")
    parts.start("smsc", *settings.smsc_arguments(listening, sample / "phones.json"))
    with screen.step("Import its cells and subscribers") as result:
        files = {"cells import": "cells.csv.gz", "subscribers import": "subscribers.csv"}
        imported = parts.run({command: (str(sample / name), "--json") for command, name in files.items()})
        result.append(_counted(imported["cells import"], "cells_in_table"))
    with screen.step("Ingest its sightings") as result:
        ingested = parts.run({"ingest": (str(sample / "sightings.csv.gz"), "--json")})["ingest"]
        result.append(_counted(ingested, "written"))
    with screen.step("Wait until the gateway has bound to the simulated SMSC"):
        readyz = f"{_url(listening.http)}readyz"
        parts.until(lambda: is_ready(readyz), "the gateway is not ready", timeout_s=READY_TIMEOUT_S)
    return _phones(sample / "phones.json")


def _phones(listed: Path) -> dict[str, Phone]:
    """For each carrier the sample's first telling subscriber."""
    first: dict[str, Phone] = {}
    for phone in json.loads(listed.read_text(encoding="utf-8")):
        names = phone["expected_en"] if phone["language"] == "en" else phone["expected"]
        about = Phone(phone["msisdn"], phone["id_last4"], phone["story"], tuple(names))
        first.setdefault(phone["carrier"], about)
    return first


def _talk(screen: Screen, parts: Parts, phones: dict[str, Phone], smsc: SmscApi) -> bool:
    """Show the conversations as they happen. Gives whether all were good."""
    results = [
        _talk_to(script, phones[script.carrier], screen, parts, smsc) for script in conversations.SCRIPTS
    ]
    return all(results)


def _talk_to(script: Script, phone: Phone, screen: Screen, parts: Parts, smsc: SmscApi) -> bool:
    screen.heading(f"{script.title}  {script.service}", f"+{phone.msisdn}: {phone.story}")
    texts: list[Message] = []
    try:
        for message in conversations.converse(script, phone, smsc, parts):
            texts.append(message)
            screen.bubble(message)
    except OSError as error:
        parts.check()  # the simulator has gone away, most likely
        raise PartError(f"the simulated SMSC cannot be reached: {error}", []) from error
    lost = conversations.missing(phone, texts)
    if lost:
        screen.verdict(good=False, words=f"the answer should also have named {', '.join(lost)}")
    else:
        screen.verdict(good=True, words=f"the answer names every place: {', '.join(phone.places)}")
    return not lost


def _show_places(screen: Screen, config: Path, listening: Ports) -> None:
    command = Path(sys.executable).with_name("cxmyd")
    screen.places(
        [
            ("Phone page", _url(listening.page)),
            ("Gateway", f"{_url(listening.http)}status"),
            ("SMPP of the SMSC", f"{ports.HOST}:{listening.smpp}"),
            ("Operator's view", f"{command} -c {config} status"),
        ],
        "Text from the phone page, or look around with the commands of cxmyd.\nCtrl-C ends all of it.",
    )


def _url(port: int) -> str:
    return f"http://{ports.HOST}:{port}/"


def _counted(printed: str, key: str) -> str:
    """One figure of what a command printed as JSON."""
    return f"{json.loads(printed)[key]:,} {key.partition('_')[0]}"


@contextlib.contextmanager
def _told_by_signals() -> Iterator[None]:
    """The first signal to end raises _Told; more of them must not disturb the ending."""
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def tell(_number: int, _frame: object) -> None:
        for other in signals:
            signal.signal(other, signal.SIG_IGN)
        raise _Told

    before = {number: signal.signal(number, tell) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
