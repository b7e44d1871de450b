"""The demo's configuration file: one gateway, bound to one simulated SMSC for each of the three carriers.

Called by `command`; written as a user would write it, to be read, copied and used with `cxmyd -c`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from gateway.demo.ports import HOST

CARRIERS = {
    "mobile": ("china-mobile", "10086"),
    "unicom": ("china-unicom", "10010"),
    "telecom": ("china-telecom", "10001"),
}


class Ports(NamedTuple):
    """Those the demo listens on, with the numbers it likes best; the engine needs none."""

    smpp: int = 2775
    page: int = 8080
    http: int = 9180


def write(folder: Path, redis_url: str, ports: Ports) -> Path:
    """Write `gateway.toml` into `folder`, closed to others: a redis_url may hold a password."""
    sections = [
        f"[redis]\nurl = {json.dumps(redis_url)}\n",
        '[keys]\nfile = "keys.json"\n',
        '[data]\ndir = "data"\n',
        f'[http]\nlisten = "{HOST}:{ports.http}"\n',
    ]
    for system_id, (carrier, _) in CARRIERS.items():
        sections.append(
            f'[[smsc]]\nname = "{system_id}"\nhost = "{HOST}"\nport = {ports.smpp}\n'
            f'system_id = "{system_id}"\npassword = "demo"\ncarrier = "{carrier}"\n'
        )
    path = folder / "gateway.toml"
    path.touch(mode=0o600)
    path.write_text("\n".join(sections), encoding="utf-8")
    return path


def smsc_arguments(ports: Ports, phones: Path) -> list[str]:
    """`cxmyd smsc` with the routes of the three carriers."""
    routes = [f"{number}={system_id}" for system_id, (_, number) in CARRIERS.items()]
    arguments = ["smsc", "--smpp", f"{HOST}:{ports.smpp}", "--http", f"{HOST}:{ports.page}"]
    arguments += ["--password", "demo", "--phones", str(phones)]
    return arguments + [word for route in routes for word in ("--route", route)]
