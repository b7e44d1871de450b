"""True visits found and missed, and false cities, of every kind of people: `make eval-stays`.

Everything is the project's own: places, boundaries, merge, record and rules.
"""

from pathlib import Path

import click
import numpy as np
from rich.progress import track

from bench.stays import traces
from bench.stays.ground import Ground
from bench.stays.heard import CHINA, WINDOW, sightings, timelines
from bench.stays.populations import KINDS, Kind, people
from bench.stays.score import Known, Score, judge, known
from bench.store import results
from location_store.stays import StayRules, visited

HOURS = (1.0, 2.0, 4.0, 8.0)
QUICK_PEOPLE = 150
PAGE = Path(__file__).parents[2] / "docs" / "stays.md"
BEGIN, END = "<!-- figures: make eval-stays -->", "<!-- end of figures -->"


def scored(persons: list[Known], ground: Ground, rules: StayRules) -> Score:
    """The score of all of them under these rules."""
    total = Score(0, 0, 0, 0)
    for person in persons:
        found = visited(person.timeline, rules, ground.places.neighbours, WINDOW, None, CHINA)
        total += judge(person, {visit.place for visit in found.visits}, rules.stay_hours)
    return total


def evaluate(ground: Ground, kind: Kind, count: int, seed: int) -> dict[str, Score]:
    """By rule: "4 on" is N = 4 h with the drift rule on."""
    told = people(ground, kind, count, seed)
    heard = sightings(told, np.random.default_rng(seed))
    persons = known(told, timelines(heard, ground, len(told)))
    return {
        f"{hours:g} {'on' if drift else 'off'}": scored(
            persons, ground, StayRules(hours, "continuous", drift)
        )
        for hours in HOURS
        for drift in (True, False)
    }


def groups(found: dict[str, dict[str, Score]]) -> dict[str, dict[str, Score]]:
    """The scores of kinds added up."""
    total: dict[str, dict[str, Score]] = {}
    for kind in KINDS:
        mine = total.setdefault(kind.group, {})
        for rule, score in found[kind.name].items():
            mine[rule] = mine.get(rule, Score(0, 0, 0, 0)) + score
    return total


def rows(
    found: dict[str, dict[str, Score]], hours: tuple[float, ...], drift: tuple[str, ...]
) -> list[list[str]]:
    """A row a kind: found and false in percent, for each N, with drift on and off."""
    return [
        [name, *(cell for n in hours for on in drift for cell in _cells(scores[f"{n:g} {on}"]))]
        for name, scores in found.items()
    ]


def _cells(score: Score) -> tuple[str, str]:
    return score.found_share, score.false_share


def _columns(hours: tuple[float, ...], drift: tuple[str, ...]) -> list[str]:
    return [
        "kind",
        *(f"{what}, N = {n:g}, {on}" for n in hours for on in drift for what in ("found", "false")),
    ]


def page(
    found: dict[str, dict[str, Score]], total: dict[str, dict[str, Score]], peers: list[list[str]]
) -> str:
    """The tables for the documentation."""
    some = next(iter(found.values()))["4 on"].people
    parts = [
        f"{some:,} people of each kind. *found*: of true visits, %; *false*: people with a false city, %.",
        "N = 4 h, the drift rule on and off:",
        _markdown(
            ["kind", "true visits", "found", "false", "found, no drift rule", "false, no drift rule"],
            [
                [name, f"{scores['4 on'].visits:,}", *_cells(scores["4 on"]), *_cells(scores["4 off"])]
                for name, scores in {
                    **found,
                    **{f"**all {name}**": each for name, each in total.items()},
                }.items()
            ],
        ),
        "Other N, the drift rule on:",
        _markdown(
            ["kind", *(f"{what}, N = {n}" for n in (1, 2, 8) for what in ("found", "false"))],
            rows(found, (1.0, 2.0, 8.0), ("on",)),
        ),
    ]
    if peers:
        parts += ["Beside trackintel, on the same traces, N = 4 h:", _markdown(traces.COLUMNS, peers)]
    return "\n\n".join(parts)


def _markdown(columns: list[str], lines: list[list[str]]) -> str:
    out = [columns, ["---", *["---:"] * (len(columns) - 1)], *lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in out)


def _known_peers() -> list[list[str]]:
    """What trackintel made of the traces in the last run that had it."""
    return [list(row.values()) for row in (results.load("stays") or {}).get("trackintel", [])]


@click.command()
@click.option("--quick", is_flag=True, help=f"{QUICK_PEOPLE} people of each kind, not one for every border.")
@click.option("--seed", default=1, show_default=True)
@click.option("--docs", is_flag=True, help="Write the tables into docs/stays.md.")
@click.option("--peer", type=click.Path(exists=True, path_type=Path), help="A Python that has trackintel.")
def main(*, quick: bool, seed: int, docs: bool, peer: Path | None) -> None:
    """Evaluate the stay rules on people of known truth."""
    ground = Ground(seed)
    count = QUICK_PEOPLE if quick else 0
    found = {
        kind.name: evaluate(ground, kind, count, seed)
        for kind in track(KINDS, "people", console=results.console, transient=True)
    }
    total = groups(found)
    for hours in HOURS:
        results.table(
            f"N = {hours:g} h, drift rule on and off, %",
            _columns((hours,), ("on", "off")),
            [*rows(found, (hours,), ("on", "off")), *rows(total, (hours,), ("on", "off"))],
        )
    peers = traces.compared(ground, peer, seed) if peer else _known_peers()
    if peers:
        results.table("beside trackintel, N = 4 h, %", traces.COLUMNS, peers)
    results.save(
        "stays",
        {
            "kinds": {
                name: {rule: score._asdict() for rule, score in each.items()} for name, each in found.items()
            },
            "groups": {
                name: {rule: score._asdict() for rule, score in each.items()} for name, each in total.items()
            },
            **(
                {"trackintel": [dict(zip(traces.COLUMNS, line, strict=True)) for line in peers]}
                if peers
                else {}
            ),
        },
        quick=quick,
    )
    if docs:
        text = PAGE.read_text(encoding="utf-8")
        before, _, rest = text.partition(BEGIN)
        after = rest.partition(END)[2]
        PAGE.write_text(f"{before}{BEGIN}\n\n{page(found, total, peers)}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
