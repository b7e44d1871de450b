"""`cxmyd status`: what the running gateway says of its links, rates and queues."""

import http.client
import json
from collections.abc import Sequence
from typing import Any

import click

from gateway.admin.context import open_config
from gateway.admin.options import config_option, json_option
from gateway.admin.output import print_json, print_table
from gateway.errors import GatewayError

TIMEOUT_S = 5.0
#: Columns for people; `--json` has all.
_COLUMNS = {
    "links": ("name", "bound", "in_flight", "rate_per_s", "throttled", "lost", "notes"),
    "listeners": ("address", "clients_bound", "lost", "turned_away", "notes"),
}
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - an address to ask, none to bind


@click.command()
@config_option
@json_option
@click.pass_context
def status(ctx: click.Context, as_json: bool) -> None:
    """Links, rates and queues of the running gateway."""
    config = open_config(ctx)
    answer = _ask(_EVERYWHERE.get(config.http.host, config.http.host), config.http.port)
    if as_json:
        print_json(answer)
        return
    for link in answer.get("links", ()):
        link["bound"] = f"{link['bound']}/{link['wanted']}"
    single = {key: value for key, value in answer.items() if not isinstance(value, (dict, list))}
    _print("gateway", single)
    for title, value in answer.items():
        if title not in single:
            _print(title, value, _COLUMNS.get(title))
    if answer.get("sweep", {}).get("overdue"):
        click.echo("cxmyd: warning: nothing has swept the store for a day: run `cxmyd sweep`", err=True)


def _ask(host: str, port: int) -> dict[str, Any]:
    """The gateway's /status. Raises GatewayError where none answers."""
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    where = f"http://{host}:{port}/status"
    try:
        connection.request("GET", "/status", headers={"Accept": "application/json"})
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise GatewayError(f"no gateway answers at {where} ({error}): is `cxmyd serve` running?") from error
    finally:
        connection.close()
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    if response.status != http.client.OK or not isinstance(answer, dict):
        raise GatewayError(f"{where} answers {response.status} and no status: something else listens there")
    return answer


def _print(title: str, value: Any, columns: Sequence[str] | None = None) -> None:
    """A list of objects as a table of its own, an object as a table of names and values."""
    if isinstance(value, dict):
        if value:
            print_table(title, ("", ""), [(_heading(name), _flat(item)) for name, item in value.items()])
    elif value and all(isinstance(item, dict) for item in value):
        columns = columns or list(dict.fromkeys(name for item in value for name in item))
        rows = [[_flat(item.get(name)) for name in columns] for item in value]
        print_table(title, [_heading(name) for name in columns], rows)
    elif value:
        print_table(title, ("",), [(item,) for item in value])


def _heading(name: str) -> str:
    return name.replace("_per_s", "/s").replace("_", " ")


def _flat(value: Any) -> Any:
    if isinstance(value, dict):
        return ", ".join(f"{k} {v}" for k, v in value.items())
    return "; ".join(value) if isinstance(value, list) else value
