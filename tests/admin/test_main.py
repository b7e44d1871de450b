"""The command as a process: what it imports, its statuses, its one line on stderr."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from gateway.admin.main import _COMMANDS, Root, main
from gateway.errors import GatewayError
from location_store.errors import StoreUnavailable

HEAVY = ("twisted", "polars", "shapely", "pydantic", "redis", "aiohttp", "numpy", "phonenumbers", "structlog")


def run(
    *arguments: str, env: dict[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """`cxmyd ARGUMENTS` as a process of its own."""
    command = [sys.executable, "-m", "gateway.admin.main", *arguments]
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root, **(env or {})}
    return subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=cwd, check=False, timeout=60
    )


def test_help_imports_nothing_heavy() -> None:
    """`cxmyd --help` is there at once: no reactor, no data frames, no geometry, no models."""
    code = (
        "import sys; from gateway.admin.main import main\n"
        "try: main(['--help'])\n"
        f"finally: print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0
    assert done.stderr.strip() == "[]"
    for command in _COMMANDS:
        assert command in done.stdout


@pytest.mark.parametrize("command", sorted(_COMMANDS))
def test_every_listed_command_exists(command: str) -> None:
    """Each entry of the table leads to a command with help of its own."""
    result = CliRunner().invoke(main, [command, "--help"])
    assert result.exit_code == 0, result.output
    assert result.output.startswith("Usage:")


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["--nonsense"],
        ["config"],
        ["audit", "tail", "-n", "0"],
        ["ingest"],
        ["ingest", "a.csv", "--stream", "s"],
        ["cells", "import"],
        ["serve", "--workers", "0"],
        ["subscriber", "show", "--reason", "x"],
        ["parked", "retry", "--reason", "x"],
    ],
)
def test_wrong_usage_is_2(arguments: list[str]) -> None:
    """And says how it is used."""
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2, result.output
    assert "Usage:" in result.stderr


def test_unknown_command_suggests_the_nearest() -> None:
    """As an unknown configuration key does."""
    assert "subscriber" in CliRunner().invoke(main, ["subscibr"]).stderr


def test_failure_is_one_line_and_status_1(tmp_path: Path) -> None:
    """The line names the file and what to do; stdout stays clean."""
    done = run("keys", "init", "-c", str(tmp_path / "none.toml"))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("cxmyd: ")
    assert "-c FILE or CXMYD_CONFIG" in done.stderr


def test_config_by_option_before_and_behind_by_variable_and_default(tmp_path: Path) -> None:
    """-c counts wherever it stands, then CXMYD_CONFIG, then config/gateway.toml."""
    for name in ("a.toml", "b.toml", "config/gateway.toml"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("")

    def used(*arguments: str, env: dict[str, str] | None = None) -> str:
        done = run(*arguments, "--json", env=env, cwd=tmp_path)
        return str(Path(json.loads(done.stdout)["file"]).relative_to(tmp_path.resolve()))

    variable = {"CXMYD_CONFIG": str(tmp_path / "b.toml")}
    assert used("-c", "a.toml", "config", "check", env=variable) == "a.toml"
    assert used("config", "check", "-c", "a.toml", env=variable) == "a.toml"
    assert used("-c", "b.toml", "config", "check", "--config", "a.toml") == "a.toml"
    assert used("config", "check", env=variable) == "b.toml"
    assert used("config", "check", env={"CXMYD_CONFIG": ""}) == "config/gateway.toml"


def _raising(error: BaseException) -> click.Command:
    def fail() -> None:
        raise error

    class OneCommand(Root):
        def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
            return click.Command("fail", callback=fail)

    return OneCommand("cxmyd", lazy={})


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (GatewayError("the link\nis down"), "cxmyd: the link\\u000ais down\n"),
        (StoreUnavailable("Redis is away"), "cxmyd: Redis is away\n"),
        (PermissionError(13, "Permission denied", "/x"), "cxmyd: /x: Permission denied\n"),
        (
            ValueError("8613800001234 \x1b[31m"),
            "cxmyd: internal error: ValueError; CXMYD_DEBUG=1 shows where\n",
        ),
    ],
)
def test_every_error_is_one_clear_line(error: Exception, line: str) -> None:
    """Ours word for word, strangers' by their name alone, since their text may hold a number."""
    result = CliRunner().invoke(_raising(error), ["fail"])
    assert (result.exit_code, result.stderr, result.stdout) == (1, line, "")


def test_interruption_is_quiet() -> None:
    """Ctrl-C: no traceback, status 130 as of a shell."""
    result = CliRunner().invoke(_raising(KeyboardInterrupt()), ["fail"])
    assert (result.exit_code, result.output) == (130, "")


def test_closed_pipe_is_quiet(tmp_path: Path) -> None:
    """`cxmyd … | head` ends without a traceback."""
    code = "from gateway.admin.main import main; main(['config', 'check'])"
    (tmp_path / "g.toml").write_text("x = 1\n" * 1)
    environment = {**os.environ, "CXMYD_CONFIG": str(tmp_path / "g.toml")}
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-c", code],
        stdout=writer,
        stderr=subprocess.PIPE,
        env=environment,
        check=False,
        timeout=60,
    )
    os.close(writer)
    assert b"Traceback" not in done.stderr
    assert b"Broken" not in done.stderr


def test_config_check_lists_all_and_ends_1(tmp_path: Path) -> None:
    """Key, value and mend of each on a line of its own; warnings alone end 0."""
    path = tmp_path / "gateway.toml"
    path.write_text('[park]\nafter = 1\n[http]\nlisten = "x"\n')
    result = CliRunner().invoke(main, ["config", "check", "-c", str(path)])
    assert result.exit_code == 1
    assert "park.after = 1: unknown key; did you mean after_s?" in result.stdout
    assert 'http.listen = "x": must be host:port' in result.stdout
    assert result.stderr == f"cxmyd: {path}: 2 mistakes\n"
    path.write_text("")
    result = CliRunner().invoke(main, ["config", "check", "-c", str(path)])
    assert (result.exit_code, result.stderr) == (0, "")
    assert "fit for use" in result.stdout
    found = CliRunner().invoke(main, ["config", "check", "-c", str(path), "--json"])
    assert json.loads(found.stdout)["ok"] is True


def test_a_missing_configuration_is_named(tmp_path: Path) -> None:
    """By its path, where no key can be."""
    path = tmp_path / "none.toml"
    result = CliRunner().invoke(main, ["config", "check", "-c", str(path)])
    assert result.exit_code == 1
    assert result.stdout == f"mistake  {path}: no such file; name one with -c FILE or CXMYD_CONFIG\n"
    found = CliRunner().invoke(main, ["config", "check", "-c", str(path), "--json"])
    assert json.loads(found.stdout)["mistakes"][0]["file"] == str(path)


def test_status_without_a_gateway(tmp_path: Path) -> None:
    """Says whom it asked."""
    path = tmp_path / "gateway.toml"
    path.write_text('[http]\nlisten = "127.0.0.1:1"')
    result = CliRunner().invoke(main, ["status", "-c", str(path)])
    assert result.exit_code == 1
    assert "http://127.0.0.1:1/status" in result.stderr
    assert "cxmyd serve" in result.stderr
