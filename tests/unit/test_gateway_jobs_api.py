"""template.yaml's REST API: POST /jobs through the mapping template into the real SQS service."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localcloud.clock import LoopClock, run_virtual
from localcloud.gateway.message import HttpResponse
from tests.unit.gateway_setup import JobsApi, deploy_jobs_api

HEADERS = {"Authorization": "Bearer t", "Content-Type": "application/json"}
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
HARD = [
    "a&b",
    "a+b c",
    "100%25",
    "Action=DeleteQueue&x=1",
    "quote \" and ' and \\ and `",
    "line\nline\r\n\ttab",
    "emoji 😀 and 日本語 and é",
    "$util.urlEncode($x) #set($y = 1) ## ${context}",
    "~*-._!()[]{}<>|^",
    "\u00a0\u2028\u2029\ufeff",
]


async def _send(api: JobsApi, body: bytes, **headers: str) -> HttpResponse:
    return await api.ask("POST", "/jobs", body, {**HEADERS, **{k.replace("_", "-"): v for k, v in headers.items()}})


async def _receive(api: JobsApi) -> list[Any]:
    return await api.queue.receive(10, wait_s=0, visibility_s=30)


def _body(prompt: str, **more: object) -> bytes:
    return json.dumps({"prompt": prompt, **more}, ensure_ascii=False).encode()


@pytest.mark.parametrize("prompt", HARD)
async def test_a_prompt_arrives_byte_for_byte(prompt: str) -> None:
    """Whatever is in the body, the queue holds exactly the bytes that were sent."""
    api = await deploy_jobs_api()
    body = _body(prompt)
    assert (await _send(api, body)).status == 202
    (message,) = await _receive(api)
    assert message.body.encode() == body


async def test_a_prompt_of_200_kb_arrives() -> None:
    """Size is no obstacle below the queue's limit."""
    api = await deploy_jobs_api()
    body = _body("&é😀%+ 中" * 16_000)
    assert len(body) > 200_000
    assert (await _send(api, body)).status == 202
    (message,) = await _receive(api)
    assert message.body.encode() == body


async def test_json_is_not_written_anew() -> None:
    """Spaces, key order and escapes of the client's JSON stay as they were."""
    api = await deploy_jobs_api()
    body = b'{ "prompt" :\n"\\u00e9\\/" ,"max_tokens":1}'
    await _send(api, body)
    (message,) = await _receive(api)
    assert message.body.encode() == body


def test_any_prompt_survives() -> None:
    """Every JSON string a client can send comes out of the queue as it went in."""

    @settings(max_examples=50, deadline=None)
    @given(st.text(alphabet=st.characters(exclude_categories=("Cs",)), min_size=1, max_size=80), st.booleans())
    def check(prompt: str, is_ascii: bool) -> None:
        body = json.dumps({"prompt": prompt}, ensure_ascii=is_ascii)

        async def main() -> None:
            api = await deploy_jobs_api()
            response = await _send(api, body.encode())
            if is_ascii or not _FORBIDDEN.search(body):
                assert response.status == 202, response
                (message,) = await _receive(api)
                assert message.body == body
            else:
                assert response.status == 400  # the queue refuses characters that XML has not
                assert json.loads(response.body)["type"] == "/problems/invalid-characters"

        asyncio.run(main())

    check()


async def test_the_answer_names_the_job_and_where_to_look() -> None:
    """202 with job_id, a relative status_url, Location, and the console's origin."""
    api = await deploy_jobs_api()
    response = await _send(api, _body("x"), Idempotency_Key="k1")
    job = "k.caller." + base64.b64encode(b"k1").decode().replace("=", "")
    assert json.loads(response.body) == {"job_id": job, "status_url": f"jobs/{job}"}
    assert response.status == 202
    assert response.header("location") == f"jobs/{job}"
    assert response.header("access-control-allow-origin") == "http://127.0.0.1:4603"
    assert response.header("content-type") == "application/json"


async def test_the_message_carries_job_caller_and_correlation() -> None:
    """The attributes of the message are those of the answer and the request."""
    api = await deploy_jobs_api()
    response = await _send(api, _body("x"))
    (message,) = await _receive(api)
    attributes = {name: value.value for name, value in message.content.attributes.items()}
    assert attributes["job_id"] == json.loads(response.body)["job_id"]
    assert attributes["caller"] == "caller"
    assert attributes["correlation_id"] == response.header("x-amzn-requestid")


@pytest.mark.parametrize("name", ["Idempotency-Key", "idempotency-key", "IDEMPOTENCY-KEY"])
async def test_a_key_makes_the_same_job_whatever_its_case(name: str) -> None:
    """The header is found by name alone."""
    api = await deploy_jobs_api()
    one = await api.ask("POST", "/jobs", _body("x"), {**HEADERS, name: "same"})
    two = await api.ask("POST", "/jobs", _body("x"), {**HEADERS, name: "same"})
    assert json.loads(one.body)["job_id"] == json.loads(two.body)["job_id"] == "k.caller.c2FtZQ"


async def test_without_a_key_every_post_is_a_job_of_its_own() -> None:
    """The id then says when it was asked, and by which request."""
    api = await deploy_jobs_api()
    one, two = [json.loads((await _send(api, _body("x"))).body)["job_id"] for _ in range(2)]
    assert one != two
    assert one.split(".")[0:2] == ["r", "caller"]
    assert one.split(".")[2].isdecimal()


@pytest.mark.parametrize(
    ("key", "status"), [("", 400), ("x", 202), ("x" * 128, 202), ("x" * 129, 400), ("é" * 128, 202)]
)
async def test_a_key_has_1_to_128_characters(key: str, status: int) -> None:
    """Outside the limit nothing is queued, and the problem names the header and the limit."""
    api = await deploy_jobs_api()
    response = await _send(api, _body("x"), Idempotency_Key=key)
    assert response.status == status
    assert len(await _receive(api)) == (1 if status == 202 else 0)
    if status == 400:
        assert json.loads(response.body)["type"] == "/problems/invalid-idempotency-key"
        assert response.header("content-type") == "application/problem+json"


async def test_an_emoji_in_a_key_counts_as_java_counts() -> None:
    """64 emoji are 128 UTF-16 units, 65 are too many."""
    api = await deploy_jobs_api()
    assert (await _send(api, _body("x"), Idempotency_Key="😀" * 64)).status == 202
    assert (await _send(api, _body("x"), Idempotency_Key="😀" * 65)).status == 400


async def test_keys_that_base64_writes_with_plus_and_slash_are_safe_in_paths() -> None:
    """The id holds neither `+`, `/` nor `=`."""
    api = await deploy_jobs_api()
    job = json.loads((await _send(api, _body("x"), Idempotency_Key="\u00fb\u00ff\u00fe>>>???")).body)["job_id"]
    assert not set("+/=") & set(job)


async def test_a_body_above_a_queue_message_is_413_before_10_mb() -> None:
    """SQS refuses it, and the integration response says why."""
    api = await deploy_jobs_api(alter=_without_max_length)
    response = await _send(api, _body("x" * 1_048_577))
    assert response.status == 413
    assert json.loads(response.body)["type"] == "/problems/too-large"


def _without_max_length(body: dict[str, Any]) -> None:
    del body["components"]["schemas"]["JobRequest"]["properties"]["prompt"]["maxLength"]


async def test_a_body_above_10_mb_never_reaches_the_queue() -> None:
    """REQUEST_TOO_LARGE is the gateway's own."""
    api = await deploy_jobs_api()
    response = await _send(api, b"x" * (10 * 1024 * 1024 + 1))
    assert response.status == 413
    assert json.loads(response.body)["title"] == "The body is larger than 10 MB"
    assert api.requests == []


SECRET = "do not repeat this"


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"",
        b"[]",
        b'{"prompt":7}',
        b'{"prompt":""}',
        json.dumps({"prompt": SECRET * 20_000}).encode(),
        json.dumps({"prompt": "x", SECRET: "red"}).encode(),
        json.dumps({"prompt": "x", "max_tokens": SECRET}).encode(),
        json.dumps({"prompt": "x", "temperature": SECRET}).encode(),
        b'{"prompt":"x","max_tokens":0}',
        f'{{"prompt":"{SECRET}'.encode(),
    ],
)
async def test_a_body_outside_the_model_is_a_problem_that_names_every_fields_limit(
    body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """400, problem+json, all fields with their limits, and nothing of the body: not in the answer, not in the log."""
    api = await deploy_jobs_api()
    with caplog.at_level("DEBUG"):
        response = await _send(api, body)
    assert (response.status, response.header("content-type")) == (400, "application/problem+json")
    problem = json.loads(response.body)
    assert (problem["type"], problem["status"]) == ("/problems/invalid-body", 400)
    assert set(problem["fields"]) == {"prompt", "system", "max_tokens", "temperature"}
    assert len(response.body) < 500
    assert SECRET not in response.body.decode() + caplog.text
    assert api.requests == []


@pytest.mark.parametrize("body", [b"{", b"prompt", b'{"prompt": NaN}', b"\xff\xfe", b'{"prompt":"x"} x'])
async def test_a_body_that_is_no_json_is_400(body: bytes) -> None:
    """It never reaches the queue."""
    api = await deploy_jobs_api()
    assert (await _send(api, body)).status == 400
    assert api.requests == []


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "application/x-www-form-urlencoded"])
async def test_another_content_type_is_415(content_type: str) -> None:
    """passthroughBehavior never."""
    api = await deploy_jobs_api()
    response = await _send(api, _body("x"), Content_Type=content_type)
    assert response.status == 415
    assert json.loads(response.body)["type"] == "/problems/unsupported-media-type"
    assert api.requests == []


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON"])
async def test_parameters_and_case_of_the_content_type_do_not_matter(content_type: str) -> None:
    """The media type alone picks the template."""
    api = await deploy_jobs_api()
    assert (await _send(api, _body("x"), Content_Type=content_type)).status == 202


async def test_no_token_is_401_without_asking_the_function() -> None:
    """The identity source is missing."""
    api = await deploy_jobs_api()
    response = await api.ask("POST", "/jobs", _body("x"), {"Content-Type": "application/json"})
    assert response.status == 401
    assert json.loads(response.body)["type"] == "/problems/unauthorized"
    assert api.functions.events == []


async def test_an_unknown_route_is_the_apis_own_404() -> None:
    """MISSING_AUTHENTICATION_TOKEN, as the template customises it."""
    api = await deploy_jobs_api()
    for method, path in (("GET", "/nothing"), ("DELETE", "/jobs"), ("GET", "/jobs/a/b"), ("GET", "/")):
        response = await api.ask(method, path, b"", HEADERS)
        assert response.status == 404
        assert json.loads(response.body)["type"] == "/problems/no-such-route"


async def test_preflight_needs_no_token() -> None:
    """OPTIONS answers with what the template says, and nothing else."""
    api = await deploy_jobs_api()
    response = await api.ask("OPTIONS", "/jobs/x", b"", {"Origin": "http://127.0.0.1:4603"})
    assert response.status == 200
    assert response.header("access-control-allow-origin") == "http://127.0.0.1:4603"
    assert response.header("access-control-allow-methods") == "GET,POST,DELETE,OPTIONS"
    assert response.header("access-control-allow-headers") == "authorization,content-type,idempotency-key,last-event-id"
    assert response.header("access-control-max-age") == "600"
    assert response.header("access-control-allow-credentials") is None


async def test_a_queue_that_fails_is_503_with_retry_after() -> None:
    """The 5xx integration response."""

    def lead_away(body: dict[str, Any]) -> None:
        responses = body["paths"]["/jobs"]["post"]["x-amazon-apigateway-integration"]["responses"]
        responses["4\\d{2}"], responses["5\\d{2}"] = responses["5\\d{2}"], responses["4\\d{2}"]

    api = await deploy_jobs_api(alter=lead_away)
    response = await _send(api, _body("x"), Idempotency_Key="")
    assert response.status == 503
    assert response.header("retry-after") == "5"
    assert json.loads(response.body)["type"] == "/problems/unavailable"


async def test_get_reaches_the_function_with_the_caller() -> None:
    """The event has the path variable decoded and the authorizer's principal."""
    api = await deploy_jobs_api()
    response = await api.ask("GET", "/jobs/k.auth0%7C1.abc", b"", HEADERS)
    assert response.status == 200
    name, event = api.functions.events[-1]
    assert name == "ReadJob"
    assert event["pathParameters"] == {"job_id": "k.auth0|1.abc"}
    assert event["requestContext"]["authorizer"]["principalId"] == "caller"
    assert event["resource"] == "/jobs/{job_id}"
    assert event["requestContext"]["resourcePath"] == "/jobs/{job_id}"
    assert event["requestContext"]["stage"] == "v1"


def test_the_stage_throttles_each_method_as_its_settings_say() -> None:
    """400 at once, then 200 a second, for each method on its own."""

    async def main() -> None:
        api = await deploy_jobs_api(clock=LoopClock(asyncio.get_running_loop()))
        statuses = [(await api.ask("GET", "/jobs/x", b"", HEADERS)).status for _ in range(401)]
        assert statuses == [200] * 400 + [429]
        assert (await api.ask("OPTIONS", "/jobs/x")).status == 200
        refused = await api.ask("GET", "/jobs/x", b"", HEADERS)
        assert refused.header("retry-after") == "1"
        await asyncio.sleep(0.0125)
        statuses = [(await api.ask("GET", "/jobs/x", b"", HEADERS)).status for _ in range(3)]
        assert statuses == [200, 200, 429]

    run_virtual(main)
