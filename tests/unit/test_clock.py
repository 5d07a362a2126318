"""The virtual loop: time moves in jumps, and what is no timer is heard all the same."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading

import pytest

from localcloud.clock import ALONE_TURNS, VIRTUAL_EPOCH_S, LoopClock, VirtualLoop, run_virtual


def test_a_day_passes_at_once_and_the_date_with_it() -> None:
    """A wait moves the loop's time and the date by as much, to the next timer and no further."""

    async def wait() -> list[float]:
        loop = asyncio.get_running_loop()
        clock = LoopClock(loop)
        seen: list[float] = []
        loop.call_later(3_600, lambda: seen.append(loop.time()))
        await asyncio.sleep(86_400)
        return [*seen, loop.time(), clock.time() - VIRTUAL_EPOCH_S]

    assert run_virtual(wait) == [3_600.0, 86_400.0, 86_400.0]


def test_a_socket_is_heard_before_time_moves() -> None:
    """What is there to be read is read first, however soon the next timer is; also with the first socket gone."""

    async def listen() -> list[float]:
        loop = asyncio.get_running_loop()
        heard: list[float] = []
        for _ in range(3):
            ours, theirs = socket.socketpair()
            with ours, theirs:
                loop.add_reader(ours, lambda ours=ours: heard.append(loop.time() + len(ours.recv(8)) - 1))
                theirs.send(b"x")
                await asyncio.sleep(1)
                loop.remove_reader(ours)
            await asyncio.sleep(1)
        return heard

    assert run_virtual(listen) == [0.0, 2.0, 4.0]


def test_a_signal_is_heard_while_nothing_but_timers_run() -> None:
    """Within so many turns of the loop."""

    async def run() -> bool:
        loop, heard = asyncio.get_running_loop(), asyncio.Event()
        loop.add_signal_handler(signal.SIGUSR1, heard.set)
        try:
            os.kill(os.getpid(), signal.SIGUSR1)
            for _ in range(2 * ALONE_TURNS):
                await asyncio.sleep(1)
            return heard.is_set()
        finally:
            loop.remove_signal_handler(signal.SIGUSR1)

    assert run_virtual(run)


@pytest.mark.parametrize("is_waiting", [True, False])
def test_another_thread_is_heard(is_waiting: bool) -> None:
    """Whether the loop has timers or waits for that thread alone."""

    async def run() -> str:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[str] = loop.create_future()
        thread = threading.Thread(target=loop.call_soon_threadsafe, args=(answer.set_result, "heard"))
        thread.start()
        if is_waiting:
            thread.join()
            await asyncio.sleep(1)
            assert answer.done()
        try:
            return await answer
        finally:
            thread.join()

    assert run_virtual(run) == "heard"


def test_a_loop_asks_seldom_while_it_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand timers are a few questions to the system, not a thousand; also once a socket has come and gone."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        inner = runner.get_loop()._jumping._inner  # pyright: ignore[reportAttributeAccessIssue]
        asked: list[float | None] = []
        ask = inner.select
        monkeypatch.setattr(inner, "select", lambda timeout=None: asked.append(timeout) or ask(timeout))

        async def run() -> None:
            loop, (ours, theirs) = asyncio.get_running_loop(), socket.socketpair()
            with ours, theirs:
                loop.add_reader(ours, ours.recv, 8)
                loop.remove_reader(ours)
            for _ in range(1_000):
                await asyncio.sleep(1)

        runner.run(run())
    assert 1_000 / ALONE_TURNS - 1 <= len(asked) <= 3_000 / ALONE_TURNS
