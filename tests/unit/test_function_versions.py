"""Versions and aliases: what an invocation reaches, whose environments it has, and what cannot be found."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.clock import run_virtual
from localcloud.compute.aliases import find_alias, make_alias
from localcloud.compute.environment import Outcome, Request
from localcloud.compute.function import FunctionSpec
from localcloud.compute.versions import Alias
from localcloud.services.lambda_.errors import LambdaError
from tests.unit.lambda_setup import ARN, World, spec, world


def publish(there: World, *, environment: dict[str, str] | None = None) -> FunctionSpec:
    """A version of $LATEST, changed first so that there is something to publish."""
    if environment is not None:
        there.functions.add(spec(environment=environment))
    return there.record.publish(there.record.spec)


def test_versions_are_numbered_for_ever() -> None:
    """A number is not used again, also not after its version is gone."""

    async def main() -> None:
        async with world() as there:
            assert [publish(there).version, publish(there).version] == ["1", "2"]
            await there.record.withdraw("2")
            assert publish(there).version == "3"
            assert [each.version for each in there.record.versions()] == ["$LATEST", "1", "3"]

    run_virtual(main)


def test_a_qualifier_reaches_its_version_and_the_function_sees_the_arn_it_was_called_by() -> None:
    """Unqualified, $LATEST, a number and an alias: version executed, and the invoked ARN."""
    seen: list[str] = []

    async def tells(asked: FunctionSpec, request: Request) -> Outcome:
        seen.append(request.function_arn)
        return Outcome(b"{}")

    async def main() -> None:
        async with world(tells) as there:
            publish(there)
            there.record.aliases["live"] = Alias(name="live", version="1")
            asked = [("f", ""), ("f", "$LATEST"), ("f:1", ""), (f"{ARN}:live", ""), ("f", "live")]
            versions = [
                (await there.functions.invoke(name, b"{}", qualifier=qualifier)).version for name, qualifier in asked
            ]
            assert versions == ["$LATEST", "$LATEST", "1", "1", "1"]
            assert seen == [ARN, f"{ARN}:$LATEST", f"{ARN}:1", f"{ARN}:live", f"{ARN}:live"]

    run_virtual(main)


def test_a_streamed_answer_says_its_version() -> None:
    """InvokeWithResponseStream answers the version that ran as well."""

    async def main() -> None:
        async with world() as there:
            publish(there)
            streamed = await there.functions.invoke_stream("f:1", b"{}")
            assert (streamed.version, [chunk async for chunk in streamed.chunks()]) == ("1", [b'"1"'])
            streamed.leave()

    run_virtual(main)


def test_a_version_keeps_its_configuration_and_its_environments() -> None:
    """A change of $LATEST stops the environments of $LATEST alone, and no version sees it."""

    async def main() -> None:
        async with world() as there:
            publish(there, environment={"A": "1"})
            await there.functions.invoke("f:1", b"{}")
            await there.functions.invoke("f", b"{}")
            there.functions.add(spec(environment={"A": "2"}))
            await asyncio.sleep(0.1)
            assert [(room.spec.version, room.stopped) for room in there.made] == [("1", False), ("$LATEST", True)]
            await there.functions.invoke("f:1", b"{}")
            assert [room.served for room in there.made] == [2, 1]
            assert there.functions.get("f:1").environment == {"A": "1"}
            assert there.functions.get("f").environment == {"A": "2"}

    run_virtual(main)


def test_renewing_a_function_renews_its_versions() -> None:
    """What a fault plan wants in a function's environments, it wants in those of every version."""

    async def main() -> None:
        async with world() as there:
            publish(there)
            for name in ("f", "f:1"):
                await there.functions.invoke(name, b"{}")
            there.functions.renew("f")
            await asyncio.sleep(0.1)
            assert [room.stopped for room in there.made] == [True, True]
            assert there.functions.environments("f") == 0

    run_virtual(main)


def test_what_has_not_changed_is_not_published_twice() -> None:
    """Only the description, the tags and the reserve may differ from the newest version."""

    async def main() -> None:
        async with world() as there:
            first = publish(there, environment={"A": "1"})
            same = spec(environment={"A": "1"}, description="other", tags={"k": "v"}, reserved_concurrency=3)
            assert there.record.is_published(same) == first
            assert there.record.is_published(spec(environment={"A": "2"})) is None
            assert there.record.is_published(spec(environment={"A": "1"}, code_sha256="x")) is None

    run_virtual(main)


def test_a_version_that_an_alias_names_stays() -> None:
    """ResourceConflictException, also where it has a weight only; then it goes, with its environments."""

    async def main() -> None:
        async with world() as there:
            publish(there)
            publish(there)
            there.record.aliases["live"] = Alias(name="live", version="1", weights={"2": 0.1})
            for version in ("1", "2"):
                with pytest.raises(LambdaError, match="ResourceConflictException"):
                    await there.record.withdraw(version)
            await there.functions.invoke("f:1", b"{}")
            await there.record.remove_alias("live")
            await there.record.withdraw("1")
            await asyncio.sleep(0.01)
            assert there.made[0].stopped
            with pytest.raises(LambdaError, match="ResourceNotFoundException"):
                await there.functions.invoke("f:1", b"{}")

    run_virtual(main)


@pytest.mark.parametrize(("name", "qualifier"), [("f", "7"), ("f:live", ""), ("f", "live"), (f"{ARN}:0", "")])
def test_a_qualifier_that_names_nothing(name: str, qualifier: str) -> None:
    """404 with the qualified ARN."""

    async def main() -> None:
        async with world() as there:
            publish(there)
            with pytest.raises(LambdaError) as refused:
                await there.functions.invoke(name, b"{}", qualifier=qualifier)
            wanted = qualifier or name.rpartition(":")[2]
            error = refused.value
            assert (error.status, error.message) == (404, f"Function not found: {ARN}:{wanted}")

    run_virtual(main)


def test_an_alias_with_weights_splits_by_the_given_chance() -> None:
    """Of 1,000 invocations 0.2 go to the second version, give or take; the same seed gives the same."""

    async def main() -> list[str]:
        async with world(seed=11) as there:
            publish(there)
            publish(there)
            there.record.aliases["live"] = Alias(name="live", version="1", weights={"2": 0.2})
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(there.functions.invoke("f:live", b"{}")) for _ in range(1000)]
            return [task.result().version for task in tasks]

    drawn = run_virtual(main)
    assert 150 < Counter(drawn)["2"] < 250
    assert drawn == run_virtual(main)


@given(st.floats(0, 1, exclude_max=True), st.integers())
def test_no_weight_is_no_draw_and_a_draw_is_one_of_two(weight: float, seed: int) -> None:
    """Chance is not asked where there are no weights; with one, only the two versions are drawn."""
    rng = random.Random(seed)
    before = rng.getstate()
    assert Alias(name="a", version="1").draw(rng) == "1"
    assert rng.getstate() == before
    drawn = Alias(name="a", version="1", weights={"2": weight}).draw(rng)
    assert drawn in ({"1"} if weight == 0 else {"1", "2"})


@pytest.mark.parametrize(
    ("alias", "code", "said"),
    [
        (Alias(name="7", version="1"), "ValidationException", "Value '7' at 'name' failed to satisfy constraint"),
        (Alias(name="a b", version="1"), "ValidationException", "Member must satisfy regular expression pattern"),
        (Alias(name="a", version="x"), "ValidationException", "Value 'x' at 'functionVersion'"),
        (Alias(name="a", version="9"), "ResourceNotFoundException", f"Function not found: {ARN}:9"),
        (Alias(name="a", version="1", description="d" * 257), "ValidationException", "at 'description'"),
        (
            Alias(name="a", version="1", weights={"2": 0.1, "3": 0.1}),
            "InvalidParameterValueException",
            "Number of items in AdditionalVersionWeights cannot be greater than 1",
        ),
        (
            Alias(name="a", version="1", weights={"1": 0.1}),
            "InvalidParameterValueException",
            "Invalid function version 1. Function version 1 is already included in routing configuration.",
        ),
        (
            Alias(name="a", version="$LATEST", weights={"2": 0.1}),
            "InvalidParameterValueException",
            "$LATEST is not supported for an alias pointing to more than 1 version",
        ),
        (Alias(name="a", version="1", weights={"2": 1.0}), "ValidationException", "Value '{2=1.0}' at 'routingConfig"),
        (Alias(name="a", version="1", weights={"x": 0.1}), "ValidationException", "Map keys must satisfy constraint"),
        (Alias(name="a", version="1", weights={"9": 0.1}), "ResourceNotFoundException", f"{ARN}:9"),
    ],
)
def test_what_an_alias_cannot_be(alias: Alias, code: str, said: str) -> None:
    """Lambda's own refusals."""

    async def main() -> None:
        async with world() as there:
            publish(there)
            publish(there)
            with pytest.raises(LambdaError) as refused:
                make_alias(there.record, alias)
            assert refused.value.code == code
            assert said in refused.value.message

    run_virtual(main)


def test_an_alias_may_be_of_latest_and_one_that_is_not_there_is_named() -> None:
    """An alias of $LATEST without weights is taken; GetAlias of another names its ARN."""

    async def main() -> None:
        async with world() as there:
            alias = Alias(name="next", version="$LATEST")
            there.record.aliases["next"] = make_alias(there.record, alias)
            assert (await there.functions.invoke("f:next", b"{}")).version == "$LATEST"
            with pytest.raises(LambdaError, match=f"Cannot find alias arn: {ARN}:gone"):
                find_alias(there.record, "gone")

    run_virtual(main)
