"""`cxmyd conformance`: judges an ESME that binds to us by the specification."""

import asyncio
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console

from gateway.simulator.conformance import pcap, report
from gateway.simulator.conformance.runner import Result, Runner
from gateway.simulator.conformance.scenario import Scenario, load
from gateway.simulator.conformance.verdicts import Answering, Options, Timing, Verdict
from gateway.simulator.server import AddressError, address

_TIMES = Timing()


@click.command("conformance")
@click.option(
    "--smpp", default="127.0.0.1:2775", metavar="HOST:PORT", show_default=True, help="Where the ESME binds."
)
@click.option("--system-id", metavar="NAME", help="What the ESME must bind as. [default: any]")
@click.option("--password", metavar="TEXT", help="The password it must give. [default: any]")
@click.option(
    "--bind",
    type=click.Choice(["transceiver", "transmitter+receiver", "transmitter", "receiver"]),
    default="transceiver",
    show_default=True,
    help="How the ESME binds.",
)
@click.option(
    "--binds",
    default=None,
    type=click.IntRange(1),
    metavar="N",
    help="How many connections it keeps. [1 or 2]",
)
@click.option(
    "--mo",
    type=(str, str, str),
    metavar="FROM TO TEXT",
    help="A text that the ESME answers with a submit_sm to FROM; ### in FROM and TEXT is a counter.",
)
@click.option("--window", default=0, metavar="N", help="The ESME's window of submit_sm. [default: unknown]")
@click.option(
    "--wait",
    default=Options.first_bind_s,
    metavar="S",
    show_default=True,
    help="So long for the ESME to bind at all.",
)
@click.option("--only", multiple=True, metavar="GLOB", help="Scenarios or groups to play; may be repeated.")
@click.option("--strict", is_flag=True, help="What the specification recommends is required, too.")
@click.option("--list", "listing", is_flag=True, help="Show the scenarios and end.")
@click.option("--junit", type=click.Path(path_type=Path), metavar="FILE", help="Write JUnit XML.")
@click.option("--json", "json_", type=click.Path(path_type=Path), metavar="FILE", help="Write JSON.")
@click.option("--pcap", "capture", type=click.Path(path_type=Path), metavar="FILE", help="Write a capture.")
@click.option(
    "--response", default=_TIMES.response_s, metavar="S", show_default=True, help="The ESME answers within."
)
@click.option(
    "--response-timeout",
    default=_TIMES.response_timeout_s,
    metavar="S",
    show_default=True,
    help="The ESME waits so long for our responses.",
)
@click.option(
    "--enquire-link",
    default=_TIMES.enquire_link_s,
    metavar="S",
    show_default=True,
    help="After so much silence the ESME asks.",
)
@click.option(
    "--enquire-timeout",
    default=_TIMES.enquire_timeout_s,
    metavar="S",
    show_default=True,
    help="So long it waits for the answer.",
)
@click.option(
    "--session-init",
    default=_TIMES.session_init_s,
    metavar="S",
    show_default=True,
    help="So long it waits for a bind_resp.",
)
@click.option(
    "--reconnect",
    default=_TIMES.reconnect_s,
    metavar="S",
    show_default=True,
    help="The ESME's longest pause before it connects again.",
)
@click.option(
    "--quiet-for",
    default=_TIMES.quiet_s,
    metavar="S",
    show_default=True,
    help="How long to look for what must not come.",
)
def conformance(
    smpp: str,
    *,
    system_id: str | None,
    password: str | None,
    bind: str,
    binds: int | None,
    mo: tuple[str, str, str] | None,
    window: int,
    wait: float,
    only: tuple[str, ...],
    strict: bool,
    listing: bool,
    junit: Path | None,
    json_: Path | None,
    capture: Path | None,
    response: float,
    response_timeout: float,
    enquire_link: float,
    enquire_timeout: float,
    session_init: float,
    reconnect: float,
    quiet_for: float,
) -> None:
    """Judge an ESME by the SMPP specification: let it bind here, and keep binding by itself."""
    scenarios = load(only)
    if not scenarios:
        raise click.BadParameter(f"no scenario is called {', '.join(only)}", param_hint="--only")
    if listing:
        _list(scenarios)
        return
    try:
        host, port = address(smpp, "--smpp")
    except AddressError as error:
        raise click.UsageError(str(error)) from None
    times = Timing(
        response, response_timeout, enquire_link, enquire_timeout, session_init, reconnect, quiet_for
    )
    options = Options(
        host,
        port,
        system_id,
        password,
        bind,
        binds or (2 if "+" in bind else 1),
        window,
        wait,
        times,
        Answering(*mo, True) if mo else Answering(),
    )
    teller = _Teller(len(scenarios), smpp)
    runner = Runner(options, scenarios, teller)
    try:
        with teller.status:
            results = asyncio.run(runner.run())
    finally:  # also when it is interrupted: what was found is worth having
        began_at = datetime.fromtimestamp(runner.lab.record.began_at, UTC).isoformat(timespec="seconds")
        if junit:
            report.write_junit(junit, runner.results)
        if json_:
            report.write_json(json_, runner.results, began_at, asdict(options) | {"password": None})
        if capture:
            pcap.write(runner.lab.record, runner.lab.port, capture)
    teller.conclude(results)
    sys.exit(0 if report.passed(results, strict=strict) else 1)


class _Teller:
    """Prints each result as it comes, and what has to be known of those that did not pass."""

    def __init__(self, total: int, smpp: str) -> None:
        self._console = Console(highlight=False)
        self._total = total
        self._done = 0
        self._told = ""
        waiting = f"waiting for the ESME to bind at {smpp}"
        self.status = self._console.status(waiting)  # shown on a terminal only
        if not self._console.is_terminal:
            self._console.print(waiting)

    def conclude(self, results: list[Result]) -> None:
        self._console.print(report.by_group(results))
        self._console.print(report.summary(results))

    def __call__(self, news: Scenario | Result) -> None:
        if isinstance(news, Scenario):
            self.status.update(news.name)
            return
        self._done += 1
        sign, style = report.STYLES[news.verdict]
        self._console.print(
            f"[{style}]{sign}[/] {self._done:3}/{self._total} {news.scenario.name} "
            f"[dim]{news.seconds:.1f} s[/]"
        )
        fine = news.verdict in (Verdict.PASSED, Verdict.NOT_APPLICABLE)
        if not fine and news.reason != self._told:  # an ESME that is gone is told of once
            self._told = news.reason
            self._console.print(report.details(news), soft_wrap=True)


def _list(scenarios: list[Scenario]) -> None:
    console = Console(highlight=False)
    for scenario in scenarios:
        console.print(f"[bold]{scenario.name}[/] ({scenario.level.value}; {scenario.reference})")
        console.print(f"  {scenario.rule}", markup=False)
