"""The command `cxmyd`: its list of commands, and the one place where errors become an exit status.

Invariant: status 0 done, 1 refused or failed with one clear line on stderr, 2 wrong usage, 130 interrupted.
Imports little but click; each command's module is imported when it is called.
"""

import os
import sys
from typing import Any

import click

from gateway.admin.lazy import Lazy, LazyGroup
from gateway.admin.options import config_option
from gateway.compiled import COMPILED
from gateway.errors import GatewayError, printable
from location_store.errors import StoreError

_COMMANDS = {
    "demo": Lazy(
        "gateway.demo.command:demo", "Everything at once, with sample data: SMSC, gateway, phone page."
    ),
    "serve": Lazy("gateway.admin.serve:serve", "The gateway."),
    "smsc": Lazy("gateway.simulator.command:smsc", "A simulated SMSC with a phone page."),
    "conformance": Lazy(
        "gateway.simulator.conformance.command:conformance", "Judge an ESME by the SMPP specification."
    ),
    "keys": Lazy("gateway.admin.keys:keys", "The secret behind all pseudonyms."),
    "cells": Lazy("gateway.admin.imports:cells", "The cell table: which cell is in which city."),
    "subscribers": Lazy(
        "gateway.admin.imports:subscribers", "Subscriber records: carrier, ID digits, language."
    ),
    "ingest": Lazy("gateway.admin.ingest:ingest", "Sightings into the location store."),
    "sweep": Lazy("gateway.admin.sweep:sweep", "Drop what is older than the window."),
    "sample": Lazy("gateway.admin.sample:sample", "Write a synthetic population."),
    "subscriber": Lazy(
        "gateway.admin.subscriber:subscriber", "One subscriber: show, explain, block, unlock, forget."
    ),
    "parked": Lazy("gateway.admin.parked:parked", "Queries that wait for their answer."),
    "audit": Lazy("gateway.admin.auditlog:audit", "Who looked at whom, and why."),
    "status": Lazy("gateway.admin.status:status", "Links, rates and queues of the running gateway."),
    "config": Lazy("gateway.admin.configcheck:config", "The configuration."),
}


class OneLineError(click.ClickException):
    """An error as one line on stderr, status 1."""

    def show(self, file: Any = None) -> None:
        click.echo(f"cxmyd: {printable(self.message)}", file=file or sys.stderr)


class Root(LazyGroup):
    """The boundary of the process: every error that may leave a command ends here."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (GatewayError, StoreError) as error:
            raise OneLineError(str(error)) from error
        except KeyboardInterrupt:
            raise click.exceptions.Exit(130) from None
        except BrokenPipeError:  # the reader of our output has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise click.exceptions.Exit(0) from None
        except OSError as error:
            raise OneLineError(
                f"{error.filename or error.__class__.__name__}: {error.strerror or error}"
            ) from error
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except Exception as error:  # the process boundary; the text of a stranger's error may hold a number
            if os.environ.get("CXMYD_DEBUG"):
                raise
            name = type(error).__name__
            raise OneLineError(f"internal error: {name}; CXMYD_DEBUG=1 shows where") from error


@click.command(
    cls=Root,
    lazy=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Status: 0 done, 1 refused or failed, 2 wrong usage. Most commands take -c, reading ones --json.",
)
@config_option
@click.version_option(
    package_name="cxmyd", prog_name="cxmyd", message=f"%(prog)s, version %(version)s{', compiled' * COMPILED}"
)
def main() -> None:
    """Text CXMYD to your carrier and learn which cities your phone has been to."""


if __name__ == "__main__":
    main()
