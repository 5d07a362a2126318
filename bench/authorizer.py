"""What does it cost to let a caller in, and what do rotations and outages of the issuer add?

Verifications a second of one CPU for RS256, ES256 and EdDSA: `authorize_request` as Lambda calls it (event to policy,
log and metrics written to nowhere), the layer's verifier alone, PyJWT alone and, where it is installed, joserfc alone;
the peers check what they are asked to check (issuer, audience, required claims), and read no event. Cold start: CPU of
a process from its start to its first verdict. Rotation and outage: a gate over an issuer on loopback, real time, how
long callers wait and how many good tokens are served; PyJWT's own client beside it.
Run: python bench/authorizer.py [--rounds N] [--quick]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.util
import io
import json
import logging
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest import mock

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from table import pair, print_table, print_verdict

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "layers" / "sluiceway")]

from functions.authorize_request.app import handler  # noqa: E402
from sluiceway.aws.keys import HttpKeySource  # noqa: E402
from sluiceway.flows.authorize.gate import Entrance, Gate  # noqa: E402
from sluiceway.flows.authorize.key_ring import KeyRing  # noqa: E402
from sluiceway.ports import SystemChance  # noqa: E402
from sluiceway.rules.tokens import IssuerRules, Verifier, read_keys  # noqa: E402
from sluiceway.rules.tokens.caching import KeyCache  # noqa: E402

ISSUER, AUDIENCE = "https://issuer.example/", "sluiceway"
COUNT = 1_000
HANDLER, OWN, PYJWT, JOSERFC = "authorize_request", "the layer's verifier", "PyJWT", "joserfc"
BUDGET_OF_PYJWT = 1.0  # CPU of the layer's verifier to PyJWT's
KEYS: dict[str, tuple[Any, Any]] = {
    "RS256": (rsa.generate_private_key(public_exponent=65537, key_size=2048), RSAAlgorithm),
    "ES256": (ec.generate_private_key(ec.SECP256R1()), ECAlgorithm),
    "EdDSA": (ed25519.Ed25519PrivateKey.generate(), OKPAlgorithm),
}


def jwk(alg: str, kid: str = "k1") -> dict[str, Any]:
    key, codec = KEYS[alg]
    members = json.loads(codec.to_jwk(key.public_key()))
    members.pop("key_ops", None)
    return {**members, "kid": kid, "use": "sig", "alg": alg}


def sign(alg: str, kid: str = "k1", **claims: Any) -> str:
    now = int(time.time())
    said = {"iss": ISSUER, "aud": AUDIENCE, "sub": "user-1", "iat": now, "exp": now + 86_400, **claims}
    return jwt.encode(said, KEYS[alg][0], algorithm=alg, headers={"kid": kid})


def event(token: str) -> dict[str, Any]:
    return {
        "type": "REQUEST",
        "methodArn": "arn:aws:execute-api:eu-west-1:123456789012:abc123/v1/GET/jobs/j1",
        "path": "/jobs/j1",
        "httpMethod": "GET",
        "headers": {"Authorization": f"Bearer {token}"},
        "requestContext": {"requestId": "gateway-id"},
    }


class Context:
    aws_request_id = "request-1"
    function_name = "authorize_request"
    invoked_function_arn = "arn:aws:lambda:eu-west-1:123456789012:function:authorize_request"

    def get_remaining_time_in_millis(self) -> int:
        return 5_000


# ---------------------------------------------------------------- verifications a second


@contextmanager
def opened(alg: str) -> Iterator[Callable[[str], Any]]:
    """The function with its settings; what it writes goes nowhere."""
    settings = {
        "TOKEN_ISSUER": ISSUER,
        "TOKEN_AUDIENCE": AUDIENCE,
        "TOKEN_KEYS": json.dumps({"keys": [jwk(alg)]}),
        "POWERTOOLS_METRICS_NAMESPACE": "Sluiceway",
    }
    with mock.patch.dict(os.environ, settings), contextlib.redirect_stdout(io.StringIO()):
        try:
            yield lambda token: handler(event(token), Context())
        finally:
            handler.close()


def joserfc_verifier(alg: str) -> Callable[[str], Any] | None:
    if importlib.util.find_spec("joserfc") is None:
        return None
    jose, kinds = importlib.import_module("joserfc.jwt"), importlib.import_module("joserfc.jwk")
    key = getattr(kinds, {"RS256": "RSAKey", "ES256": "ECKey", "EdDSA": "OKPKey"}[alg]).import_key(jwk(alg))
    essential = {name: {"essential": True} for name in ("exp", "iat", "sub")}
    registry = jose.JWTClaimsRegistry(
        iss={"essential": True, "value": ISSUER}, aud={"essential": True, "value": AUDIENCE}, **essential
    )

    def verify(token: str) -> None:
        registry.validate(jose.decode(token, key, algorithms=[alg]).claims)

    return verify


def sides(alg: str, handle: Callable[[str], Any]) -> dict[str, Callable[[str], Any]]:
    verifier = Verifier(read_keys({"keys": [jwk(alg)]}), issuer=ISSUER, audience=AUDIENCE)
    public = KEYS[alg][0].public_key()
    options: Any = {"require": ["exp", "iat", "iss", "aud", "sub"]}
    found: dict[str, Callable[[str], Any] | None] = {
        HANDLER: handle,
        OWN: lambda token: verifier.verify(token, now_s=time.time()),
        PYJWT: lambda token: jwt.decode(
            token, public, algorithms=[alg], issuer=ISSUER, audience=AUDIENCE, options=options
        ),
        JOSERFC: joserfc_verifier(alg),
    }
    return {name: verify for name, verify in found.items() if verify is not None}


def time_once(verify: Callable[[str], Any], tokens: list[str]) -> float:
    """CPU seconds of one verification."""
    began = time.process_time()
    for token in tokens:
        verify(token)
    return (time.process_time() - began) / len(tokens)


def compare_speed(rounds: int, count: int) -> dict[str, float]:
    """Print the table. Returns the layer's CPU as a share of PyJWT's, by algorithm."""
    rows, shares = [], {}
    for alg in KEYS:
        tokens = [sign(alg, sub=f"user-{number}") for number in range(count)]
        with opened(alg) as handle:
            measured = sides(alg, handle)
            used: dict[str, list[float]] = {name: [] for name in measured}
            for verify in measured.values():
                time_once(verify, tokens[:50])
            for _ in range(rounds):
                for name, verify in measured.items():
                    used[name].append(time_once(verify, tokens))
        for name, seconds in used.items():
            best = statistics.median(seconds)
            rows.append([alg, name, f"{1 / best:,.0f}", f"{best * 1e6:.0f}", f"{pair(seconds, used[PYJWT]):.2f}"])
        shares[alg] = pair(used[OWN], used[PYJWT])
    print_table(["", "", "a second", "CPU us", "/ PyJWT"], rows)
    return shares


# ---------------------------------------------------------------- cold start

FIRST = {
    "authorize_request": """
import json, sys
from functions.authorize_request.app import handler
class Context:
    aws_request_id = "r"; function_name = "f"; invoked_function_arn = "a"
    def get_remaining_time_in_millis(self): return 5000
assert "policyDocument" in handler(json.loads(sys.argv[1]), Context())
""",
    "the layer's verifier": """
import json, os, sys, time
from sluiceway.rules.tokens import Verifier, read_keys
verifier = Verifier(read_keys(json.loads(os.environ["TOKEN_KEYS"])), issuer=sys.argv[3], audience=sys.argv[4])
verifier.verify(sys.argv[2], now_s=time.time())
""",
    "PyJWT": """
import json, os, sys, jwt
key = jwt.PyJWK(json.loads(os.environ["TOKEN_KEYS"])["keys"][0])
jwt.decode(sys.argv[2], key, algorithms=["RS256"], issuer=sys.argv[3], audience=sys.argv[4])
""",
    "joserfc": """
import json, os, sys
from joserfc import jwt
from joserfc.jwk import RSAKey
key = RSAKey.import_key(json.loads(os.environ["TOKEN_KEYS"])["keys"][0])
registry = jwt.JWTClaimsRegistry(iss={"essential": True, "value": sys.argv[3]})
registry.validate(jwt.decode(sys.argv[2], key, algorithms=["RS256"]).claims)
""",
    "no work": "",
}
TELL = "\nimport time, sys; sys.stderr.write(f'{time.process_time()} {len(sys.modules)}')"


def compare_cold(rounds: int) -> None:
    token = sign("RS256")
    path = [str(ROOT), str(ROOT / "layers" / "sluiceway"), os.environ.get("PYTHONPATH", "")]
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(path),
        "TOKEN_ISSUER": ISSUER,
        "TOKEN_AUDIENCE": AUDIENCE,
        "TOKEN_KEYS": json.dumps({"keys": [jwk("RS256")]}),
        "POWERTOOLS_METRICS_NAMESPACE": "Sluiceway",
    }
    names = [name for name in FIRST if name != "joserfc" or importlib.util.find_spec("joserfc")]
    used: dict[str, list[float]] = {name: [] for name in names}
    modules: dict[str, str] = {}
    for _ in range(rounds + 1):  # the first one compiles
        for name in names:
            command = [sys.executable, "-c", FIRST[name] + TELL, json.dumps(event(token)), token, ISSUER, AUDIENCE]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
            cpu_s, modules[name] = done.stderr.split()
            used[name].append(float(cpu_s))
    warm = {name: seconds[1:] for name, seconds in used.items()}
    rows = [
        [name, f"{statistics.median(warm[name]) * 1e3:.0f}", modules[name], f"{pair(warm[name], warm[PYJWT]):.2f}"]
        for name in names
    ]
    print_table(["process start to the first verdict", "CPU ms", "modules", "/ PyJWT"], rows)


# ---------------------------------------------------------------- rotation and outage


@dataclass
class LocalIssuer:
    """Key sets on loopback: `kids` are published, all of one key; `is_down` lets every request hang."""

    kids: list[str] = field(default_factory=lambda: ["k1"])
    is_down: bool = False
    asked: int = 0
    url: str = ""


@contextmanager
def serving(issuer: LocalIssuer) -> Iterator[None]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one packet: two would wait for one another, 40 ms

        def do_GET(self) -> None:
            issuer.asked += 1
            body = json.dumps({"keys": [jwk("ES256", kid) for kid in issuer.kids[-3:]]}).encode()
            self.send_response(503 if issuer.is_down else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    issuer.url = f"http://127.0.0.1:{server.server_port}/keys"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class ShiftedClock:
    """The date, set on by `shift_s`."""

    shift_s = 0.0

    def now_ms(self) -> int:
        return int((time.time() + self.shift_s) * 1000)


@asynccontextmanager
async def gate_over(issuer: LocalIssuer, clock: ShiftedClock) -> Any:
    async with HttpKeySource.open(issuer.url) as source:
        ring = KeyRing(ISSUER, KeyCache(None), source=source, clock=clock, chance=SystemChance())
        yield Gate([Entrance(IssuerRules(ISSUER, frozenset({AUDIENCE})), ring)], clock=clock)
        ring.close()


async def ask_all(gate: Gate, tokens: list[str], before: Callable[[int], None]) -> tuple[list[float], int]:
    """How long each took, in seconds, and how many were served."""
    took, served = [], 0
    for number, token in enumerate(tokens):
        before(number)
        began = time.perf_counter()
        try:
            await gate.verify(token, deadline=asyncio.get_running_loop().time() + 4.5)
            served += 1
        except Exception:  # noqa: BLE001 - what is not served is counted
            pass
        took.append(time.perf_counter() - began)
    return took, served


def ask_pyjwt(url: str, tokens: list[str], before: Callable[[int], None], *, set_on: bool) -> tuple[list[float], int]:
    """The same by PyJWT's client; `set_on` lets its keys run out."""
    client, took, served = jwt.PyJWKClient(url, lifespan=3_600), [], 0
    client.get_signing_key_from_jwt(tokens[0])
    before(0)
    shift_s = 7_200.0 if set_on else 0.0
    with mock.patch("jwt.jwk_set_cache.time.monotonic", side_effect=lambda now=time.monotonic: now() + shift_s):
        for number, token in enumerate(tokens):
            before(number)
            began = time.perf_counter()
            try:
                key = client.get_signing_key_from_jwt(token)
                jwt.decode(token, key, algorithms=["ES256"], issuer=ISSUER, audience=AUDIENCE)
                served += 1
            except jwt.PyJWTError:
                pass
            took.append(time.perf_counter() - began)
    return took, served


def describe(name: str, side: str, took: list[float], *, served: int, asked: int) -> list[str]:
    ordered = sorted(took)
    p50, p99 = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)]
    times = [f"{seconds * 1e3:.2f}" for seconds in (p50, p99, ordered[-1])]
    return [name, side, f"{served} of {len(took)}", str(asked), *times]


async def compare_weather(count: int) -> list[list[str]]:
    rows = []
    for name in ("steady", "rotated once", "outage"):
        for side in (OWN, PYJWT):
            issuer, clock = LocalIssuer(), ShiftedClock()
            kids = ["k1"] * (count // 2) + ["k2" if name == "rotated once" else "k1"] * (count // 2)
            tokens = [sign("ES256", kid) for kid in kids]

            def before(number: int, name: str = name, to: tuple[Any, Any] = (issuer, clock)) -> None:
                issuer, clock = to
                if name == "rotated once" and number == count // 2:
                    issuer.kids = ["k1", "k2"]
                if name == "outage":
                    issuer.is_down, clock.shift_s = True, 7_200.0

            with serving(issuer):
                if side == OWN:
                    async with gate_over(issuer, clock) as gate:
                        await gate.verify(tokens[0], deadline=asyncio.get_running_loop().time() + 4.5)
                        asked = issuer.asked
                        took, served = await ask_all(gate, tokens, before)
                else:
                    asked = 1
                    took, served = await asyncio.to_thread(
                        ask_pyjwt, issuer.url, tokens, before, set_on=name == "outage"
                    )
            shown = "gate" if side == OWN else "PyJWKClient"
            rows.append(describe(name, shown, took, served=served, asked=issuer.asked - asked))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--quick", action="store_true", help="three rounds of few tokens: to see that it runs")
    options = parser.parse_args()
    rounds, count = (3, 100) if options.quick else (options.rounds, COUNT)
    print(f"Medians of {rounds} rounds. Python {sys.version.split()[0]}, PyJWT {jwt.__version__}.")
    shares = compare_speed(rounds, count)
    compare_cold(rounds)
    logging.disable(logging.CRITICAL)
    print(f"{count} good tokens each, ES256, an issuer on loopback; milliseconds that callers wait.")
    rows = asyncio.run(compare_weather(count))
    print_table(["issuer", "", "served", "readings", "p50", "p99", "most"], rows)
    for alg, share in shares.items():
        print_verdict(f"{alg}: CPU of PyJWT's for a stricter check", measured=share, budget=BUDGET_OF_PYJWT)


if __name__ == "__main__":
    main()
