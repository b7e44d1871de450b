"""From a TOML file to a `Config`: everything about it checked, all mistakes at once.

Invariant: a `Config` that exists is usable; what must be asked of the network or of the key file is the
matter of the command that needs it. Called by the command line and by the composition (`gateway.app`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from gateway.config import models
from gateway.config.carriers import load_carriers
from gateway.config.checks import carriers_in_use, mistakes, warnings
from gateway.config.problems import of_validation
from gateway.config.secrets import fill_in, url_with_password
from gateway.config.toml import read_toml
from gateway.dialog.carrier import Carrier
from gateway.errors import ConfigError, Problem
from location_store.pseudonyms import Layout


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A checked configuration: the sections of the file, all paths absolute, secrets filled in."""

    path: Path
    default_country: str
    redis: models.Redis
    keys: models.Keys
    data: models.Data
    store: models.StoreSettings
    ingest: models.Ingest
    park: models.Park
    dedup: models.Dedup
    http: models.Http
    drain: models.Drain
    audit_file: Path
    smsc: tuple[models.Smsc, ...]
    listen: tuple[models.Listen, ...]
    carriers: Mapping[str, Carrier]  # all that are known, overrides applied; "plain" is always among them
    carriers_in_use: frozenset[str]  # those of `smsc` and `listen`
    number_to_carrier: Mapping[str, Carrier]  # of the carriers in use
    warnings: tuple[Problem, ...]

    @property
    def routes(self) -> tuple[str, ...]:
        """The names under which answers leave: the SMSCs' and `listen:` with each client's system_id."""
        clients = (client for listen in self.listen for client in listen.clients)
        return (*(smsc.name for smsc in self.smsc), *(f"listen:{client.system_id}" for client in clients))

    @property
    def layout(self) -> Layout:
        """How the store is cut; the same for every command and process."""
        return Layout.for_subscribers(self.store.expected_subscribers, self.store.partitions)

    @property
    def keep_days(self) -> int:
        """Days for which histories are kept: the longest window of any carrier."""
        return max(carrier.window_days for carrier in self.carriers.values())


def load(path: Path) -> Config:
    """Read and check the configuration in `path`. Raises ConfigError with every mistake in it."""
    path = path.absolute()
    document = read_toml(path)
    problems = fill_in(document, path.parent)
    settings = _validated(document, path, problems)
    found = load_carriers(path.parent, _overrides(document))
    problems += found.problems
    problems += mistakes(document, path.parent, found)
    if problems or settings is None:
        raise ConfigError(path, problems)
    return _config(path, settings, carriers_in_use(document), found.carriers)


def _validated(document: dict[str, Any], path: Path, problems: list[Problem]) -> models.Settings | None:
    """The settings, or None with the mistakes added to `problems`."""
    document = {"keys": {}, "data": {}} | document
    try:
        settings = models.Settings.model_validate(document, context={"base": path.parent})
    except ValidationError as error:
        problems += of_validation(error, document)
        return None
    try:
        url = url_with_password(settings.redis.url, settings.redis.password)
    except ValueError as error:
        problems.append(Problem("redis.password", "(secret)", str(error)))
        return None
    return settings.model_copy(update={"redis": settings.redis.model_copy(update={"url": url})})


def _overrides(document: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    tables = document.get("carrier")
    if not isinstance(tables, dict):
        return {}
    return {name: table for name, table in tables.items() if isinstance(table, dict)}


def _config(
    path: Path, settings: models.Settings, used: frozenset[str], carriers: dict[str, Carrier]
) -> Config:
    return Config(
        path=path,
        default_country=settings.default_country,
        redis=settings.redis,
        keys=settings.keys,
        data=settings.data,
        store=settings.store,
        ingest=settings.ingest,
        park=settings.park,
        dedup=settings.dedup,
        http=settings.http,
        drain=settings.drain,
        audit_file=settings.audit.file or settings.data.dir / "audit.jsonl",
        smsc=settings.smsc,
        listen=settings.listen,
        carriers=MappingProxyType(carriers),
        carriers_in_use=used,
        number_to_carrier=number_table(used, carriers),
        warnings=tuple(warnings(settings, used, carriers)),
    )


def number_table(used: frozenset[str], carriers: Mapping[str, Carrier]) -> Mapping[str, Carrier]:
    """The numbers of the carriers in use."""
    numbers = {number: carriers[name] for name in sorted(used) for number in carriers[name].numbers}
    return MappingProxyType(numbers)
