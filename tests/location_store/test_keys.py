"""location_store.keys: the key file."""

import json
import os
from pathlib import Path

import pytest

from location_store.errors import StoreRefused
from location_store.keys import KeyFile


def test_a_created_file_is_private_and_loads(tmp_path: Path) -> None:
    """Mode 0600 whatever the umask, one key of 32 random bytes, the folder made if need be."""
    path = tmp_path / "var" / "keys.json"
    before = os.umask(0)
    try:
        created = KeyFile.create(path)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    assert KeyFile.load(path) == created
    assert len(created.keys[0].secret) == 32
    assert KeyFile.create(tmp_path / "other.json").keys[0].secret != created.keys[0].secret


def test_an_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    """Without its key a store is lost."""
    path = tmp_path / "keys.json"
    created = KeyFile.create(path)
    with pytest.raises(StoreRefused, match="exists already"):
        KeyFile.create(path)
    assert KeyFile.load(path) == created


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666, 0o610])
def test_a_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    """The message names path, mode and mend."""
    path = tmp_path / "keys.json"
    KeyFile.create(path)
    path.chmod(mode)
    with pytest.raises(StoreRefused, match=f"mode 0{mode:o}.*chmod 600 {path}"):
        KeyFile.load(path)


def test_a_missing_file_names_the_command_that_makes_it(tmp_path: Path) -> None:
    """One line with the mend."""
    with pytest.raises(StoreRefused, match="cxmyd keys init"):
        KeyFile.load(tmp_path / "keys.json")


def test_a_folder_is_no_key_file(tmp_path: Path) -> None:
    """Neither to read nor to create."""
    with pytest.raises(StoreRefused, match=str(tmp_path)):
        KeyFile.load(tmp_path)
    with pytest.raises(StoreRefused, match="exists already"):
        KeyFile.create(tmp_path)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """The reason of the system, in one line."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreRefused, match="cannot write key file"):
        KeyFile.create(tmp_path / "file" / "keys.json")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        "null",
        '{"version": 2, "keys": []}',
        '{"version": 1, "keys": []}',
        '{"version": 1, "keys": [{"id": "a", "created": "b", "secret": "00"}]}',
        '{"version": 1, "keys": [{"id": "a", "created": "b", "secret": "zz"}]}',
        '{"version": 1, "keys": ["secret"]}',
        "\udcff",
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, text: str) -> None:
    """Whatever is wrong inside: one line that names the path and repeats nothing of the content."""
    path = tmp_path / "keys.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    path.chmod(0o600)
    with pytest.raises(StoreRefused, match="is not a key file") as refusal:
        KeyFile.load(path)
    assert refusal.value.__cause__ is None
    assert "\n" not in str(refusal.value)


def test_older_keys_follow_the_newest(tmp_path: Path) -> None:
    """A rotation puts a new key before the old ones."""
    path = tmp_path / "keys.json"
    old = KeyFile.create(path)
    document = json.loads(path.read_text())
    document["keys"].insert(0, {"id": "new", "created": "2026-02-14T00:00:00Z", "secret": "11" * 32})
    path.write_text(json.dumps(document))
    loaded = KeyFile.load(path)
    assert [key.id for key in loaded.keys] == ["new", old.keys[0].id]
