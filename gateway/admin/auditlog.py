"""`cxmyd audit tail` and `cxmyd audit verify`."""

from collections import deque

import click

from gateway.admin.context import open_audit, open_config, open_pseudonyms
from gateway.admin.options import config_option, json_option
from gateway.admin.output import json_line, print_json, print_table
from gateway.errors import printable

_COLUMNS = ("seq", "time", "operator", "command", "subject", "outcome", "reason")


@click.group()
def audit() -> None:
    """Who looked at whom, and why."""


@audit.command()
@click.option(
    "-n", "count", type=click.IntRange(min=1), default=20, show_default=True, help="So many records."
)
@config_option
@json_option
@click.pass_context
def tail(ctx: click.Context, count: int, as_json: bool) -> None:
    """The last records. A subscriber is named by a keyed digest, the same in all records."""
    config = open_config(ctx)
    log = open_audit(config, open_pseudonyms(config))
    records = deque(log.records(), maxlen=count)
    if as_json:
        for record in records:
            click.echo(json_line({column: record[column] for column in _COLUMNS}))
        return
    rows = [[record[column] for column in _COLUMNS] for record in records]
    print_table("", _COLUMNS, rows, empty="no records yet")


@audit.command()
@config_option
@json_option
@click.pass_context
def verify(ctx: click.Context, as_json: bool) -> None:
    """Read all of the log and name every record that was edited, removed, moved or cut off."""
    config = open_config(ctx)
    findings = open_audit(config, open_pseudonyms(config)).verify()
    if as_json:
        ok = not findings.problems
        print_json({"records": findings.records, "ok": ok, "problems": findings.problems})
    elif not findings.problems:
        click.echo(f"{config.audit_file}: {findings.records} records, all as they were written")
    for problem in [] if as_json else findings.problems:
        click.echo(printable(problem))
    if findings.problems:
        many = len(findings.problems)
        click.echo(f"cxmyd: {config.audit_file}: was tampered with, {many} finding(s)", err=True)
        ctx.exit(1)
