"""The management API: addresses, codes, permissions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from urllib.parse import quote

import pytest

from localcloud.clock import run_virtual
from localcloud.gateway.websocket.gateway import Accepted
from tests.unit.websocket_setup import FakeWire, World, open_world, wire_request


def _run(scenario: Callable[[World], Awaitable[None]]) -> None:
    async def main() -> None:
        async with open_world() as world:
            await scenario(world)

    run_virtual(main)


def _path(connection_id: str, prefix: str = "/v1") -> str:
    return f"{prefix}/@connections/{quote(connection_id, safe='')}"


@pytest.mark.parametrize("prefix", ["", "/v1", "/{api}/v1"])
def test_a_post_reaches_the_client(prefix: str) -> None:
    """By id alone, by stage, by API and stage; also with an encoded @ and under AWS's host name."""

    async def scenario(world: World) -> None:
        connection, wire = await world.open()
        path = _path(connection.id, prefix.format(api=world.api_id))
        host = f"{world.api_id}.execute-api.eu-central-1.amazonaws.com"
        for each, name in ((path, ""), (path.replace("@", "%40"), ""), (_path(connection.id), host)):
            assert (await world.manage("POST", each, "é".encode(), host=name)).status == 200
        assert wire.texts() == ["é", "é", "é"]

    _run(scenario)


def test_an_id_is_gone_before_connect_returned_and_after_the_end() -> None:
    """410 GoneException, whatever is asked."""

    async def scenario(world: World) -> None:
        during: list[int] = []

        async def connect(event: dict[str, dict[str, str]]) -> bytes:
            path = _path(event["requestContext"]["connectionId"])
            for method in ("POST", "GET", "DELETE"):
                response = await world.manage(method, path)
                during.append(response.status)
                assert response.headers["x-amzn-errortype"] == "GoneException"
            return b"{}"

        world.functions.replies["Serve"] = connect
        accepted = await world.shake()
        assert isinstance(accepted, Accepted)
        assert (await world.manage("POST", _path(accepted.connection.id), b"x")).status == 410
        accepted.connection.open(FakeWire())
        assert (await world.manage("POST", _path(accepted.connection.id), b"x")).status == 200
        accepted.connection.lost()
        assert (await world.manage("POST", _path(accepted.connection.id), b"x")).status == 410
        assert during[:3] == [410, 410, 410]

    _run(scenario)


def test_get_describes_a_connection() -> None:
    """When it came, when it was last active, who it is."""

    async def scenario(world: World) -> None:
        connection, _ = await world.open(user_agent="it")
        await asyncio.sleep(61.25)
        connection.post(b"x")
        response = await world.manage("GET", _path(connection.id))
        assert isinstance(response.body, bytes)
        assert (response.status, json.loads(response.body)) == (
            200,
            {
                "connectedAt": "2027-01-15T08:00:00.000Z",
                "identity": {"userAgent": "it", "sourceIp": "127.0.0.1"},
                "lastActiveAt": "2027-01-15T08:01:01.250Z",
            },
        )

    _run(scenario)


def test_delete_closes_with_1000() -> None:
    """204 at once; $disconnect hears of it."""

    async def scenario(world: World) -> None:
        connection, wire = await world.open()
        assert (await world.manage("DELETE", _path(connection.id))).status == 204
        assert wire.frames() == [(8, True, b"\x03\xe8Connection Closed Normally")]
        await asyncio.sleep(0.01)
        assert world.events()[-1]["requestContext"]["disconnectStatusCode"] == 1000
        assert (await world.manage("DELETE", _path(connection.id))).status == 410

    _run(scenario)


def test_sizes_and_slowness_have_their_codes() -> None:
    """128 KB pass, one byte more is 413; a full buffer is 429."""

    async def scenario(world: World) -> None:
        connection, wire = await world.open()
        path = _path(connection.id)
        assert (await world.manage("POST", path, b"x" * 131_072)).status == 200
        over = await world.manage("POST", path, b"x" * 131_073)
        assert (over.status, over.headers["x-amzn-errortype"]) == (413, "PayloadTooLargeException")
        wire.stuck = 1 << 20
        slow = await world.manage("POST", path, b"x")
        assert (slow.status, slow.headers["x-amzn-errortype"]) == (429, "LimitExceededException")

    _run(scenario)


def test_the_accounts_rate_holds_for_callbacks() -> None:
    """5,000 at once, then 429 until tokens are back."""

    async def scenario(world: World) -> None:
        connection, _ = await world.open()
        path = _path(connection.id)
        statuses = [(await world.manage("GET", path)).status for _ in range(5001)]
        assert (statuses.count(200), statuses[-1]) == (5000, 429)
        await asyncio.sleep(0.1)
        assert (await world.manage("GET", path)).status == 200

    _run(scenario)


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/v2/@connections/x"), ("PUT", "/v1/@connections/x"), ("POST", "/v1/connections/x"), ("GET", "/")],
)
def test_wrong_addresses_are_forbidden(method: str, path: str) -> None:
    """403, as for a stage that is not there."""

    async def scenario(world: World) -> None:
        response = await world.manage(method, path)
        assert (response.status, response.headers["x-amzn-errortype"]) == (403, "ForbiddenException")

    _run(scenario)


def test_permissions_name_the_stages_connection() -> None:
    """execute-api:ManageConnections on api/stage/METHOD/@connections/id, however the request is addressed."""

    async def scenario(world: World) -> None:
        connection, _ = await world.open()
        root = f"arn:aws:execute-api:eu-central-1:123456789012:{world.api_id}/v1"
        for prefix in ("", "/v1", f"/{world.api_id}/v1"):
            (needed,) = world.management.permissions(wire_request("POST", _path(connection.id, prefix)))
            assert needed.action == "execute-api:ManageConnections"
            assert needed.resource == f"{root}/POST/@connections/{connection.id}"
        (gone,) = world.management.permissions(wire_request("GET", "/@connections/x"))
        assert gone.resource == f"{root}/GET/@connections/x"
        (elsewhere,) = world.management.permissions(wire_request("GET", "/v2/@connections/x"))
        assert elsewhere.resource == "arn:aws:execute-api:eu-central-1:123456789012:*/v2/GET/@connections/x"
        assert world.management.permissions(wire_request("GET", "/")) == ()

    _run(scenario)
