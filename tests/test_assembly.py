"""What the composition makes of the configuration."""

from pathlib import Path
from typing import Any, cast

from gateway.assembly import _copies, _lines, _rooms
from gateway.config import Config, load

LINKS = """
[[smsc]]
name = "one"
system_id = "x"
carrier = "china-mobile"
[[smsc]]
name = "two"
system_id = "x"
carrier = "china-mobile"
[[smsc]]
name = "three"
system_id = "x"
carrier = "china-unicom"
[[listen]]
clients = [{ system_id = "hub", password = "secret", carrier = "plain" }]
"""
NOTHING = cast(Any, None)  # the store and the clock, which are not asked


def configured(folder: Path, more: str) -> Config:
    path = folder / "gateway.toml"
    path.write_text(LINKS + more, encoding="utf-8")
    return load(path)


def test_the_links_of_a_carrier_share_its_limit(tmp_path: Path) -> None:
    """Its own, where it has one; 0 is none."""
    config = configured(
        tmp_path,
        "[park]\nlimit = 10\n[carrier.china-unicom]\npark_limit = 5\n[carrier.plain]\npark_limit = 0\n",
    )
    rooms = _rooms(config, _lines(config), NOTHING, NOTHING)
    assert rooms.keys() == {"one", "two", "three"}
    assert rooms["one"] is rooms["two"]
    assert (rooms["one"].carrier, str(rooms["one"].full())) == (
        "china-mobile",
        "china-mobile: 10 messages are parked, the limit",
    )
    assert "5 messages" in str(rooms["three"].full())


def test_copies_are_waited_for_where_they_are_asked_for(tmp_path: Path) -> None:
    assert _copies(configured(tmp_path, "")) is None
    copies = _copies(configured(tmp_path, "[park]\nwait_aof = 1\nwait_replicas = 2\nwait_ms = 50\n"))
    assert copies is not None
    assert copies.commands == [("WAIT", 2, 50), ("WAITAOF", 1, 0, 50)]
