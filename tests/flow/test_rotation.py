"""The pipeline while the key is being rotated: subscribers notice nothing."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.flow.messages import Verdict
from location_store.keys import KeyFile
from location_store.pseudonyms import bucket_key
from location_store.record import History, Record, rewritten
from location_store.stays import Segment
from location_store.subscribers import Subscriber
from tests.flow.harness import PROMPT, Process, mo, process, pseudonyms, until

NUMBER = "8613800000001"
NOW_MIN = int(time.time() // 60)
BEIJING = History((Segment(1100, NOW_MIN - 5 * 1440, NOW_MIN - 5 * 1440 + 600),))
SHANGHAI = History((Segment(3100, NOW_MIN - 3 * 1440, NOW_MIN - 3 * 1440 + 600),))

Steps = Callable[[Process], Awaitable[None]]


@pytest.fixture
def run(redis_url: str, tmp_path: Path) -> Callable[[Steps], None]:
    """Runs steps in a process of its own, with the key file as it is then."""

    def go(steps: Steps) -> None:
        async def main() -> None:
            async with process(redis_url, tmp_path) as p:
                await steps(p)

        asyncio.run(main())

    return go


def rotate(folder: Path) -> None:
    path = folder / "keys.json"
    KeyFile.load(path).rotated(b"", datetime.now(UTC)).replace(path)


async def store(p: Process, folder: Path, history: History, digits: str | None = None) -> None:
    """Put a record under the newest key of the folder."""
    names = pseudonyms(folder)
    subscriber = Subscriber()
    if digits is not None:
        subscriber = Subscriber(id_digest=names.id_digest(NUMBER, digits), imported=True)
    blob = rewritten(None, Record(subscriber, history))
    assert blob is not None
    who = names.of(NUMBER)
    await p.calls.call(bucket_key(who), "HSET", bucket_key(who), who.field, blob)


def test_one_history_under_two_keys(run: Callable[[Steps], None], tmp_path: Path) -> None:
    """The ID digits of the older key are right, and what was seen under either is named."""

    async def before(p: Process) -> None:
        await store(p, tmp_path, BEIJING, "123X")

    async def after(p: Process) -> None:
        await store(p, tmp_path, SHANGHAI)
        await p.deliver(mo("CXMYD", carrier=PROMPT))
        await p.deliver(mo("1234", carrier=PROMPT))
        await p.deliver(mo("CXMYD", carrier=PROMPT))
        await p.deliver(mo("123X", carrier=PROMPT))
        answer = p.smsc.sent[-1][1]
        assert 0 <= answer.find("上海") < answer.find("北京")
        assert not any("北京" in text for _, text in p.smsc.sent[:-1])

    run(before)
    rotate(tmp_path)
    run(after)


def test_an_import_under_the_new_key_counts(run: Callable[[Steps], None], tmp_path: Path) -> None:
    """Its ID digits are right, and those before are wrong."""

    async def before(p: Process) -> None:
        await store(p, tmp_path, BEIJING, "123X")

    async def after(p: Process) -> None:
        await store(p, tmp_path, SHANGHAI, "4444")
        for digits in ("123X", "4444"):
            await p.deliver(mo("CXMYD", carrier=PROMPT))
            await p.deliver(mo(digits, carrier=PROMPT))
        assert ["北京" in text for _, text in p.smsc.sent] == [False, False, False, True]

    run(before)
    rotate(tmp_path)
    run(after)


def test_a_lock_outlasts_the_rotation(run: Callable[[Steps], None], tmp_path: Path) -> None:
    """Two wrong tries before it and one after it lock; a locked number stays so, right digits or not."""

    async def two(p: Process) -> None:
        await store(p, tmp_path, BEIJING, "123X")
        for _ in range(2):
            await p.deliver(mo("CXMYD", carrier=PROMPT))
            await p.deliver(mo("9999", carrier=PROMPT))

    async def one(p: Process) -> None:
        await p.deliver(mo("CXMYD", carrier=PROMPT))
        await p.deliver(mo("9999", carrier=PROMPT))

    async def locked(p: Process) -> None:
        await p.deliver(mo("CXMYD", carrier=PROMPT))
        await p.deliver(mo("123X", carrier=PROMPT))
        assert not any("北京" in text for _, text in p.smsc.sent)

    run(two)
    rotate(tmp_path)
    run(one)
    run(locked)


def test_a_lock_from_before_holds(run: Callable[[Steps], None], tmp_path: Path) -> None:
    async def lock(p: Process) -> None:
        await store(p, tmp_path, BEIJING, "123X")
        await p.deliver(mo("CXMYD", carrier=PROMPT))
        for _ in range(3):
            await p.deliver(mo("9999", carrier=PROMPT))

    async def locked(p: Process) -> None:
        await p.deliver(mo("CXMYD", carrier=PROMPT))
        await p.deliver(mo("123X", carrier=PROMPT))
        assert not any("北京" in text for _, text in p.smsc.sent)

    run(lock)
    rotate(tmp_path)
    run(locked)


def test_what_is_parked_is_answered_across_it(
    run: Callable[[Steps], None], redis_url: str, tmp_path: Path
) -> None:
    """Parked before and answered after it; and what a new process parks, one with the old key can read."""

    async def park(p: Process) -> None:
        await store(p, tmp_path, BEIJING)
        assert await p.pipeline.accept(mo())

    async def answer(p: Process) -> None:
        p.worker.start()
        await until(lambda: p.smsc.sent)
        assert "北京" in p.smsc.sent[0][1]

        async def empty() -> bool:
            return await p.waiting() == 0

        await until(empty)
        assert await p.dead() == []

    run(park)
    rotate(tmp_path)
    run(answer)

    async def both_sides() -> None:
        newest = KeyFile.load(tmp_path / "keys.json")
        older = tmp_path / "older"
        older.mkdir()
        (older / "keys.json").touch(mode=0o600)
        newest.without(newest.keys[0].id).replace(older / "keys.json")
        async with process(redis_url, tmp_path) as new, process(redis_url, older) as old:
            assert await new.pipeline.accept(mo())
            assert await old.waiting() == 1
            assert await old.deliver(mo("CXMYD")) is Verdict.ACK

    asyncio.run(both_sides())
