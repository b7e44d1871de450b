"""The sections of the gateway's configuration: every key, its type, its limits and its default.

Invariant: a value that leaves here is valid by itself; what needs a look at other keys or other files is in
`gateway.config.checks`. Secrets are kept out of every `repr`. Built by `gateway.config.loading` only.

Units are in the names: `*_s` seconds, `*_h` hours. Paths are absolute: they are taken relative to the file
that names them (its folder is passed as the validation context `{"base": Path}`).
"""

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo

REDIS_SCHEMES = ("redis://", "rediss://", "redis+cluster://", "unix:///")


class Section(BaseModel):
    """A table of the file: frozen, strict in its types, closed to unknown keys."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", hide_input_in_errors=True)


def _relative_to_file(value: Any, info: ValidationInfo) -> Any:
    if not isinstance(value, (str, Path)):
        raise ValueError("must be a path, as a string")
    if not str(value) or "\0" in str(value):
        raise ValueError("must be a path, not empty")
    base: Path = info.context["base"] if info.context else Path()
    return base / Path(value).expanduser()


def _matching(pattern: str, message: str) -> AfterValidator:
    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(message)
        return value

    return AfterValidator(check)


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _network(value: Any) -> Any:
    try:
        return ipaddress.ip_network(value)
    except ValueError as error:
        raise ValueError(f"must be an address or a network such as 10.0.0.0/8 ({error})") from None


def _octets(limit: int, section: str) -> AfterValidator:
    """A C-octet string of SMPP: ASCII, no NUL, at most `limit` characters."""

    def check(value: str) -> str:
        if len(value) > limit or not value.isascii() or not value.isprintable():
            raise ValueError(
                f"must be at most {limit} printable ASCII characters (SMPP 3.4 section {section})"
            )
        return value

    return AfterValidator(check)


def _redis_url(url: str) -> str:
    if url == "embedded":
        return url
    if not url.startswith(REDIS_SCHEMES):
        raise ValueError(
            "must be redis://host:port/db, rediss://host:port/db, unix:///path/to/socket, "
            'redis+cluster://host:port,host:port or "embedded"'
        )
    nodes = url.partition("://")[2].partition("/")[0].rpartition("@")[2]
    if not url.startswith("unix:") and not all(_is_node(node) for node in nodes.split(",")):
        raise ValueError("must name each node as host or host:port, the port between 1 and 65535")
    return url


def _is_node(node: str) -> bool:
    try:
        parts = urlsplit(f"//{node}")
        return bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False


def _host_port(value: str) -> str:
    host, colon, port = value.rpartition(":")
    if not colon or not host or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise ValueError('must be host:port, such as "127.0.0.1:9180", the port at most 65535')
    return value


def _data_codings(alphabets: dict[str, str]) -> dict[str, str]:
    for value in alphabets:
        if not re.fullmatch(r"0|[1-9][0-9]{0,2}", value) or int(value) > 255:
            raise ValueError(f'"{value}" is no data_coding: give 1 to 255 as a decimal number, such as "15"')
        if value == "0":
            raise ValueError('what "0" means is default_alphabet')
    return alphabets


def _time_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError('must be a time zone of the IANA database, such as "Asia/Shanghai"') from None
    return name


def _kafka_properties(
    properties: dict[str, str | int | float | bool],
) -> dict[str, str | int | float | bool]:
    for name in properties:
        if name in _NOT_FOR_PROPERTIES or name.startswith("enable.auto."):
            raise ValueError(
                f"{name} is not set here: {_NOT_FOR_PROPERTIES.get(name, 'ingest needs its own')}"
            )
    return properties


_NOT_FOR_PROPERTIES = {
    "bootstrap.servers": "use brokers",
    "metadata.broker.list": "use brokers",
    "group.id": "use group",
    "sasl.username": "use username",
    "sasl.password": "use password or password_file",
    "ssl.key.password": "use key_password or key_password_file",
}

Name = Annotated[
    str, _matching(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", "must be letters, digits, dots, dashes, at most 64")
]
Host = Annotated[
    str, _matching(r"[A-Za-z0-9._:%-]{1,253}", "must be a host name or an address, without a port")
]
Port = Annotated[int, Field(ge=1, le=65535)]
ListenPort = Annotated[int, Field(ge=0, le=65535, description="0 takes a free one")]
Seconds = Annotated[float, Field(gt=0, le=7 * 86_400, allow_inf_nan=False)]
ConfigPath = Annotated[Path, BeforeValidator(_relative_to_file)]
SystemId = Annotated[str, Field(min_length=1), _octets(15, "5.2.1")]
SystemType = Annotated[str, _octets(12, "5.2.3")]
Password = Annotated[str, Field(repr=False), _octets(8, "5.2.2")]
Network = Annotated[ipaddress.IPv4Network | ipaddress.IPv6Network, BeforeValidator(_network)]
Networks = Annotated[tuple[Network, ...], BeforeValidator(_tuple)]
Country = Annotated[str, _matching(r"[A-Z]{2}", 'must be an ISO 3166-1 alpha-2 code, such as "CN"')]
ShortCode = Annotated[str, _matching(r"[0-9]{3,20}", 'must be 3 to 20 digits, such as "10086"')]
TimeZone = Annotated[str, AfterValidator(_time_zone)]
VersionName = Literal["3.3", "3.4", "5.0"]
AlphabetName = Literal["gsm", "gsm-packed", "ascii", "latin-1", "ucs2", "gbk", "utf-8"]


class Redis(Section):
    """`[redis]`: where state and histories live."""

    url: Annotated[str, AfterValidator(_redis_url)] = Field(default="redis://127.0.0.1:6379/0", repr=False)
    url_file: ConfigPath | None = None
    password: str = Field(default="", repr=False)  # put into `url` when the file is loaded
    password_file: ConfigPath | None = None

    @property
    def shown_url(self) -> str:
        """The URL without its password, fit for logs and tables."""
        return re.sub(r"(://[^/@]*):[^@]*@", r"\1:***@", self.url)


class Keys(Section):
    """`[keys]`: the root secret of all pseudonyms."""

    file: ConfigPath = Field(default=Path("var/keys.json"), validate_default=True)


class Data(Section):
    """`[data]`: whatever is kept in files."""

    dir: ConfigPath = Field(default=Path("var"), validate_default=True)


class StoreSettings(Section):
    """`[store]`: the shape of the location store, fixed once there is data; how ingest writes into it."""

    partitions: int = Field(default=1024, ge=1, le=16384)
    expected_subscribers: int = Field(default=1_000_000, ge=1, le=10_000_000_000)
    lateness_h: float = Field(default=2.0, ge=0, le=24, allow_inf_nan=False)
    wait_replicas: int = Field(default=0, ge=0, le=10)
    wait_ms: int = Field(default=1000, ge=1, le=60_000)  # not 0, which to WAIT means for ever


class Kafka(Section):
    """`[ingest.kafka]`: the topic that `cxmyd ingest --kafka` reads."""

    brokers: Annotated[str, Field(min_length=1)]  # host:port,host:port
    topic: Annotated[str, Field(min_length=1, max_length=249)]
    group: Annotated[str, Field(min_length=1, max_length=255)] = "cxmyd"
    username: str = ""
    password: str = Field(default="", repr=False)
    password_file: ConfigPath | None = None
    key_password: str = Field(default="", repr=False)  # of the file in the property ssl.key.location
    key_password_file: ConfigPath | None = None
    # librdkafka's own, "security.protocol" and the like
    properties: Annotated[dict[str, str | int | float | bool], AfterValidator(_kafka_properties)] = Field(
        default={}, repr=False
    )

    @property
    def all_properties(self) -> dict[str, str | int | float | bool]:
        """`properties` with user and passwords under librdkafka's names."""
        named = {
            "sasl.username": self.username,
            "sasl.password": self.password,
            "ssl.key.password": self.key_password,
        }
        return {**self.properties, **{name: value for name, value in named.items() if value}}


class Ingest(Section):
    """`[ingest]`: how `cxmyd ingest` works off what has no end: folders, streams, Kafka."""

    flush_rows: int = Field(default=8_000_000, ge=1, le=1_000_000_000)
    flush_s: Seconds = 5.0
    takeover_s: Seconds = 30.0
    settle_s: Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)] = 2.0
    tries: int = Field(default=5, ge=2, le=100)
    trim_streams: bool = False
    kafka: Kafka | None = None


class Park(Section):
    """`[park]`: queries whose answer has to wait."""

    after_s: Seconds = 1.0
    answer_ttl_s: Seconds = 3600.0
    limit: int = Field(default=100_000, ge=0, le=1_000_000_000)  # of each carrier; 0: any number
    wait_replicas: int = Field(default=0, ge=0, le=10)
    wait_aof: int = Field(default=0, ge=0, le=1)  # 1: on the disk of the node itself
    wait_ms: int = Field(default=1000, ge=1, le=60_000)


class Dedup(Section):
    """`[dedup]`: what counts as a redelivery of the SMSC."""

    window_s: Seconds = 30.0


class Http(Section):
    """`[http]`: metrics, health and status."""

    listen: Annotated[str, AfterValidator(_host_port)] = "127.0.0.1:9180"

    @property
    def host(self) -> str:
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        return int(self.listen.rpartition(":")[2])


class Drain(Section):
    """`[drain]`: how long SIGTERM waits for what is in flight."""

    timeout_s: Seconds = 10.0


class Audit(Section):
    """`[audit]`: who looked at whom, and why."""

    file: ConfigPath | None = None  # `audit.jsonl` in the data folder unless it is given


class ClientTls(Section):
    """`tls` of an `[[smsc]]`: verified by `ca`, or by the system's authorities without it."""

    ca: ConfigPath | None = None
    cert: ConfigPath | None = None
    key: ConfigPath | None = None
    server_name: Host | None = None  # asked for (SNI) and verified, where it is not `host`


class ServerTls(Section):
    """`tls` of a `[[listen]]`: our certificate; with `ca`, clients must show one as well."""

    cert: ConfigPath
    key: ConfigPath
    ca: ConfigPath | None = None


class Timers(Section):
    """What both roles agree with a peer: the version, the timers of a session (SMPP 3.4 section 7.2)."""

    version: VersionName = "3.4"  # offered to an SMSC; the highest that a listener accepts
    enquire_link_s: Seconds = 30.0
    enquire_timeout_s: Seconds = 10.0
    response_timeout_s: Seconds = 30.0
    session_init_s: Seconds = 10.0
    window: int = Field(default=100, ge=1, le=10_000)
    default_alphabet: AlphabetName = "gsm"  # what data_coding 0 means on this link
    data_codings: Annotated[dict[str, AlphabetName], AfterValidator(_data_codings)] = {}  # and other values
    long_messages: Literal["udh-8", "udh-16", "sar", "payload"] = "udh-8"  # how long answers leave


class Smsc(Timers):
    """`[[smsc]]`: an SMSC we bind to, or, with `bind = "outbind"`, that calls us at `host`:`port`."""

    name: Name
    host: Host = "127.0.0.1"
    port: Port = 2775
    system_id: SystemId
    password: Password = ""
    password_file: ConfigPath | None = None
    system_type: SystemType = ""
    bind: Literal["transceiver", "transmitter+receiver", "outbind"] = "transceiver"
    binds: int = Field(default=1, ge=1, le=200)
    carrier: Name
    reconnect_max_s: Seconds = 60.0
    rate_per_s: float = Field(
        default=0.0, ge=0, le=1e6, allow_inf_nan=False
    )  # PDUs; 0: as fast as the window lets us
    receipts: bool = True  # asked for, for each part of an answer
    tls: ClientTls | None = None
    # With `outbind` whoever says it is told our password: only these may.
    allow: Networks = (
        ipaddress.ip_network("127.0.0.0/8"),
        ipaddress.ip_network("::1/128"),
    )


class Client(Section):
    """One of a listener's `clients`: a peer that may bind to us."""

    system_id: SystemId
    password: Password = ""
    password_file: ConfigPath | None = None
    carrier: Name
    allow: Networks = ()  # nobody is kept out when empty


class Listen(Timers):
    """`[[listen]]`: a port where peers bind to us."""

    host: Host = "127.0.0.1"
    port: ListenPort = 2776
    clients: Annotated[tuple[Client, ...], BeforeValidator(_tuple), Field(min_length=1)]
    tls: ServerTls | None = None
    allow: Networks = ()  # of the whole port; nobody is kept out when empty
    connections: int = Field(default=1000, ge=1, le=100_000)  # open at a time
    failed_binds: int = Field(default=5, ge=0, le=1000)  # of one address, within:
    failed_binds_s: Seconds = 60.0
    proxy_protocol: Networks = ()  # proxies that we believe who their peer is


class CarrierSettings(Section):
    """A carrier's file, `carriers/NAME.toml`, after the overrides of `[carrier.NAME]`."""

    numbers: Annotated[tuple[ShortCode, ...], BeforeValidator(_tuple)] = ()
    dialog: Literal["prompt-for-id", "id-inline", "id-inline-then-confirm", "none"]
    window_days: int = Field(default=14, ge=1, le=30)
    through: Literal["yesterday", "now"] = "yesterday"
    stay_hours: float = Field(default=4.0, gt=0, le=24, allow_inf_nan=False)
    stay_rule: Literal["continuous", "daily-span"] = "continuous"
    queries_per_day: int = Field(default=10, ge=0, le=100_000)
    prompt_valid_s: int = Field(default=600, ge=1, le=86_400)
    signature: str = Field(default="", max_length=20)
    signature_en: str = Field(default="", max_length=20)
    languages: Annotated[tuple[Literal["zh", "en"], ...], BeforeValidator(_tuple), Field(min_length=1)] = (
        "zh",
        "en",
    )
    timezone: TimeZone = "Asia/Shanghai"
    tries_per_day: int = Field(default=3, ge=1, le=100)
    tries_per_30_days: int = Field(default=10, ge=0, le=1000)  # 0: no limit
    help_interval_s: int = Field(default=60, ge=0, le=86_400)
    loop_answers: int = Field(default=30, ge=1, le=100_000)
    loop_window_s: int = Field(default=600, ge=1, le=86_400)
    park_limit: Annotated[int, Field(ge=0, le=1_000_000_000)] | None = None  # that of [park] unless given


class Settings(Section):
    """The whole file."""

    default_country: Country = "CN"
    redis: Redis = Redis()
    keys: Keys
    data: Data
    store: StoreSettings = StoreSettings()
    ingest: Ingest = Ingest()
    park: Park = Park()
    dedup: Dedup = Dedup()
    http: Http = Http()
    drain: Drain = Drain()
    audit: Audit = Audit()
    smsc: Annotated[tuple[Smsc, ...], BeforeValidator(_tuple)] = ()
    listen: Annotated[tuple[Listen, ...], BeforeValidator(_tuple)] = ()
    carrier: dict[str, dict[str, Any]] = Field(default_factory=dict)  # checked with the carriers' own files


TABLES: dict[str, type[Section]] = {
    "": Settings,
    "redis": Redis,
    "keys": Keys,
    "data": Data,
    "store": StoreSettings,
    "ingest": Ingest,
    "ingest.kafka": Kafka,
    "park": Park,
    "dedup": Dedup,
    "http": Http,
    "drain": Drain,
    "audit": Audit,
    "smsc": Smsc,
    "smsc.tls": ClientTls,
    "listen": Listen,
    "listen.tls": ServerTls,
    "listen.clients": Client,
    "carrier.NAME": CarrierSettings,
}
"""Every table by its path in the file."""
