"""What the SAM translator makes of template.yaml: nothing that was written is lost or turned into something weaker.

`sam validate --lint` passes values that AWS does not know (`ResponseTransferMode: BOGUS`), so the translated template
is held to AWS's own service models and to what the template says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.model import ListShape, MapShape, Shape, StringShape, StructureShape

from localcloud.template.source import read_template
from localcloud.template.translate import translate
from tests.shape.branches import branches

ROOT = Path(__file__).resolve().parents[2]
GIVEN = {"TokenIssuer": "https://issuer.example", "TokenKeys": '{"keys": []}'}
CREATED_BY = {
    "AWS::Lambda::Function": ("lambda", "CreateFunction"),
    "AWS::Lambda::EventSourceMapping": ("lambda", "CreateEventSourceMapping"),
    "AWS::Lambda::LayerVersion": ("lambda", "PublishLayerVersion"),
    "AWS::Lambda::Permission": ("lambda", "AddPermission"),
    "AWS::DynamoDB::Table": ("dynamodb", "CreateTable"),
    "AWS::CloudWatch::Alarm": ("cloudwatch", "PutMetricAlarm"),
    "AWS::Lambda::Url": ("lambda", "CreateFunctionUrlConfig"),
    "AWS::ApiGatewayV2::Api": ("apigatewayv2", "CreateApi"),
    "AWS::ApiGatewayV2::Authorizer": ("apigatewayv2", "CreateAuthorizer"),
    "AWS::ApiGatewayV2::Integration": ("apigatewayv2", "CreateIntegration"),
    "AWS::ApiGatewayV2::IntegrationResponse": ("apigatewayv2", "CreateIntegrationResponse"),
    "AWS::ApiGatewayV2::Route": ("apigatewayv2", "CreateRoute"),
    "AWS::ApiGatewayV2::RouteResponse": ("apigatewayv2", "CreateRouteResponse"),
    "AWS::ApiGatewayV2::Stage": ("apigatewayv2", "CreateStage"),
}
# CloudFormation's own words for what the API takes elsewhere or in another form.
OWN_WORDS = {
    "AWS::Lambda::Function": {"Code", "ReservedConcurrentExecutions"},
    "AWS::Lambda::LayerVersion": {"Content"},
    "AWS::DynamoDB::Table": {"TimeToLiveSpecification", "PointInTimeRecoverySpecification", "SSESpecification"},
    "AWS::CloudWatch::Alarm": {"AlarmActions"},
    "AWS::Lambda::Url": {"TargetFunctionArn"},
}


@pytest.fixture(scope="module")
def source() -> dict[str, Any]:
    """template.yaml as written, short tags in their long form."""
    return dict(read_template(ROOT / "template.yaml").body)


@pytest.fixture(scope="module")
def values(source: dict[str, Any]) -> dict[str, Any]:
    """Every parameter's value at a first deployment."""
    return {name: parameter.get("Default") for name, parameter in source["Parameters"].items()} | GIVEN


@pytest.fixture(scope="module")
def resources(source: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """The translated resources, references to parameters replaced by their values."""
    translated = translate(source, {name: str(value) for name, value in values.items()}, region="us-east-1")
    return _settle(translated.body["Resources"], values)


def _settle(value: Any, values: dict[str, Any]) -> Any:
    if isinstance(value, list):
        return [_settle(each, values) for each in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"Ref"} and value["Ref"] in values:
        return values[value["Ref"]]
    return {name: _settle(each, values) for name, each in value.items()}


def _functions(source: dict[str, Any]) -> dict[str, dict[str, Any]]:
    shared = source["Globals"]["Function"]
    return {
        name: shared | entry["Properties"]
        for name, entry in source["Resources"].items()
        if entry["Type"] == "AWS::Serverless::Function"
    }


# ---------------------------------------------------------------- AWS's own vocabulary


def _strangers(value: Any, shape: Shape, at: str) -> Iterator[str]:
    """Members that AWS's model does not have and text outside of its enumerations."""
    if isinstance(value, dict) and any(name == "Ref" or name.startswith("Fn::") for name in value):
        return
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        for name, each in value.items():
            if name in shape.members:
                yield from _strangers(each, shape.members[name], f"{at}.{name}")
            else:
                yield f"{at}.{name}: no such member"
    elif isinstance(shape, MapShape) and isinstance(value, dict):
        for name, each in value.items():
            yield from _strangers(each, shape.value, f"{at}.{name}")
    elif isinstance(shape, ListShape) and isinstance(value, list):
        for index, each in enumerate(value):
            yield from _strangers(each, shape.member, f"{at}[{index}]")
    elif isinstance(shape, StringShape) and shape.enum and value not in shape.enum:
        yield f"{at}: {value} is none of {', '.join(shape.enum)}"


def _foreign(resources: dict[str, Any]) -> list[str]:
    session = boto3.session.Session(region_name="us-east-1")
    models = {name: session.client(name).meta.service_model for name in {each for each, _ in CREATED_BY.values()}}
    found: list[str] = []
    for name, entry in resources.items():
        if entry["Type"] in CREATED_BY:
            service, operation = CREATED_BY[entry["Type"]]
            skipped = OWN_WORDS.get(entry["Type"], set()) | {"Tags"}
            properties = {key: each for key, each in entry["Properties"].items() if key not in skipped}
            found += _strangers(properties, models[service].operation_model(operation).input_shape, name)
    return found


def test_every_value_is_one_that_aws_knows(resources: dict[str, Any]) -> None:
    """Functions, URLs, mappings, layers, tables, alarms and WebSocket APIs name only what AWS's models know."""
    assert _foreign(resources) == []


@pytest.mark.parametrize(
    ("name", "path", "bogus"),
    [
        ("GenerateAnswer", ("TracingConfig", "Mode"), "Activ"),
        ("GenerateAnswer", ("LoggingConfig", "LogFormat"), "Json"),
        ("GenerateAnswer", ("Runtime",), "python3.99"),
        ("GenerateAnswerJobs", ("ScalingConfig", "MaxConcurrency"), 10),
        ("GenerateAnswerJobs", ("FunctionResponseTypes",), ["ReportBatchItemFailure"]),
        ("StreamHttpUrl", ("InvokeMode",), "STREAM"),
        ("StreamHttpUrl", ("AuthType",), "ANY"),
        ("SubmitIntegration", ("PassthroughBehavior",), "never"),
        ("SubmitIntegration", ("IntegrationType",), "SQS"),
        ("SubmitQueued", ("Template",), "$default"),
    ],
)
def test_the_check_sees_a_value_that_aws_does_not_know(
    resources: dict[str, Any], name: str, path: tuple[str, ...], bogus: object
) -> None:
    """A misspelt value or member is found: the check above is not blind."""
    changed = json.loads(json.dumps(resources))
    place = changed[name]["Properties"]
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = bogus
    assert len(_foreign(changed)) == 1


# ---------------------------------------------------------------- what was written is what comes out


def test_nothing_of_sam_is_left(resources: dict[str, Any]) -> None:
    """Every resource is CloudFormation's own."""
    assert [name for name, entry in resources.items() if "::Serverless::" in entry["Type"]] == []


def test_functions_keep_what_the_template_says(
    source: dict[str, Any], resources: dict[str, Any], values: dict[str, Any]
) -> None:
    """Memory, timeout, runtime, tracing, log group and format, layers and every variable reach the function."""
    for name, written in _functions(source).items():
        made = resources[name]["Properties"]
        shared = source["Globals"]["Function"]
        assert (made["MemorySize"], made["Timeout"], made["Handler"], made["Runtime"]) == (
            written["MemorySize"],
            written["Timeout"],
            "app.handler",
            "python3.13",
        )
        assert made["Architectures"] == [values["Architecture"]]
        assert made["TracingConfig"] == {"Mode": values["Tracing"]}
        assert set(made["LoggingConfig"]) == {"LogFormat", "LogGroup"}
        own = source["Resources"][name]["Properties"].get("Layers", [])
        assert len(made["Layers"]) == len(shared["Layers"]) + len(own)
        named = set(shared["Environment"]["Variables"]) | set(written["Environment"]["Variables"])
        assert set(made["Environment"]["Variables"]) == named


def _each_resource(policies: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], Any]]:
    """Each statement with each of its resources, whatever conditions they hang on."""
    for policy in policies:
        for statement in branches(policy["PolicyDocument"]["Statement"]):
            for resource in branches(statement["Resource"]):
                yield statement, resource


def test_each_function_has_a_role_of_its_own_that_names_every_resource(
    source: dict[str, Any], resources: dict[str, Any]
) -> None:
    """One role a function; no statement is for every resource or every action; of AWS's own policies traces alone."""
    roles = {name: resources[name]["Properties"]["Role"]["Fn::GetAtt"][0] for name in _functions(source)}
    assert len(set(roles.values())) == len(roles)
    made = {name for name, resource in resources.items() if resource["Type"] == "AWS::IAM::Role"}
    others = {"ApiRole", "ApproverRole", "FaultsRole", "RecordsFirehoseRole", "RegionSwitchRole"}
    assert made == {*roles.values(), *others}
    traces = {"Fn::Sub": "arn:${AWS::Partition}:iam::aws:policy/AWSXRayDaemonWriteAccess"}
    for name in made:
        properties = resources[name]["Properties"]
        managed = [{"Fn::If": ["TracesRequests", traces, {"Ref": "AWS::NoValue"}]}] if name not in others else []
        assert properties.get("ManagedPolicyArns", []) == managed, name
        for statement, named in _each_resource(properties.get("Policies", [])):
            parts = ("${ResultsBucket.Arn}/results/", "${RawBucket.Arn}/raw/", "${RawBucket.Arn}/deleting/", "arn:")
            parts += ("${SubscriptionsTable.Arn}/index/", "${RulesTable.Arn}/index/")
            parts += (
                "${RawBucket.Arn}/firehose/",
                "${RawBucket.Arn}/firehose-errors/",
                "${FaultsBucket.Arn}/FisConfigs/",
            )
            if named == source["Parameters"]["RecordsKeyArn"]["Default"]:  # the key that a deployment names
                continue
            if named == {"Ref": "FilterRecordsConsumer"}:  # a consumer's Ref is its ARN
                continue
            assert "Fn::GetAtt" in named or named["Fn::Sub"].startswith(parts), name
            assert "*" not in json.dumps(statement["Action"]), name


def test_each_function_may_write_its_own_log(source: dict[str, Any], resources: dict[str, Any]) -> None:
    """The role may write the group that the function's logging names, and no other."""
    for name in _functions(source):
        properties = resources[name]["Properties"]
        role = resources[properties["Role"]["Fn::GetAtt"][0]]["Properties"]
        logs = [named for each, named in _each_resource(role["Policies"]) if "logs:PutLogEvents" in each["Action"]]
        assert logs == [{"Fn::GetAtt": [properties["LoggingConfig"]["LogGroup"]["Ref"], "Arn"]}], name


def test_the_queue_drives_the_worker_as_written(source: dict[str, Any], resources: dict[str, Any]) -> None:
    """Batch size, window, partial batch responses and maximum concurrency survive; the queue waits long enough."""
    written = source["Resources"]["GenerateAnswer"]["Properties"]["Events"]["Jobs"]["Properties"]
    made = resources["GenerateAnswerJobs"]["Properties"]
    assert made["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert made["BatchSize"] == written["BatchSize"]
    assert made["MaximumBatchingWindowInSeconds"] == written["MaximumBatchingWindowInSeconds"]
    assert made["ScalingConfig"]["MaximumConcurrency"] >= 2
    # https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html: at least six times the timeout
    worker, queue = resources["GenerateAnswer"]["Properties"], resources["JobsQueue"]["Properties"]
    assert queue["VisibilityTimeout"] >= 6 * worker["Timeout"] + made["MaximumBatchingWindowInSeconds"]


def test_the_stream_drives_the_broadcast_as_written(source: dict[str, Any], resources: dict[str, Any]) -> None:
    """From the latest record on, without a window; what is given up is told to the dead letters. No partial report."""
    written = source["Resources"]["BroadcastRecords"]["Properties"]["Events"]["Records"]["Properties"]
    made = resources["BroadcastRecordsRecords"]["Properties"]
    assert made["EventSourceArn"] == {"Fn::GetAtt": ["RecordsStream", "Arn"]}
    assert made["StartingPosition"] == "LATEST"
    assert made["BatchSize"] == written["BatchSize"]
    assert made["MaximumBatchingWindowInSeconds"] == 0
    assert made["MaximumRetryAttempts"] == 3
    assert made["DestinationConfig"] == {"OnFailure": {"Destination": {"Fn::GetAtt": ["BroadcastDeadLetters", "Arn"]}}}
    assert "FunctionResponseTypes" not in made
    stream = resources["RecordsStream"]["Properties"]
    assert stream["StreamModeDetails"] == {"StreamMode": "ON_DEMAND"}


def test_a_batch_of_the_filter_that_fails_whole_is_halved(resources: dict[str, Any]) -> None:
    """A record that no attempt survives keeps the others from their destinations for a few halvings, not for a day."""
    made = resources["FilterRecordsRecords"]["Properties"]
    assert made["BisectBatchOnFunctionError"] is True
    assert made["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert made["MaximumRecordAgeInSeconds"] == 86_400


def test_a_consumer_of_the_stream_has_one_mapping_and_its_function_may_subscribe(resources: dict[str, Any]) -> None:
    """Two mappings on one would take each shard from one another; the role has the consumer where the mapping does."""
    mappings = {name: each for name, each in resources.items() if each["Type"] == "AWS::Lambda::EventSourceMapping"}
    sources = {name: list(branches(each["Properties"]["EventSourceArn"])) for name, each in mappings.items()}
    consumers = [each["Ref"] for found in sources.values() for each in found if "Ref" in each]
    assert consumers == ["FilterRecordsConsumer"]
    made = resources["FilterRecordsRecords"]["Properties"]["EventSourceArn"]
    stream = {"Fn::GetAtt": ["RecordsStream", "Arn"]}
    assert made == {"Fn::If": ["FansOutRecords", {"Ref": "FilterRecordsConsumer"}, stream]}
    assert resources["FilterRecordsConsumer"]["Condition"] == "FansOutRecords"
    (policy,) = resources["FilterRecordsRole"]["Properties"]["Policies"]
    conditional = [each["Fn::If"] for each in policy["PolicyDocument"]["Statement"] if "Fn::If" in each]
    (granted,) = [each[1] for each in conditional if each[0] == "FansOutRecords"]
    assert granted == {
        "Effect": "Allow",
        "Action": ["kinesis:DescribeStreamConsumer", "kinesis:SubscribeToShard"],
        "Resource": {"Ref": "FilterRecordsConsumer"},
    }


def test_nothing_is_aggregated_while_a_mapping_filters_the_stream(resources: dict[str, Any]) -> None:
    """Lambda drops aggregates unseen there, and readings would be lost."""
    filtering = [
        name
        for name, each in resources.items()
        if each["Type"] == "AWS::Lambda::EventSourceMapping" and "FilterCriteria" in each["Properties"]
    ]
    assert filtering == ["RollUpRecordsReadings"]
    assert resources["PublishRecords"]["Properties"]["Environment"]["Variables"]["AGGREGATE"] == "false"


def test_firehose_reads_the_stream_and_writes_beside_the_raw_records(resources: dict[str, Any]) -> None:
    """All of it is there on one condition; its role writes under its two prefixes, a line for each record."""
    parts = [name for name in resources if name.startswith("RecordsFirehose")]
    assert len(parts) == 4
    assert {resources[name]["Condition"] for name in parts} == {"HasRecordsFirehose"}
    made = resources["RecordsFirehoseStream"]["Properties"]
    role = {"Fn::GetAtt": ["RecordsFirehoseRole", "Arn"]}
    stream = {"Fn::GetAtt": ["RecordsStream", "Arn"]}
    assert made["KinesisStreamSourceConfiguration"] == {"KinesisStreamARN": stream, "RoleARN": role}
    told = made["ExtendedS3DestinationConfiguration"]
    assert (told["Prefix"], told["ErrorOutputPrefix"], told["RoleARN"]) == ("firehose/", "firehose-errors/", role)
    (processor,) = told["ProcessingConfiguration"]["Processors"]
    assert processor["Parameters"] == [{"ParameterName": "Delimiter", "ParameterValue": "\\n"}]
    written = [
        named
        for each, named in _each_resource(resources["RecordsFirehoseRole"]["Properties"]["Policies"])
        if "s3:PutObject" in each["Action"]
    ]
    assert written == [{"Fn::Sub": "${RawBucket.Arn}/firehose/*"}, {"Fn::Sub": "${RawBucket.Arn}/firehose-errors/*"}]


def test_topics_are_the_same_for_who_subscribes_and_who_posts(resources: dict[str, Any]) -> None:
    """Both functions have one text, which names a stream of the template for each topic."""
    texts = [
        resources[name]["Properties"]["Environment"]["Variables"]["TOPICS"]
        for name in ("ServeSocket", "BroadcastRecords")
    ]
    assert texts[0] == texts[1]
    streams = json.loads(texts[0]["Fn::Sub"]).values()
    assert {resources[stream.strip("${}")]["Type"] for stream in streams} == {"AWS::Kinesis::Stream"}


def test_what_functions_are_told_of_the_queue_is_the_queues_own(resources: dict[str, Any]) -> None:
    """Variables that repeat a property of the queue have its value: retention, visibility, receives before redrive."""
    queue = resources["JobsQueue"]["Properties"]
    repeated = {
        "MAX_RECEIVES": queue["RedrivePolicy"]["maxReceiveCount"],
        "QUEUE_RETENTION_S": queue["MessageRetentionPeriod"],
        "QUEUE_VISIBILITY_S": queue["VisibilityTimeout"],
    }
    told = [
        (name, int(value))
        for entry in resources.values()
        if entry["Type"] == "AWS::Lambda::Function"
        for name, value in entry["Properties"]["Environment"]["Variables"].items()
        if name in repeated
    ]
    assert {name for name, _ in told} >= {"MAX_RECEIVES", "QUEUE_RETENTION_S"}
    assert [(name, value) for name, value in told if value != repeated[name]] == []


# ---------------------------------------------------------------- the HTTP edge


def _operations(resources: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in resources["Api"]["Properties"]["Body"]["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def test_every_method_has_the_authorizer_but_preflight(resources: dict[str, Any]) -> None:
    """No route is open but the health check, and no browser is asked for a token before it may send one."""
    for name, operation in _operations(resources):
        closed = [{"NONE": []}] if name == "GET /health" else [{"BearerToken": []}]
        assert operation.get("security") == (None if name.startswith("OPTIONS") else closed), name


def test_integrations_are_as_written(source: dict[str, Any], resources: dict[str, Any]) -> None:
    """The translator passes each integration on unchanged; it adds the preflight's, and those alone are mocks."""
    written = source["Resources"]["Api"]["Properties"]["DefinitionBody"]["paths"]
    for name, operation in _operations(resources):
        method, path = name.split(" ")
        made = operation["x-amazon-apigateway-integration"]
        if method == "OPTIONS":
            assert made["type"] == "mock"
            assert path in written
        else:
            assert made == written[path][method.lower()]["x-amazon-apigateway-integration"], name
            assert made["type"] in {"aws", "aws_proxy"}, name
            assert made.get("responseTransferMode", "BUFFERED") in {"BUFFERED", "STREAM"}, name


def test_bodies_are_validated_and_other_content_types_refused(resources: dict[str, Any]) -> None:
    """POST /jobs has the body validator that exists, its model allows no unknown member, and nothing passes through."""
    body = resources["Api"]["Properties"]["Body"]
    post = body["paths"]["/jobs"]["post"]
    validator = body["x-amazon-apigateway-request-validators"][post["x-amazon-apigateway-request-validator"]]
    assert validator["validateRequestBody"] is True
    assert list(post["requestBody"]["content"]) == ["application/json"]
    assert body["components"]["schemas"]["JobRequest"]["additionalProperties"] is False
    assert post["x-amazon-apigateway-integration"]["passthroughBehavior"] == "never"
    assert list(post["x-amazon-apigateway-integration"]["requestTemplates"]) == ["application/json"]


def test_gateway_responses_are_problems(resources: dict[str, Any]) -> None:
    """Each gateway response that the template words is RFC 9457 JSON with its own status and the console's origin."""
    responses = resources["Api"]["Properties"]["Body"]["x-amazon-apigateway-gateway-responses"]
    assert {"UNAUTHORIZED", "ACCESS_DENIED", "THROTTLED", "BAD_REQUEST_BODY", "AUTHORIZER_FAILURE"} <= set(responses)
    for name, response in responses.items():
        problem = json.loads(response["responseTemplates"]["application/json"].replace('"$context', '"'))
        assert problem["status"] == int(response["statusCode"]), name
        assert problem["type"].startswith("/problems/"), name
        parameters = response["responseParameters"]
        assert parameters["gatewayresponse.header.Content-Type"] == "'application/problem+json'", name
        assert "gatewayresponse.header.Access-Control-Allow-Origin" in parameters, name


# ---------------------------------------------------------------- streamed answers


def test_both_http_ways_to_an_answer_stream(resources: dict[str, Any]) -> None:
    """The Function URL and the REST methods hand over what the function writes as it is written."""
    assert resources["StreamHttpUrl"]["Properties"]["InvokeMode"] == "RESPONSE_STREAM"
    streaming = {
        name
        for name, operation in _operations(resources)
        if operation["x-amazon-apigateway-integration"].get("responseTransferMode") == "STREAM"
    }
    assert streaming == {"POST /answers", "GET /answers/{req}", "DELETE /answers/{req}"}
    for name, operation in _operations(resources):
        if name in streaming:
            integration = operation["x-amazon-apigateway-integration"]
            assert integration["uri"]["Fn::Sub"].endswith("${StreamHttp.Arn}/response-streaming-invocations"), name
            # The function ends by itself, before the API would cut it.
            limit_ms = 1000 * resources["StreamHttp"]["Properties"]["Timeout"]
            assert integration["timeoutInMillis"] >= limit_ms, name


def test_every_function_runs_under_the_layers_own_client(resources: dict[str, Any]) -> None:
    """Without it a response does not stream; the wrapper is the file that the layer holds."""
    functions = {
        name: entry["Properties"] for name, entry in resources.items() if entry["Type"] == "AWS::Lambda::Function"
    }
    wrappers = {name: each["Environment"]["Variables"]["AWS_LAMBDA_EXEC_WRAPPER"] for name, each in functions.items()}
    others = {name: wrapper for name, wrapper in wrappers.items() if wrapper != "/opt/bootstrap"}
    harmed = {"Fn::If": ["InjectsFaults", "/opt/aws-fis/bootstrap", "/opt/bootstrap"]}  # neither of them streams
    assert others == {"AuthorizeRequest": harmed, "PublishRecords": harmed}


def test_the_socket_has_the_routes_of_the_protocol(resources: dict[str, Any]) -> None:
    """Connections are authorised; each action has its route; only `submit` reaches a service, and it alone answers."""
    routes = {
        entry["Properties"]["RouteKey"]: entry["Properties"]
        for entry in resources.values()
        if entry["Type"] == "AWS::ApiGatewayV2::Route"
    }
    actions = {"ask", "resume", "cancel", "submit", "subscribe", "unsubscribe"}
    assert set(routes) == {"$connect", "$disconnect", "$default"} | actions
    assert {name for name, route in routes.items() if route.get("AuthorizationType") == "CUSTOM"} == {"$connect"}
    assert {name for name, route in routes.items() if "RouteResponseSelectionExpression" in route} == {"submit"}
    authorizer = resources[routes["$connect"]["AuthorizerId"]["Ref"]]["Properties"]
    assert authorizer["AuthorizerType"] == "REQUEST"
    assert "IdentitySource" not in authorizer  # a browser's token is no header


def test_the_socket_waits_no_longer_than_it_may(resources: dict[str, Any]) -> None:
    """An integration of a WebSocket API has 29 s: the function ends before, and the queue's answer is awaited less."""
    assert resources["ServeSocket"]["Properties"]["Timeout"] <= 29
    assert resources["SubmitIntegration"]["Properties"]["TimeoutInMillis"] <= 29_000


def test_a_submitted_job_is_sent_as_a_posted_one(resources: dict[str, Any]) -> None:
    """Same queue, same role, same attributes; what the client wrote is encoded in every parameter that it reaches."""
    submit = resources["SubmitIntegration"]["Properties"]
    post = resources["Api"]["Properties"]["Body"]["paths"]["/jobs"]["post"]["x-amazon-apigateway-integration"]
    assert submit["IntegrationUri"] == post["uri"]
    assert submit["CredentialsArn"] == post["credentials"]
    template = submit["RequestTemplates"]["$default"]
    posted = post["requestTemplates"]["application/json"]
    names = [re.findall(r"Attribute\.\d\.Name=(\w+)", text) for text in (posted, template)]
    assert names[1] == [*names[0], "connection_id", "req"]
    for value in re.findall(r"(?:MessageBody|StringValue)=(\S+?)(?:&|##)", template):
        assert value.startswith("$util.urlEncode(") or value == "$context.requestId", value


def test_every_alarm_watches_something_that_is_here(source: dict[str, Any], resources: dict[str, Any]) -> None:
    """Each dimension refers to a resource of the template, or names the API and its stage as the template does."""
    api, stage = resources["Api"]["Properties"], resources["Apiv1Stage"]["Properties"]
    alarms = {name: each["Properties"] for name, each in resources.items() if each["Type"] == "AWS::CloudWatch::Alarm"}
    watched = {"AWS/ApiGateway", "AWS/DynamoDB", "AWS/Kinesis", "AWS/Lambda", "AWS/SQS", "Sluiceway"}
    assert {alarm["Namespace"] for alarm in alarms.values()} == watched
    for name, alarm in alarms.items():
        values = [each["Value"] for each in alarm["Dimensions"]]
        if alarm["MetricName"] in {"IsHome", "RegionHealthy"}:
            of_pair = (
                [{"Name": "Group", "Value": {"Ref": "RegionGroup"}}],
                [{"Name": "Region", "Value": {"Ref": "OtherRegion"}}],
            )
            assert source["Resources"][name]["Properties"]["Dimensions"] in of_pair, name
        elif alarm["MetricName"] == "ReplicationLatency":  # of the table that both Regions share
            named = [each["Value"] for each in source["Resources"][name]["Properties"]["Dimensions"]]
            assert named == [{"Ref": "SharedIdempotencyTable"}, {"Ref": "OtherRegion"}], name
        elif alarm["Namespace"] == "AWS/ApiGateway":
            assert values == [api["Name"], stage["StageName"]], name
        else:
            assert all((value.get("Ref") or value["Fn::GetAtt"][0]) in resources for value in values), name


def test_every_endpoint_and_name_is_an_output(source: dict[str, Any], resources: dict[str, Any]) -> None:
    """Every API, URL, queue, table, bucket and function can be found from outside."""
    text = json.dumps(source["Outputs"])
    found = {name for name in resources if f'"{name}"' in text or f"${{{name}}}" in text}
    kinds = {"AWS::ApiGateway::RestApi", "AWS::SQS::Queue", "AWS::DynamoDB::Table", "AWS::S3::Bucket"}
    kinds |= {"AWS::ApiGatewayV2::Api", "AWS::Lambda::Url"}
    wanted = {name for name, entry in resources.items() if entry["Type"] in kinds | {"AWS::Lambda::Function"}}
    assert wanted <= found
