"""Where a message's time goes: CPU of the gateway for an answer, told apart by stages, and a flame graph.

The gateway works under a closed loop, once by itself (its CPU for an answer), once with py-spy sampling its
stack (the shares). Sampling slows all stages alike. With `--before` another build is measured beside it. What
is compiled has no Python frames, so its time is that of the interpreted caller: measure plain builds. `make
bench-stages` calls it.
"""

import re
import shlex
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Final

import click

from bench.compare import docs
from bench.compare.contenders import CXMYD, INLINE, NONE, Contender, Dialog, Site, ours
from bench.compare.measure import Numbers, load
from bench.compare.store import fill, server
from bench.stages.where import OTHER, shares
from bench.store import results

MESSAGES: Final = 60_000
SAMPLED_MESSAGES: Final = 120_000
SUBSCRIBERS: Final = 250_000
ROUNDS: Final = 3
TITLE: Final = "The gateway under load, by function and line"
#: Else it is py-spy's command, with the paths of whoever ran it.
_TITLE: Final = re.compile(r'(<text id="title"[^>]*>)[^<]*(</text>)')
FLAMES: Final = docs.DOCS / "pictures" / "flames.svg"


@click.command(context_settings={"show_default": True})
@click.option("--cxmyd", default=CXMYD, help="Ours, as it is started.")
@click.option("--before", help="An older build of ours, to be measured beside it.")
@click.option("--inline", is_flag=True, help="The dialog id-inline in the place of none.")
@click.option("--docs", "into_docs", is_flag=True, help="Into docs/performance.md and its picture.")
def main(*, cxmyd: str, before: str | None, inline: bool, into_docs: bool) -> None:
    """Microseconds of CPU for an answer, by stage."""
    programs = {"now": shlex.split(cxmyd)} | ({"before": shlex.split(before)} if before else {})
    dialog = INLINE if inline else NONE
    budgets: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="cxmyd-bench-") as name, server(Path(name)) as (port, pid):
        site, numbers = Site.on(Path(name), port, SUBSCRIBERS), Numbers(SUBSCRIBERS)
        fill(site, programs["now"], texts=False)
        for title, program in programs.items():
            budgets[title] = _budget(site, pid, numbers, dialog, program)
        if into_docs:
            sampled = _sampled(site, dialog, programs["now"], FLAMES, "flamegraph")
            load(site, [pid], sampled, *numbers.take(sampled, sampled.messages))
            drawn = FLAMES.read_text(encoding="utf-8")
            FLAMES.write_text(_TITLE.sub(rf"\1{TITLE}\2", drawn), encoding="utf-8")
    rows = _rows(budgets)
    results.table("µs of CPU for an answer", ["stage", *budgets], rows)
    results.save("stages", {"dialog": dialog.name, "budgets": budgets}, quick=False)
    if into_docs:
        docs.replace(docs.PAGE, "stages", docs.markdown(["stage", *(f"{t}, µs" for t in budgets)], rows))


def _budget(
    site: Site, redis_pid: int, numbers: Numbers, dialog: Dialog, program: list[str]
) -> dict[str, float]:
    plain = replace(ours(site, dialog, program), messages=MESSAGES)
    cpu_us = min(
        load(site, [redis_pid], plain, *numbers.take(plain, plain.messages)).cpu_us for _ in range(ROUNDS)
    )
    raw = site.folder / "stacks.txt"
    sampled = _sampled(site, dialog, program, raw, "raw")
    load(site, [redis_pid], sampled, *numbers.take(sampled, sampled.messages))
    found = shares(raw.read_text(encoding="utf-8").splitlines())
    return {stage: cpu_us * share for stage, share in found.items()}


def _sampled(site: Site, dialog: Dialog, program: list[str], out: Path, form: str) -> Contender:
    wrapped = [sys.executable, "-m", "bench.stages.sampled", str(out), form, *program]
    return replace(ours(site, dialog, wrapped), messages=SAMPLED_MESSAGES)


def _rows(budgets: dict[str, dict[str, float]]) -> list[list[str]]:
    """The stages of the newest, the most expensive first, and the sum."""
    now = budgets["now"]
    names = [stage for stage in now if stage != OTHER] + [OTHER]
    names += [stage for each in budgets.values() for stage in each if stage not in now]
    rows = [
        [name, *(f"{each.get(name, 0.0):.1f}" for each in budgets.values())] for name in dict.fromkeys(names)
    ]
    return [*rows, ["**sum**", *(f"**{sum(each.values()):.1f}**" for each in budgets.values())]]


if __name__ == "__main__":
    main()
