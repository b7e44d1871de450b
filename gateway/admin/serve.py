"""`cxmyd serve`: the gateway."""

import click
import structlog

from gateway import logs
from gateway.admin.context import open_config
from gateway.admin.options import config_option
from gateway.app import serve as run_gateway


@click.command()
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    help="Processes, each with its own binds.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
)
@config_option
@click.pass_context
def serve(ctx: click.Context, *, workers: int, log_level: str) -> None:
    """Connect to the SMSCs and answer. Logs JSON to stderr; SIGTERM drains and ends."""
    config = open_config(ctx)
    logs.setup(log_level)
    for warning in config.warnings:
        structlog.get_logger("cxmyd").warning("config.warning", text=str(warning))
    run_gateway(config, workers)
