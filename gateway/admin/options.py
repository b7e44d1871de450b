"""Options that many commands share: `-c/--config`, before or behind the command's name, and `--json`."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

DEFAULT_CONFIG = Path("config/gateway.toml")
_META_KEY = "gateway.admin.config"
Command = TypeVar("Command", bound=Callable[..., Any])


def config_option(command: Command) -> Command:
    """`-c FILE`; the last one given counts."""

    def remember(ctx: click.Context, _: click.Parameter, value: Path | None) -> None:
        if value is not None:
            ctx.meta[_META_KEY] = value

    return click.option(
        "-c",
        "--config",
        type=click.Path(path_type=Path),
        expose_value=False,
        callback=remember,
        metavar="FILE",
        help=f"The configuration.  [default: CXMYD_CONFIG, or {DEFAULT_CONFIG}]",
    )(command)


def json_option(command: Command) -> Command:
    """`--json`, passed as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")(command)


def reason_option(command: Command) -> Command:
    """`--reason TEXT`, passed as `reason`; None where it is left out: refused, and recorded."""
    return click.option("--reason", metavar="TEXT", help="Why, for the audit log.  [required]")(command)


def config_path(ctx: click.Context) -> Path:
    """The configuration to use: `-c`, else CXMYD_CONFIG, else the default."""
    chosen: Path | None = ctx.meta.get(_META_KEY)
    return chosen or Path(os.environ.get("CXMYD_CONFIG") or DEFAULT_CONFIG)
