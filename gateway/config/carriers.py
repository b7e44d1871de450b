"""The carriers' profiles: `carriers/NAME.toml` beside the configuration, then those shipped with the project.

Invariant: every profile that can be found is loaded and checked, in use or not, because a subscriber may
belong to a carrier that this gateway has no link to. Called by `gateway.config.loading`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from gateway.config.models import CarrierSettings
from gateway.config.problems import key_path, of_validation, shown, suggestion
from gateway.config.toml import read_toml
from gateway.dialog.carrier import Carrier
from gateway.errors import ConfigError, Problem, printable
from location_store.shipped import config_dir


class Found(NamedTuple):
    """What the folders of profiles hold."""

    carriers: dict[str, Carrier]  # those without a mistake, by name
    names: tuple[str, ...]  # all of them
    problems: list[Problem]


def load_carriers(base: Path, overrides: Mapping[str, Mapping[str, Any]]) -> Found:
    """All carriers, and every mistake in their files or in `overrides`, the `[carrier.NAME]` tables."""
    files = {path.stem: path for path in sorted((config_dir() / "carriers").glob("*.toml"))}
    files.update({path.stem: path for path in sorted((base / "carriers").glob("*.toml"))})
    carriers: dict[str, Carrier] = {}
    problems = [
        _unknown(name, override, sorted(files)) for name, override in overrides.items() if name not in files
    ]
    for name, path in files.items():
        try:
            carriers[name] = _load(name, path, overrides.get(name, {}))
        except ConfigError as error:
            problems.extend(error.problems)
    return Found(carriers, tuple(files), problems)


def _unknown(name: str, override: Mapping[str, Any], known: Sequence[str]) -> Problem:
    location = ("carrier", name)
    mend = f"no such carrier, here or among those shipped: {', '.join(known)}{suggestion(name, known)}"
    if not suggestion(name, known):
        mend += f"; remove the table, or add carriers/{printable(name)}.toml"
    return Problem(key_path(location), shown(location, override), mend)


def _load(name: str, path: Path, override: Mapping[str, Any]) -> Carrier:
    try:
        document = read_toml(path)
    except ConfigError as error:
        raise ConfigError(path, [problem._replace(file=path) for problem in error.problems]) from None
    document.update(override)
    try:
        settings = CarrierSettings.model_validate(document)
    except ValidationError as error:
        found = of_validation(error, document, "carrier.NAME", path)
        raise ConfigError(path, [_placed(problem, name, override) for problem in found]) from None
    return Carrier(name=name, **dict(settings))


def _placed(problem: Problem, name: str, override: Mapping[str, Any]) -> Problem:
    """The problem at the table that the value came from."""
    if problem.key.partition("[")[0] not in override:
        return problem
    return problem._replace(key=f"carrier.{name}.{problem.key}", file=None)
