"""Cognito user pool authorizers of REST APIs: signed tokens of a pool, scopes, claims and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from localcloud.bearer_tokens import IssuerTokens, KeysUnavailable
from localcloud.parts.http_apis import PoolVerifier
from tests.unit.gateway_setup import ACCOUNT, lambda_uri
from tests.unit.rest_setup import Dial, Rest
from tests.unit.token_setup import KEY, NOW, OTHER, jwk, sign

POOL = "us-east-1_Pool"
ARN = f"arn:aws:cognito-idp:us-east-1:{ACCOUNT}:userpool/{POOL}"
ISSUER = f"https://cognito-idp.us-east-1.amazonaws.com/{POOL}"
PROXY = {"Type": "AWS_PROXY", "IntegrationHttpMethod": "POST", "Uri": lambda_uri("work")}
IDENTITY = {
    "iss": ISSUER,
    "aud": "client1",
    "sub": "u-1",
    "token_use": "id",
    "iat": NOW,
    "exp": NOW + 3600,
    "auth_time": NOW,
    "email_verified": True,
    "cognito:groups": ["a", "b"],
}
ACCESS = {
    "iss": ISSUER,
    "client_id": "client1",
    "sub": "u-1",
    "token_use": "access",
    "iat": NOW,
    "exp": NOW + 3600,
    "scope": "api/read openid",
}
UNAUTHORIZED = (401, b'{"message":"Unauthorized"}')


async def _keys(issuer: str) -> dict[str, Any]:
    if not issuer.startswith(ISSUER):
        raise KeysUnavailable(issuer)
    return {"keys": [jwk(KEY, "k1")]}


async def _api(policy: Any = None, **authorizer: Any) -> Rest:
    """`GET /` wants an identity token, `GET /scoped` an access token with one of two scopes."""
    clock = Dial(NOW)
    rest = Rest(tokens=PoolVerifier(IssuerTokens(_keys, clock=clock)), clock=clock)
    await rest.make("RestApi", "Api", Name="n", **({"Policy": policy} if policy else {}))
    given = {"Name": "pool", "Type": "COGNITO_USER_POOLS", "ProviderARNs": [ARN]}
    source = "method.request.header.Authorization"
    made = await rest.make("Authorizer", **{**given, "IdentitySource": source, **authorizer})
    own = {"AuthorizationType": "COGNITO_USER_POOLS", "AuthorizerId": made, "Integration": PROXY}
    await rest.method(rest.root, **own)
    await rest.method(await rest.resource("scoped"), **own, AuthorizationScopes=["api/write", "api/read"])
    await rest.deploy()
    rest.functions.replies["work"] = b'{"statusCode":200}'
    return rest


def _token(claims: dict[str, Any], *, key: Any = KEY, kid: str = "k1", **changes: Any) -> str:
    return sign({**claims, **changes}, key=key, kid=kid)


async def _get(rest: Rest, token: str, path: str = "/") -> tuple[int, bytes]:
    answer = await rest.ask("GET", path, Authorization=token)
    return answer.status, answer.body


async def test_an_identity_token_lets_in_and_its_claims_are_told() -> None:
    """With or without `Bearer`; every claim is text, dates as REST APIs print them, lists joined."""
    rest = await _api()
    for prefix in ("", "Bearer ", "bearer "):
        assert await _get(rest, prefix + _token(IDENTITY)) == (200, b"")
    authorizer = rest.functions.events[0][1]["requestContext"]["authorizer"]
    assert set(authorizer) == {"claims"}
    claims = authorizer["claims"]
    assert (claims["sub"], claims["email_verified"], claims["cognito:groups"]) == ("u-1", "true", "a,b")
    assert (claims["iat"], claims["auth_time"]) == ("Fri Jan 15 08:00:00 UTC 2027", str(NOW))


async def test_templates_read_claims() -> None:
    """`$context.authorizer.claims.email`, and parameters `context.authorizer.claims.sub`."""
    rest = await _api()
    template = (
        '{"statusCode":200,"who":"$context.authorizer.claims.sub","g":"$context.authorizer.claims[\'cognito:groups\']"}'
    )
    mock = {
        "Type": "MOCK",
        "RequestTemplates": {"application/json": '{"statusCode":200}'},
        "IntegrationResponses": [{"StatusCode": 200, "ResponseTemplates": {"application/json": template}}],
    }
    authorizer = rest.made[1][1].ref
    await rest.method(
        await rest.resource("t"),
        Integration=mock,
        AuthorizationType="COGNITO_USER_POOLS",
        AuthorizerId=authorizer,
    )
    await rest.deploy()
    answer = await rest.ask("GET", "/t", Authorization=_token(IDENTITY))
    assert json.loads(answer.body) == {"statusCode": 200, "who": "u-1", "g": "a,b"}


async def test_scopes_take_access_tokens_that_have_one_of_them() -> None:
    """An identity token is refused there, an access token where there are no scopes."""
    rest = await _api()
    assert await _get(rest, _token(ACCESS), "/scoped") == (200, b"")
    assert await _get(rest, _token(ACCESS, scope="openid"), "/scoped") == UNAUTHORIZED
    assert await _get(rest, _token(ACCESS, scope=""), "/scoped") == UNAUTHORIZED
    for token in (_token(IDENTITY), _token(IDENTITY, scope="api/read")):
        assert await _get(rest, token, "/scoped") == UNAUTHORIZED
    assert await _get(rest, _token(ACCESS)) == UNAUTHORIZED


REFUSED = {
    "nothing": "",
    "no token": "abc",
    "three parts of nothing": "a.b.c",
    "another key": _token(IDENTITY, key=OTHER),
    "a key that is not there": _token(IDENTITY, kid="k2"),
    "another pool": _token(IDENTITY, iss=ISSUER + "x"),
    "no issuer": _token(IDENTITY, iss=7),
    "from the future": _token(IDENTITY, iat=NOW + 600),
    "no date": _token(IDENTITY, exp="soon"),
    "no use": _token(IDENTITY, token_use=None),
    "a body that was changed": ".".join([*_token(IDENTITY).split(".")[:1], *_token(ACCESS).split(".")[1:2], "x"]),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_no_other_token_lets_in(what: str) -> None:
    """401 Unauthorized, and the function hears nothing."""
    rest = await _api()
    assert await _get(rest, REFUSED[what]) == UNAUTHORIZED
    assert rest.functions.events == []


async def test_a_token_whose_time_is_over_is_told_so() -> None:
    """API Gateway has a sentence of its own for it."""
    rest = await _api()
    rest.clock.now_s = NOW + 3600
    assert await _get(rest, _token(IDENTITY)) == (401, b'{"message":"The incoming token has expired"}')


async def test_the_audience_may_have_to_fit_an_expression() -> None:
    """`IdentityValidationExpression` is held against `aud`, of an access token against `client_id`."""
    rest = await _api(IdentityValidationExpression="client[12]")
    assert await _get(rest, _token(IDENTITY)) == (200, b"")
    assert await _get(rest, _token(IDENTITY, aud="client3")) == UNAUTHORIZED
    assert await _get(rest, _token(ACCESS), "/scoped") == (200, b"")


async def test_without_user_pools_the_authorizer_is_broken() -> None:
    """A 500: nobody can tell whose token it is."""
    lonely = Rest()
    await lonely.make("RestApi", "Api", Name="n")
    made = await lonely.make(
        "Authorizer",
        Name="p",
        Type="COGNITO_USER_POOLS",
        ProviderARNs=[ARN],
        IdentitySource="method.request.header.Authorization",
    )
    await lonely.method(lonely.root, AuthorizationType="COGNITO_USER_POOLS", AuthorizerId=made)
    await lonely.deploy()
    assert (await _get(lonely, _token(IDENTITY)))[0] == 500


POLICIES = [("Allow", "127.0.0.1/32", 200), ("Allow", "192.0.2.0/24", 403), ("Deny", "127.0.0.1/32", 403)]


@pytest.mark.parametrize(("effect", "network", "status"), POLICIES)
async def test_a_policy_must_allow_too(effect: str, network: str, status: int) -> None:
    """Who has a token is asked before it: without one it is 401, whatever the policy says."""
    statement = {
        "Effect": effect,
        "Principal": "*",
        "Action": "execute-api:Invoke",
        "Resource": "execute-api:/*",
        "Condition": {"IpAddress": {"aws:SourceIp": network}},
    }
    rest = await _api({"Version": "2012-10-17", "Statement": [statement]})
    assert (await _get(rest, _token(IDENTITY)))[0] == status
    assert (await _get(rest, ""))[0] == 401
