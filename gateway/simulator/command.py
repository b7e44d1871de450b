"""`cxmyd smsc`: the simulated SMSC from the command line, until Ctrl-C or SIGTERM."""

import asyncio
import signal
from pathlib import Path

import click

from gateway.errors import GatewayError
from gateway.simulator.alphabets import DEFAULTS
from gateway.simulator.faults import UNASSIGNED_PREFIX
from gateway.simulator.server import AddressError, Simulator, address
from gateway.simulator.smsc import Rules

_VERSIONS = {"3.3": 0x33, "3.4": 0x34, "5.0": 0x50}


@click.command("smsc")
@click.option(
    "--smpp", default="127.0.0.1:2775", metavar="HOST:PORT", show_default=True, help="Where ESMEs bind."
)
@click.option(
    "--http",
    default="127.0.0.1:8080",
    metavar="HOST:PORT",
    show_default=True,
    help="Phone page and HTTP API.",
)
@click.option(
    "--phones", type=click.Path(path_type=Path), metavar="FILE", help="phones.json of `cxmyd sample`."
)
@click.option("--system-id", metavar="NAME", help="The only system_id that may bind. [default: any]")
@click.option("--password", metavar="TEXT", help="The password it must give. [default: any]")
@click.option(
    "--route",
    "routes",
    multiple=True,
    metavar="NUMBER=NAME",
    help="Texts to this number go to the ESME of this system_id only; may be repeated.",
)
@click.option(
    "--outbind",
    multiple=True,
    metavar="HOST:PORT",
    help="Connect to an ESME there and send it an outbind; may be repeated.",
)
@click.option(
    "--retry",
    "retry_s",
    default=1.0,
    metavar="SECONDS",
    show_default=True,
    help="Until a refused text is sent again.",
)
@click.option(
    "--window", default=10, metavar="N", show_default=True, help="deliver_sm in flight on one bind."
)
@click.option(
    "--smpp-version",
    "version",
    type=click.Choice(list(_VERSIONS)),
    default="3.4",
    show_default=True,
    help="The highest version spoken.",
)
@click.option(
    "--rate-per-s",
    type=click.FloatRange(min=0),
    default=0.0,
    metavar="N",
    help="submit_sm a second of one system_id; more are refused with ESME_RTHROTTLED. [default: any number]",
)
@click.option(
    "--submit-window",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="submit_sm of one bind that may wait for a response; more are throttled. [default: any number]",
)
@click.option(
    "--response",
    "response_s",
    type=click.FloatRange(min=0),
    default=0.0,
    metavar="SECONDS",
    show_default=True,
    help="Until a submit_sm is answered.",
)
@click.option(
    "--alphabet",
    type=click.Choice(list(DEFAULTS)),
    default="gsm",
    show_default=True,
    help="What data_coding 0 means.",
)
@click.option(
    "--faults-by-address",
    is_flag=False,
    flag_value=UNASSIGNED_PREFIX,
    metavar="[PREFIX]",
    help="Addresses that begin with PREFIX (999) order a fault by their last four characters.",
)
def smsc(
    smpp: str,
    http: str,
    *,
    phones: Path | None,
    system_id: str | None,
    password: str | None,
    routes: tuple[str, ...],
    outbind: tuple[str, ...],
    retry_s: float,
    window: int,
    version: str,
    rate_per_s: float,
    submit_window: int,
    response_s: float,
    alphabet: str,
    faults_by_address: str | None,
) -> None:
    """Run a simulated SMSC with a phone page, to text to a gateway without a carrier."""
    rules = Rules(
        system_id=system_id,
        password=password,
        routes=dict(_route(route) for route in routes),
        retry_s=retry_s,
        window=window,
        version=_VERSIONS[version],
        rate_per_s=rate_per_s,
        submit_window=submit_window,
        response_s=response_s,
        alphabet=alphabet,
        faults_by_address=faults_by_address,
    )
    try:
        peers = [(*address(peer, "--outbind"), system_id or "simulator", password or "") for peer in outbind]
        simulator = Simulator(smpp, http, phones=phones, outbind=peers, rules=rules)
        asyncio.run(_run(simulator))
    except AddressError as error:
        raise click.UsageError(str(error)) from None
    except GatewayError as error:
        raise click.ClickException(str(error)) from None


def _route(text: str) -> tuple[str, str]:
    number, separator, system_id = text.partition("=")
    if not (number and separator and system_id):
        raise click.BadParameter(f"{text}: must be NUMBER=NAME, such as 10086=mobile", param_hint="--route")
    return number, system_id


async def _run(simulator: Simulator) -> None:
    """Serve until SIGINT or SIGTERM; both leave nothing listening."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, stopped.set)
    await simulator.start()
    click.echo(f"SMPP on port {simulator.smpp_port}, phone page at {simulator.url}")
    await stopped.wait()
    await simulator.stop()
