"""flows.authorize: an issuer's keys through rotations, outages and freezes, on the virtual clock."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any
from urllib.error import URLError

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.clock import run_virtual
from sluiceway.flows.authorize.key_ring import FETCH_LIMIT_S, KeyRing
from sluiceway.rules.tokens.caching import LONGEST_PAUSE_S, PENALTY_S, read_max_age
from tests.unit.gate_setup import World
from tests.unit.token_setup import AUDIENCE, KEY, OTHER

HOUR = 3_600.0
DAY = 86_400.0


def run(main: Callable[[World], Coroutine[Any, Any, Any]]) -> Any:
    """Run `main` with an issuer that publishes k1."""

    async def begin() -> Any:
        world = World()
        world.publish({"k1": KEY})
        return await main(world)

    return run_virtual(begin)


def now() -> float:
    """The loop's time."""
    return asyncio.get_running_loop().time()


def lasting(world: World) -> str:
    """A token that is good for longer than any test lasts."""
    return world.sign(claims={"exp": 4_000_000_000, "iat": 0})


# ---------------------------------------------------------------- while the issuer answers


def test_keys_are_read_once_for_all_who_wait():
    """Fifty callers at a cold start are one request; a hundred more are none."""

    async def main(world: World) -> tuple[set[str], int]:
        gate = world.gate()
        token = world.sign()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(world.ask(gate, token)) for _ in range(50)]
        answers = {task.result() for task in tasks}
        for _ in range(100):
            answers.add(await world.ask(gate, token))
        return answers, len(world.fetched)

    assert run(main) == ({"allowed"}, 1)


def test_keys_are_read_again_before_they_run_out_and_nobody_waits():
    """From four fifths of their age on, beside the answer; in a day of traffic no caller but the first waits."""

    async def main(world: World) -> tuple[list[float], list[float]]:
        gate, waits, token = world.gate(), [], lasting(world)
        for _ in range(24 * 60):
            began = now()
            assert await world.ask(gate, token) == "allowed"
            waits.append(now() - began)
            await asyncio.sleep(60 - (now() - began))
        return [wait for wait in waits if wait], [b - a for a, b in zip(world.fetched, world.fetched[1:], strict=False)]

    waits, gaps = run(main)
    assert waits == [pytest.approx(0.05)]
    assert set(gaps) == {2_880.0}


@pytest.mark.parametrize(
    ("max_age_s", "age_s"), [(None, 3_600), (1_800, 1_800), (0, 60), (59, 60), (1e9, 86_400), (86_400, 86_400)]
)
def test_the_age_is_the_issuers_within_bounds(max_age_s: float | None, age_s: float):
    """60 s to 24 h, an hour where it does not say: at that age a caller waits for the next reading."""

    async def main(world: World) -> list[bool]:
        world.max_age_s = max_age_s
        gate, waited = world.gate(), []
        await world.ask(gate, world.sign())
        start = world.fetched[0]
        for at in (age_s * 0.79, age_s + 0.5):
            await asyncio.sleep(start + at - now())
            began = now()
            assert await world.ask(gate, world.sign()) == "allowed"
            waited.append(now() > began)
        return waited

    assert run(main) == [False, True]


@pytest.mark.parametrize(
    ("cache_control", "age", "seconds"),
    [
        ("", "", None),
        ("public", "", None),
        ("public, max-age=300", "", 300.0),
        ("Max-Age=300", "100", 200.0),
        ('max-age="300"', "", 300.0),
        ("max-age=300, max-age=60", "", 60.0),
        ("max-age=300", "400", 0.0),
        ("max-age=-1", "", None),
        ("max-age=1e3", "", None),
        ("max-age=", "", None),
        ("max-age=99999999999999999", "", None),
        ("max-age=300", "old", 300.0),
        ("no-store", "", 0.0),
        ("max-age=300, no-cache", "", 0.0),
        ('no-cache="set-cookie", max-age=9', "", 0.0),
        ("s-maxage=9", "", None),
    ],
)
def test_how_long_a_reply_may_be_kept(cache_control: str, age: str, seconds: float | None):
    """RFC 9111: max-age less Age; what is not a number says nothing."""
    assert read_max_age(cache_control, age) == seconds


@given(cache_control=st.text(max_size=60), age=st.text(max_size=10))
def test_any_header_is_read(cache_control: str, age: str):
    """Never an error, never a negative age."""
    assert (read_max_age(cache_control, age) or 0.0) >= 0.0


def test_a_rotated_key_works_at_once():
    """Right after an ordinary reading too: PyJWT's client refuses it for 30 s then."""

    async def main(world: World) -> tuple[str, int, str]:
        gate = world.gate()
        await world.ask(gate, world.sign())
        world.publish({"k1": KEY, "k2": OTHER})
        await asyncio.sleep(1)
        first = await world.ask(gate, world.sign(key=OTHER, kid="k2"))
        return first, len(world.fetched), await world.ask(gate, world.sign())

    assert run(main) == ("allowed", 2, "allowed")


def test_an_unknown_id_is_looked_for_once_in_ten_seconds():
    """A key that is rotated in that time waits for its end, and no longer."""

    async def main(world: World) -> list[tuple[str, int]]:
        gate, seen = world.gate(), []
        for wait_s, publish in ((0, False), (1, False), (5, True), (4.8, True), (0.3, True)):
            await asyncio.sleep(wait_s)
            if publish:
                world.publish({"k1": KEY, "k2": OTHER})
            kid = world.sign(key=OTHER, kid="k2")
            seen.append((await world.ask(gate, kid), len(world.fetched)))
        return seen

    assert run(main) == [
        ("unknown-key", 1),  # the cold start's own reading has it not
        ("unknown-key", 2),
        ("unknown-key", 2),
        ("unknown-key", 2),
        ("allowed", 3),
    ]


def test_random_ids_cost_a_bounded_number_of_readings():
    """Ten thousand of them in a hundred seconds, many at once: a reading each ten seconds, and good tokens pass."""

    async def main(world: World) -> tuple[int, list[float], set[str]]:
        gate = world.gate()
        await world.ask(gate, world.sign())
        begun, good = now(), set[str]()
        tokens = [world.sign(key=OTHER, kid=f"random-{number}") for number in range(100)]
        for _ in range(100):
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(world.ask(gate, token)) for token in tokens]
            assert {task.result() for task in tasks} == {"unknown-key"}
            good.add(await world.ask(gate, world.sign()))
            await asyncio.sleep(begun + 1 - now() if now() < begun + 1 else 1)
        gaps = [b - a for a, b in zip(world.fetched[1:], world.fetched[2:], strict=False)]
        return len(world.fetched), gaps, good

    count, gaps, good = run(main)
    assert count <= 12
    assert min(gaps) >= PENALTY_S
    assert good == {"allowed"}


# ---------------------------------------------------------------- outages


def test_twenty_of_twenty_tokens_are_served_through_an_outage(monkeypatch: pytest.MonkeyPatch):
    """After the keys ran out, with the issuer away: all of ours; of PyJWT's own client none, with a call for each."""

    async def main(world: World) -> tuple[list[str], int, float]:
        gate = world.gate()
        await world.ask(gate, world.sign())
        world.down = True
        await asyncio.sleep(2 * HOUR)
        calls, began = len(world.fetched), now()
        answers = [await world.ask(gate, world.sign(sub=str(each))) for each in range(20)]
        return answers, len(world.fetched) - calls, now() - began

    answers, calls, took_s = run(main)
    assert (answers, calls) == (["allowed"] * 20, 1)
    assert took_s == pytest.approx(0.05)

    served, asked = _pyjwt_through_an_outage(monkeypatch)
    assert (served, asked) == (0, 20)


def _pyjwt_through_an_outage(monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """The same twenty tokens, by PyJWT's client."""
    date, calls, is_down = [1_000.0], [0], [False]

    class Opener:
        def open(self, *_arguments: Any, **_options: Any) -> Any:
            calls[0] += 1
            if is_down[0]:
                raise URLError("the issuer is down")
            return io.BytesIO(key_set)

    async def prepare() -> tuple[bytes, list[str]]:
        world = World()
        world.publish({"k1": KEY})
        return json.dumps(world.key_set()).encode(), [world.sign() for _ in range(20)]

    key_set, tokens = run_virtual(prepare)
    for module in ("jwks_client", "jwk_set_cache", "api_jwk"):
        monkeypatch.setattr(f"jwt.{module}.time", SimpleNamespace(monotonic=lambda: date[0]))
    monkeypatch.setattr("jwt.jwks_client.urllib.request.build_opener", lambda *_handlers: Opener())
    client = jwt.PyJWKClient("https://issuer.example/keys", lifespan=HOUR)
    assert client.get_signing_key_from_jwt(tokens[0]).key_id == "k1"
    is_down[0], calls[0] = True, 0
    date[0] += 2 * HOUR
    served = 0
    for token in tokens:
        try:
            key = client.get_signing_key_from_jwt(token)
            jwt.decode(token, key, algorithms=["RS256"], audience=AUDIENCE, options={"verify_exp": False})
            served += 1
        except jwt.PyJWKClientError:
            pass
    return served, calls[0]


@pytest.mark.parametrize("stale_s", [DAY, 6 * HOUR, 0.0])
def test_old_keys_go_on_for_a_bounded_time(stale_s: float):
    """Counted from when they ran out; then nobody can say, which is not a refusal."""

    async def main(world: World) -> list[str]:
        gate, seen = world.gate(ring=world.ring(stale_s=stale_s)), []
        await world.ask(gate, world.sign())
        world.down = True
        for at in (HOUR - 1, HOUR + stale_s - 10, HOUR + stale_s + 1):
            await asyncio.sleep(max(0.0, world.fetched[0] + at - now()))
            seen.append(await world.ask(gate, world.sign()))
        return seen

    assert run(main) == ["allowed", "allowed", "unavailable"]


def test_attempts_come_ever_more_seldom_and_one_caller_waits_for_each():
    """1 s to 60 s between them, spread; whoever comes while one goes on is answered at once."""

    async def main(world: World) -> tuple[list[float], float]:
        gate = world.gate()
        await world.ask(gate, world.sign())
        world.down, world.latency_s = True, 30.0
        await asyncio.sleep(2 * HOUR)
        tried, waited, token = len(world.fetched), 0.0, lasting(world)
        for _ in range(3_000):
            began = now()
            assert await world.ask(gate, token) == "allowed"
            waited += now() - began
            if now() - began > 1:
                assert now() - began == pytest.approx(FETCH_LIMIT_S)
            await asyncio.sleep(0.2)
        gaps = [b - a for a, b in zip(world.fetched[tried:], world.fetched[tried + 1 :], strict=False)]
        assert waited == pytest.approx(FETCH_LIMIT_S * (len(gaps) + 1))
        await asyncio.sleep(LONGEST_PAUSE_S)
        first = asyncio.get_running_loop().create_task(world.ask(gate, token))
        await asyncio.sleep(0.5)
        began = now()
        assert await world.ask(gate, token) == "allowed"
        assert now() == began
        return gaps, float(await first == "allowed")

    gaps, waited = run(main)
    assert waited == 1.0
    assert len(gaps) <= 25
    assert gaps[0] <= FETCH_LIMIT_S + 1.4
    assert LONGEST_PAUSE_S / 2 <= max(gaps) - FETCH_LIMIT_S <= LONGEST_PAUSE_S + 0.4
    assert len({round(gap, 2) for gap in gaps[7:]}) > 3  # spread


def test_the_issuers_return_is_noticed():
    """Within the longest pause; withdrawn keys end then."""

    async def main(world: World) -> list[str]:
        gate = world.gate()
        await world.ask(gate, world.sign())
        world.down = True
        await asyncio.sleep(12 * HOUR)
        for _ in range(100):
            assert await world.ask(gate, world.sign()) == "allowed"
            await asyncio.sleep(30)
        world.down = False
        world.publish({"k2": OTHER})
        seen = []
        for _ in range(3):
            await asyncio.sleep(LONGEST_PAUSE_S)
            seen.append(await world.ask(gate, world.sign()))
            await asyncio.sleep(1)
        return seen

    assert run(main)[1:] == ["unknown-key", "unknown-key"]


def test_an_unknown_id_in_an_outage_is_nobodys_to_refuse():
    """It may be a key that was rotated: neither let in nor refused, and with no reading for each."""

    async def main(world: World) -> tuple[set[str], int]:
        gate = world.gate()
        await world.ask(gate, world.sign())
        world.down = True
        await asyncio.sleep(60)
        seen = {await world.ask(gate, world.sign(key=OTHER, kid=f"k{number + 2}")) for number in range(200)}
        assert await world.ask(gate, world.sign()) == "allowed"
        assert await world.ask(gate, world.sign(key=OTHER)) == "signature"
        return seen, len(world.fetched)

    assert run(main) == ({"unavailable"}, 2)


def test_a_cold_start_in_an_outage_is_no_refusal():
    """Without keys of the deployment nobody can say; the issuer is not asked for every token."""

    async def main(world: World) -> tuple[set[str], int, str]:
        world.down = True
        gate = world.gate()
        seen = {await world.ask(gate, world.sign()) for _ in range(100)}
        calls = len(world.fetched)
        world.down = False
        await asyncio.sleep(1)
        return seen, calls, await world.ask(gate, world.sign())

    assert run(main) == ({"unavailable"}, 1, "allowed")


@pytest.mark.parametrize("broken", ["", "[]", "{}", '{"keys": 1}', "<html>", "[" * 100_000, '{"keys":[],"keys":[]}'])
def test_an_answer_that_is_no_key_set_is_none(broken: str):
    """The keys that are here go on."""

    async def main(world: World) -> str:
        gate = world.gate()
        await world.ask(gate, world.sign())
        world.broken = broken or " "
        await asyncio.sleep(2 * HOUR)
        return await world.ask(gate, world.sign())

    assert run(main) == "allowed"


def test_a_set_without_keys_withdraws_them_all():
    """An issuer that says so is believed at the next reading."""

    async def main(world: World) -> str:
        gate = world.gate()
        await world.ask(gate, world.sign())
        world.publish({})
        await asyncio.sleep(2 * HOUR)
        return await world.ask(gate, world.sign())

    assert run(main) == "unknown-key"


@pytest.mark.parametrize("within_s", [0.5, 2.0, 4.5])
def test_a_reading_that_hangs_ends_by_the_deadline(within_s: float):
    """And after 3 s at most: then what is here decides."""

    async def main(world: World) -> tuple[str, float]:
        world.latency_s = 60.0
        began = now()
        return await world.ask(world.gate(), world.sign(), within_s=within_s), now() - began

    assert run(main) == ("unavailable", pytest.approx(min(within_s, FETCH_LIMIT_S)))


# ---------------------------------------------------------------- keys of the deployment


def test_the_deployments_keys_are_the_last_resort():
    """In a cold start without an issuer they let in; once the issuer answers, it alone does."""

    async def main(world: World) -> list[str]:
        world.down = True
        world.publish({"k2": OTHER})
        gate = world.gate(ring=world.ring(bundle={"k1": KEY}))
        seen = [await world.ask(gate, world.sign()), await world.ask(gate, world.sign(key=OTHER, kid="k2"))]
        world.down = False
        await asyncio.sleep(2)
        seen += [await world.ask(gate, world.sign()), await world.ask(gate, world.sign(key=OTHER, kid="k2"))]
        return seen

    assert run(main) == ["allowed", "unavailable", "unknown-key", "allowed"]


def test_a_withdrawn_key_is_not_resurrected():
    """The deployment still has it; fresh keys, old ones and the outage after them do not bring it back."""

    async def main(world: World) -> list[str]:
        world.publish({"k2": OTHER})
        gate, seen = world.gate(ring=world.ring(bundle={"k1": KEY, "k2": OTHER})), []
        seen.append(await world.ask(gate, world.sign(key=OTHER, kid="k2")))
        world.down = True
        for wait_s in (30.0, 2 * HOUR, DAY + HOUR):  # fresh, old, too old
            await asyncio.sleep(wait_s)
            seen.append(await world.ask(gate, world.sign()))
            seen.append(await world.ask(gate, world.sign(key=OTHER, kid="k2")))
        return seen

    assert run(main) == [
        "allowed",
        *("unavailable", "allowed"),  # it cannot be looked for now: no key of the bundle decides
        *("unavailable", "allowed"),
        *("unavailable", "allowed"),
    ]


def test_a_bundled_key_under_a_new_name_is_another():
    """The issuer gives k1 to another key: the deployment's k1 never counts again."""

    async def main(world: World) -> list[str]:
        world.publish({"k1": OTHER})
        gate, seen = world.gate(ring=world.ring(bundle={"k1": KEY}, stale_s=0.0)), []
        seen.append(await world.ask(gate, world.sign(key=OTHER)))
        seen.append(await world.ask(gate, world.sign()))
        world.down = True
        await asyncio.sleep(2 * HOUR)
        seen.append(await world.ask(gate, world.sign()))
        return seen

    assert run(main) == ["allowed", "signature", "unavailable"]


def test_without_an_address_the_deployments_keys_are_all_there_is():
    """An id that they lack is unknown for good, whatever the time."""

    async def main(world: World) -> list[str]:
        kept = world.ring(bundle={"k1": KEY})
        kept._source = None
        gate = world.gate(ring=kept)
        await asyncio.sleep(100 * DAY)
        return [await world.ask(gate, world.sign()), await world.ask(gate, world.sign(key=OTHER, kid="k2"))]

    assert run(main) == ["allowed", "unknown-key"]


# ---------------------------------------------------------------- freezes and clocks


def test_a_reading_that_was_frozen_is_begun_anew():
    """The environment stands for an hour inside it: the next caller does not wait for what will never come."""

    async def main(world: World) -> tuple[str, int, float]:
        world.latency_s = 50.0
        gate = world.gate()
        first = asyncio.get_running_loop().create_task(world.ask(gate, world.sign(), within_s=0.1))
        await asyncio.sleep(0.05)
        await asyncio.wait({first})
        world.clock.shift_s += HOUR  # the loop's clock has stood
        world.latency_s = 0.05
        began = now()
        return await world.ask(gate, world.sign()), len(world.fetched), now() - began

    assert run(main) == ("allowed", 2, pytest.approx(0.05))


def test_a_frozen_reading_that_fails_is_not_held_against_the_issuer():
    """Its time ran out while nobody ran: there is no pause after it."""

    async def main(world: World) -> str:
        gate = world.gate()
        await world.ask(gate, world.sign())
        await asyncio.sleep(0.9 * HOUR)
        world.latency_s = 50.0
        assert await world.ask(gate, world.sign()) == "allowed"  # begins a reading beside it
        world.clock.shift_s += 60
        await asyncio.sleep(FETCH_LIMIT_S + 0.1)
        world.latency_s = 0.05
        world.publish({"k1": KEY, "k2": OTHER})
        return await world.ask(gate, world.sign(key=OTHER, kid="k2"))

    assert run(main) == "allowed"


@pytest.mark.parametrize("outage", [False, True])
def test_an_environment_that_stands_between_its_callers_learns_of_a_withdrawal(outage: bool):
    """Its loop turns only while somebody is answered: readings beside answers never end, those waited for do."""

    async def main(world: World) -> tuple[list[int], int]:
        gate, refused = world.gate(), []
        good, withdrawn = world.sign(claims={"exp": 4_000_000_000}, key=OTHER, kid="k2"), lasting(world)
        world.publish({"k1": KEY, "k2": OTHER})
        for minute in range(240):
            if minute == 30:
                world.publish({"k2": OTHER})
            world.down = outage and 45 <= minute < 150
            assert await world.ask(gate, good) == "allowed"
            if await world.ask(gate, withdrawn) == "unknown-key":
                refused.append(minute)
            world.clock.shift_s += 60.0
        return refused, len(world.fetched)

    refused, fetched = run(main)
    assert refused == list(range(refused[0], 240))
    assert refused[0] <= (151 if outage else 60)  # the keys' hour, or the first minute in which the issuer is back
    assert fetched <= (160 if outage else 20) + len(refused)


def test_readings_beside_answers_are_begun_once_a_minute():
    """Where they never end: 720 seconds between four fifths of the hour and its end, and twelve of them."""

    async def main(world: World) -> int:
        gate, token = world.gate(), lasting(world)
        await world.ask(gate, token)
        world.clock.shift_s += 2_880.0
        for _ in range(719):
            assert await world.ask(gate, token) == "allowed"
            world.clock.shift_s += 1.0
        return len(world.fetched) - 1

    assert run(main) == 12


def test_keys_of_a_slow_answer_are_as_old_as_its_question():
    """They count from before they were asked for: a freeze in between does not make them young."""

    async def main(world: World) -> tuple[str, int]:
        gate = world.gate()
        world.latency_s = 2.0
        task = asyncio.get_running_loop().create_task(world.ask(gate, world.sign()))
        await asyncio.sleep(1)
        world.clock.shift_s += 2 * HOUR
        world.publish({"k2": OTHER})
        assert await task == "expired"  # the token was good for an hour
        return await world.ask(gate, world.sign()), len(world.fetched)

    assert run(main) == ("unknown-key", 2)


@pytest.mark.parametrize("shift_s", [-10 * DAY, 0.0, 2 * HOUR])
def test_a_clock_that_is_wrong_makes_no_key_older_or_younger_than_the_other_says(shift_s: float):
    """Set back, the loop's clock still ends the keys; set on, they are read again at once."""

    async def main(world: World) -> tuple[int, int]:
        gate = world.gate()
        token = lasting(world)
        await world.ask(gate, token)
        world.clock.shift_s = shift_s
        await world.ask(gate, token)
        soon = len(world.fetched)
        await asyncio.sleep(1.5 * HOUR)
        await world.ask(gate, token)
        return soon, len(world.fetched)

    assert run(main) == ((2, 3) if shift_s > 0 else (1, 2))


def test_whoever_stops_waiting_stops_nobody_else():
    """A caller that is cancelled leaves the reading to the others."""

    async def main(world: World) -> tuple[str, int]:
        gate, loop = world.gate(), asyncio.get_running_loop()
        world.latency_s = 1.0
        first = loop.create_task(world.ask(gate, world.sign()))
        second = loop.create_task(world.ask(gate, world.sign()))
        await asyncio.sleep(0.5)
        first.cancel()
        return await second, len(world.fetched)

    assert run(main) == ("allowed", 1)


def test_a_ring_that_is_closed_leaves_nothing_behind():
    """The reading ends with the lifespan."""

    async def main(world: World) -> set[str]:
        world.latency_s = 60.0
        ring: KeyRing = world.ring()
        gate = world.gate(ring=ring)
        assert await world.ask(gate, world.sign(), within_s=0.1) == "unavailable"
        ring.close()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return {task.get_name() for task in asyncio.all_tasks()} & {"keys"}

    assert run(main) == set()
