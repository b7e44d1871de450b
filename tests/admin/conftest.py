"""An operator's desk: a configuration in a folder of its own, and `cxmyd` on it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner, Result

from gateway.admin.main import main

CELLS = "mcc,mnc,area,cell,city\n460,00,1,1,430100\n460,00,1,2,360800\n"


class Desk(NamedTuple):
    """`folder` holds gateway.toml and, once they are made, var/keys.json and the data."""

    folder: Path

    def run(self, *arguments: str, stdin: str | bytes | None = None) -> Result:
        """`cxmyd -c gateway.toml ARGUMENTS`."""
        return CliRunner().invoke(main, ["-c", str(self.folder / "gateway.toml"), *arguments], input=stdin)

    def good(self, *arguments: str, stdin: str | bytes | None = None) -> str:
        """The output of a command that must end 0."""
        result = self.run(*arguments, stdin=stdin)
        assert result.exit_code == 0, result.output
        return result.stdout

    def refused(self, *arguments: str, stdin: str | bytes | None = None) -> str:
        """The one line on stderr of a command that must end 1."""
        result = self.run(*arguments, stdin=stdin)
        assert result.exit_code == 1, result.output
        assert result.stderr.startswith("cxmyd: ")
        assert result.stderr.count("\n") == 1
        return result.stderr

    def objects(self, *arguments: str, stdin: str | bytes | None = None) -> list[dict[str, Any]]:
        """The objects that a command prints, one a line."""
        return [json.loads(line) for line in self.good(*arguments, "--json", stdin=stdin).splitlines()]

    def file(self, name: str, content: str | bytes) -> str:
        """Writes an input file and returns its name."""
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)


@pytest.fixture
def make_desk(tmp_path: Path) -> Callable[[str], Desk]:
    """Gives a desk with this configuration."""

    def make(text: str) -> Desk:
        (tmp_path / "gateway.toml").write_text(text)
        return Desk(tmp_path)

    return make


@pytest.fixture
def desk(make_desk: Callable[[str], Desk], redis_url: str) -> Desk:
    """A desk with an empty Redis and a key file."""
    made = make_desk(f'[redis]\nurl = "{redis_url}"\n')
    made.good("keys", "init")
    return made


@pytest.fixture
def ready(desk: Desk) -> Desk:
    """A desk with a cell table: cell 1 is in Changsha, cell 2 in Ji'an."""
    desk.good("cells", "import", desk.file("cells.csv", CELLS))
    return desk
