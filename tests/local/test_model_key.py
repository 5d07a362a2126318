"""The key of a model's server: sent to that server, and found nowhere else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from tests.local.conftest import start_cloud

pytestmark = pytest.mark.local

KEY = "sk-local-3f9a27c1"
CODE = """
import os, boto3
def handler(event, context):
    bedrock = boto3.client("bedrock-runtime")
    said = bedrock.converse(modelId="m", messages=[{"role": "user", "content": [{"text": "Hello"}]}],
                            inferenceConfig={"maxTokens": 5})
    return {"text": said["output"]["message"]["content"][0]["text"], "environment": sorted(os.environ.items())}
"""
TEMPLATE = {
    "Transform": "AWS::Serverless-2016-10-31",
    "Resources": {
        "Ask": {
            "Type": "AWS::Serverless::Function",
            "Properties": {
                "Runtime": "python3.13",
                "Handler": "index.handler",
                "InlineCode": CODE,
                "Timeout": 60,
                "Policies": [
                    {"Statement": [{"Effect": "Allow", "Action": "bedrock:InvokeModel", "Resource": "*"}]},
                ],
            },
        },
    },
}


@asynccontextmanager
async def serve_model(status: int = 200) -> AsyncGenerator[tuple[str, list[str]]]:
    """A server of chat completions that writes down each Authorization header."""
    seen: list[str] = []

    async def complete(request: web.Request) -> web.Response:
        seen.append(request.headers.get("authorization", ""))
        if status != 200:
            return web.Response(status=status, text=f"no such key: {seen[-1]}")
        said = {"choices": [{"delta": {"content": "Hi."}, "finish_reason": "stop"}]}
        return web.Response(text=f"data: {json.dumps(said)}\n\ndata: [DONE]\n\n", content_type="text/event-stream")

    app = web.Application()
    app.router.add_post("/v1/chat/completions", complete)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1#m", seen
    finally:
        await runner.cleanup()


def ask(url: str, folder: Path) -> tuple[int, str]:
    """Start a cloud on that model, invoke the function once, stop; what the invocation said."""
    template = folder / "template.json"
    template.write_text(json.dumps(TEMPLATE))
    cloud = start_cloud(folder / "state", "--model", url, "--template", str(template))
    try:
        invoked = cloud.sluiceway("invoke", "Ask", "--no-event", check=False)
        return invoked.returncode, invoked.stdout + invoked.stderr
    finally:
        cloud.sluiceway("down")


def files_with_the_key(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]


async def test_the_key_is_sent_to_the_model_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server gets it as a bearer token; no function's environment and no file of the cloud holds it."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    async with serve_model() as (url, seen):
        code, said = await asyncio.to_thread(ask, url, tmp_path)
    assert code == 0, said
    assert seen == [f"Bearer {KEY}"]
    assert '"text": "Hi."' in said
    assert KEY not in said
    assert "OPENAI_API_KEY" not in said
    assert files_with_the_key(tmp_path) == []


async def test_a_server_that_refuses_the_key_does_not_make_it_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server's text, which may repeat the key, goes neither to the function nor into a log."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    async with serve_model(401) as (url, seen):
        code, said = await asyncio.to_thread(ask, url, tmp_path)
    assert seen[0] == f"Bearer {KEY}"
    assert code == 1
    assert "ModelErrorException" in said
    assert KEY not in said
    assert files_with_the_key(tmp_path) == []


async def test_without_a_key_none_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server of one's own, that needs none, sees no Authorization header."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    async with serve_model() as (url, seen):
        code, said = await asyncio.to_thread(ask, url, tmp_path)
    assert code == 0, said
    assert seen == [""]
