"""The gateway's configuration: what it accepts, what it says about mistakes."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import Config, load
from gateway.config.models import TABLES, CarrierSettings
from gateway.config.secrets import url_with_password
from gateway.dialog.carrier import Carrier
from gateway.errors import ConfigError, Problem, printable
from location_store.shipped import config_dir

SMSC = """
[[smsc]]
name = "mobile-1"
system_id = "cxmyd"
password = "secret"
carrier = "china-mobile"
"""
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a configuration and returns its path."""

    def write_(text: str, name: str = "gateway.toml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        return path

    return write_


def problems(path: Path) -> list[Problem]:
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert "\n" not in str(caught.value)
    return list(caught.value.problems)


def only_problem(path: Path) -> Problem:
    (problem,) = problems(path)
    return problem


def test_shipped_configuration_is_fit_for_use() -> None:
    """`cxmyd serve` works with config/gateway.toml as it stands, against an SMSC on this machine."""
    config = load(config_dir() / "gateway.toml")
    assert (config.smsc[0].host, config.smsc[0].port) == ("127.0.0.1", 2775)
    assert config.number_to_carrier["10086"].dialog == "prompt-for-id"
    assert config.warnings == ()


def test_empty_file_has_all_defaults(write: Write) -> None:
    """Every section may be left out; who serves with nothing to connect to is warned."""
    config = load(write(""))
    assert config.redis.url == "redis://127.0.0.1:6379/0"
    assert config.park.after_s == 1.0
    assert config.keys.file == config.path.parent / "var/keys.json"
    assert config.audit_file == config.path.parent / "var/audit.jsonl"
    assert "nobody to talk to" in str(config.warnings[0])


def test_paths_are_relative_to_the_file(write: Write, tmp_path: Path) -> None:
    """Not to the folder in which the command runs; absolute ones stay."""
    text = '[keys]\nfile = "k.json"\n[data]\ndir = "/srv/data"\n[audit]\nfile = "a.log"'
    config = load(write(text))
    assert config.keys.file == tmp_path / "k.json"
    assert config.data.dir == Path("/srv/data")
    assert config.audit_file == tmp_path / "a.log"


def test_contract_example_is_understood(write: Write) -> None:
    """The listening role and an override, as the contract writes them."""
    text = """
    [[listen]]
    host = "127.0.0.1"
    port = 2776
    clients = [{ system_id = "hub", password = "secret", carrier = "china-unicom", allow = ["127.0.0.1/32"] }]
    [carrier.china-unicom]
    stay_hours = 6
    """
    config = load(write(text))
    client = config.listen[0].clients[0]
    assert [str(network) for network in client.allow] == ["127.0.0.1/32"]
    assert config.carriers["china-unicom"].stay_hours == 6
    assert config.carriers_in_use == {"china-unicom"}
    assert set(config.number_to_carrier) == {"10010"}


@pytest.mark.parametrize(
    ("text", "key", "value", "mend"),
    [
        (
            "[bogus]\nx = 1",
            "bogus",
            "{ … }",
            "unknown table: remove it; the file takes default_country, redis,",
        ),
        ("[redsi]", "redsi", "{}", "unknown table; did you mean redis?"),
        ("[[bogus]]\nx = 1", "bogus", "[ … ]", "unknown table"),
        (
            "[park]\nhurry = 1",
            "park.hurry",
            "1",
            "unknown key: remove it; [park] takes after_s, answer_ttl_s",
        ),
        ("[carrier.nobody]\nstay_hours = 4", "carrier.nobody", "{ … }", "china-mobile, china-telecom,"),
        ("[carrier.nobody]", "carrier.nobody", "{}", "or add carriers/nobody.toml"),
        ('[carrier."a\\u001b"]', r"carrier.a\u001b", "{}", r"carriers/a\u001b.toml"),
    ],
)
def test_what_nobody_knows_is_shown_with_what_there_is(
    write: Write, text: str, key: str, value: str, mend: str
) -> None:
    """Tables and keys that no known one resembles: the value, and what could stand there."""
    (found,) = problems(write(text))
    assert (found.key, found.value) == (key, value)
    assert mend in found.mend


def test_limits_that_can_be_turned_off(write: Write) -> None:
    """No limit of tries in 30 days; a prompt valid for a second."""
    carrier = load(write("[carrier.plain]\ntries_per_30_days = 0\nprompt_valid_s = 1")).carriers["plain"]
    assert (carrier.tries_per_30_days, carrier.prompt_valid_s) == (0, 1)


def test_all_mistakes_are_named_at_once(write: Write) -> None:
    """Typos, types, limits and cross-references come in one list, each with key, value and mend."""
    text = """
    default_contry = "CN"
    [redis]
    url = "mysql://x"
    [park]
    after_s = "1"
    [[smsc]]
    name = "a"
    port = 99999
    bind = "transciever"
    system_id = "s"
    carrier = "china-mobil"
    [[smsc]]
    name = "a"
    system_id = "s"
    carrier = "china-unicom"
    [carrier.china-unicom]
    stay_hour = 2
    numbers = [10010]
    """
    found = {problem.key: problem for problem in problems(write(text))}
    assert found["default_contry"].mend == "unknown key; did you mean default_country?"
    assert "redis://" in found["redis.url"].mend
    assert found["park.after_s"].mend == "must be a number, without quotes"
    assert (found["smsc[0].port"].value, "65535" in found["smsc[0].port"].mend) == ("99999", True)
    assert "did you mean 'transceiver'?" in found["smsc[0].bind"].mend
    assert "did you mean china-mobile?" in found["smsc[0].carrier"].mend
    assert "smsc[0]" in found["smsc[1].name"].mend
    assert "did you mean stay_hours?" in found["carrier.china-unicom.stay_hour"].mend
    assert found["carrier.china-unicom.numbers[0]"].mend == 'must be a string, "10010"'
    assert len(found) == 9


@pytest.mark.parametrize(
    ("text", "key", "mend"),
    [
        ("lateness_h = 3", "lateness_h", "did you mean lateness_h of [store]?"),
        ('[store]\ndefault_country = "CN"', "store.default_country", "unknown key"),
        ("redis = 3", "redis", "must be a table, [redis]"),
        ("[smsc]\nname = 'x'", "smsc", "each written [[smsc]]"),
        ('timezone = "x"', "timezone", "unknown key"),
        ('[carrier.plain]\ntimezone = "Mars/Olympus"', "carrier.plain.timezone", "IANA"),
        (
            "[carrier.plain]\nwindow_days = 0",
            "carrier.plain.window_days",
            "must be greater than or equal to 1",
        ),
        ('[carrier.plain]\nnumbers = ["10 86"]', "carrier.plain.numbers[0]", "digits"),
        ("[carrier.plian]\nstay_hours = 4", "carrier.plian", "did you mean plain?"),
        ("[park]\nafter_s = true", "park.after_s", "must be a valid number"),
        ("[park]\nafter_s = nan", "park.after_s", "must be a finite number"),
        ('[http]\nlisten = "9180"', "http.listen", "must be host:port"),
        ('[http]\nlisten = "127.0.0.1:70000"', "http.listen", "at most 65535"),
        ('[redis]\nurl = "redis://h:0/0"', "redis.url", "between 1 and 65535"),
        ('[redis]\nurl = "redis+cluster://a:7000,b:x"', "redis.url", "each node"),
        ('[redis]\nurl = "unix://run/redis.sock"', "redis.url", "unix:///path"),
        ("[keys]\nfile = 3", "keys.file", "must be a path"),
        ('[data]\ndir = ""', "data.dir", "not empty"),
        ('[redis]\npassword_file = "absent"', "redis.password_file", "No such file"),
        ("[[listen]]\nclients = []", "listen[0].clients", "at least 1"),
        (
            '[[listen]]\nclients = [{ system_id = "h", carrier = "plain", allow = ["10.0.0.1/8"] }]',
            "listen[0].clients[0].allow[0]",
            "10.0.0.0/8",
        ),
        (SMSC + 'tls = { cert = "c.pem" }', "smsc[0].tls", "belong together"),
        (SMSC + 'tls = { ca = "ca.pem" }', "smsc[0].tls.ca", "no such file"),
        (SMSC + 'version = "3.3"', "smsc[0].bind", 'bind = "transmitter+receiver"'),
        (SMSC + "version = 3.4", "smsc[0].version", "'3.3', '3.4' or '5.0'"),
        (SMSC + 'default_alphabet = "gsm7"', "smsc[0].default_alphabet", "'gsm-packed'"),
        (SMSC + 'data_codings = { 15 = "big5" }', "smsc[0].data_codings.15", "'gbk'"),
        (SMSC + 'data_codings = { "0x0F" = "gbk" }', "smsc[0].data_codings", "decimal"),
        (SMSC + 'data_codings = { 256 = "gbk" }', "smsc[0].data_codings", "1 to 255"),
        (SMSC + 'data_codings = { 0 = "gbk" }', "smsc[0].data_codings", "default_alphabet"),
        (SMSC + 'long_messages = "udh"', "smsc[0].long_messages", "'udh-16'"),
        (SMSC + 'tls = { server_name = "" }', "smsc[0].tls.server_name", "host name"),
        ('[[listen]]\nproxy_protocol = ["10.0.0.1/8"]', "listen[0].proxy_protocol[0]", "10.0.0.0/8"),
        ("[[listen]]\nconnections = 0", "listen[0].connections", "greater than or equal to 1"),
        (SMSC.replace("mobile-1", "mobile 1"), "smsc[0].name", "letters, digits"),
        (SMSC.replace('"cxmyd"', '"a-name-that-is-too-long"'), "smsc[0].system_id", "at most 15"),
    ],
)
def test_each_mistake_is_named_with_its_mend(write: Write, text: str, key: str, mend: str) -> None:
    """One mistake, one problem, under the key that the operator wrote."""
    found = {problem.key: problem.mend for problem in problems(write(text))}
    assert mend in found[key]


@pytest.mark.parametrize("text", ["[redis\n", "a = 1\na = 2", "x = ", "[redis]\nurl = redis://x"])
def test_broken_toml_names_line_and_column(write: Write, text: str) -> None:
    """A syntax error says where it is."""
    assert "line" in only_problem(write(text)).mend
    assert "not valid TOML" in only_problem(write(text)).mend


def test_missing_file_says_how_to_name_another(tmp_path: Path) -> None:
    """So that a newcomer in the wrong folder knows what to do."""
    assert "-c FILE or CXMYD_CONFIG" in only_problem(tmp_path / "none.toml").mend


def test_unreadable_file(tmp_path: Path) -> None:
    """A folder, and a file that is not text."""
    assert "cannot be read" in only_problem(tmp_path).mend
    (tmp_path / "utf16.toml").write_text("[redis]", "utf-16")
    assert "not UTF-8" in only_problem(tmp_path / "utf16.toml").mend


def test_byte_order_mark_and_crlf_are_accepted(tmp_path: Path) -> None:
    """As a Windows editor saves it."""
    path = tmp_path / "gateway.toml"
    path.write_bytes(b"\xef\xbb\xbf[park]\r\nafter_s = 2\r\n")
    assert load(path).park.after_s == 2


def test_secrets_come_from_files(write: Write, tmp_path: Path) -> None:
    """`*_file` gives the secret, without its line end, and puts the Redis password into the URL."""
    (tmp_path / "smpp").write_text("s3cret\n")
    (tmp_path / "redis").write_text("p@ss/word\n")
    text = SMSC.replace('password = "secret"', 'password_file = "smpp"')
    config = load(write('[redis]\nurl = "redis://db:6379/1"\npassword_file = "redis"' + text))
    assert config.smsc[0].password == "s3cret"
    assert config.redis.url == "redis://:p%40ss%2Fword@db:6379/1"
    assert config.redis.shown_url == "redis://:***@db:6379/1"


def test_secret_twice_is_a_mistake(write: Write, tmp_path: Path) -> None:
    """Which of two passwords counts must not be guessed."""
    (tmp_path / "smpp").write_text("other")
    assert "keep one of the two" in only_problem(write(SMSC + 'password_file = "smpp"')).mend
    both = '[redis]\nurl = "redis://:a@h/0"\npassword = "b"'
    assert "keep one of the two" in only_problem(write(both)).mend


@pytest.mark.parametrize(
    "text",
    [
        SMSC.replace('"secret"', '"hunter2-hunter2"'),
        SMSC.replace('"secret"', "[ 'hunter2-hunter2' ]"),
        '[redis]\nurl = "redis://:hunter2-hunter2@localhost:99999/0"',
        '[redis]\nurl = "hunter2-hunter2:redis://:hunter2-hunter2@x"',
        '[redis]\npasword = "x"\npassword = "hunter2-hunter2"\nurl = 3',
        '[[listen]]\nclients = [{ system_id = "h", carrier = "plain", password = "hunter2-hunter2" }]',
    ],
)
def test_no_mistake_shows_a_secret(write: Write, text: str) -> None:
    """Not in the problem, not in the error's text."""
    path = write(text)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert "hunter2" not in str(caught.value) + str(caught.value.problems)


def test_repr_shows_no_secret(write: Write) -> None:
    """A configuration that lands in a traceback or a log gives nothing away."""
    text = '[redis]\nurl = "redis://:hunter2@h/0"' + SMSC.replace("secret", "hunter3")
    config = load(write(text))
    assert "hunter" not in repr(config) + str(config.smsc) + str(config.redis)


def test_own_carrier_file_comes_before_the_shipped_one(write: Write) -> None:
    """`carriers/` beside the configuration, then those shipped; a new carrier is a new file."""
    write('numbers = ["10011"]\ndialog = "none"', "carriers/china-mobile.toml")
    write('numbers = ["555"]\ndialog = "id-inline"', "carriers/mvno.toml")
    config = load(write(SMSC))
    assert config.carriers["china-mobile"].numbers == ("10011",)
    assert config.carriers["mvno"].dialog == "id-inline"
    assert config.carriers["plain"].dialog == "none"


def test_mistake_in_a_carrier_file_names_the_file(write: Write) -> None:
    """Also where that carrier is not in use."""
    path = write('dialog = "promt-for-id"', "carriers/mvno.toml")
    problem = only_problem(write(SMSC))
    assert (problem.file, problem.key) == (path, "dialog")
    assert "did you mean 'prompt-for-id'?" in str(problem)


def test_broken_carrier_file_is_not_called_unknown(write: Write) -> None:
    """One mistake is reported once."""
    write("numbers = [", "carriers/china-mobile.toml")
    assert "not valid TOML" in only_problem(write(SMSC)).mend


def test_number_belongs_to_one_carrier_in_use(write: Write) -> None:
    """Carriers that are not in use may share it."""
    text = SMSC + '[carrier.china-unicom]\nnumbers = ["10086"]'
    assert load(write(text)).number_to_carrier["10086"].name == "china-mobile"
    second = SMSC.replace("mobile-1", "unicom-1").replace("china-mobile", "china-unicom")
    problem = only_problem(write(SMSC + second + '[carrier.china-unicom]\nnumbers = ["10086"]'))
    assert (problem.key, problem.value) == ("carrier.china-unicom.numbers", '"10086"')


def test_two_sections_cannot_listen_on_one_port(write: Write) -> None:
    """HTTP, listeners and outbind links are compared; an outgoing link to the same port is none of them."""
    listen = '[[listen]]\nport = 9180\nclients = [{ system_id = "h", carrier = "plain" }]\n'
    assert only_problem(write(listen + SMSC + "port = 9180")).key == "listen[0].port"
    keys = [p.key for p in problems(write(listen + SMSC + 'port = 9180\nbind = "outbind"'))]
    assert keys == ["listen[0].port", "smsc[0].port"]


def test_warnings_do_not_refuse(write: Write) -> None:
    """A lower stay_hours, a carrier without a number, parking as late as the SMSC's patience."""
    text = "[park]\nafter_s = 30" + SMSC + "[carrier.china-mobile]\nstay_hours = 2\nnumbers = []"
    keys = [warning.key for warning in load(write(text)).warnings]
    assert keys == ["carrier.china-mobile.stay_hours", "carrier.china-mobile.numbers", "park.after_s"]


def test_an_outbind_of_smpp_33_needs_another_link(write: Write) -> None:
    """It is answered by bind_receiver, so answers have to leave elsewhere."""
    text = SMSC + 'version = "3.3"\nbind = "outbind"'
    assert [warning.key for warning in load(write(text)).warnings] == ["smsc[0].bind"]
    second = SMSC.replace("mobile-1", "mobile-2")
    assert load(write(text + second)).warnings == ()


def test_smpp_33_has_no_tlvs_for_long_answers(write: Write) -> None:
    """Said, since the method that was asked for is not the one that is used."""
    text = SMSC + 'version = "3.3"\nbind = "transmitter+receiver"\nlong_messages = '
    assert [warning.key for warning in load(write(text + '"sar"')).warnings] == ["smsc[0].long_messages"]
    assert load(write(text + '"udh-16"')).warnings == ()


def test_carrier_settings_are_exactly_the_carriers_fields() -> None:
    """A field of `Carrier` without a key, or the other way round, would be a setting without effect."""
    assert {"name", *CarrierSettings.model_fields} == {field.name for field in fields(Carrier)}
    defaults = {field.name: field.default for field in fields(Carrier)}
    for name, field in CarrierSettings.model_fields.items():
        assert field.is_required() or field.default == defaults[name], name


def test_every_key_of_the_shipped_file_is_known() -> None:
    """Also those behind a #, which the operator is invited to use."""
    text = (config_dir() / "gateway.toml").read_text("utf-8")
    known = {key for table in TABLES.values() for key in table.model_fields}
    for line in text.splitlines():
        key, equals, _ = line.removeprefix("# ").partition(" = ")
        if equals and key.isidentifier():
            assert key in known, line


@given(st.text(max_size=200))
def test_any_text_is_a_configuration_or_a_config_error(text: str) -> None:
    """Nothing else escapes, whatever stands in the file."""
    with tempfile.NamedTemporaryFile(suffix=".toml") as file:
        Path(file.name).write_text(text, "utf-8")
        with contextlib.suppress(ConfigError):
            assert isinstance(load(Path(file.name)), Config)


@given(st.text())
def test_printable_is_one_line_without_control_characters(text: str) -> None:
    """ESC, line ends and bidi marks of any input are shown as escapes."""
    shown = printable(text)
    assert shown.isprintable()
    assert printable("你好 A\x1b[31m\u202e\n") == "你好 A\\u001b[31m\\u202e\\u000a"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://h:1/0", "redis://:x@h:1/0"),
        ("redis://user@h:1/0", "redis://user:x@h:1/0"),
        ("redis+cluster://a:1,b:2", "redis+cluster://:x@a:1,b:2"),
        ("unix:///run/redis.sock", "unix://:x@/run/redis.sock"),
        ("embedded", "embedded"),
    ],
)
def test_password_goes_into_every_kind_of_url(url: str, expected: str) -> None:
    """Where redis-py looks for it."""
    assert url_with_password(url, "x") == expected
