"""The shapes of requests to EventBridge Pipes, and the blocks of them that are not served.

Source: https://docs.aws.amazon.com/eventbridge/latest/pipes-reference/API_Operations.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from localcloud.services.events.errors import EventsError
from localcloud.services.events.shapes import Items, Moment, Shape, Structure, Table, Text, Whole, check_request
from localcloud.services.pipes.errors import PipesError, not_served

__all__ = ["CREATE", "LIST", "NAME", "TAG", "UPDATE", "read_request"]

_ARN_PATTERN: Final = (
    r"arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\-]+):([a-z]{2,4}((-gov)|(-de)|(-iso([a-z]?)))?-[a-z]+(-\d{1})?)?"
    r":(\d{12})?:(.+)"
)
_URL_PATTERN: Final = (
    r"smk://(([a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9\-]*[a-zA-Z0-9])\.)*"
    r"([A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9\-]*[A-Za-z0-9]):[0-9]{1,5}|"
)
_PATH: Final = r"(\$(\.[\w/_-]+(\[(\d+|\*)\])*)*)"
_NAME: Final = Text(low=1, high=64, pattern=r"[\.\-_A-Za-z0-9]+")
_ARN: Final = Text(low=1, high=1600, pattern=_ARN_PATTERN)
_SOURCE: Final = Text(low=1, high=1600, pattern=_URL_PATTERN + _ARN_PATTERN)
_OPTIONAL_ARN: Final = Text(high=1600, pattern=rf"|{_ARN_PATTERN}")
_ROLE: Final = Text(low=1, high=1600, pattern=r"arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z0-9+=,.@\-_/]+")
_TEMPLATE: Final = Text(high=8192)
_DESIRED: Final = Text(choices=("RUNNING", "STOPPED"))
_STATES: Final = (
    "RUNNING", "STOPPED", "CREATING", "UPDATING", "DELETING", "STARTING", "STOPPING", "CREATE_FAILED", "UPDATE_FAILED",
    "START_FAILED", "STOP_FAILED", "DELETE_FAILED", "CREATE_ROLLBACK_FAILED", "DELETE_ROLLBACK_FAILED",
    "UPDATE_ROLLBACK_FAILED",
)  # fmt: skip
_KEY: Final = Text(low=1, high=128)
_TAGS: Final = Table(_KEY, Text(high=256), 50)
_BATCHES: Final[Mapping[str, Shape]] = {"BatchSize": Whole(1, 10_000), "MaximumBatchingWindowInSeconds": Whole(0, 300)}
_OF_STREAM: Final[Mapping[str, Shape]] = {
    **_BATCHES,
    "DeadLetterConfig": Structure({"Arn": _ARN}),
    "OnPartialBatchItemFailure": Text(choices=("AUTOMATIC_BISECT",)),
    "MaximumRecordAgeInSeconds": Whole(-1, 604_800),
    "MaximumRetryAttempts": Whole(-1, 10_000),
    "ParallelizationFactor": Whole(1, 10),
}
_FILTERS: Final = Structure({"Filters": Items(Structure({"Pattern": Text(high=4096)}), 0, 5)})
_SOURCES: Final = Structure(
    {
        "FilterCriteria": _FILTERS,
        "SqsQueueParameters": Structure(_BATCHES),
        "KinesisStreamParameters": Structure(
            {
                **_OF_STREAM,
                "StartingPosition": Text(choices=("TRIM_HORIZON", "LATEST", "AT_TIMESTAMP")),
                "StartingPositionTimestamp": Moment(),
            },
            ("StartingPosition",),
        ),
        "DynamoDBStreamParameters": Structure(
            {**_OF_STREAM, "StartingPosition": Text(choices=("TRIM_HORIZON", "LATEST"))}, ("StartingPosition",)
        ),
    }
)
_NEW_SOURCES: Final = Structure(  # UpdatePipe leaves where reading began
    {
        "FilterCriteria": _FILTERS,
        "SqsQueueParameters": Structure(_BATCHES),
        "KinesisStreamParameters": Structure(_OF_STREAM),
        "DynamoDBStreamParameters": Structure(_OF_STREAM),
    }
)
_TARGETS: Final = Structure(
    {
        "InputTemplate": _TEMPLATE,
        "LambdaFunctionParameters": Structure(
            {"InvocationType": Text(choices=("REQUEST_RESPONSE", "FIRE_AND_FORGET"))}
        ),
        "StepFunctionStateMachineParameters": Structure(
            {"InvocationType": Text(choices=("REQUEST_RESPONSE", "FIRE_AND_FORGET"))}
        ),
        "KinesisStreamParameters": Structure({"PartitionKey": Text(high=256)}, ("PartitionKey",)),
        "SqsQueueParameters": Structure({"MessageGroupId": Text(high=100), "MessageDeduplicationId": Text(high=100)}),
        "EventBridgeEventBusParameters": Structure(
            {
                "EndpointId": Text(low=1, high=50, pattern=r"[A-Za-z0-9\-]+[\.][A-Za-z0-9\-]+"),
                "DetailType": Text(low=1, high=128),
                "Source": Text(low=1, high=256, pattern=rf".*(?=[/\.\-_A-Za-z0-9]+)((?!aws\.).*)|{_PATH}.*"),
                "Resources": Items(Text(low=1, high=1600, pattern=f"{_ARN_PATTERN}|{_PATH}"), 0, 10),
                "Time": Text(low=1, high=256, pattern=_PATH),
            }
        ),
    }
)
_SETTINGS: Final[Mapping[str, Shape]] = {
    "Description": Text(high=512),
    "DesiredState": _DESIRED,
    "Enrichment": _OPTIONAL_ARN,
    "EnrichmentParameters": Structure({"InputTemplate": _TEMPLATE}),
    "Target": _ARN,
    "TargetParameters": _TARGETS,
    "RoleArn": _ROLE,
    "LogConfiguration": Structure({"Level": Text(choices=("OFF", "ERROR", "INFO", "TRACE"))}, ("Level",)),
    "KmsKeyIdentifier": Text(high=2048, pattern=r"[a-zA-Z0-9_\-/:]*"),
}

CREATE: Final = Structure(
    {"Name": _NAME, "Source": _SOURCE, "SourceParameters": _SOURCES, **_SETTINGS, "Tags": _TAGS},
    ("Name", "Source", "Target", "RoleArn"),
)
UPDATE: Final = Structure({"Name": _NAME, "SourceParameters": _NEW_SOURCES, **_SETTINGS}, ("Name", "RoleArn"))
LIST: Final = Structure(
    {
        "NamePrefix": _NAME,
        "DesiredState": _DESIRED,
        "CurrentState": Text(choices=_STATES),
        "SourcePrefix": Text(low=1, high=1600),
        "TargetPrefix": Text(low=1, high=1600),
        "NextToken": Text(low=1, high=2048),
        "Limit": Whole(1, 100),
    }
)
NAME: Final = Structure({"Name": _NAME}, ("Name",))
TAG: Final = Structure({"tags": _TAGS, "tagKeys": Items(_KEY, 0, 50)})

_NOT_HERE: Final[Mapping[str, Mapping[str, str]]] = {
    "SourceParameters": {
        "ActiveMQBrokerParameters": "Sources in Amazon MQ are",
        "ManagedStreamingKafkaParameters": "Sources in Apache Kafka are",
        "RabbitMQBrokerParameters": "Sources in Amazon MQ are",
        "SelfManagedKafkaParameters": "Sources in Apache Kafka are",
    },
    "EnrichmentParameters": {"HttpParameters": "Enrichments over HTTP are"},
    "TargetParameters": {
        "BatchJobParameters": "Targets in AWS Batch are",
        "CloudWatchLogsParameters": "Targets in CloudWatch Logs are",
        "EcsTaskParameters": "Targets in Amazon ECS are",
        "HttpParameters": "Targets over HTTP are",
        "RedshiftDataParameters": "Targets in Amazon Redshift are",
        "SageMakerPipelineParameters": "Targets in Amazon SageMaker are",
        "TimestreamParameters": "Targets in Amazon Timestream are",
    },
}


def read_request(shape: Structure, values: object) -> Mapping[str, Any]:
    """The request, if it has its shape and asks for nothing that is not here. Raises PipesError."""
    try:
        request = check_request(shape, values)
    except EventsError as error:
        raise PipesError(error.code, error.message, error.status) from error
    for what in _missing(request):
        raise not_served(what)
    return request


def _missing(request: Mapping[str, Any]) -> Iterator[str]:
    for block, names in _NOT_HERE.items():
        for name, what in names.items():
            if request.get(block, {}).get(name):
                yield what
    if request.get("LogConfiguration", {}).get("Level", "OFF") != "OFF":
        yield "Logs of pipes are"
    if request.get("KmsKeyIdentifier"):
        yield "Customer managed keys of pipes are"
    bus: Mapping[str, Any] = request.get("TargetParameters", {}).get("EventBridgeEventBusParameters", {})
    if bus.get("EndpointId"):
        yield "Global endpoints of event buses are"
