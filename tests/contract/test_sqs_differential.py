"""SQS against moto and MiniStack: the same generated requests, and every difference is a named one.

moto runs in this process, at a small budget; MiniStack where MINISTACK_ENDPOINT names a running one. SQS_PEER_REQUESTS
says how many requests are sent to each, 1,500 otherwise: so many that every difference of `sqs_differences` comes up.
A difference without a name fails, and so does a name whose difference is gone. `docs/fidelity/sqs.md` explains each.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from localcloud.delegate import Delegate
from tests.contract import sqs_peers
from tests.contract.sqs_differences import KNOWN, MINISTACK, MOTO
from tests.contract.sqs_operations import PROBES, Generator, Request
from tests.contract.sqs_peers import Answer, InProcess, Listening, Side

PAGE = Path(__file__).parents[2] / "docs" / "fidelity" / "sqs.md"
ENDPOINT = os.environ.get("MINISTACK_ENDPOINT", "")
COUNT = int(os.environ.get("SQS_PEER_REQUESTS", "1500"))
SEED = 4
ACCOUNTS = {MOTO: "123456789012", MINISTACK: "000000000000"}
_WORLDS = itertools.count()


class Pair:
    """Ours and a peer, fed the same, in one world of queues after another."""

    def __init__(self, peer: str, wire: InProcess | Listening) -> None:
        self.peer = peer
        self.wires = (sqs_peers.ours(), wire)
        self.named = Counter[str]()
        self.sides: tuple[Side, Side] = self._enter()

    def _enter(self) -> tuple[Side, Side]:
        world = f"w{next(_WORLDS)}-{os.getpid()}-"
        ours, theirs = self.wires
        return Side(ours, world, ACCOUNTS[MOTO]), Side(theirs, world, ACCOUNTS[self.peer])

    async def start(self, generator: Generator) -> None:
        """Queues that nobody has used: after a difference nothing that follows could be compared."""
        self.sides = self._enter()
        for action, parameters in generator.start():
            answers = await self.ask(action, parameters)
            assert [answer[0] for answer in answers] == ["", ""], (action, parameters, answers)

    async def ask(self, action: str, parameters: dict[str, Any]) -> tuple[Answer, Answer]:
        """What either answers, without what is its own."""
        ours, theirs = [await side.ask(action, parameters, self._known) for side in self.sides]
        return self._plain(0, ours), self._plain(1, theirs)

    async def compare(self, request: Request) -> bool:
        """Whether they agree; they may differ in what has a name."""
        action, parameters = request
        ours, theirs = await self.ask(action, parameters)
        if ours == theirs:
            return True
        names = [one.name for one in KNOWN if self.peer in one.peers and one.explains(action, parameters, ours, theirs)]
        assert names, f"{action} {parameters}: {ours} here, {theirs} by {self.peer}"
        self.named[names[0]] += 1
        return False

    def _known(self, queue: str) -> list[str]:
        """The bodies of messages of which both have given a handle."""
        ours, theirs = (side.handles.get(queue, {}) for side in self.sides)
        return sorted(ours.keys() & theirs.keys())

    def _plain(self, which: int, answer: Answer) -> Answer:
        return answer[0], {} if answer[0] else self.sides[which].plain(answer[1])


async def run(pair: Pair) -> None:
    """All requests, then the names that have lost their difference."""
    generator = Generator(SEED)
    for story in PROBES:
        await pair.start(generator)
        for request in story:
            if not await pair.compare(request):
                break
    await pair.start(generator)
    for _ in range(COUNT):
        request = generator.request()
        if not await pair.compare(request) and request[0] not in ("ListMessageMoveTasks", "ListQueues"):
            await pair.start(generator)
    gone = {one.name for one in KNOWN if pair.peer in one.peers} - pair.named.keys()
    assert gone == set(), f"no longer differences from {pair.peer}"


def test_generated_requests_are_answered_as_moto_does_or_is_known_not_to() -> None:
    """Whole answers and error codes; queues of both types, with and without dead letters."""
    delegate = Delegate()
    try:
        with asyncio.Runner() as runner:
            runner.run(run(Pair(MOTO, sqs_peers.moto(delegate))))
    finally:
        delegate.close()


@pytest.mark.skipif(not ENDPOINT, reason="MINISTACK_ENDPOINT names no running MiniStack")
def test_generated_requests_are_answered_as_ministack_does_or_is_known_not_to() -> None:
    """The same requests over its socket."""
    with asyncio.Runner() as runner:
        runner.run(run(Pair(MINISTACK, Listening(ENDPOINT))))


@pytest.mark.parametrize("name", sorted({one.name for one in KNOWN}))
def test_a_known_difference_is_on_the_page_with_who_differs(name: str) -> None:
    """One row each, with the names of all that differ so, and of no other."""
    rows = [line.split("|") for line in PAGE.read_text().splitlines() if line.startswith(f"| `{name}`")]
    peers = {peer for one in KNOWN if one.name == name for peer in one.peers}
    assert [{word.strip() for word in row[2].split(",")} for row in rows] == [peers]
