"""aws.schemas: what is remembered of the registry, and how a version that is still compared is waited for."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import UUID

import pytest

from localcloud.clock import run_virtual
from sluiceway.aws.reply import Reply
from sluiceway.aws.schemas import MAX_VERSIONS, UNKNOWN_S, GlueSchemaRegistry
from sluiceway.errors import Rejected, ServiceRefused, ServiceUnavailable
from sluiceway.ports.schemas import SchemaName

NAME = SchemaName("mesh", "orders")
VERSION = UUID(int=7)


class Registry:
    """A `Caller` that answers from a list of statuses, the last one for ever; None is a version that is not there."""

    def __init__(self, *statuses: str | None, after_s: float = 0.0) -> None:
        self.statuses = list(statuses)
        self.after_s = after_s
        self.asked: list[str] = []

    async def call(self, _service: Any, operation: str, body: Any, **_: Any) -> Reply:
        self.asked.append(operation)
        await asyncio.sleep(self.after_s)
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        if status is None:
            raise ServiceRefused("no", service="glue", operation=operation, code="EntityNotFoundException")
        version = body.get("SchemaVersionId", str(VERSION))
        answer = {"SchemaVersionId": version, "Status": status, "DataFormat": "JSON", "SchemaDefinition": "{}"}
        return Reply(200, {}, json.dumps(answer).encode())


def test_an_id_that_names_nothing_is_asked_about_again_after_a_while() -> None:
    """A record may name any id: within half a minute the registry is asked once. What is PENDING is not kept either."""

    async def scenario() -> None:
        caller = Registry(None, "PENDING", "AVAILABLE")
        registry = GlueSchemaRegistry(caller)
        for asked in (1, 2):
            for _ in range(3):
                assert await registry.find_version(VERSION) is None
                assert len(caller.asked) == asked
            await asyncio.sleep(UNKNOWN_S + 1)
        for _ in range(3):
            found = await registry.find_version(VERSION)
            assert found is not None
            await asyncio.sleep(10 * UNKNOWN_S)
        assert len(caller.asked) == 3

    run_virtual(scenario)


def test_calls_at_once_for_one_id_share_a_request() -> None:
    """Records of a batch name the same version: it is asked for once, and nothing of the waiting stays behind."""

    async def scenario() -> None:
        caller = Registry("AVAILABLE", after_s=1.0)
        registry = GlueSchemaRegistry(caller)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(registry.find_version(VERSION)) for _ in range(20)]
        assert len({task.result() for task in tasks}) == 1
        assert caller.asked == ["GetSchemaVersion"]
        assert registry._asking == {}

    run_virtual(scenario)


def test_what_is_remembered_is_bounded() -> None:
    """Of versions and of ids that name nothing the latest used are kept."""

    async def scenario() -> None:
        caller = Registry("AVAILABLE")
        known, unknown = GlueSchemaRegistry(caller), GlueSchemaRegistry(Registry(None))
        for number in range(MAX_VERSIONS + 50):
            await known.find_version(UUID(int=0))
            await known.find_version(UUID(int=number))
            await unknown.find_version(UUID(int=number))
        assert (len(known._known), len(unknown._unknown)) == (MAX_VERSIONS, MAX_VERSIONS)
        assert len(caller.asked) == MAX_VERSIONS + 50  # the one that was used all the time was asked for once

    run_virtual(scenario)


def test_a_version_that_is_compared_is_waited_for() -> None:
    """PENDING becomes AVAILABLE or FAILURE: a second between two looks, ten looks."""

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        caller = Registry("PENDING", "PENDING", "AVAILABLE")
        assert await GlueSchemaRegistry(caller).register(NAME, "{}") == VERSION
        assert (caller.asked, loop.time()) == (["RegisterSchemaVersion", "GetSchemaVersion", "GetSchemaVersion"], 2.0)
        for statuses in (("PENDING", "FAILURE"), ("PENDING", None), ("DELETING",)):
            with pytest.raises(Rejected) as caught:
                await GlueSchemaRegistry(Registry(*statuses)).register(NAME, "{}")
            assert caught.value.reason == "schema-incompatible"
        before = loop.time()
        with pytest.raises(ServiceUnavailable) as still:
            await GlueSchemaRegistry(Registry("PENDING")).register(NAME, "{}")
        assert (still.value.code, loop.time() - before) == ("PENDING", 10.0)

    run_virtual(scenario)


def test_other_refusals_are_told() -> None:
    """Only a thing that is not there is None: whatever else the registry refuses is raised."""

    class Refusing(Registry):
        async def call(self, _service: Any, operation: str, body: Any, **_: Any) -> Reply:
            raise ServiceRefused("no", service="glue", operation=operation, code="InvalidInputException")

    async def scenario() -> None:
        with pytest.raises(ServiceRefused):
            await GlueSchemaRegistry(Refusing("x")).find_id(NAME, "{}")

    run_virtual(scenario)
