"""`cxmyd keys init`: makes the key file."""

import click

from gateway.admin.context import open_config
from gateway.admin.options import config_option
from location_store.pseudonyms import KeyFile


@click.group()
def keys() -> None:
    """The secret behind all pseudonyms."""


@keys.command()
@config_option
@click.pass_context
def init(ctx: click.Context) -> None:
    """Create the key file, readable by its owner only; one that is there already is never replaced."""
    path = open_config(ctx).keys.file
    KeyFile.create(path)
    click.echo(f"{path}: created. Keep a copy in a safe place: without it no history can be found again.")
