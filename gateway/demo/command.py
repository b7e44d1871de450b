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
from typing import Any

import click

from gateway import children, engine
from gateway.demo import conversations, ports, settings
from gateway.demo.conversations import Phone, Script
from gateway.demo.parts import PartError, Parts
from gateway.demo.screen import Screen
from gateway.demo.settings import Ports
from gateway.demo.smsc_api import Message, SmscApi, is_ready

READY_TIMEOUT_S = 60.0
SAMPLE = ("--seed", "1", "--subscribers", "1500", "--days", "16")
REASON = "demo"  # in the audit log


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
            screen.say("Ended, and nothing is left running.")
    sys.exit(0 if good else 1)


def _run(folder: Path, screen: Screen, *, once: bool) -> bool:
    """Everything, in `folder`. Gives whether all conversations were good."""
    listening = Ports(*ports.choose(Ports()))
    with screen.step("Start the engine") as result:
        server = engine.start(folder / "engine")
        result.append("the server that REDIS_URL names" if server.borrowed else str(engine.find_server()))
    with server, engine.emptied(server):
        config = settings.write(folder, server.url, listening)
        with Parts(folder, server, config) as parts:
            phones = _start(folder, screen, parts, listening)
            good = _talk(screen, parts, phones, SmscApi(_url(listening.page)))
            if not once:
                _show_places(screen, config, listening)
                parts.watch()
            return good


def _start(folder: Path, screen: Screen, parts: Parts, listening: Ports) -> dict[str, Phone]:
    """Data in, processes up. Gives one subscriber for each carrier."""
    sample = folder / "sample"
    with screen.step("Make a key, start the gateway"):
        parts.run("keys init", "keys", "init")
        parts.start("gateway", "serve")
    steps = {
        "Write a synthetic sample": ("sample", str(sample), *SAMPLE),
        "Import its cells": ("cells", "import", str(sample / "cells.csv")),
        "Import its subscribers": ("subscribers", "import", str(sample / "subscribers.csv")),
        "Ingest its sightings": ("ingest", str(sample / "sightings.csv")),
    }
    for what, arguments in steps.items():
        with screen.step(what) as result:
            result.append(_last_line(parts.run(" ".join(arguments[:2]), *arguments)))
    with screen.step("Start the simulated SMSC, wait for the binds"):
        parts.start("smsc", *settings.smsc_arguments(listening, sample / "phones.json"))
        readyz = f"{_url(listening.http)}readyz"
        parts.until(lambda: is_ready(readyz), "the gateway is not ready", timeout_s=READY_TIMEOUT_S)
    return _phones(sample / "phones.json", parts)


def _phones(listed: Path, parts: Parts) -> dict[str, Phone]:
    """For each carrier the sample's first telling subscriber, with what the operator sees of him."""
    first: dict[str, dict[str, Any]] = {}
    for phone in json.loads(listed.read_text(encoding="utf-8")):
        first.setdefault(phone["carrier"], phone)
    chosen = [first[script.carrier] for script in conversations.SCRIPTS]
    numbers = [phone["msisdn"] for phone in chosen]
    shown = parts.run("subscriber show", "subscriber", "show", *numbers, "--reason", REASON, "--json")
    views = [json.loads(line) for line in shown.splitlines()]
    return {
        phone["carrier"]: Phone(phone["msisdn"], phone["id_last4"], phone["story"], _cities(view))
        for phone, view in zip(chosen, views, strict=True)
    }


def _cities(view: dict[str, Any]) -> tuple[str, ...]:
    """The names of the visited cities in the subscriber's language."""
    name = "name_en" if view["language"] == "en" else "name_zh"
    return tuple(visit[name] for visit in view["visited"])


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
        screen.verdict(good=True, words=f"all {len(phone.cities)} cities that the operator sees were named")
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
        "Text from the phone page, or look around with the commands of cxmyd. Ctrl-C ends all of it.",
    )


def _url(port: int) -> str:
    return f"http://{ports.HOST}:{port}/"


def _last_line(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1] if lines else ""


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
