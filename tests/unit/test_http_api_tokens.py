"""JWT authorizers of HTTP APIs: what is verified, what is said where it fails, and what functions learn of it."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from localcloud.bearer_tokens import AGAIN_S, KEPT_S, IssuerTokens, TokenInvalid, read_signed
from localcloud.gateway.cognito import TokenExpired, TokenRefused
from localcloud.parts.http_apis import PoolVerifier
from tests.unit.http_api_setup import ISSUER, World, function, in_world, key_set, signing_key, token

UNAUTHORIZED = b'{"message":"Unauthorized"}'


def jwt_scheme(**settings: Any) -> dict[str, Any]:
    """A scheme as SAM writes it."""
    authorizer = {
        "type": "jwt",
        "identitySource": "$request.header.Authorization",
        "jwtConfiguration": {"issuer": ISSUER, "audience": ["app", "other"]},
        **settings,
    }
    return {"securitySchemes": {"J": {"type": "oauth2", "x-amazon-apigateway-authorizer": authorizer}}}


async def make(world: World, *scopes: str, payload: str = "2.0", **settings: Any) -> None:
    paths = {"/": {"get": function(payload, security=[{"J": list(scopes)}])}}
    await world.make_body(paths, components=jwt_scheme(**settings))


def expect(error: str, words: str, scope: str = "") -> str:
    return f'Bearer scope="{scope}" error="{error}" error_description="{words}"'


def test_a_good_token_lets_in_and_its_claims_are_texts() -> None:
    """Lists between brackets, numbers as they are written, nothing of scopes where the route asks none."""

    async def run(world: World) -> None:
        await make(world)
        claims = {"cognito:groups": ["a", "b"], "n": 1.5, "yes": True, "scope": "x y"}
        answer = await world.ask("GET", "/", authorization=f"Bearer {token(world.clock.time(), claims)}")
        assert answer.status == 200
        assert world.event["requestContext"]["authorizer"] == {
            "jwt": {
                "claims": {
                    "iss": ISSUER,
                    "aud": "app",
                    "sub": "ann",
                    "iat": "1800000000",
                    "exp": "1800003600",
                    "cognito:groups": "[a b]",
                    "n": "1.5",
                    "yes": "true",
                    "scope": "x y",
                },
                "scopes": None,
            }
        }

    in_world(run)


def test_format_1_has_the_claims_too() -> None:
    """Beside the scopes that the route asks for."""

    async def run(world: World) -> None:
        await make(world, "read", payload="1.0")
        await world.ask("GET", "/", authorization=token(world.clock.time(), {"scope": "read write"}))
        authorizer = world.event["requestContext"]["authorizer"]
        assert (authorizer["claims"]["sub"], authorizer["scopes"]) == ("ann", ["read"])

    in_world(run)


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"exp": 1_800_000_000}, "the token has expired"),
        ({"exp": None}, "the token does not have a valid exp"),
        ({"exp": "soon"}, "the token does not have a valid exp"),
        ({"nbf": 1_800_000_001}, "the token is not valid yet"),
        ({"iat": 1_800_000_001}, "the token is not valid yet"),
        ({"iss": f"{ISSUER}/"}, "the token does not have a valid issuer"),
        ({"iss": None}, "the token does not have a valid issuer"),
        ({"aud": "else"}, "the token does not have a valid audience"),
        ({"aud": None}, "the token does not have a valid audience"),
        ({"aud": "else", "client_id": "app"}, "the token does not have a valid audience"),
        ({"aud": None, "client_id": "else"}, "the token does not have a valid audience"),
    ],
)
def test_a_token_that_is_not_good_is_refused_in_words(claims: dict[str, Any], words: str) -> None:
    """401, with what is wrong in www-authenticate; the function is not asked."""

    async def run(world: World) -> None:
        await make(world)
        answer = await world.ask("GET", "/", authorization=f"Bearer {token(world.clock.time(), claims)}")
        assert (answer.status, answer.body) == (401, UNAUTHORIZED)
        assert answer.header("www-authenticate") == expect("invalid_token", words)
        assert world.functions.events == []

    in_world(run)


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "other"},
        {"aud": ["else", "app"]},
        {"aud": None, "client_id": "app"},
        {"nbf": 1_800_000_000, "iat": None},
        {"exp": 1_800_000_001},
    ],
)
def test_any_audience_will_do_and_client_id_where_there_is_none(claims: dict[str, Any]) -> None:
    """Dates hold to the second."""

    async def run(world: World) -> None:
        await make(world)
        answer = await world.ask("GET", "/", authorization=f"bearer {token(world.clock.time(), claims)}")
        assert answer.status == 200

    in_world(run)


def _forged(now_s: float) -> str:
    """Another's payload under a good signature."""
    head, _, signature = token(now_s).split(".")
    said = {"iss": ISSUER, "aud": "app", "exp": int(now_s) + 60}
    return f"{head}.{base64.urlsafe_b64encode(json.dumps(said).encode()).rstrip(b'=').decode()}.{signature}"


def _unsigned(now_s: float) -> str:
    return token(now_s).rpartition(".")[0] + "."


def _known(text: str) -> Callable[[float], str]:
    return lambda _: text


def _made(key: str = "one", *, kid: str | None = None, alg: str = "RS256") -> Callable[[float], str]:
    return lambda now_s: token(now_s, key=key, kid=kid, alg=alg)


@pytest.mark.parametrize(
    ("make_token", "words"),
    [
        (_known("abc"), "token contains an invalid number of segments"),
        (_known("a.b.c.d"), "token contains an invalid number of segments"),
        (_known("a.b.c"), "the token is malformed"),
        (_made(key="two"), "the token is signed by an unknown key"),
        (_made(key="two", kid="one"), "signature is invalid"),
        (_forged, "signature is invalid"),
        (_unsigned, "signature is invalid"),
        (_made(alg="PS256"), "the token is signed with another algorithm"),
    ],
)
def test_signatures_are_verified(make_token: Callable[[float], str], words: str) -> None:
    """By the key that the token names, of the issuer, with RSA alone."""

    async def run(world: World) -> None:
        await make(world)
        answer = await world.ask("GET", "/", authorization=f"Bearer {make_token(world.clock.time())}")
        assert (answer.status, answer.header("www-authenticate")) == (401, expect("invalid_token", words))
        assert len(world.keys.asked) == (0 if "segments" in words or "malformed" in words else 1)

    in_world(run)


@pytest.mark.parametrize("alg", ["none", "HS256"])
def test_a_token_cannot_choose_how_it_is_verified(alg: str) -> None:
    """Neither no signature nor a secret that everybody knows, which the public key is."""
    header = base64.urlsafe_b64encode(json.dumps({"alg": alg, "kid": "one"}).encode()).rstrip(b"=").decode()
    with pytest.raises(TokenInvalid, match="another algorithm"):
        read_signed(f"{header}.e30.", lambda _: signing_key("one").public_key())


@pytest.mark.parametrize("alg", ["RS384", "RS512"])
def test_the_longer_digests_are_taken(alg: str) -> None:
    """As API Gateway takes them, where the key is for them."""

    async def run(world: World) -> None:
        world.keys.found = key_set("one", alg=alg)
        await make(world)
        answer = await world.ask("GET", "/", authorization=token(world.clock.time(), alg=alg))
        assert answer.status == 200

    in_world(run)


@pytest.mark.parametrize("authorization", ["", "Bearer ", "Bearer"])
def test_without_a_token_there_is_nothing_to_say(authorization: str) -> None:
    """401 and the scheme; no key is asked for."""

    async def run(world: World) -> None:
        await make(world)
        answer = await world.ask("GET", "/", authorization=authorization)
        assert (answer.status, answer.body) == (401, UNAUTHORIZED)
        assert (answer.header("www-authenticate"), world.keys.asked) == ("Bearer", [])

    in_world(run)


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({"scope": "read"}, 200),
        ({"scope": "x write"}, 200),
        ({"scp": ["read"]}, 200),
        ({"scp": "read"}, 200),
        ({"scope": "reader"}, 403),
        ({}, 403),
    ],
)
def test_a_route_with_scopes_wants_one_of_them(claims: dict[str, Any], status: int) -> None:
    """In `scope` or `scp`; without one the answer is 403."""

    async def run(world: World) -> None:
        await make(world, "read", "write")
        answer = await world.ask("GET", "/", authorization=token(world.clock.time(), claims))
        assert answer.status == status
        if status == 403:
            words = expect("insufficient_scope", "the token does not have a valid scope", "read write")
            assert (answer.body, answer.header("www-authenticate")) == (b'{"message":"Forbidden"}', words)

    in_world(run)


def test_the_token_may_be_in_the_query() -> None:
    """Wherever the identity source says."""

    async def run(world: World) -> None:
        await make(world, identitySource=["$request.querystring.t"])
        answer = await world.ask("GET", "/", query=f"t={token(world.clock.time())}")
        assert answer.status == 200

    in_world(run)


def test_keys_are_kept_and_asked_for_again_where_a_token_names_a_new_one() -> None:
    """For two hours; a rotation is seen with the first token of a new key, at most every ten seconds."""

    async def run(world: World) -> None:
        await make(world)

        async def ask(key: str) -> int:
            return (await world.ask("GET", "/", authorization=token(world.clock.time(), key=key))).status

        assert [await ask("one"), await ask("one"), len(world.keys.asked)] == [200, 200, 1]
        world.keys.found = key_set("two")
        assert [await ask("two"), len(world.keys.asked)] == [401, 1]
        await asyncio.sleep(AGAIN_S)
        assert [await ask("one"), len(world.keys.asked)] == [200, 1]
        assert [await ask("two"), await ask("one"), len(world.keys.asked)] == [200, 401, 2]
        await asyncio.sleep(KEPT_S)
        assert [await ask("two"), len(world.keys.asked)] == [200, 3]
        assert set(world.keys.asked) == {ISSUER}

    in_world(run)


def test_an_issuer_without_keys_is_told() -> None:
    """401 with the step that failed; the next request asks again."""

    async def run(world: World) -> None:
        world.keys.found = None
        await make(world)
        answer = await world.ask("GET", "/", authorization=token(world.clock.time()))
        words = expect("invalid_token", "JWKS communication error")
        assert (answer.status, answer.header("www-authenticate")) == (401, words)
        world.keys.found = key_set("one")
        assert (await world.ask("GET", "/", authorization=token(world.clock.time()))).status == 200

    in_world(run)


@pytest.mark.parametrize(
    ("claims", "refusal"),
    [({}, None), ({"exp": 1_800_000_000}, TokenExpired), ({"iss": "https://other"}, TokenRefused)],
)
def test_rest_apis_take_tokens_by_the_same_verifier(claims: dict[str, Any], refusal: type[Exception] | None) -> None:
    """Claims, or the two refusals that user pool authorizers know; an issuer without keys is one of them."""

    async def run(world: World) -> None:
        verify = PoolVerifier(IssuerTokens(world.keys, clock=world.clock))
        now_s = world.clock.time()
        if refusal is None:
            assert (await verify(token(now_s, claims), issuer=ISSUER, now_s=now_s))["sub"] == "ann"
        else:
            with pytest.raises(refusal):
                await verify(token(now_s, claims), issuer=ISSUER, now_s=now_s)
        world.keys.found = None
        with pytest.raises(TokenRefused, match="JWKS"):
            await verify(token(now_s), issuer="https://silent.example", now_s=now_s)

    in_world(run)
