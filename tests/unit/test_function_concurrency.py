"""Concurrency: environments that are provisioned, what is reserved, requests a second, and who is refused why."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from localcloud.clock import run_virtual
from localcloud.compute.concurrency import check_provision, check_reserve, unreserved
from localcloud.compute.environment import Outcome, Request
from localcloud.compute.function import FunctionSpec
from localcloud.compute.versions import Alias
from localcloud.services.lambda_.errors import LambdaError
from tests.unit.lambda_setup import Room, World, spec, world


async def provision(there: World, qualifier: str, count: int) -> Any:
    record = there.record
    check_provision(record, qualifier, count, records=there.functions.records.values())
    provision = await record.provision(qualifier, count, now_s=there.clock.time())
    await asyncio.sleep(0.2)
    return provision


def versions(there: World, count: int) -> None:
    for _ in range(count):
        there.record.publish(there.record.spec)


def test_provisioned_environments_start_before_they_are_asked_for_and_say_so() -> None:
    """IN_PROGRESS until each is ready; an invocation of the version takes one, another version's does not."""

    async def main() -> None:
        async with world() as there:
            versions(there, 2)
            there.record.aliases["live"] = Alias(name="live", version="1")
            made = await there.record.provision("1", 2, now_s=0.0)
            assert (made.status, made.allocated, made.available) == ("IN_PROGRESS", 0, 0)
            await asyncio.sleep(0.2)
            assert (made.status, made.allocated, made.available) == ("READY", 2, 2)
            kinds = [room.spec.initialization_type for room in there.made]
            assert kinds == ["provisioned-concurrency"] * 2
            for name in ("f:1", "f:live"):
                await there.functions.invoke(name, b"{}")
            assert len(there.made) == 2
            await there.functions.invoke("f:2", b"{}")
            await there.functions.invoke("f", b"{}")
            assert [room.spec.initialization_type for room in there.made[2:]] == ["on-demand"] * 2

    run_virtual(main)


def test_what_is_provisioned_for_an_alias_is_for_calls_by_it_alone() -> None:
    """A call by the version's number starts an environment on demand."""

    async def main() -> None:
        async with world() as there:
            versions(there, 1)
            there.record.aliases["live"] = Alias(name="live", version="1")
            await provision(there, "live", 1)
            await there.functions.invoke("f:live", b"{}")
            assert [room.served for room in there.made] == [1]
            await there.functions.invoke("f:1", b"{}")
            assert [room.served for room in there.made] == [1, 1]
            assert [room.spec.initialization_type for room in there.made] == ["provisioned-concurrency", "on-demand"]

    run_virtual(main)


def test_what_is_over_the_provisioned_spills_over_and_comes_back() -> None:
    """Three at once over two: the third on demand; the provisioned ones are free again then, and never idle out."""

    async def main() -> None:
        async with world() as there:
            versions(there, 1)
            made = await provision(there, "1", 2)
            async with asyncio.TaskGroup() as group:
                for _ in range(3):
                    group.create_task(there.functions.invoke("f:1", b"{}"))
                await asyncio.sleep(0.5)
                assert (made.available, there.record.on_demand) == (0, 1)
            assert (made.available, there.record.on_demand) == (2, 0)
            await asyncio.sleep(24 * 3600)
            assert [room.stopped for room in there.made] == [False, False, True]

    run_virtual(main)


def test_a_provisioned_environment_that_ends_is_replaced() -> None:
    """One that is not alive after an invocation is stopped and another one starts."""

    async def dies(asked: FunctionSpec, request: Request) -> Outcome:
        rooms[0].alive = False
        return Outcome(b"{}", "Runtime.ExitError")

    rooms: list[Any] = []

    async def main() -> None:
        async with world(dies) as there:
            versions(there, 1)
            made = await provision(there, "1", 1)
            rooms[:] = there.made
            await there.functions.invoke("f:1", b"{}")
            await asyncio.sleep(0.2)
            assert (len(there.made), there.made[0].stopped, made.available) == (2, True, 1)

    run_virtual(main)


def test_what_fails_to_start_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """FAILED, nothing allocated, one start for each; calls are served on demand."""

    async def fails(room: Any) -> bool:
        await asyncio.sleep(0.1)
        return room.spec.initialization_type == "provisioned-concurrency"

    async def main() -> None:
        monkeypatch.setattr(Room, "initialise", fails)
        async with world() as there:
            versions(there, 1)
            made = await provision(there, "1", 2)
            await asyncio.sleep(3600)
            assert (made.status, made.allocated, [room.stopped for room in there.made]) == ("FAILED", 0, [True, True])
            await there.functions.invoke("f:1", b"{}")
            assert there.made[2].spec.initialization_type == "on-demand"

    run_virtual(main)


def test_an_alias_with_weights_shares_what_is_provisioned() -> None:
    """Ten for an alias that gives 0.3 to version 2: seven and three."""

    async def main() -> None:
        async with world() as there:
            versions(there, 2)
            there.record.aliases["live"] = Alias(name="live", version="1", weights={"2": 0.3})
            await provision(there, "live", 10)
            assert sorted(room.spec.version for room in there.made) == ["1"] * 7 + ["2"] * 3

    run_virtual(main)


def test_no_provision_any_longer_stops_the_environments() -> None:
    """Also where the alias goes."""

    async def main() -> None:
        async with world() as there:
            versions(there, 1)
            there.record.aliases["live"] = Alias(name="live", version="1")
            await provision(there, "live", 2)
            await there.record.remove_alias("live")
            assert [room.stopped for room in there.made] == [True, True]
            assert there.record.provisioned == 0

    run_virtual(main)


def test_renewing_starts_provisioned_environments_anew() -> None:
    """A busy one ends its work first, and is not used again; an idle one ends at once."""

    async def main() -> None:
        async with world() as there:
            versions(there, 1)
            await provision(there, "1", 1)
            running = asyncio.ensure_future(there.functions.invoke("f:1", b"{}"))
            await asyncio.sleep(0.5)
            there.functions.renew("f")
            assert (await running).payload == b'"1"'
            await asyncio.sleep(0.2)
            assert [room.stopped for room in there.made] == [True, False]
            there.functions.renew("f")
            await asyncio.sleep(0.2)
            assert [room.stopped for room in there.made] == [True, True, False]

    run_virtual(main)


def test_what_is_provisioned_is_not_for_others() -> None:
    """Of a reserve of three, two are provisioned: one is left for calls of $LATEST."""

    async def main() -> None:
        async with world() as there:
            versions(there, 1)
            there.record.note(spec(reserved_concurrency=3))
            await provision(there, "1", 2)
            async with asyncio.TaskGroup() as group:
                group.create_task(there.functions.invoke("f", b"{}"))
                await asyncio.sleep(0.5)
                with pytest.raises(LambdaError) as refused:
                    await there.functions.invoke("f", b"{}")
                assert refused.value.extra["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
                assert (await there.functions.invoke("f:1", b"{}")).status == 200

    run_virtual(main)


def test_a_reserve_bounds_requests_a_second_too() -> None:
    """Ten a second for each one reserved, however short they are; events are not counted."""

    async def quick(asked: FunctionSpec, request: Request) -> Outcome:
        return Outcome(b"{}")

    async def main() -> None:
        async with world(quick, spec(reserved_concurrency=1), init_s=0) as there:
            for _ in range(10):
                await there.functions.invoke("f", b"{}")
            with pytest.raises(LambdaError) as refused:
                await there.functions.invoke("f", b"{}")
            error = refused.value
            assert (error.status, error.extra) == (429, {"Reason": "ReservedFunctionInvocationRateLimitExceeded"})
            assert error.headers == {"retry-after": "1"}
            await there.functions.invoke("f", b"{}", invocation_type="Event")
            await asyncio.sleep(0.05)
            assert there.made[0].served == 11
            await asyncio.sleep(0.1)
            assert (await there.functions.invoke("f", b"{}")).status == 200

    run_virtual(main)


def test_the_account_has_ten_thousand_requests_a_second() -> None:
    """For functions without a reserve together: ten for each of the thousand."""

    async def quick(asked: FunctionSpec, request: Request) -> Outcome:
        return Outcome(b"{}")

    async def main() -> None:
        async with world(quick, spec(), init_s=0) as there:
            for _ in range(10_000):
                await there.functions.invoke("f", b"")
            with pytest.raises(LambdaError) as refused:
                await there.functions.invoke("f", b"")
            assert refused.value.extra == {"Reason": "FunctionInvocationRateLimitExceeded"}

    run_virtual(main)


def test_a_hundred_stay_unreserved() -> None:
    """Reserves and what is provisioned leave 100 to functions without either; the function's own counts once."""

    async def main() -> None:
        other = spec(name="g", arn="arn:aws:lambda:us-east-1:123456789012:function:g", reserved_concurrency=500)
        async with world(_same, spec(), other) as there:
            records = there.functions.records
            check_reserve(records["f"], 400, records.values())
            with pytest.raises(LambdaError, match=r"below its minimum value of \[100\]"):
                check_reserve(records["f"], 401, records.values())
            check_reserve(records["g"], 900, records.values())
            versions(there, 1)
            check_provision(records["f"], "1", 400, records=records.values())
            with pytest.raises(LambdaError, match=r"below its minimum value of \[100\]"):
                check_provision(records["f"], "1", 401, records=records.values())
            await records["f"].provision("1", 100, now_s=0.0)
            assert unreserved(records.values()) == 400
            with pytest.raises(LambdaError, match="should not be lower than function's total provisioned"):
                check_reserve(records["f"], 99, records.values())
            records["f"].note(spec(reserved_concurrency=150))
            check_provision(records["f"], "1", 150, records=records.values())
            with pytest.raises(LambdaError, match="should not be greater than the reservedConcurrentExecution"):
                check_provision(records["f"], "1", 151, records=records.values())

    run_virtual(main)


async def _same(asked: FunctionSpec, request: Request) -> Outcome:
    return Outcome(b"{}")


def test_a_version_and_an_alias_of_it_are_not_both_provisioned() -> None:
    """ResourceConflictException either way; $LATEST never is, not by an alias either."""

    async def main() -> None:
        async with world() as there:
            versions(there, 2)
            there.record.aliases["live"] = Alias(name="live", version="1")
            there.record.aliases["next"] = Alias(name="next", version="$LATEST")
            await provision(there, "1", 1)
            with pytest.raises(LambdaError, match="on an already Provisioned version"):
                await provision(there, "live", 1)
            await there.record.provision("1", 0, now_s=0.0)
            await provision(there, "live", 1)
            with pytest.raises(LambdaError, match="Version is pointed by a Provisioned Concurrency alias"):
                await provision(there, "1", 1)
            await provision(there, "2", 1)
            for name in ("$LATEST", "next"):
                with pytest.raises(LambdaError, match="cannot be applied to unpublished function versions"):
                    await provision(there, name, 1)

    run_virtual(main)
