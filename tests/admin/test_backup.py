"""A backup restored, as docs/backup.md says: nothing is lost that was in it, and nobody comes back."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.admin.conftest import CELLS, Desk
from tests.admin.test_data_commands import HEADER
from tests.conftest import RedisServer

ONE, TWO, THREE = "8613800000001", "8613800000002", "8613800000003"


def cities(desk: Desk) -> list[list[str]]:
    views = desk.objects("subscriber", "show", ONE, TWO, THREE, "--reason", "x")
    return [[visit["city"] for visit in view["visited"]] for view in views]


def sightings(desk: Desk, name: str, *numbers: str) -> str:
    day = datetime.now(UTC) + timedelta(hours=8) - timedelta(days=2)
    rows = [f"{day:%Y-%m-%d}T{hour:02}:00:00+08:00,{n},460,0,1,1\n" for n in numbers for hour in range(6)]
    return desk.file(name, HEADER + "".join(rows))


def test_a_restored_backup(
    make_desk: Callable[[str], Desk], own_redis: Callable[..., RedisServer], tmp_path: Path
) -> None:
    """The file of BGSAVE is all that is needed beside the key file: after a restore everybody in it is shown,
    who was forgotten since is forgotten again, and what was ingested since is ingested again.
    """
    server = own_redis("--dbfilename", "dump.rdb")
    desk = make_desk(f'[redis]\nurl = "{server.url}"\n')
    desk.good("keys", "init")
    desk.good("cells", "import", desk.file("cells.csv", CELLS))
    desk.good("ingest", sightings(desk, "a.csv", ONE, TWO))
    with server.client() as client:
        made = datetime.now(UTC)
        client.bgsave()
        deadline_s = time.monotonic() + 60
        while (
            client.info("persistence")["rdb_bgsave_in_progress"] or not (server.folder / "dump.rdb").exists()
        ):
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
    backup = shutil.copy(server.folder / "dump.rdb", tmp_path / "backup.rdb")
    desk.good("subscriber", "forget", ONE, "--reason", "asked for it")
    late = sightings(desk, "b.csv", THREE)
    desk.good("ingest", late)
    assert cities(desk) == [[], ["430100"], ["430100"]]

    server.stop()
    shutil.copy(backup, server.folder / "dump.rdb")
    server.start()
    assert cities(desk) == [["430100"], ["430100"], []]
    stamp = made.isoformat(timespec="seconds")
    assert "forgotten again: 1" in desk.good("subscriber", "forget-again", "--since", stamp, "--reason", "x")
    desk.good("ingest", late)
    assert cities(desk) == [[], ["430100"], ["430100"]]
    assert desk.objects("audit", "tail")[-4]["command"] == "subscriber forget-again"


def test_forget_again_needs_a_time_and_a_reason(desk: Desk) -> None:
    """Wrong usage without; with nothing to do, that is said."""
    assert desk.run("subscriber", "forget-again", "--reason", "x").exit_code == 2
    assert desk.run("subscriber", "forget-again", "--since", "2026-02-14", "--reason", "x").exit_code == 2
    assert desk.run("subscriber", "forget-again", "--since", "2026-02-14T00:00Z").exit_code == 2
    given = ("--since", "2026-02-14T00:00Z", "--reason", "x")
    assert "forgotten again: 0" in desk.good("subscriber", "forget-again", *given)
    (desk.folder / "var/erased.log").write_text("nonsense\n")
    assert "line 1 is none of ours" in desk.refused("subscriber", "forget-again", *given)
