"""Applications of the corpus at the gateway without HTTP requests to functions: sockets, streams, services."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.local.corpus import Application, application

pytestmark = pytest.mark.local


async def join(session: aiohttp.ClientSession, app: Application, query: str) -> aiohttp.ClientWebSocketResponse:
    """A connection to the chat's room."""
    return await session.ws_connect(app.outputs["Url"] + query)


async def test_a_room_where_all_hear_what_one_says(tmp_path: Path) -> None:
    """Two come in and hear each other, one goes and is forgotten; who has no name is refused with the handshake."""
    with application("websocket_chat", tmp_path) as app:
        async with aiohttp.ClientSession() as session:
            ann, bob = await join(session, app, "?name=ann"), await join(session, app, "?name=bob")
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await join(session, app, "")
            assert refused.value.status == 403
            await ann.send_json({"action": "say", "text": "hello"})
            heard = [await each.receive_json(timeout=20) for each in (ann, bob)]
            assert heard == [{"from": "ann", "text": "hello"}] * 2
            await bob.close()
            assert await ann.receive_json(timeout=20) == {"left": "bob"}
            await ann.send_json({"action": "say", "text": "alone"})
            assert await ann.receive_json(timeout=20) == {"from": "ann", "text": "alone"}
            await ann.send_json({"action": "shout"})
            unknown = await ann.receive_json(timeout=20)
            assert (unknown["message"], set(unknown)) == ("Forbidden", {"message", "connectionId", "requestId"})
            names = [
                item["name"]["S"] for item in app.client("dynamodb").scan(TableName=app.outputs["Connections"])["Items"]
            ]
            assert names == ["ann"]
            await ann.close()


def test_a_story_is_sent_while_it_is_told(tmp_path: Path) -> None:
    """A Function URL streams: the first part is there before the end is told. One of IAM wants a signature."""
    with application("streaming_url", tmp_path) as app:
        connection, target = app.connect(app.outputs["Story"] + "ann%20b")
        connection.request("GET", target, headers={"origin": "https://reader.example"})
        reply = connection.getresponse()
        assert (reply.status, reply.headers["content-type"]) == (200, "text/event-stream")
        assert (reply.headers["set-cookie"], reply.headers["access-control-allow-origin"]) == (
            "hero=ann b", "https://reader.example",
        )  # fmt: skip
        first, began = reply.read1(), time.monotonic()
        rest = reply.read()
        assert (first, rest) == (b"data: once upon a time there was ann b\n\n", b"data: the end\n\n")
        assert time.monotonic() - began > 0.1  # the teller waits 0.2 s between its parts
        connection.close()
        assert app.ask("DELETE", app.outputs["Story"]).status == 405
        secret = app.outputs["Secret"] + "?word=sesame"
        assert app.ask("GET", secret).status == 403
        answer = app.ask("GET", secret, **signed(secret))
        assert (answer.status, answer.told["said"]) == (200, "sesame")


def signed(url: str) -> dict[str, Any]:
    """The headers of a signed GET."""
    request = AWSRequest("GET", url)
    signer: Any = SigV4Auth(Credentials("test", "test"), "lambda", "us-east-1")
    signer.add_auth(request)
    return {name.replace("-", "_"): value for name, value in request.headers.items()}


def test_an_api_in_front_of_services(tmp_path: Path) -> None:
    """Templates write to a queue and a table and ask a state machine; without its key nobody gets there."""
    with application("rest_direct", tmp_path) as app:
        url = app.outputs["ApiUrl"]
        key = app.client("apigateway").get_api_key(apiKey=app.outputs["ApiKey"], includeValue=True)["value"]
        denied = app.ask("POST", f"{url}/letters", {"text": "x"})
        assert (denied.status, denied.told) == (403, {"message": "Forbidden"})
        taken = app.ask("POST", f"{url}/letters", {"text": "a & b=c"}, x_api_key=key)
        assert (taken.status, set(taken.told)) == (202, {"id"})
        assert json.loads(app.receive("Letters")) == "a & b=c"
        assert app.ask("POST", f"{url}/letters", {"a": 1}, x_api_key=key, content_type="text/plain").status == 415
        assert app.ask("PUT", f"{url}/readers/ann", {"likes": ["tea", "bees"]}, x_api_key=key).status == 204
        found = app.ask("GET", f"{url}/readers/ann", x_api_key=key)
        assert (found.status, found.told) == (200, {"id": "ann", "likes": ["tea", "bees"]})
        missing = app.ask("GET", f"{url}/readers/bob", x_api_key=key)
        assert (missing.status, missing.told) == (404, {"message": "no such reader"})
        greeted = app.ask("POST", f"{url}/greetings", {"name": "ann"}, x_api_key=key)
        assert (greeted.status, greeted.told) == (200, {"greeting": "hello ann"})
        used = app.client("apigateway").get_api_keys()["items"]
        assert [each["id"] for each in used] == [app.outputs["ApiKey"]]
