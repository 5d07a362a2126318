"""What every service of a local cloud says of itself, as one table that two moments can be compared by.

Dates are left out, and what is made of them: sequence numbers, labels of streams. So are ids that moto draws.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import cached_property
from typing import Any, Final, cast

import boto3

_DATES: Final = frozenset({
    "CreatedTimestamp", "LastModifiedTimestamp", "LastModified", "LatestStreamArn", "LatestStreamLabel",
    "ResponseMetadata", "SecretVersionsToStages", "SequenceNumberRange", "StateReasonData", "StreamArn", "StreamLabel",
    "VersionId", "creationTime", "storedBytes",
})  # fmt: skip


class Looks:
    """Clients of one cloud, and what its services say."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._clients: dict[str, Any] = {}
        self._session: Any = boto3.Session("me", "secret", region_name="us-east-1")

    def client(self, service: str) -> Any:
        """A client, kept."""
        if service not in self._clients:
            self._clients[service] = self._session.client(service, endpoint_url=self._endpoint)
        return self._clients[service]

    def take(self) -> dict[str, Any]:
        """Everything, by what it is about."""
        return {name: _without_dates(told) for look in self._looks for name, told in look()}

    @cached_property
    def _looks(self) -> list[Callable[[], Iterator[tuple[str, Any]]]]:
        return [
            self._queues, self._tables, self._streams, self._topics, self._objects, self._delegated, self._functions,
            self._rules, self._machines, self._logs, self._metrics, self._stacks, self._users,
        ]  # fmt: skip

    def _queues(self) -> Iterator[tuple[str, Any]]:
        sqs = self.client("sqs")
        for url in sqs.list_queues().get("QueueUrls", []):
            yield f"queue {url}", sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]

    def _tables(self) -> Iterator[tuple[str, Any]]:
        dynamodb = self.client("dynamodb")
        for name in dynamodb.list_tables()["TableNames"]:
            yield f"table {name}", dynamodb.describe_table(TableName=name)["Table"]
            yield f"items {name}", dynamodb.scan(TableName=name)["Items"]
            yield f"ttl {name}", dynamodb.describe_time_to_live(TableName=name)
        streams = self.client("dynamodbstreams")
        for number, stream in enumerate(streams.list_streams()["Streams"]):
            yield f"table stream {number}", _records(streams, stream["StreamArn"])

    def _streams(self) -> Iterator[tuple[str, Any]]:
        kinesis = self.client("kinesis")
        for name in kinesis.list_streams()["StreamNames"]:
            yield f"stream {name}", kinesis.describe_stream(StreamName=name)
            for shard in kinesis.list_shards(StreamName=name)["Shards"]:
                at = {"StreamName": name, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
                iterator = kinesis.get_shard_iterator(**at)["ShardIterator"]
                told = kinesis.get_records(ShardIterator=iterator)["Records"]
                yield f"records {name} {shard['ShardId']}", [record["Data"] for record in told]

    def _topics(self) -> Iterator[tuple[str, Any]]:
        sns = self.client("sns")
        yield "topics", sns.list_topics()["Topics"]
        yield "subscriptions", sns.list_subscriptions()["Subscriptions"]

    def _objects(self) -> Iterator[tuple[str, Any]]:
        s3 = self.client("s3")
        for bucket in s3.list_buckets()["Buckets"]:
            yield f"bucket {bucket['Name']}", s3.list_objects_v2(Bucket=bucket["Name"]).get("Contents", [])

    def _delegated(self) -> Iterator[tuple[str, Any]]:
        secrets, ssm, kms = self.client("secretsmanager"), self.client("ssm"), self.client("kms")
        for secret in secrets.list_secrets()["SecretList"]:
            told = secrets.get_secret_value(SecretId=secret["ARN"])
            yield f"secret {secret['ARN']}", told["SecretString"]
        told = ssm.get_parameters_by_path(Path="/", Recursive=True)["Parameters"]
        yield "parameters", told
        yield "keys", [kms.describe_key(KeyId=key["KeyId"]) for key in kms.list_keys()["Keys"]]

    def _functions(self) -> Iterator[tuple[str, Any]]:
        lambda_ = self.client("lambda")
        for function in lambda_.list_functions()["Functions"]:
            name = function["FunctionName"]
            yield f"function {name}", lambda_.get_function(FunctionName=name)
            yield f"versions {name}", lambda_.list_versions_by_function(FunctionName=name)["Versions"]
            yield f"aliases {name}", lambda_.list_aliases(FunctionName=name)["Aliases"]
            yield f"concurrency {name}", lambda_.get_function_concurrency(FunctionName=name)
        mappings = lambda_.list_event_source_mappings()["EventSourceMappings"]
        yield "mappings", [{k: v for k, v in each.items() if k != "State"} for each in mappings]  # settles in 0.1 s

    def _rules(self) -> Iterator[tuple[str, Any]]:
        events = self.client("events")
        for bus in events.list_event_buses()["EventBuses"]:
            yield f"bus {bus['Name']}", bus
            for rule in events.list_rules(EventBusName=bus["Name"])["Rules"]:
                told = events.list_targets_by_rule(Rule=rule["Name"], EventBusName=bus["Name"])["Targets"]
                yield f"rule {bus['Name']} {rule['Name']}", (rule, told)
        yield "archives", events.list_archives()["Archives"]
        schedules = self.client("scheduler").list_schedules()["Schedules"]
        yield "schedules", schedules
        yield "pipes", self.client("pipes").list_pipes()["Pipes"]

    def _machines(self) -> Iterator[tuple[str, Any]]:
        states = self.client("stepfunctions")
        for machine in states.list_state_machines()["stateMachines"]:
            arn = machine["stateMachineArn"]
            yield f"machine {arn}", states.describe_state_machine(stateMachineArn=arn)
            yield f"executions {arn}", states.list_executions(stateMachineArn=arn)["executions"]

    def _logs(self) -> Iterator[tuple[str, Any]]:
        logs = self.client("logs")
        for group in logs.describe_log_groups()["logGroups"]:
            told = logs.filter_log_events(logGroupName=group["logGroupName"])["events"]
            yield f"log {group['logGroupName']}", [event["message"].split()[0] for event in told]

    def _metrics(self) -> Iterator[tuple[str, Any]]:
        cloudwatch = self.client("cloudwatch")
        yield "metrics", cloudwatch.list_metrics(Namespace="Shop")["Metrics"]
        yield "alarms", cloudwatch.describe_alarms()["MetricAlarms"]

    def _stacks(self) -> Iterator[tuple[str, Any]]:
        formation, iam = self.client("cloudformation"), self.client("iam")
        for stack in formation.describe_stacks()["Stacks"]:
            name = stack["StackName"]
            told = formation.describe_stack_resources(StackName=name)["StackResources"]
            yield f"stack {name}", (stack, sorted(told, key=lambda each: each["LogicalResourceId"]))
        yield "exports", formation.list_exports()["Exports"]
        yield "roles", iam.list_roles()["Roles"]

    def _users(self) -> Iterator[tuple[str, Any]]:
        cognito = self.client("cognito-idp")
        for pool in cognito.list_user_pools(MaxResults=60)["UserPools"]:
            yield f"pool {pool['Id']}", cognito.list_users(UserPoolId=pool["Id"])["Users"]


def _records(streams: Any, arn: str) -> list[Any]:
    told: list[Any] = []
    for shard in streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]:
        at = {"StreamArn": arn, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
        iterator = streams.get_shard_iterator(**at)["ShardIterator"]
        told += [each["dynamodb"]["Keys"] for each in streams.get_records(ShardIterator=iterator)["Records"]]
    return told


def _without_dates(told: Any) -> Any:
    if isinstance(told, Mapping):
        named = cast("Mapping[str, Any]", told)
        return {name: _without_dates(each) for name, each in named.items() if name not in _DATES}
    if isinstance(told, list | tuple):
        return [_without_dates(each) for each in cast("list[Any]", told)]
    return "a date" if isinstance(told, datetime) else told
