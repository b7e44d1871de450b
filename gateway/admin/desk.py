"""Where an operator's work on subscribers begins: their numbers, the keys, and the record of why.

Invariant: nothing is shown or changed before the audit log has it; see `audited`. Called by `subscriber` and
`explain`.
"""

from collections.abc import Iterable, Iterator, Sequence

import click

from gateway.admin.audit import AuditLog
from gateway.admin.audited import audited
from gateway.config import Config
from location_store.errors import BadMsisdn
from location_store.msisdn import normalise


class Desk:
    """What every such command needs: numbers that are possible, keys, and a reason for the audit log."""

    def __init__(self, ctx: click.Context, command: str, numbers: Sequence[str], reason: str | None) -> None:
        if not numbers:
            raise click.UsageError("name a MSISDN, or give --from FILE")

        def subjects(config: Config, log: AuditLog) -> list[str]:
            return [log.subject(normalise(number, config.default_country)) for number in numbers]

        self._audited = audited(ctx, command, reason, subjects)
        self.config = self._audited.config
        self.pseudonyms = self._audited.pseudonyms
        self.msisdns = list(_normalised(numbers, self.config))

    def record(self, msisdns: Iterable[str]) -> None:
        """Write the audit records; only then may anything be shown or changed."""
        self._audited.record(map(self._audited.log.subject, msisdns))


def _normalised(numbers: Iterable[str], config: Config) -> Iterator[str]:
    for number in numbers:
        try:
            yield normalise(number, config.default_country)
        except BadMsisdn as error:
            raise click.UsageError(str(error)) from None
