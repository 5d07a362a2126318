"""A rehearsal: its story holds that nothing moves before it is approved, and its count finds what went wrong."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from localcloud.clock import run_virtual
from localcloud.http_server import serve_http
from localcloud.listening import open_listener
from localcloud.regions.rehearsal.counts import Counts, count
from localcloud.regions.rehearsal.load import Ask, Load
from localcloud.regions.rehearsal.recovery import measure_recovery
from localcloud.regions.rehearsal.story import PATIENCE_S, Broken, Stage, Step, Story
from sluiceway.errors import Misconfigured

HOME, OTHER = "us-east-1", "us-west-2"
RIGHT = Counts(stored=1, in_doubt=0, refused=0, twice=0, lost=0, unlisted=0, unknown=0)


@dataclass
class Scene:
    """A pair that does everything after a while; `moves_at` is when traffic moves by itself, None for never."""

    home: str = HOME
    other: str = OTHER
    is_home: str = HOME
    is_dark: bool = False
    moves_at: float | None = None
    done: list[str] = field(default_factory=list[str])
    answers: str = HOME
    asked_after_s: float = 30.0
    changed_s: float = 0.0

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    async def serving(self) -> str:
        if self.moves_at is not None and self.now() >= self.moves_at:
            return OTHER
        return "" if self.is_dark and self.answers == HOME else self.answers

    async def is_warm(self) -> bool:
        return self.now() > 10

    async def is_asked(self, to: str) -> bool:
        is_time = self.now() >= self.changed_s + self.asked_after_s
        return is_time and (self.is_dark if to == OTHER else not self.is_dark and self.is_home == OTHER)

    async def against(self, to: str) -> tuple[str, ...]:
        return () if self.now() > self.changed_s + 7 else (f"{to}-lags",)

    async def approve(self, to: str, approval: str) -> None:
        self.done.append(f"approve {to}: {approval}")
        self.is_home = to
        asyncio.get_running_loop().call_later(60, setattr, self, "answers", to)

    async def kill(self, region: str) -> None:
        self.done.append(f"kill {region}")
        self.is_dark, self.changed_s = True, self.now()

    async def recover(self, region: str) -> None:
        self.done.append(f"recover {region}")
        self.is_dark, self.changed_s = False, self.now()

    async def stored_since(self, at_s: float) -> bool:
        return self.now() > at_s + 35


def play(scene: Scene) -> list[Step]:
    """The steps of the story in this scene."""

    async def act() -> list[Step]:
        stage = Stage(lambda _step: None, asyncio.get_running_loop().time())
        await Story(scene, stage).play()
        return stage.steps

    return run_virtual(act)


def test_the_story_is_told_in_its_order_with_its_times() -> None:
    """Two hand-overs, each asked for, approved and seen by clients; a loss and a return between them."""
    scene = Scene()
    steps = play(scene)
    assert scene.done == [
        f"kill {HOME}",
        f"approve {OTHER}: rehearsal: failover",
        f"recover {HOME}",
        f"approve {HOME}: rehearsal: failback",
    ]
    assert [step.name for step in steps] == [
        f"{HOME} is lost",
        f"approval for {OTHER} is asked for",
        f"{OTHER} is approved",
        f"clients are answered by {OTHER}",
        f"{OTHER} stores records",
        f"{HOME} is there again",
        "replication has caught up, no key is parked",
        f"approval for {HOME} is asked for",
        f"{HOME} is approved",
        f"clients are answered by {HOME}",
    ]
    after = {step.name: step.after_s for step in steps}
    assert after[f"approval for {OTHER} is asked for"] == pytest.approx(30, abs=0.5)
    assert after[f"{OTHER} is approved"] == pytest.approx(35, abs=0.5)
    assert after[f"clients are answered by {OTHER}"] == pytest.approx(60, abs=0.5)
    assert [step.at_s for step in steps] == sorted(step.at_s for step in steps)


def test_traffic_that_moves_before_an_approval_breaks_the_story() -> None:
    """As where a health check moves it by itself, which is what must not be."""
    with pytest.raises(Broken, match=f"{OTHER} answered before it was approved"):
        play(Scene(moves_at=42.0))


def test_what_never_comes_breaks_the_story_with_its_name() -> None:
    """Nobody waits for ever."""
    with pytest.raises(Broken, match=f"after {PATIENCE_S:.0f} s it was not so that approval for {OTHER} is asked for"):
        play(Scene(asked_after_s=10_000))


def test_a_recovery_is_held_against_the_stacks_objectives() -> None:
    """From the loss to the first record elsewhere, people apart; the way back does not count."""
    objectives = "recovery time 10 min, of which 5 min for approval; recovery point 60 s"
    steps = play(Scene())
    took = measure_recovery(steps, objectives)
    at = {step.name: step.at_s for step in steps}
    people_s = at[f"{OTHER} is approved"] - at[f"approval for {OTHER} is asked for"]
    assert took.took_s == pytest.approx(at[f"{OTHER} stores records"] - at[f"{HOME} is lost"] - people_s, abs=0.1)
    assert (took.allowed_s, took.approval_s, took.is_in_time) == (300.0, 300.0, True)
    assert not took._replace(took_s=301.0).is_in_time
    assert not took._replace(approved_s=301.0).is_in_time
    with pytest.raises(Misconfigured, match="RecoveryObjectives"):
        measure_recovery(steps, "soon")


@pytest.mark.parametrize(
    ("told", "stored", "listed", "wrong"),
    [
        ("stored", 1, False, {}),
        ("in-doubt", 0, True, {"stored": 0, "in_doubt": 1}),
        ("in-doubt", 1, True, {"stored": 0, "in_doubt": 1}),
        ("stored", 2, False, {"twice": 1}),
        ("in-doubt", 2, True, {"stored": 0, "in_doubt": 1, "twice": 1}),
        ("stored", 0, False, {"lost": 1}),
        ("in-doubt", 0, False, {"stored": 0, "in_doubt": 1, "unlisted": 1}),
        ("", 1, False, {"stored": 0, "unknown": 1}),
        ("refused", 0, False, {"stored": 0, "refused": 1}),
    ],
)
def test_the_count_finds_what_went_wrong(told: str, stored: int, *, listed: bool, wrong: dict[str, int]) -> None:
    """Twice, lost, in doubt and on no list, never told; whatever else was right."""
    ask = Ask(0, key="k", told=told)  # pyright: ignore[reportArgumentType] - the words above
    counts = count([ask], {"k": stored}, frozenset({"k"} if listed else ()))
    assert counts == RIGHT._replace(**wrong)
    assert counts.is_right is not bool({"twice", "lost", "unlisted", "unknown", "refused"} & wrong.keys())


ANSWERS = {
    "stored": (200, {"records": [{"shard": "s", "seq": "1"}]}),
    "perhaps": (200, {"records": [{"problem": {"type": "/problems/perhaps-stored"}}]}),
    "away": (503, {"type": "/problems/not-home"}),
    "parked": (503, {"type": "/problems/parked"}),
    "doubt": (409, {"type": "/problems/idempotency-in-doubt"}),
    "busy": (409, {"type": "/problems/in-progress"}),
    "bad": (400, {"type": "/problems/invalid-body"}),
    "expired": (401, {"type": "/problems/unauthorized"}),
}


@asynccontextmanager
async def api(script: list[str]) -> AsyncGenerator[tuple[str, list[tuple[str, str]]]]:
    """An API that answers as the script says, one line a request; what was asked: key and token."""
    asked: list[tuple[str, str]] = []

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        body = json.loads(await request.read())
        key = request.headers["idempotency-key"]
        assert body["records"][0]["data"] == {"rehearsal": key}
        asked.append((key, request.headers["authorization"]))
        said = script.pop(0)
        if said == "cut":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        status, told = ANSWERS[said]
        return web.json_response(told, status=status, headers={"retry-after": "0"})

    with closing(open_listener()) as listener:
        async with serve_http(web.Server(answer), listener, grace_s=0.1):
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/topics/records/records", asked


@pytest.mark.parametrize(
    ("script", "told"),
    [
        (["away", "parked", "stored"], "stored"),
        (["expired", "busy", "perhaps", "stored"], "stored"),
        (["away", "doubt"], "in-doubt"),
        (["bad"], "refused"),
    ],
)
async def test_a_client_asks_with_its_key_until_it_knows(script: list[str], told: str) -> None:
    """After each answer that leaves it open, and never after one that does not."""
    times = len(script)
    async with api(script) as (url, asked):
        load = Load(url, token="t", make_key=lambda: "r-0", count=1, rate=1_000)
        await load.run()
    assert ([ask.told for ask in load.asks], load.done, load.begun) == ([told], 1, 1)
    assert asked == [("r-0", "Bearer t")] * times
    assert load.asks[0].attempts == times == len(load.asks[0].seen)


async def test_a_broken_connection_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence and a cut say nothing of what was done."""
    monkeypatch.setattr("localcloud.regions.rehearsal.load.PAUSE_S", 0.0)
    async with api(["cut", "stored"]) as (url, asked):
        load = Load(url, token="t", make_key=lambda: "r-0", count=1, rate=1_000)
        await load.run()
    assert (load.asks[0].told, len(asked)) == ("stored", 2)
    assert Counter(load.asks[0].seen)["200"] == 1
