"""What a running gateway takes from a changed configuration, and what it keeps until a restart."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.config import Config, Rules, change, load
from gateway.errors import ConfigError

_SMSC = """
[[smsc]]
name = "{name}"
port = {port}
system_id = "cxmyd"
password = "{password}"
carrier = "{carrier}"
rate_per_s = {rate}
"""


def _smsc(
    name: str = "one",
    port: int = 2775,
    password: str = "secret",
    carrier: str = "china-mobile",
    rate: float = 0.0,
) -> str:
    return _SMSC.format(name=name, port=port, password=password, carrier=carrier, rate=rate)


def _load(folder: Path, text: str) -> Config:
    path = folder / "gateway.toml"
    path.write_text(text, "utf-8")
    return load(path)


def test_rules_and_times_are_taken(tmp_path: Path) -> None:
    """Carriers in whole, the times of park, dedup and drain, and rates."""
    old = _load(tmp_path, _smsc())
    new = _load(
        tmp_path,
        "[park]\nafter_s = 2.0\nanswer_ttl_s = 60\nlimit = 9\n[dedup]\nwindow_s = 5\n[drain]\ntimeout_s = 3\n"
        + _smsc(rate=7.0)
        + '[carrier.china-mobile]\ndialog = "none"\nnumbers = ["10086", "10087"]\nqueries_per_day = 3\n',
    )
    found = change(old, new)
    assert found.needs_restart == ()
    assert set(found.changed) == {
        "park.after_s",
        "park.answer_ttl_s",
        "park.limit",
        "dedup.window_s",
        "drain.timeout_s",
        "smsc[0].rate_per_s",
        "carrier.china-mobile.dialog",
        "carrier.china-mobile.numbers",
        "carrier.china-mobile.queries_per_day",
    }
    assert replace(found.config, warnings=()) == replace(new, warnings=())


def test_the_rest_is_kept_and_named_without_its_value(tmp_path: Path) -> None:
    old = _load(tmp_path, _smsc())
    new = _load(
        tmp_path,
        'default_country = "JP"\n[redis]\nurl = "redis://:hush@elsewhere:6379/0"\n'
        '[http]\nlisten = "127.0.0.1:9999"\n' + _smsc(port=2776, password="other"),
    )
    found = change(old, new)
    assert found.config == old
    assert set(found.needs_restart) == {
        "default_country",
        "redis.url",
        "http.listen",
        "smsc[0].port",
        "smsc[0].password",
    }


def test_links_come_and_go_with_a_restart(tmp_path: Path) -> None:
    """Rates are found by the link's name, wherever it stands now."""
    two = _smsc("two", carrier="china-unicom")
    old = _load(tmp_path, _smsc() + two)
    faster = two.replace("rate_per_s = 0.0", "rate_per_s = 9")
    new = _load(tmp_path, _smsc("three", carrier="china-telecom") + faster)
    found = change(old, new)
    assert found.changed == ("smsc[1].rate_per_s",)
    assert found.config.carriers_in_use == {"china-mobile", "china-unicom"}
    assert "smsc[0].name" in found.needs_restart


def test_a_carrier_whose_file_is_gone_stays(tmp_path: Path) -> None:
    """Parked messages may belong to it."""
    (tmp_path / "carriers").mkdir()
    file = tmp_path / "carriers" / "local.toml"
    file.write_text('dialog = "none"\nnumbers = ["12345"]\n', "utf-8")
    old = _load(tmp_path, _smsc(carrier="local"))
    file.unlink()
    found = change(old, _load(tmp_path, _smsc()))
    assert found.config.number_to_carrier["12345"].name == "local"
    assert "carrier.local" in found.needs_restart


def test_a_number_that_moves_with_its_link_waits_for_the_restart(tmp_path: Path) -> None:
    """Otherwise two carriers in use would have it."""
    old = _load(tmp_path, _smsc() + _smsc("two", carrier="china-unicom"))
    new = _load(tmp_path, _smsc() + '[carrier.china-mobile]\nnumbers = ["10086", "10010"]\n')
    with pytest.raises(ConfigError) as caught:
        change(old, new)
    (problem,) = caught.value.problems
    assert (problem.key, problem.value) == ("carrier.china-unicom.numbers", "10010")
    assert "restart" in problem.mend


def test_workers_are_told_the_same(tmp_path: Path) -> None:
    """What goes to them as JSON makes the same configuration there, and holds no secret."""
    old = _load(tmp_path, _smsc())
    new = change(old, _load(tmp_path, _smsc(rate=7.0) + "[carrier.china-telecom]\nstay_hours = 5.5\n")).config
    text = json.dumps(Rules.of(new).to_json())
    assert Rules.of_json(json.loads(text)).into(old) == new
    assert "secret" not in text
