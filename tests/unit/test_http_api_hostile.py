"""HTTP APIs under requests that nobody foresaw: an answer that is documented, and never a defect of the gateway."""

from __future__ import annotations

import logging
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from localcloud.gateway.message import HttpRequest
from tests.unit.http_api_setup import FUNCTION, ISSUER, World, in_world
from tests.unit.test_http_api_integrations import SERVICE

DOCUMENTED = {200, 204, 400, 401, 403, 404, 413, 429}
TEXT = st.text(max_size=20)
PATHS = st.lists(st.sampled_from(["/a", "/b", "/jwt", "/iam", "/sqs", "/%", "/%ff", "/..", "//", "/é", "?", "/\ud800"]))
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(
            ["Authorization", "cookie", "Origin", "content-type", "x-user", "Expect", "x-amzn-trace-id", ""]
        ),
        st.one_of(
            TEXT, st.sampled_from(["Bearer a.b.c", "AWS4-HMAC-SHA256 Credential=", "Bearer eyJhbGciOiJub25lIn0.e30."])
        ),
    ),
    max_size=4,
)


class _Defects(logging.Handler):
    """Notes what the stage did not foresee."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.msg.startswith("http_api.failed"):
            self.seen.append(str(record.exc_info))


async def _open(world: World) -> None:
    await world.make_open(CorsConfiguration={"AllowOrigins": ["https://*"], "AllowMethods": ["*"]})
    await world.make_route("ANY /a")
    await world.make_route("ANY /b/{rest+}")
    settings = {"Issuer": ISSUER, "Audience": ["app"]}
    source = ["$request.header.Authorization"]
    jwt = await world.make(
        "Authorizer", Name="j", AuthorizerType="JWT", IdentitySource=source, JwtConfiguration=settings
    )
    await world.make_route("ANY /jwt", AuthorizationType="JWT", AuthorizerId=jwt)
    await world.make_route("ANY /iam", AuthorizationType="AWS_IAM")
    parameters = {
        "QueueUrl": "$request.querystring.q",
        "MessageBody": "${request.body.a[0].b}",
        "MessageAttributes": "$request.body",
    }
    await world.make_route(
        "ANY /sqs", SERVICE | {"IntegrationSubtype": "SQS-SendMessage", "RequestParameters": parameters}
    )
    mapping: dict[str, Any] = {"overwrite:path": "$request.body.p", "append:header.x": "$request.querystring.q"}
    work = {"IntegrationType": "AWS_PROXY", "IntegrationUri": f"{FUNCTION}Work", "RequestParameters": mapping}
    await world.make_route("POST /b/{x}", work)


@settings(max_examples=150, deadline=None)
@given(
    requests=st.lists(
        st.builds(
            HttpRequest,
            method=st.sampled_from(["GET", "POST", "OPTIONS", "BREW", ""]),
            path=PATHS.map("".join),
            query=st.one_of(TEXT, st.sampled_from(["q=%ff", "&&==", "q=1;q=2"])),
            headers=HEADERS.map(tuple),
            body=st.one_of(st.binary(max_size=20), st.sampled_from([b'{"a":[{"b":1}]}', b"[" * 500, b'{"x":1}'])),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_every_request_has_a_documented_answer(requests: list[HttpRequest]) -> None:
    """Whatever its path, query, headers and body; nothing of it is a 5xx."""
    defects = _Defects()
    logger = logging.getLogger("localcloud.gateway.http_api.stage")
    logger.addHandler(defects)

    async def run(world: World) -> None:
        await _open(world)
        for request in requests:
            answer = await world.send(request)
            assert answer.status in DOCUMENTED, (request, answer.status)

    try:
        in_world(run)
    finally:
        logger.removeHandler(defects)
    assert defects.seen == []
