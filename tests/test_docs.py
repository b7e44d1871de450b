"""The documentation names only what there is: commands, keys, metrics, tests, links; and says the words that
the code says.
"""

import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from gateway.admin.main import main
from gateway.config.models import TABLES
from gateway.simulator.conformance.scenario import load
from gateway.simulator.faults import FAULTS
from gateway.web.metrics import Metrics

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])
OPERATING = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def commands(
    group: click.Command, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command that does something, by its words."""
    if not isinstance(group, click.Group):
        yield path, group
        return
    with click.Context(group) as context:
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            assert command is not None
            yield from commands(command, (*path, name))


COMMANDS = dict(commands(main))


@pages
def test_every_command_that_is_named_exists(page: Path) -> None:
    """With its options; a group is named where all of its commands are meant."""
    groups = {words[:1] for words in COMMANDS}
    for text in re.findall(r"cxmyd( [a-z-][^`\n#|;]*)", _code(page)):
        named = re.sub(r"(^| )-c \S+", "", text).split()
        words = tuple(named[:2]) if tuple(named[:2]) in COMMANDS else tuple(named[:1])
        if words[0].startswith("-"):
            continue
        assert words in COMMANDS or words in groups, f"cxmyd {text}"
        if words in COMMANDS:
            known = {option for each in COMMANDS[words].params for option in each.opts}
            options = {each.strip("[]") for each in named if each.strip("[]").startswith("-") and each != "-"}
            assert options <= known | {"-c", "--config"}, f"cxmyd {text}"


def test_every_command_is_in_the_readme() -> None:
    """Nobody has to find one by chance."""
    table = (ROOT / "README.md").read_text(encoding="utf-8")
    missing = [" ".join(words) for words in COMMANDS if f"`cxmyd {' '.join(words)}" not in table]
    assert not missing


@pages
def test_make_targets_exist(page: Path) -> None:
    """Those that are told to be run."""
    targets = set(
        re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert set(re.findall(r"\bmake ([a-z][a-z-]*)", _code(page))) <= targets


def test_keys_are_those_of_the_configuration() -> None:
    """Every key with its default, and no other."""
    shown: dict[str, dict[str, str]] = {}
    for heading, table in re.findall(
        r"\n([^|\n]+(?:\n[^|\n]+)*)\n\n\| key \| default .*?\n\|.*?\n((?:\|.*\n)+)", OPERATING
    ):
        rows = dict(re.findall(r"^\| `([^`]+)` \|([^|]*)\|", table, re.MULTILINE))
        section = _section(heading)
        for key, default in rows.items():
            path, _, name = key.rpartition(".") if section is None else (section, "", key)
            shown.setdefault(path, {})[name] = default.strip()
    shown["listen"] |= {key: shown["smsc"][key] for key in _TIMERS}
    for path in TABLES.keys() - _NESTED:
        expected = {name: _default(field) for name, field in TABLES[path].model_fields.items()}
        if not path:
            expected = {"default_country": expected["default_country"]}
        assert shown[path] | _SAID_IN_WORDS.get(path, {}) == expected | _SAID_IN_WORDS.get(path, {})
    for nested in _NESTED:
        listed = f"{{ {', '.join(TABLES[nested].model_fields)} }}"
        assert sorted(_words(listed)) in [
            sorted(_words(each)) for each in re.findall(r"\{ [a-z_, ]+ \}", OPERATING)
        ]


_TIMERS = (
    "version",
    "window",
    "default_alphabet",
    "data_codings",
    "long_messages",
    "enquire_link_s",
    "enquire_timeout_s",
    "response_timeout_s",
    "session_init_s",
)
_NESTED = {"smsc.tls", "listen.tls", "listen.clients"}
_SAID_IN_WORDS = {"audit": {"file": ""}}


def _section(heading: str) -> str | None:
    """The table of the configuration that a heading is about; None where the rows name theirs."""
    if "At the top" in heading:
        return ""
    if "carrier's file" in heading:
        return "carrier.NAME"
    names = re.findall(r"`\[+([a-z]+)\]+`", heading)
    return names[0] if len(names) == 1 or heading.startswith("`[[") else None


def _default(field: Any) -> str:
    if field.is_required():
        return "*required*"
    value = field.default
    if value in (None, ""):
        return ""
    if isinstance(value, tuple):
        return f"`[{', '.join(_quoted(each) for each in value)}]`"
    return f"`{_quoted(value)}`"


def _quoted(value: object) -> str:
    return f'"{value}"' if isinstance(value, (str, Path)) else str(value)


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z_]+", text)


def test_metrics_are_those_of_the_gateway() -> None:
    """By the names that /metrics shows."""
    kinds = {"counter": "_total"}
    names = {family.name + kinds.get(family.type, "") for family in Metrics().registry.collect()}
    names = {name for name in names if name.startswith("cxmyd_")}  # process_ are prometheus_client's own
    assert set(re.findall(r"^\| `(cxmyd_[a-z_]+)`", OPERATING, re.MULTILINE)) == names


def test_events_are_those_of_the_code() -> None:
    """Every event that a process may log is listed, and no other."""
    logged = set()
    for file in (ROOT / "gateway").rglob("*.py"):
        source = file.read_text(encoding="utf-8")
        logged |= set(re.findall(r'\blog\.(?:info|warning|error)\(\s*"([a-z]+\.[a-z_]+)"', source))
    paragraph = OPERATING.partition("**Events**")[2].partition("\n\n")[0]
    assert set(re.findall(r"`([a-z]+\.[a-z_]+)`", paragraph)) == logged


def test_faults_are_those_of_the_simulator() -> None:
    """And `clear`, which an order may name too."""
    table = (ROOT / "docs" / "simulator.md").read_text(encoding="utf-8").partition("## Faults")[2]
    table = table.partition("### By address")[0]
    named = {name for row in re.findall(r"^\| (`[^|]+`) \|", table, re.MULTILINE) for name in _words(row)}
    assert named == FAULTS.keys() | {"clear"}


def test_the_replies_are_the_codes_own_words() -> None:
    """`make replies` writes them anew."""
    script: dict[str, Any] = runpy.run_path(str(ROOT / "scripts" / "replies"))
    assert script["table"]() in (ROOT / "docs" / "dialog.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["promise.md", "smpp.md"])
def test_every_test_of_the_promise_exists(name: str) -> None:
    """By file and name; a name alone is of the file before it."""
    page = (ROOT / "docs" / name).read_text(encoding="utf-8")
    file = ""
    for named, test in re.findall(r"`((?:[a-z_/]*test_[a-z_]+\.py)?)(?:::(test_\w+))?`", page):
        file = named or file
        if named or test:
            source = (ROOT / "tests" / file).read_text(encoding="utf-8")
            assert not test or f"def {test}(" in source, f"{file}::{test}"


@pages
def test_every_scenario_that_is_named_exists(page: Path) -> None:
    """Of the conformance suite: one by its name, or at least one by a pattern."""
    for names in re.findall(r"scenarios? ((?:`[^`]+`(?:, )?)+)", page.read_text(encoding="utf-8")):
        for name in re.findall(r"`([^`]+)`", names):
            assert load([name]), name


def test_no_case_of_the_promise_is_silently_absent() -> None:
    """Each has a test or the word open."""
    page = (ROOT / "docs" / "promise.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| [^|]+ \| [^|]+ \| ([^|]+) \|$", page, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 44))
    assert all("::test_" in shown or "*open*" in shown for _, shown in rows)


@pages
def test_links_lead_somewhere(page: Path) -> None:
    """To a file, and to a heading in it."""
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith("http"):
            continue
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        assert file.exists(), target
        assert not anchor or anchor in _anchors(file), target


def test_pictures_are_there_and_small() -> None:
    """They are in every clone."""
    sizes = {path.name: path.stat().st_size for path in (ROOT / "docs" / "pictures").iterdir()}
    assert sizes.keys() == {"phone.png", "demo.svg", "lookups.svg", "bench.svg", "flames.svg"}
    assert max(sizes.values()) < 600_000
    assert "http://" not in (ROOT / "docs" / "pictures" / "demo.svg").read_text("utf-8").replace(
        'xmlns="http://www.w3.org/2000/svg"', ""
    )


def _anchors(file: Path) -> set[str]:
    """Of the headings, as Markdown's hosts make them."""
    headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _code(page: Path) -> str:
    """What stands in code of either kind, a line each."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"```(\w*)\n(.*?)```", text, re.DOTALL)
    fenced = [code for language, code in blocks if language in ("", "sh")]
    return "\n".join([*fenced, *re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))])
