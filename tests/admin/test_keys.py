"""`cxmyd keys`: a rotation from its beginning to its end, as an operator goes through it."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta

import pytest
import redis

from tests.admin.conftest import CELLS, Desk
from tests.admin.test_data_commands import HEADER

KNOWN, OTHER = "8613800000001", "8613800000002"
PEOPLE = f"msisdn,carrier,id_last4\n{KNOWN},china-mobile,1234\n"


@pytest.fixture
def filled(desk: Desk) -> Desk:
    """KNOWN spent five hours in Changsha."""
    day = datetime.now(UTC) + timedelta(hours=8) - timedelta(days=2)
    rows = [f"{day:%Y-%m-%d}T{hour:02}:00:00+08:00,{KNOWN},460,0,1,1\n" for hour in range(6)]
    desk.good("cells", "import", desk.file("cells.csv", CELLS))
    desk.good("subscribers", "import", desk.file("people.csv", PEOPLE))
    desk.good("ingest", desk.file("sightings.csv", HEADER + "".join(rows)))
    return desk


def rotated(desk: Desk, *, days_ago: int = 0) -> list[str]:
    """Rotate, as if it had been some days ago; the ids, newest first."""
    desk.good("keys", "rotate")
    path = desk.folder / "var/keys.json"
    document = json.loads(path.read_text())
    made = datetime.now(UTC) - timedelta(days=days_ago)
    document["keys"][0]["created"] = made.strftime("%Y-%m-%dT%H:%M:%SZ")
    path.write_text(json.dumps(document))
    return [key["id"] for key in document["keys"]]


def cities(desk: Desk, number: str = KNOWN) -> list[str]:
    (view,) = desk.objects("subscriber", "show", number, "--reason", "x")
    return [visit["city"] for visit in view["visited"]]


def test_nothing_is_lost_from_rotation_to_retirement(filled: Desk, redis_url: str) -> None:
    """Seen under both keys; once all are imported anew, and the window is over, the older key and what lies
    under it go; the audit log stays one.
    """
    assert cities(filled) == ["430100"]
    newest, older = rotated(filled, days_ago=17)
    assert (filled.folder / "var/keys.json").stat().st_mode & 0o777 == 0o600
    assert cities(filled) == ["430100"]
    assert "1 subscribers lie under it still" in filled.refused("keys", "retire", older)
    filled.good("subscribers", "import", filled.file("people.csv", PEOPLE))
    assert cities(filled) == ["430100"]
    assert "is retired" in filled.good("keys", "retire", older)
    assert [key["id"] for key in json.loads(filled.good("keys", "list", "--json"))] == [newest]
    assert cities(filled) == []
    with redis.Redis.from_url(redis_url) as client:
        assert [key[:3] for key in client.keys("b*")] == [b"b1:"]
    assert len(filled.objects("audit", "tail")) == 4
    assert "all as they were written" in filled.good("audit", "verify")
    rotated(filled)
    assert "all as they were written" in filled.good("audit", "verify")


def test_the_same_files_again(filled: Desk) -> None:
    """What was ingested before the rotation is known to be done."""
    rotated(filled)
    counts = json.loads(filled.good("ingest", str(filled.folder / "sightings.csv"), "--json"))
    assert (counts["skipped_files"], counts["rows"]) == (1, 0)


def test_retire_is_refused_too_early(filled: Desk) -> None:
    """With the time from which on it may be; --force does it all the same, and says what is lost."""
    newest, older = rotated(filled)
    due = (datetime.now(UTC) + timedelta(days=16)).strftime("%Y-%m-%d")
    assert due in filled.refused("keys", "retire", older)
    assert due in filled.good("keys", "list")
    assert due in filled.refused("keys", "rotate")
    assert "written with" in filled.refused("keys", "retire", newest)
    assert "none of its older keys" in filled.refused("keys", "retire", "beef")
    filled.good("keys", "retire", older, "--force")
    assert cities(filled) == []


def test_a_rotation_needs_its_file(filled: Desk) -> None:
    """A process with the old file is refused once the store knows of the new key."""
    path = filled.folder / "var/keys.json"
    old = path.read_text()
    rotated(filled)
    cities(filled)
    path.write_text(old)
    assert "keys.file does not hold" in filled.refused("subscriber", "show", KNOWN, "--reason", "x")


def test_operators_work_on_both(filled: Desk) -> None:
    """A block from before it is lifted, a new one holds, and to forget is to forget both."""
    filled.good("subscriber", "block", KNOWN, "--reason", "x")
    rotated(filled)

    def blocked() -> bool:
        (view,) = filled.objects("subscriber", "show", KNOWN, "--reason", "x")
        return bool(view["blocked"])

    assert blocked()
    filled.good("subscribers", "import", filled.file("people.csv", PEOPLE))
    assert blocked()
    filled.good("subscriber", "unblock", KNOWN, "--reason", "x")
    assert not blocked()
    filled.good("subscriber", "block", KNOWN, "--reason", "x")
    assert blocked()
    filled.good("subscriber", "unblock", KNOWN, "--reason", "x")
    filled.good("subscriber", "forget", KNOWN, "--reason", "x")
    assert cities(filled) == []
    filled.good("subscribers", "import", filled.file("people.csv", PEOPLE))
    assert cities(filled) == []


def test_the_file_keeps_its_owner(filled: Desk) -> None:
    """Root rotates, the service reads."""
    path = filled.folder / "var/keys.json"
    if os.geteuid() == 0:
        os.chown(path, 1234, 1234)
        rotated(filled)
        assert (path.stat().st_uid, path.stat().st_gid) == (1234, 1234)
        os.chown(path, 0, 0)
    assert not list(path.parent.glob(".keys*"))
