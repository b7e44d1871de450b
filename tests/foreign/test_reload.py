"""SIGHUP: carriers, texts and limits change under a running gateway, all at once or not at all."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from tests.foreign.processes import Gateway, ask, until
from tests.foreign.service import JIAN, TRIOS
from tests.simulator.conftest import Running

UNICOM = TRIOS[5].unicom
MOBILE = TRIOS[5].mobile
QUERY = f"CXMYD#{UNICOM.id_last4}"


def _signed(text: str) -> str:
    return f'[carrier.china-unicom]\nsignature = "{text}"\n'


def _links(smsc: Running) -> list[int]:
    return [link.id for link in smsc.call(smsc.simulator.smsc.links)]


def _reload(gateway: Gateway, event: str) -> dict[str, object]:
    before = len(gateway.events(event))
    gateway.signal(signal.SIGHUP)
    until(lambda: len(gateway.events(event)) > before)
    return gateway.events(event)[-1]


def test_a_reload_changes_the_texts_and_keeps_the_binds(
    gateways: Callable[..., Gateway], smsc: Running
) -> None:
    """A bad file keeps the old texts and names key, value and mend; what needs a restart is named as well."""
    gateway = gateways(sections=_signed("【甲】"))
    until(lambda: gateway.ready() == 200)
    links = _links(smsc)
    assert ask(smsc, UNICOM, QUERY).endswith("【甲】")
    ask(smsc, MOBILE, "CXMYD")  # and a dialog is under way meanwhile

    gateway.configure(f"{_signed('【乙】')}window_days = 7\n[dedup]\nwindow_s = 20\n")
    done = _reload(gateway, "config.reloaded")
    assert done["changed"] == [
        "dedup.window_s",
        "carrier.china-unicom.window_days",
        "carrier.china-unicom.signature",
    ]
    assert done["needs_restart"] == []
    until(lambda: gateway.metric('cxmyd_config_reloads_total{result="done"}') == 1)
    assert ask(smsc, UNICOM, QUERY).endswith("【乙】")

    gateway.configure("[carrier.china-unicom]\nsignature = 7\nwindow_days = 700\n")
    refused = _reload(gateway, "config.refused")
    assert refused["problems"] == [
        {
            "key": "carrier.china-unicom.window_days",
            "value": "700",
            "mend": "must be less than or equal to 30",
        },
        {"key": "carrier.china-unicom.signature", "value": "7", "mend": 'must be a string, "7"'},
    ]
    until(lambda: gateway.metric('cxmyd_config_reloads_total{result="refused"}') == 1)
    assert ask(smsc, UNICOM, QUERY).endswith("【乙】")

    gateway.configure(f"{_signed('【丙】')}[drain]\ntimeout_s = 9\n")
    text = gateway.config.read_text("utf-8")
    gateway.config.write_text(text.replace('password = "secret"', 'password = "other"', 1), "utf-8")
    assert _reload(gateway, "config.reloaded")["needs_restart"] == ["smsc[0].password"]
    assert ask(smsc, UNICOM, QUERY).endswith("【丙】")

    assert JIAN in ask(smsc, MOBILE, MOBILE.id_last4)
    assert _links(smsc) == links
    assert gateway.end() == 0


def test_all_workers_have_the_same_rules_and_so_has_one_that_starts_later(
    gateways: Callable[..., Gateway], smsc: Running
) -> None:
    """Also when the file has become bad since."""
    gateway = gateways("--workers", "2", sections=_signed("【甲】"))
    until(lambda: gateway.ready() == 200)
    gateway.configure(_signed("【乙】"))
    _reload(gateway, "config.reloaded")
    for worker in (0, 1):
        until(lambda: gateway.metric('cxmyd_config_reloads_total{result="done"}', worker) == 1)  # noqa: B023
    gateway.configure("[carrier.china-unicom]\nsignature = 7\n")
    _reload(gateway, "config.refused")
    victim = gateway.workers()[0]
    os.kill(victim, signal.SIGKILL)
    until(lambda: victim not in gateway.workers() and len(gateway.workers()) == 2)
    until(lambda: gateway.ready() == 200)
    assert len(smsc.call(smsc.simulator.smsc.links)) == 6
    for _ in range(4):  # by either worker
        assert ask(smsc, UNICOM, QUERY).endswith("【乙】")
    assert gateway.end() == 0
