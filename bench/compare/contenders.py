"""Who is measured: how each is started, what is written to it, and what it must answer.

Called by the benches.
"""

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

from bench.cluster.nodes import free_ports

BENCH: Final = Path(__file__).parents[1]
LOADSMSC: Final = BENCH / "loadsmsc"
PEERS: Final = BENCH / "peers"
CXMYD: Final = str(Path(sys.executable).with_name("cxmyd"))
CITY: Final = "北京市"
ID_LAST4: Final = "1234"
NULL_TWISTED: Final = "null, Twisted"
NPM: Final = "npm smpp + redis"
BINDS: Final = 10
KANNEL_PATH: Final = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/lib/kannel"

CONFIG: Final = """
[redis]
url = "{redis}"
[keys]
file = "{keys}"
[data]
dir = "{data}"
[store]
expected_subscribers = {subscribers}
[http]
listen = "127.0.0.1:{http}"
[[smsc]]
name = "load"
port = {smpp}
system_id = "cxmyd"
password = "secret"
carrier = "{carrier}"
binds = {binds}
reconnect_max_s = 0.2
[carrier.{carrier}]
numbers = ["10086"]
queries_per_day = 1000
"""
KANNEL: Final = """
group = core
admin-port = {admin}
admin-password = bench
smsbox-port = {box}
box-allow-ip = 127.0.0.1
log-level = 3

group = smsc
smsc = smpp
smsc-id = load
host = 127.0.0.1
port = {smpp}
transceiver-mode = true
smsc-username = kannel
smsc-password = pw
system-type = ""
max-pending-submits = 1000
reconnect-delay = 1

group = smsbox
bearerbox-host = 127.0.0.1
sendsms-port = {send}
max-pending-requests = 1000
log-level = 3

group = sms-service
keyword = CXMYD
get-url = "http://127.0.0.1:{http}/q?from=%p"
max-messages = 1
"""


class Site(NamedTuple):
    """Where everything is: a folder for files, ports, and the store's URL and port."""

    folder: Path
    smpp: int
    http: int
    redis_port: int
    redis_url: str
    subscribers: int

    @classmethod
    def on(cls, folder: Path, redis_port: int, subscribers: int, redis_url: str = "") -> "Site":
        """`redis_url`: where the store is not that of `redis_port` alone."""
        smpp, http = free_ports(2)
        url = redis_url or f"redis://127.0.0.1:{redis_port}/0"
        return cls(folder, smpp, http, redis_port, url, subscribers)


@dataclass(frozen=True)
class Contender:
    """`commands`: its processes. `messages`: of a closed loop of some seconds. `texts`: what a subscriber
    writes; `expects`: what each answer must contain, %m is its recipient. `common`: what all answers have in
    common, for a judge that cannot tell lines apart. `port`: what the first process listens on before the
    next one is started.
    """

    name: str
    commands: Sequence[Sequence[str]]
    messages: int
    texts: Sequence[str] = ("CXMYD",)
    expects: Sequence[str] = ()
    common: str = ""
    binds: int = 1
    port: int = 0

    @property
    def is_ours(self) -> bool:
        return self.name.startswith("cxmyd")


class Dialog(NamedTuple):
    """One of ours: the carrier's profile, and a conversation with it."""

    name: str
    carrier: str
    texts: Sequence[str]
    expects: Sequence[str]
    common: str


NONE: Final = Dialog("none", "plain", ["CXMYD"], [CITY], CITY)
INLINE: Final = Dialog("id-inline", "china-unicom", [f"CXMYD#{ID_LAST4}"], [CITY], CITY)
PROMPT: Final = Dialog(
    "prompt-for-id", "china-mobile", ["CXMYD", ID_LAST4], ["证件号码的后四位", CITY], "【中国移动】"
)


def program(words: str) -> list[str]:
    """A command line of ours, so that it can be started from any folder."""
    first, *rest = shlex.split(words)
    found = shutil.which(first)
    if found is None:
        raise SystemExit(f"{first}: there is no such command")
    return [str(Path(found).absolute()), *rest]


def everybody(site: Site, programs: dict[str, list[str]]) -> list[Contender]:
    """`programs`: ours, by what their rows are called."""
    rows = [null_c(site), null_twisted(site), null_uvloop(site), npm(site), npm(site, BINDS), smpplib(site)]
    if kannel := kannel_if_installed(site):
        rows.append(kannel)
    for title, program in programs.items():
        for binds in (1, BINDS):
            rows += [ours(site, each, program, title=title, binds=binds) for each in (NONE, INLINE, PROMPT)]
    # on the same cores as load and Redis they say little: bench.scale has their cost
    title, program = list(programs.items())[-1]
    return [*rows, ours(site, NONE, program, title=title, workers=2)]


def null_c(site: Site) -> Contender:
    return Contender("null, C", [[str(LOADSMSC / "nullgw"), "127.0.0.1", str(site.smpp)]], 400_000)


def null_twisted(site: Site) -> Contender:
    command = [sys.executable, str(LOADSMSC / "nullgw_twisted.py"), "127.0.0.1", str(site.smpp)]
    return Contender(NULL_TWISTED, [command], 300_000)


def null_uvloop(site: Site) -> Contender:
    command = [sys.executable, str(LOADSMSC / "nullgw_uvloop.py"), "127.0.0.1", str(site.smpp)]
    return Contender("null, uvloop", [command], 300_000)


def npm(site: Site, binds: int = 1) -> Contender:
    """One process, all binds in it."""
    script = str(PEERS / "node" / "gateway.js")
    command = ["node", script, str(site.smpp), str(site.redis_port), str(binds)]
    name = NPM + _with_binds(binds)
    return Contender(name, [command], 40_000, expects=["%m"], common="%m", binds=binds)


def smpplib(site: Site) -> Contender:
    script = str(PEERS / "smpplib" / "gateway.py")
    command = [sys.executable, script, str(site.smpp), str(site.redis_port)]
    return Contender("smpplib + redis", [command], 12_000, expects=["%m"], common="%m")


def kannel_if_installed(site: Site) -> Contender | None:
    """bearerbox, smsbox and an HTTP application."""
    boxes = [shutil.which(name, path=KANNEL_PATH) for name in ("bearerbox", "smsbox")]
    if None in boxes:
        return None
    admin, box, send, http = free_ports(4)
    config = site.folder / "kannel.conf"
    config.write_text(KANNEL.format(admin=admin, box=box, send=send, http=http, smpp=site.smpp))
    application = str(PEERS / "kannel" / "application.py")
    return Contender(
        "Kannel + HTTP",
        [
            # below panic: by themselves both write debug logs to stderr, and are half as fast
            *([str(program), "-v", "4", str(config)] for program in boxes),
            [sys.executable, application, str(http), str(site.redis_port)],
        ],
        12_000,
        expects=["%m"],
        common="%m",
        port=box,
    )


def ours(
    site: Site, dialog: Dialog, program: list[str], *, title: str = "cxmyd", workers: int = 1, binds: int = 1
) -> Contender:
    """`binds`: of each worker."""
    config = config_of(site, dialog, binds)
    serve = [*program, "-c", str(config), "serve", "--log-level", "error"]
    return Contender(
        f"{title}, {dialog.name}" + _with_binds(binds) + (f", {workers} workers" if workers > 1 else ""),
        [[*serve, "--workers", str(workers)] if workers > 1 else serve],
        50_000 // len(dialog.texts),
        dialog.texts,
        dialog.expects,
        dialog.common,
        workers * binds,
    )


def _with_binds(binds: int) -> str:
    return f", {binds} binds" if binds > 1 else ""


def config_of(site: Site, dialog: Dialog = NONE, binds: int = 1) -> Path:
    path = site.folder / f"{dialog.carrier}-{binds}.toml"
    path.write_text(
        CONFIG.format(
            redis=site.redis_url,
            keys=site.folder / "keys.json",
            data=site.folder / "data",
            http=site.http,
            smpp=site.smpp,
            carrier=dialog.carrier,
            binds=binds,
            subscribers=site.subscribers,
        )
    )
    return path


def shortened(contender: Contender, times: int) -> Contender:
    return replace(contender, messages=contender.messages // times)
