"""The long tail: aioboto3 on first use only."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sluiceway.aws.sdk import Sdk
from sluiceway.errors import Misconfigured


async def test_a_client_is_made_once_and_closed(monkeypatch):
    """Two askers get the same client; leaving the Sdk closes it."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_DEFAULT_REGION": "eu-west-1",
    }.items():
        monkeypatch.setenv(name, value)
    async with Sdk.open() as sdk:
        client = await sdk.client("secretsmanager")
        assert await sdk.client("secretsmanager") is client
        assert client.meta.service_model.service_name == "secretsmanager"


async def test_a_missing_sdk_names_the_layer(monkeypatch):
    """Without aioboto3 the error says what to attach."""
    monkeypatch.setitem(sys.modules, "aioboto3", None)
    async with Sdk.open() as sdk:
        with pytest.raises(Misconfigured) as caught:
            await sdk.client("secretsmanager")
        assert caught.value.what == "aws_sdk"


def test_nothing_heavy_is_imported():
    """The wire client and the door to the long tail import no SDK, no aiohttp, no email, no random."""
    code = "import sys, sluiceway.aws.wire, sluiceway.aws.sdk; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="layers/sluiceway"
    )
    heavy = {"boto3", "botocore", "aiobotocore", "aioboto3", "aiohttp", "email", "random", "http.client"}
    assert heavy & set(done.stdout.split()) == set()
