"""Where the keys of issuers are looked for: on the AWS port, in Cognito here, or where a discovery document says."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from localcloud.bearer_tokens import KeysUnavailable
from localcloud.clock import run_virtual
from localcloud.gateway.ports import HttpAnswer, HttpCall, HttpFailed
from localcloud.issuer import ISSUER
from localcloud.issuer_keys import MAX_DOCUMENT_BYTES, IssuerKeys, check_issuer
from localcloud.services.contract import WireRequest, WireResponse

KEYS: dict[str, Any] = {"keys": []}


@dataclass
class Net:
    """Documents by address; an exception is raised, a number is a status."""

    documents: dict[str, Any] = field(default_factory=dict[str, Any])
    asked: list[str] = field(default_factory=list[str])

    async def __call__(self, call: HttpCall, *, limit_bytes: int) -> HttpAnswer:
        """The document."""
        assert (call.method, limit_bytes) == ("GET", MAX_DOCUMENT_BYTES)
        self.asked.append(call.url)
        found = self.documents.get(call.url, 404)
        if found == "silence":
            await asyncio.sleep(60)
        if isinstance(found, Exception):
            raise found
        if isinstance(found, int):
            return HttpAnswer(found, (), b"{}")
        return HttpAnswer(200, (), found if isinstance(found, bytes) else json.dumps(found).encode())


@dataclass
class Cognito:
    """The AWS front, with one pool."""

    requests: list[WireRequest] = field(default_factory=list[WireRequest])

    async def __call__(self, request: WireRequest) -> WireResponse:
        """The pool's keys."""
        self.requests.append(request)
        known = request.path == "/eu-central-1_abc/.well-known/jwks.json"
        return WireResponse(200 if known else 404, json.dumps(KEYS).encode())


def fetch(issuer: str, net: Net | None = None, cognito: Cognito | None = None) -> Any:
    keys = IssuerKeys(cognito or Cognito(), provider="http://127.0.0.1:4600", send=net or Net(), new_id=lambda: "id")

    async def main() -> Any:
        return await keys(issuer)

    return run_virtual(main)


def test_the_local_issuer_is_asked_on_the_aws_port() -> None:
    """By its discovery document, as any other: what it says of itself while it is away is heard."""
    at = "http://127.0.0.1:4600/_sluiceway/issuer"
    net = Net({f"{at}/.well-known/openid-configuration": {"jwks_uri": f"{at}/jwks.json"}, f"{at}/jwks.json": KEYS})
    assert fetch(ISSUER, net) == KEYS
    assert net.asked == [f"{at}/.well-known/openid-configuration", f"{at}/jwks.json"]


def test_a_user_pool_is_asked_in_process() -> None:
    """Of the Region that its issuer names; nothing leaves the machine."""
    net, cognito = Net(), Cognito()
    assert fetch("https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_abc", net, cognito) == KEYS
    (request,) = cognito.requests
    assert (request.service, request.region, request.method, net.asked) == ("cognito-idp", "eu-central-1", "GET", [])


def test_a_pool_that_is_not_here_has_no_keys() -> None:
    """And is never asked elsewhere."""
    net = Net()
    with pytest.raises(KeysUnavailable, match="JWKS communication error"):
        fetch("https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_other", net)
    assert net.asked == []


def test_another_issuer_is_asked_where_it_says() -> None:
    """A slash at the end of its name is none of the address."""
    documents: dict[str, Any] = {
        "https://x.example/t/.well-known/openid-configuration": {"jwks_uri": "https://keys.example/k"},
        "https://keys.example/k": KEYS,
    }
    assert fetch("https://x.example/t/", Net(documents)) == KEYS


DISCOVERY = "https://x.example/.well-known/openid-configuration"
FOUND = {DISCOVERY: {"jwks_uri": "https://x.example/k"}}


@pytest.mark.parametrize(
    ("documents", "words"),
    [
        ({}, "OIDC discovery endpoint communication error"),
        ({DISCOVERY: HttpFailed("refused")}, "OIDC discovery endpoint communication error"),
        ({DISCOVERY: "silence"}, "OIDC discovery endpoint communication error"),
        ({DISCOVERY: b"no"}, "OIDC discovery endpoint communication error"),
        ({DISCOVERY: []}, "OIDC discovery endpoint communication error"),
        ({DISCOVERY: {}}, "OIDC discovery endpoint communication error"),
        ({DISCOVERY: {"jwks_uri": "http://x.example/k"}, "http://x.example/k": KEYS}, "JWKS communication error"),
        (FOUND, "JWKS communication error"),
        (FOUND | {"https://x.example/k": b"["}, "JWKS communication error"),
    ],
)
def test_an_issuer_that_does_not_answer_says_which_step_failed(documents: dict[str, Any], words: str) -> None:
    """Within a second and a half each; keys over plain HTTP are none."""
    with pytest.raises(KeysUnavailable, match=words):
        fetch("https://x.example", Net(documents))


@pytest.mark.parametrize("issuer", ["https://x.example", "http://127.0.0.1:9/x", "http://localhost:1"])
def test_an_issuer_is_an_https_address_or_of_this_machine(issuer: str) -> None:
    """The latter is ours, for providers that a developer runs."""
    check_issuer(issuer)


@pytest.mark.parametrize("issuer", ["http://x.example", "x.example", "", "https://", "ftp://x.example"])
def test_what_is_no_issuer_is_refused(issuer: str) -> None:
    """By name."""
    with pytest.raises(ValueError, match="no issuer"):
        check_issuer(issuer)
