"""The functions' lifespans: a deployment that lacks a setting fails at init and names it."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from functions.broadcast_records import app as broadcast_records
from functions.check_health import app as check_health
from functions.filter_records import app as filter_records
from functions.generate_answer import app as generate_answer
from functions.probe_region import app as probe_region
from functions.publish_records import app as publish_records
from functions.read_job import app as read_job
from functions.roll_up_records import app as roll_up_records
from functions.serve_socket import app as serve_socket
from functions.stream_answer import app as stream_answer
from functions.stream_http import app as stream_http
from functions.switch_region import app as switch_region
from functions.verify_rollups import app as verify_rollups
from localcloud.template.source import read_template
from sluiceway.aws.reply import Reply
from sluiceway.errors import Misconfigured
from tests.flow.test_authorize_request import SETTINGS as TOKENS
from tests.unit.test_kinesis_producer_ops import reply

AWS = {"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
# What the template gives to every function, where there is a pair of Regions.
HOME = {
    "POWERTOOLS_METRICS_NAMESPACE": "Sluiceway",
    "IDEMPOTENCY_TIER": "home",
    "REGION_GROUP": "shop",
    "REGIONS": "eu-west-1,eu-central-1",
    "REGIONS_TABLE": "regions",
    "TERMS_TABLE": "terms",
    "TERMS_REGION": "eu-west-1",
}
OF_PAIR = {"probe_region", "switch_region"}
MASK_KEY = "k1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
ROLLUP = (
    '{"rollup_id":"r","topic":"records","dimensions":[{"date_histogram":{"source_field":"at","fixed_intervals":["1m"]}}],'
    '"metrics":[{"source_field":"t","metrics":["avg"]}],"retention_s":{"minute":2592000},"lateness_s":3600,'
    '"raw_retention_s":172800,"stream_retention_s":86400}'
)
OPTIONAL = {  # the template sets them, most perhaps to nothing
    "CHANNELS", "KEYS_STALE_S", "MASK_KEY", "RESTING_MAPPINGS", "RESTING_RULES", "SCHEMAS", "SUBSCRIBER_PARTS",
    "SURVEY_ALARMS", "SURVEY_CHECKS", "SURVEY_PLAN", "TOKEN_ISSUERS", "TOKEN_KEYS_URL",
}  # fmt: skip
SETTINGS = {
    "broadcast_records": {
        "SUBSCRIPTIONS_TABLE": "subscriptions",
        "CONNECTIONS_URL": "https://abc.execute-api.eu-west-1.amazonaws.com/v1",
        "TOPICS": '{"records": "stack-RecordsStream-1"}',
        "ACCESS": '{"records": "public"}',
        "MASK_KEY": MASK_KEY,
        "SUBSCRIBER_PARTS": "1",
        "CHANNELS": "",
    },
    "check_health": {
        "IDEMPOTENCY_TABLE": "keys",
        "JOBS_QUEUE_URL": "http://127.0.0.1/1/jobs",
        "STREAM": "stack-RecordsStream-1",
    },
    "filter_records": {
        "RULES_TABLE": "rules",
        "DEAD_LETTERS_URL": "http://127.0.0.1/1/dead",
        "TOPICS": '{"records": "stack-RecordsStream-1"}',
        "MASK_KEY": MASK_KEY,
    },
    "generate_answer": {
        "JOBS_TABLE": "jobs",
        "RESULTS_BUCKET": "results",
        "DEAD_LETTERS_URL": "http://127.0.0.1/1/dead",
        "JOBS_QUEUE_URL": "http://127.0.0.1/1/jobs",
        "QUEUE_VISIBILITY_S": "360",
        "MODEL_ID": "amazon.nova-micro-v1:0",
        "MAX_OUTPUT_TOKENS": "512",
        "MAX_RECEIVES": "6",
        "IDEMPOTENCY_TABLE": "keys",
        "JOB_AFTER_CRASH": "rerun",
        "CONNECTIONS_URL": "https://abc.execute-api.eu-west-1.amazonaws.com/v1",
    },
    "probe_region": {
        "OTHER_REGION": "eu-central-1",
        "PROBE_URL": "https://eu-central-1.api.example.com/health",
        "PROBE_SECONDS": "10",
    },
    "switch_region": {
        "IDEMPOTENCY_TABLE": "keys",
        "OTHER_REGION": "eu-central-1",
        "PROBE_URL": "https://eu-central-1.api.example.com/health",
        "RESTING_MAPPINGS": "",
        "RESTING_RULES": "",
        "SURVEY_ALARMS": "shop-other-region-down,shop-secondary-is-home",
        "SURVEY_CHECKS": "",
        "SURVEY_PLAN": "",
    },
    "publish_records": {
        "TOPICS": '{"records": "stack-RecordsStream-1"}',
        "PUBLISHERS": '{"records": "*"}',
        "SCHEMAS": "",
        "AGGREGATE": "false",
        "GIVE_UP_S": "10",
        "IDEMPOTENCY_TABLE": "keys",
        "CONSOLE_ORIGIN": "http://127.0.0.1:4603",
    },
    "roll_up_records": {
        "ROLLUPS_TABLE": "rollups",
        "RAW_BUCKET": "raw",
        "DEAD_LETTERS_URL": "http://127.0.0.1/1/dead",
        "ROLLUP": ROLLUP,
    },
    "verify_rollups": {"ROLLUPS_TABLE": "rollups", "RAW_BUCKET": "raw", "ROLLUP": ROLLUP},
    "read_job": {
        "JOBS_TABLE": "jobs",
        "RESULTS_BUCKET": "results",
        "QUEUE_RETENTION_S": "345600",
        "CONSOLE_ORIGIN": "http://127.0.0.1:4603",
    },
    "serve_socket": {
        "CONVERSATIONS_TABLE": "conversations",
        "CONNECTIONS_TABLE": "connections",
        "SUBSCRIPTIONS_TABLE": "subscriptions",
        "TOPICS": '{"records": "stack-RecordsStream-1"}',
        "ACCESS": '{"records": "public"}',
        "SUBSCRIBER_PARTS": "4",
        "CONNECTIONS_URL": "https://abc.execute-api.eu-west-1.amazonaws.com/v1",
        "WORKER_FUNCTION": "stream-answer",
        "IDEMPOTENCY_TABLE": "keys",
        "MODEL_ID": "amazon.nova-micro-v1:0",
    },
    "stream_answer": {
        "CONVERSATIONS_TABLE": "conversations",
        "CONNECTIONS_URL": "https://abc.execute-api.eu-west-1.amazonaws.com/v1",
        "MODEL_ID": "amazon.nova-micro-v1:0",
        "MODEL_CONTINUES": "true",
        "MAX_OUTPUT_TOKENS": "512",
        "HISTORY_CHARACTERS": "4000",
        "GRACE_S": "30",
        "ON_DISCONNECT": "cancel",
    },
    "stream_http": {
        "CONVERSATIONS_TABLE": "conversations",
        "CONNECTIONS_URL": "https://abc.execute-api.eu-west-1.amazonaws.com/v1",
        "MODEL_ID": "amazon.nova-micro-v1:0",
        "MODEL_CONTINUES": "true",
        "MAX_OUTPUT_TOKENS": "512",
        "HISTORY_CHARACTERS": "4000",
        "CONSOLE_ORIGIN": "http://127.0.0.1:4603",
        "IDEMPOTENCY_TABLE": "keys",
        "TOKEN_ISSUER": TOKENS["TOKEN_ISSUER"],
        "TOKEN_AUDIENCE": TOKENS["TOKEN_AUDIENCE"],
        "TOKEN_KEYS": TOKENS["TOKEN_KEYS"],
        "TOKEN_KEYS_URL": "",
        "TOKEN_ISSUERS": "",
        "KEYS_STALE_S": "86400",
    },
}
# Lower and upper bounds, and the words, that a lifespan refuses.
WRONG = [
    ("broadcast_records", "CONNECTIONS_URL", "abc"),
    ("broadcast_records", "TOPICS", "records"),
    ("broadcast_records", "TOPICS", "{}"),
    ("broadcast_records", "ACCESS", '{"records": "private"}'),
    ("broadcast_records", "ACCESS", '{"other": "public"}'),
    ("broadcast_records", "ACCESS", '{"records": [{"allow": "all"}]}'),
    ("broadcast_records", "MASK_KEY", "secret"),
    ("broadcast_records", "SUBSCRIBER_PARTS", "65"),
    ("broadcast_records", "FAN_OUT_FROM", "-1"),
    ("broadcast_records", "CHANNELS", "[]"),
    ("broadcast_records", "CHANNELS", '{"records": {"channel": "/records/live"}}'),
    ("serve_socket", "SUBSCRIBER_PARTS", "0"),
    ("check_health", "JOBS_QUEUE_URL", "jobs"),
    ("probe_region", "PROBE_URL", "api.example.com"),
    ("probe_region", "PROBE_SECONDS", "0"),
    ("probe_region", "PROBE_SECONDS", "61"),
    ("probe_region", "POWERTOOLS_METRICS_NAMESPACE", ""),
    ("switch_region", "PROBE_URL", "wss://api.example.com/health"),
    ("switch_region", "POWERTOOLS_METRICS_NAMESPACE", ""),
    ("switch_region", "IDEMPOTENCY_TIER", "single"),
    ("switch_region", "OTHER_REGION", "eu-west-1"),
    ("switch_region", "OTHER_REGION", "us-east-1"),
    ("filter_records", "DEAD_LETTERS_URL", "dead"),
    ("filter_records", "MASK_KEY", "k1:short"),
    ("filter_records", "TOPICS", "[]"),
    ("serve_socket", "ACCESS", "public"),
    ("serve_socket", "TOPICS", '{"records": ""}'),
    ("generate_answer", "QUEUE_VISIBILITY_S", "43201"),
    ("generate_answer", "MAX_RECEIVES", "0"),
    ("generate_answer", "JOB_AFTER_CRASH", "never"),
    ("generate_answer", "CONNECTIONS_URL", "wss://abc.execute-api.eu-west-1.amazonaws.com/v1"),
    ("publish_records", "AGGREGATE", "yes"),
    ("publish_records", "GIVE_UP_S", "29"),
    ("publish_records", "PUBLISHERS", '{"others": "*"}'),
    ("publish_records", "SCHEMAS", "schema.json"),
    ("publish_records", "SCHEMAS", '{"others": {"file": "schema.json", "format": "JSON"}}'),
    ("publish_records", "SCHEMAS", '{"records": {"file": "nowhere.json", "format": "JSON"}}'),
    ("publish_records", "SCHEMAS", '{"records": {"file": "app.py", "format": "JSON"}}'),
    ("read_job", "QUEUE_RETENTION_S", "59"),
    ("roll_up_records", "DEAD_LETTERS_URL", "dead"),
    ("roll_up_records", "ROLLUP", '{"rollup_id": "records"}'),
    ("verify_rollups", "ROLLUP", "[]"),
    ("serve_socket", "CONNECTIONS_URL", "abc"),
    ("stream_answer", "MODEL_CONTINUES", "yes"),
    ("stream_answer", "MAX_OUTPUT_TOKENS", "8193"),
    ("stream_answer", "HISTORY_CHARACTERS", "-1"),
    ("stream_answer", "GRACE_S", "601"),
    ("stream_answer", "ON_DISCONNECT", "Cancel"),
    ("stream_http", "MODEL_CONTINUES", "1"),
    ("stream_http", "CONSOLE_ORIGIN", "console"),
    ("stream_http", "TOKEN_KEYS", "[]"),
    ("stream_http", "TOKEN_KEYS", '{"keys": []}'),
    ("stream_http", "TOKEN_KEYS_URL", "http://issuer.example/keys"),
    ("stream_http", "TOKEN_ISSUERS", "{}"),
    ("stream_http", "KEYS_STALE_S", "604801"),
]
MODULES: dict[str, Any] = {
    "broadcast_records": broadcast_records,
    "check_health": check_health,
    "filter_records": filter_records,
    "generate_answer": generate_answer,
    "probe_region": probe_region,
    "publish_records": publish_records,
    "read_job": read_job,
    "roll_up_records": roll_up_records,
    "serve_socket": serve_socket,
    "stream_answer": stream_answer,
    "stream_http": stream_http,
    "switch_region": switch_region,
    "verify_rollups": verify_rollups,
}


def opened(monkeypatch: pytest.MonkeyPatch, name: str, without: str = "") -> AbstractAsyncContextManager[Any]:
    for setting, value in {**AWS, **(HOME if name in OF_PAIR else {}), **SETTINGS[name]}.items():
        monkeypatch.setenv(setting, value)
    if without:
        monkeypatch.delenv(without)
    return MODULES[name].lifespan()


@pytest.mark.parametrize("name", SETTINGS)
async def test_a_whole_deployment_opens_without_a_connection(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Init reads settings and opens nothing: a service that is away is no init error."""
    async with opened(monkeypatch, name) as services:
        assert services is not None


@pytest.mark.parametrize(
    ("name", "setting"), [(name, setting) for name in SETTINGS for setting in SETTINGS[name] if setting not in OPTIONAL]
)
async def test_a_missing_setting_is_named(name: str, setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Misconfigured says which one, before the first event."""
    with pytest.raises(Misconfigured) as caught:
        async with opened(monkeypatch, name, without=setting):
            pass
    assert caught.value.what == setting


@pytest.mark.parametrize(("name", "setting", "value"), WRONG)
async def test_a_wrong_setting_is_named(name: str, setting: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Out of its bounds, none of its words, no address, no keys: the setting is named before the first event."""
    opening = opened(monkeypatch, name)
    monkeypatch.setenv(setting, value)
    with pytest.raises(Misconfigured) as caught:
        async with opening:
            pass
    assert caught.value.what == setting


@pytest.mark.parametrize("name", SETTINGS)
def test_the_template_sets_what_the_functions_read(name: str) -> None:
    """The variables of this test are the template's, function by function: none is missing, none is idle."""
    resources = read_template(Path(__file__).parents[2] / "template.yaml").body["Resources"]
    (function,) = (
        each["Properties"]
        for each in resources.values()
        if each["Type"] == "AWS::Serverless::Function" and each["Properties"]["CodeUri"] == f"functions/{name}"
    )
    named = {each for each in function["Environment"]["Variables"] if not each.startswith("AWS_")}  # those are Lambda's
    assert named == set(SETTINGS[name])


def test_what_repeats_a_queues_number_repeats_it() -> None:
    """The queue's numbers in the variables are the queue's own."""
    text = (Path(__file__).parents[2] / "template.yaml").read_text(encoding="utf-8")
    assert 'MAX_RECEIVES: "6"' in text
    assert "maxReceiveCount: 6" in text
    assert 'QUEUE_VISIBILITY_S: "360"' in text
    assert "VisibilityTimeout: 360 " in text
    assert 'QUEUE_RETENTION_S: "345600"' in text
    assert "MessageRetentionPeriod: 345600" in text


async def test_parts_and_channels_are_opened_where_they_are_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers are this very function, which has to have a name then; without the settings there are neither."""
    async with opened(monkeypatch, "broadcast_records") as services:
        assert (services.parting, services.channels, services.subscribers.parts) == (None, None, (0,))
    channel = '{"records":{"url":"https://x.appsync-api.eu-west-1.amazonaws.com","channel":"/records/live"}}'
    opening = opened(monkeypatch, "broadcast_records")
    for name, value in {"SUBSCRIBER_PARTS": "8", "AWS_LAMBDA_FUNCTION_NAME": "f", "CHANNELS": channel}.items():
        monkeypatch.setenv(name, value)
    async with opening as services:
        assert (services.parting.parts, services.subscribers.parts) == (8, tuple(range(8)))
        assert services.channels.of_topic["records"].name == "/records/live"
    opening = opened(monkeypatch, "broadcast_records")
    monkeypatch.setenv("SUBSCRIBER_PARTS", "8")
    monkeypatch.delenv("AWS_LAMBDA_FUNCTION_NAME")
    with pytest.raises(Misconfigured) as caught:
        async with opening:
            pass
    assert caught.value.what == "AWS_LAMBDA_FUNCTION_NAME"


async def test_health_looks_at_the_term_and_the_drill_where_there_is_a_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    """One Region alone has neither; a pair's cannot serve without the term, and may be in a drill."""
    for settings, expected in (({}, ["keys", "jobs", "records"]), (HOME, ["keys", "jobs", "records", "term"])):
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        async with opened(monkeypatch, "check_health") as services:
            watch = services.watch
            assert [each.name for each in watch._dependencies] == expected
            assert (watch._drills is not None) is bool(settings)


async def test_a_switch_puts_its_metric_at_standard_resolution(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A health check of Route 53 takes an alarm on no other; what is probed may be looked at every ten seconds."""
    for name, resolution_s in (("switch_region", 60), ("probe_region", 1)):
        async with opened(monkeypatch, name) as services:
            services.gauge.put({"IsHome": 1}, Group="shop")
        assert f'"StorageResolution":{resolution_s}}}' in capsys.readouterr().out


async def test_health_is_asked_of_what_requests_need(monkeypatch: pytest.MonkeyPatch) -> None:
    """The operations that the role may do, no write among them; a stream that is deleted takes no records."""
    asked: list[tuple[str, str]] = []
    statuses = ["ACTIVE", "UPDATING", "DELETING"]

    async def call(_self: Any, service: Any, operation: str, *_rest: Any, **_more: Any) -> Reply:
        asked.append((service.endpoint_prefix, operation))
        if service.endpoint_prefix == "kinesis":
            return reply(StreamDescriptionSummary={"StreamStatus": statuses.pop(0)})
        return reply(Attributes={"ApproximateNumberOfMessages": "1"}) if service.endpoint_prefix == "sqs" else reply()

    monkeypatch.setattr("sluiceway.aws.wire.Wire.call", call)
    for name, value in HOME.items():
        monkeypatch.setenv(name, value)
    found: list[dict[str, bool]] = []
    for _ in range(3):
        async with opened(monkeypatch, "check_health") as services:
            found.append({each.name: each.is_well for each in (await services.watch.look()).findings})
    assert set(asked) == {
        ("dynamodb", "GetItem"),
        ("sqs", "GetQueueAttributes"),
        ("kinesis", "DescribeStreamSummary"),
    }
    well = {"keys": True, "jobs": True, "records": True, "term": False, "drills": True}  # no group was founded
    assert found == [well, well, well | {"records": False}]
