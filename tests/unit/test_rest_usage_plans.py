"""API keys and usage plans of REST APIs: who gets in, how fast and how often, on a date that is set by hand."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.gateway.message import HttpResponse
from localcloud.gateway.usage_plans import Quota
from localcloud.template.errors import TemplateError
from tests.unit.gateway_setup import allow, lambda_uri
from tests.unit.rest_setup import Rest, make_rest

KEY = "k" * 20
FORBIDDEN = (403, b'{"message":"Forbidden"}')
THROTTLED = (429, b'{"message":"Too Many Requests"}')
EXCEEDED = (429, b'{"message":"Limit Exceeded"}')
PROXY = {"Type": "AWS_PROXY", "IntegrationHttpMethod": "POST", "Uri": lambda_uri("work")}


async def _planned(rest: Rest | None = None, *, stage: dict[str, Any] | None = None, **plan: Any) -> Rest:
    """`GET /` wants a key, `POST /` does not; one key in a plan of the stage."""
    rest = rest or await make_rest()
    rest.functions.replies["work"] = b'{"statusCode":200}'
    await rest.method(rest.root, ApiKeyRequired=True, Integration=PROXY)
    await rest.method(rest.root, "POST", Integration=PROXY)
    await rest.deploy()
    key = await rest.make("ApiKey", "Key", Value=KEY, Enabled=True)
    made = await rest.make("UsagePlan", "Plan", ApiStages=[{"ApiId": rest.api, "Stage": "v1", **(stage or {})}], **plan)
    await rest.make("UsagePlanKey", "Both", KeyId=key, KeyType="API_KEY", UsagePlanId=made)
    return rest


async def _get(rest: Rest, key: str = KEY, **headers: str) -> tuple[int, bytes]:
    answer: HttpResponse = await rest.ask("GET", "/", **({"x_api_key": key} if key else {}), **headers)
    return answer.status, answer.body


async def test_a_method_that_wants_a_key_takes_none_but_those_of_the_stages_plans() -> None:
    """Without, with an unknown, a disabled or an unplanned one: 403 Forbidden; a method that wants none serves all."""
    rest = await _planned()
    plan = rest.made[-2][1].ref
    off = await rest.make("ApiKey", "Off", Value="o" * 20)
    await rest.make("UsagePlanKey", KeyId=off, KeyType="API_KEY", UsagePlanId=plan)
    await rest.make("ApiKey", "Alone", Value="a" * 20, Enabled=True)
    assert await _get(rest) == (200, b"")
    for key in ("", "x" * 20, "o" * 20, "a" * 20):
        assert await _get(rest, key) == FORBIDDEN
    assert (await rest.ask("POST", "/")).status == 200
    refused = await rest.ask("GET", "/")
    assert refused.header("x-amzn-errortype") == "ForbiddenException"


async def test_the_key_is_in_the_event_and_in_templates() -> None:
    """`identity.apiKey` and `apiKeyId`, for methods that want one only."""
    rest = await _planned()
    await _get(rest)
    await rest.ask("POST", "/", x_api_key=KEY)
    with_key, without = (event["requestContext"]["identity"] for _, event in rest.functions.events)
    key_id = rest.made[-3][1].ref
    assert (with_key["apiKey"], with_key["apiKeyId"]) == (KEY, key_id)
    assert "apiKey" not in without
    template = '{"statusCode":200,"k":"$context.identity.apiKey"}'
    mock = {
        "Type": "MOCK",
        "RequestTemplates": {"application/json": '{"statusCode":200}'},
        "IntegrationResponses": [{"StatusCode": 200, "ResponseTemplates": {"application/json": template}}],
    }
    await rest.method(await rest.resource("t"), ApiKeyRequired=True, Integration=mock)
    await rest.deploy()
    assert json.loads((await rest.ask("GET", "/t", x_api_key=KEY)).body)["k"] == KEY


async def test_an_authorizer_may_say_whose_key_it_is() -> None:
    """`ApiKeySourceType: AUTHORIZER` takes `usageIdentifierKey`, and no header."""
    rest = await make_rest(ApiKeySourceType="AUTHORIZER")
    authorizer = await rest.make(
        "Authorizer",
        Name="a",
        Type="TOKEN",
        AuthorizerUri=lambda_uri("auth"),
        IdentitySource="method.request.header.Auth",
        AuthorizerResultTtlInSeconds=0,
    )
    await rest.method(
        await rest.resource("a"), ApiKeyRequired=True, AuthorizationType="CUSTOM", AuthorizerId=authorizer
    )
    await _planned(rest)
    answer = json.loads(allow())
    rest.functions.replies["auth"] = json.dumps({**answer, "usageIdentifierKey": KEY}).encode()
    assert (await rest.ask("GET", "/a", Auth="t")).status == 200
    rest.functions.replies["auth"] = json.dumps(answer).encode()
    assert (await rest.ask("GET", "/a", Auth="t", x_api_key=KEY)).status == 403
    rest.functions.replies["auth"] = json.dumps({**answer, "usageIdentifierKey": 1}).encode()
    assert (await rest.ask("GET", "/a", Auth="t")).status == 500


async def test_a_plans_throttle_is_each_keys_own() -> None:
    """Two at once, one more a second; a method that wants no key is not counted, another key has its own bucket."""
    rest = await _planned(Throttle={"RateLimit": 1, "BurstLimit": 2})
    other = await rest.make("ApiKey", "Other", Value="z" * 20, Enabled=True)
    await rest.make("UsagePlanKey", "More", KeyId=other, KeyType="API_KEY", UsagePlanId=rest.made[-3][1].ref)
    for _ in range(5):
        assert (await rest.ask("POST", "/", x_api_key=KEY)).status == 200
    assert [await _get(rest) for _ in range(3)] == [(200, b""), (200, b""), THROTTLED]
    assert await _get(rest, "z" * 20) == (200, b"")
    rest.clock.now_s += 1
    assert [await _get(rest) for _ in range(2)] == [(200, b""), THROTTLED]


async def test_a_methods_throttle_in_a_plan_goes_before_the_plans() -> None:
    """`ApiStages.Throttle` names a path and a method."""
    stage = {"Throttle": {"//GET": {"RateLimit": 1, "BurstLimit": 1}}}
    rest = await _planned(stage=stage, Throttle={"RateLimit": 100, "BurstLimit": 100})
    assert [await _get(rest) for _ in range(2)] == [(200, b""), THROTTLED]


async def test_a_quota_ends_with_its_period_and_throttled_requests_use_nothing_of_it() -> None:
    """Three a day, counted for the key; at midnight UTC it begins again."""
    rest = await _planned(Quota={"Limit": 3, "Period": "DAY"}, Throttle={"RateLimit": 1, "BurstLimit": 1})
    rest.clock.now_s = datetime(2027, 3, 4, 23, 59, 50, tzinfo=UTC).timestamp()
    assert [await _get(rest) for _ in range(2)] == [(200, b""), THROTTLED]
    for expected in ((200, b""), (200, b""), EXCEEDED):
        rest.clock.now_s += 2
        assert await _get(rest) == expected
    rest.clock.now_s = datetime(2027, 3, 5, tzinfo=UTC).timestamp()
    assert await _get(rest) == (200, b"")


PERIODS = [
    (Quota(1, "DAY"), (2027, 3, 4, 13), (2027, 3, 4)),
    (Quota(1, "WEEK"), (2027, 3, 4, 13), (2027, 2, 28)),  # a Thursday; Sunday begins the week
    (Quota(1, "WEEK"), (2027, 2, 28, 0), (2027, 2, 28)),
    (Quota(1, "WEEK", 1), (2027, 2, 28, 23), (2027, 2, 22)),
    (Quota(1, "WEEK", 4), (2027, 3, 4, 0), (2027, 3, 4)),
    (Quota(1, "WEEK", 5), (2027, 3, 4, 0), (2027, 2, 26)),
    (Quota(1, "MONTH"), (2027, 3, 31, 23), (2027, 3, 1)),
    (Quota(1, "MONTH", 4), (2027, 3, 4, 23), (2027, 2, 5)),
    (Quota(1, "MONTH", 4), (2027, 1, 4, 23), (2026, 12, 5)),
    (Quota(1, "MONTH", 27), (2027, 3, 28, 0), (2027, 3, 28)),
]


@pytest.mark.parametrize(("quota", "now", "start"), PERIODS)
def test_when_a_quotas_period_began(quota: Quota, now: tuple[int, ...], start: tuple[int, ...]) -> None:
    """At midnight UTC of the day that the offset names."""
    year, month, day, hour = now
    moment = datetime(year, month, day, hour, 59, tzinfo=UTC)
    assert quota.start(moment.timestamp()) == datetime(*start, tzinfo=UTC)


@given(
    st.sampled_from([("DAY", 0), *(("WEEK", day) for day in range(7)), *(("MONTH", day) for day in range(28))]),
    st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - the strategy adds it
)
def test_every_moment_is_in_one_period(period: tuple[str, int], moment: datetime) -> None:
    """It began at a midnight not after the moment, its own start is in it, and the moment before is in another."""
    quota = Quota(1, *period)
    start = quota.start(moment.timestamp())
    assert start <= moment
    assert moment - start < timedelta(days={"DAY": 1, "WEEK": 7, "MONTH": 31}[quota.period])
    assert (start.hour, start.minute, start.second) == (0, 0, 0)
    assert quota.start(start.timestamp()) == start
    assert quota.start(start.timestamp() - 1) < start


REFUSED: list[tuple[str, dict[str, Any], str, str]] = [
    ("ApiKey", {"Value": "short"}, "Value", "at least 20"),
    ("ApiKey", {"Value": KEY}, "Value", "API Key already exists"),
    ("UsagePlan", {"ApiStages": [{"ApiId": "x", "Stage": "v1"}]}, "ApiStages[0].Stage", "API Stage not found: x:v1"),
    ("UsagePlan", {"Quota": {"Limit": 1, "Period": "DAY", "Offset": 1}}, "Quota.Offset", "must be zero in the DAY"),
    ("UsagePlan", {"Quota": {"Limit": 1, "Period": "WEEK", "Offset": 7}}, "Quota.Offset", "between 0 and 6 inclusive"),
    ("UsagePlan", {"Quota": {"Period": "DAY"}}, "Quota.Limit", "is required"),
    ("UsagePlanKey", {"KeyId": "x", "UsagePlanId": "y"}, "KeyId", "Invalid API Key identifier"),
]


@pytest.mark.parametrize(("kind", "properties", "where", "words"), REFUSED)
async def test_what_makes_no_sense_is_refused(kind: str, properties: dict[str, Any], where: str, words: str) -> None:
    """With the property, in API Gateway's words where they are known."""
    rest = await _planned()
    with pytest.raises(TemplateError, match=words) as caught:
        await rest.make(kind, "R", **properties)
    assert caught.value.where == f"R.Properties.{where}"


async def test_a_key_has_one_plan_for_a_stage() -> None:
    """A second one would leave open which of the two counts."""
    rest = await _planned()
    second = await rest.make("UsagePlan", "Second", ApiStages=[{"ApiId": rest.api, "Stage": "v1"}])
    key = rest.made[-4][1].ref
    with pytest.raises(TemplateError, match="is in the usage plan"):
        await rest.make("UsagePlanKey", "R", KeyId=key, KeyType="API_KEY", UsagePlanId=second)


async def test_deleting_takes_away_what_was_used_too() -> None:
    """A plan made anew starts from nothing; a deleted key opens nothing."""
    rest = await _planned(Quota={"Limit": 1, "Period": "MONTH"})
    assert [await _get(rest) for _ in range(2)] == [(200, b""), EXCEEDED]
    both, plan = rest.made.pop(), rest.made.pop()
    for resource, physical in (both, plan):
        await rest.handlers[resource.type].delete(resource, physical)
    assert await _get(rest) == FORBIDDEN
    for resource, _ in (plan, both):
        await rest.handlers[resource.type].create(resource)
    assert await _get(rest) == (200, b"")
    key = rest.made.pop()
    await rest.handlers[key[0].type].delete(*key)
    assert await _get(rest) == FORBIDDEN
