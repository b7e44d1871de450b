"""Work that needs a reason and is recorded before it is done.

Invariant: who gives no reason gets nothing but a record of the attempt. Called by `subscriber` and `parked`.
"""

import contextlib
import time
from collections.abc import Callable, Iterable

import click

from gateway.admin.audit import AuditLog, Entry, operator_name
from gateway.admin.context import open_audit, open_config, open_pseudonyms
from gateway.config import Config
from gateway.errors import GatewayError
from location_store.errors import StoreError
from location_store.pseudonyms import Pseudonyms

MAX_REASON_LENGTH = 1000
Subjects = Callable[[Config, AuditLog], Iterable[str]]


class Audited:
    """One command, its reason, and what it needs to be recorded."""

    def __init__(self, config: Config, pseudonyms: Pseudonyms, command: str, reason: str) -> None:
        self.config = config
        self.pseudonyms = pseudonyms
        self.log = open_audit(config, pseudonyms)
        self._command = command
        self._reason = reason

    def record(self, subjects: Iterable[str], outcome: str = "allowed") -> None:
        """Write one record for each; only then may anything be shown or changed. Raises AuditError."""
        entries = [Entry(self._command, subject, self._reason, outcome) for subject in subjects]
        self.log.append(entries, operator_name(), time.time())


def audited(ctx: click.Context, command: str, reason: str | None, subjects: Subjects) -> Audited:
    """What `command` is to record by; `subjects` names those it is about, should it be denied.

    Raises UsageError where the reason is missing or endless; GatewayError, StoreError as configuration and
    key file do.
    """
    reason = (reason or "").strip()
    if not reason:
        # Where there is no configuration or no key file, there is nothing to look at either.
        with contextlib.suppress(GatewayError, StoreError):
            denied = _open(ctx, command, "")
            denied.record(subjects(denied.config, denied.log), "denied: no reason")
        raise click.UsageError("missing option '--reason': say why; the attempt is recorded")
    if len(reason) > MAX_REASON_LENGTH:
        raise click.UsageError(f"--reason: at most {MAX_REASON_LENGTH} characters")
    return _open(ctx, command, reason)


def _open(ctx: click.Context, command: str, reason: str) -> Audited:
    config = open_config(ctx)
    return Audited(config, open_pseudonyms(config), command, reason)
