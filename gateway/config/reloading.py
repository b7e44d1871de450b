"""What a running gateway takes from a changed configuration, and what needs a restart.

Taken: the carriers' profiles and overrides, times and limit of `[park]`, `[dedup]`, `[drain]` and each SMSC's
`rate_per_s`. Whatever else has changed is kept as it was, and named. All of it or nothing: `Rules` is one
value, checked before anybody takes it, and every worker is given the same one. Called by `gateway.app`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel

from gateway.config.loading import Config, number_table
from gateway.config.models import Dedup, Drain
from gateway.dialog.carrier import Carrier
from gateway.errors import ConfigError, Problem

_PARK = ("after_s", "answer_ttl_s", "limit")
#: Of the sections that a gateway uses.
_COMPARED = (
    "default_country",
    "redis",
    "keys",
    "data",
    "store",
    "park",
    "dedup",
    "http",
    "drain",
    "smsc",
    "listen",
)


@dataclass(frozen=True, slots=True)
class Rules:
    """All that can be changed under way; it holds no secret."""

    carriers: Mapping[str, Carrier]
    park: Mapping[str, float]
    dedup: Dedup
    drain: Drain
    rates_per_s: Mapping[str, float]  # by the SMSC's name

    @classmethod
    def of(cls, config: Config) -> "Rules":
        return cls(
            config.carriers,
            {key: getattr(config.park, key) for key in _PARK},
            config.dedup,
            config.drain,
            {smsc.name: smsc.rate_per_s for smsc in config.smsc},
        )

    def into(self, config: Config) -> Config:
        """`config` under these rules. A carrier whose file is gone stays while a link or a parked message may
        belong to it: until the restart.
        """
        carriers = {**config.carriers, **self.carriers}
        return replace(
            config,
            carriers=MappingProxyType(carriers),
            number_to_carrier=number_table(config.carriers_in_use, carriers),
            park=config.park.model_copy(update=dict(self.park)),
            dedup=self.dedup,
            drain=self.drain,
            smsc=tuple(
                smsc.model_copy(update={"rate_per_s": self.rates_per_s.get(smsc.name, smsc.rate_per_s)})
                for smsc in config.smsc
            ),
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "carriers": {name: asdict(carrier) for name, carrier in self.carriers.items()},
            "park": dict(self.park),
            "dedup": self.dedup.model_dump(),
            "drain": self.drain.model_dump(),
            "rates_per_s": dict(self.rates_per_s),
        }

    @classmethod
    def of_json(cls, value: Mapping[str, Any]) -> "Rules":
        return cls(
            {name: _carrier(fields) for name, fields in value["carriers"].items()},
            value["park"],
            Dedup(**value["dedup"]),
            Drain(**value["drain"]),
            value["rates_per_s"],
        )


@dataclass(frozen=True, slots=True)
class Change:
    """`config`: what holds from now on. Keys as in the file: those that changed, and those whose change waits
    for a restart.
    """

    config: Config
    changed: tuple[str, ...]
    needs_restart: tuple[str, ...]


def change(old: Config, new: Config) -> Change:
    """What becomes of `old` when its file has become `new`. Raises ConfigError where the two do not go
    together.
    """
    config = Rules.of(new).into(old)
    _refuse_shared_numbers(config)
    return Change(config, tuple(_differing(old, config)), tuple(_differing(config, new)))


def _refuse_shared_numbers(config: Config) -> None:
    """A number may move between carriers whose links change as well: that is for a restart."""
    owners: dict[str, str] = {}
    for name in sorted(config.carriers_in_use):
        for number in config.carriers[name].numbers:
            if number in owners:
                mend = f"carrier {owners[number]} has it until the links change too: restart"
                raise ConfigError(config.path, [Problem(f"carrier.{name}.numbers", number, mend)])
            owners[number] = name


def _differing(old: Config, new: Config) -> Iterator[str]:
    for name in _COMPARED:
        yield from _different(name, getattr(old, name), getattr(new, name))
    for name in sorted({*old.carriers, *new.carriers}):
        before, after = old.carriers.get(name), new.carriers.get(name)
        if before is None or after is None:
            yield f"carrier.{name}"
        else:
            yield from _different(f"carrier.{name}", asdict(before), asdict(after))


def _different(key: str, old: Any, new: Any) -> Iterator[str]:
    """The keys whose values differ; never the values, which may be secrets."""
    if isinstance(old, BaseModel) and isinstance(new, BaseModel):
        old, new = dict(old), dict(new)
    if isinstance(old, dict) and isinstance(new, dict) and old.keys() == new.keys():
        for name, value in old.items():
            yield from _different(f"{key}.{name}", value, new[name])
    elif _tables(old) and _tables(new) and len(old) == len(new):
        for index, value in enumerate(old):
            yield from _different(f"{key}[{index}]", value, new[index])
    elif old != new:
        yield key


def _tables(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(each, BaseModel) for each in value)


def _carrier(fields: Mapping[str, Any]) -> Carrier:
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()
    }
    return Carrier(**values)
