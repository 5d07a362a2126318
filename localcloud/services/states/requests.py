"""The shapes of Step Functions' requests.

Source: https://docs.aws.amazon.com/step-functions/latest/apireference/API_Operations.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from localcloud.services.events.shapes import Flag, Items, Shape, Structure, Text, Whole

__all__ = ["REQUESTS"]

_ARN: Final = Text(low=1, high=256)
_LONG_ARN: Final = Text(low=1, high=2000)
_NAME: Final = Text(low=1, high=80)
_ANY: Final = Text()
_DATA: Final = Text(high=262_144)
_DEFINITION: Final = Text(low=1, high=1_048_576)
_ERROR: Final = Text(high=256)
_CAUSE: Final = Text(high=32_768)
_TOKEN: Final = Text(low=1, high=2048)
_KINDS: Final = Text(choices=("STANDARD", "EXPRESS"))
_INCLUDED: Final = Text(choices=("ALL_DATA", "METADATA_ONLY"))
_STATUSES: Final = ("RUNNING", "SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED", "PENDING_REDRIVE")
_KEY: Final = Text(high=128)
_TAGS: Final = Items(Structure({"key": _KEY, "value": Text(high=256)}), 0, 50)
_PAGE: Final[Mapping[str, Shape]] = {"maxResults": Whole(0, 1000), "nextToken": Text(low=1, high=3096)}
_LOGS: Final = Structure(
    {
        "level": Text(choices=("ALL", "ERROR", "FATAL", "OFF")),
        "includeExecutionData": Flag(),
        "destinations": Items(Structure({"cloudWatchLogsLogGroup": Structure({"logGroupArn": _ARN})})),
    }
)
_ENCRYPTION: Final = Structure(
    {"kmsKeyId": Text(low=1, high=2048), "type": Text(choices=("AWS_OWNED_KEY", "CUSTOMER_MANAGED_KMS_KEY"))}
)
_SETTINGS: Final[Mapping[str, Shape]] = {
    "definition": _DEFINITION,
    "roleArn": _ARN,
    "loggingConfiguration": _LOGS,
    "tracingConfiguration": Structure({"enabled": Flag()}),
    "publish": Flag(),
    "versionDescription": Text(high=256),
    "encryptionConfiguration": _ENCRYPTION,
}
_START: Final = Structure(
    {
        "stateMachineArn": _ARN,
        "name": _NAME,
        "input": Text(),
        "traceHeader": Text(high=256),
        "includedData": _INCLUDED,
    },
    ("stateMachineArn",),
)
_OF_EXECUTION: Final = Structure({"executionArn": _LONG_ARN, "includedData": _INCLUDED}, ("executionArn",))

_DESCRIPTION: Final = Text(high=256)
_ROUTING: Final = Items(
    Structure({"stateMachineVersionArn": _ARN, "weight": Whole(0, 100)}, ("stateMachineVersionArn", "weight")), 1, 2
)
_OF_ACTIVITY: Final = Structure({"activityArn": _ARN}, ("activityArn",))
_OF_ALIAS: Final = Structure({"stateMachineAliasArn": _ARN}, ("stateMachineAliasArn",))
_LISTED: Final = Structure({"stateMachineArn": _ARN, **_PAGE}, ("stateMachineArn",))

REQUESTS: Final[Mapping[str, Structure]] = {
    "CreateActivity": Structure({"name": _NAME, "tags": _TAGS, "encryptionConfiguration": _ENCRYPTION}, ("name",)),
    "DeleteActivity": _OF_ACTIVITY,
    "DescribeActivity": _OF_ACTIVITY,
    "GetActivityTask": Structure({"activityArn": _ARN, "workerName": _NAME}, ("activityArn",)),
    "ListActivities": Structure(_PAGE),
    "CreateStateMachine": Structure(
        {"name": _NAME, "type": _KINDS, "tags": _TAGS, **_SETTINGS}, ("name", "definition", "roleArn")
    ),
    "CreateStateMachineAlias": Structure(
        {"name": _NAME, "description": _DESCRIPTION, "routingConfiguration": _ROUTING},
        ("name", "routingConfiguration"),
    ),
    "DeleteStateMachineAlias": _OF_ALIAS,
    "DeleteStateMachineVersion": Structure({"stateMachineVersionArn": _LONG_ARN}, ("stateMachineVersionArn",)),
    "DescribeStateMachineAlias": _OF_ALIAS,
    "ListStateMachineAliases": _LISTED,
    "ListStateMachineVersions": _LISTED,
    "PublishStateMachineVersion": Structure(
        {"stateMachineArn": _ARN, "revisionId": _ANY, "description": _DESCRIPTION}, ("stateMachineArn",)
    ),
    "UpdateStateMachineAlias": Structure(
        {"stateMachineAliasArn": _ARN, "description": _DESCRIPTION, "routingConfiguration": _ROUTING},
        ("stateMachineAliasArn",),
    ),
    "DeleteStateMachine": Structure({"stateMachineArn": _ARN}, ("stateMachineArn",)),
    "DescribeExecution": _OF_EXECUTION,
    "DescribeMapRun": Structure({"mapRunArn": _LONG_ARN}, ("mapRunArn",)),
    "DescribeStateMachine": Structure({"stateMachineArn": _ARN, "includedData": _INCLUDED}, ("stateMachineArn",)),
    "DescribeStateMachineForExecution": _OF_EXECUTION,
    "GetExecutionHistory": Structure(
        {"executionArn": _LONG_ARN, "reverseOrder": Flag(), "includeExecutionData": Flag(), **_PAGE},
        ("executionArn",),
    ),
    "ListExecutions": Structure(
        {
            "stateMachineArn": _ARN,
            "statusFilter": Text(choices=_STATUSES),
            "mapRunArn": _LONG_ARN,
            "redriveFilter": Text(choices=("REDRIVEN", "NOT_REDRIVEN")),
            **_PAGE,
        }
    ),
    "ListMapRuns": Structure({"executionArn": _LONG_ARN, **_PAGE}, ("executionArn",)),
    "ListStateMachines": Structure(_PAGE),
    "ListTagsForResource": Structure({"resourceArn": _ARN}, ("resourceArn",)),
    "RedriveExecution": Structure(
        {"executionArn": _ARN, "clientToken": Text(low=1, high=64, pattern="[!-~]+")}, ("executionArn",)
    ),
    "SendTaskFailure": Structure({"taskToken": _TOKEN, "error": _ERROR, "cause": _CAUSE}, ("taskToken",)),
    "SendTaskHeartbeat": Structure({"taskToken": _TOKEN}, ("taskToken",)),
    "SendTaskSuccess": Structure({"taskToken": _TOKEN, "output": _DATA}, ("taskToken", "output")),
    "StartExecution": _START,
    "StartSyncExecution": _START,
    "StopExecution": Structure({"executionArn": _LONG_ARN, "error": _ERROR, "cause": _CAUSE}, ("executionArn",)),
    "TagResource": Structure({"resourceArn": _ARN, "tags": _TAGS}, ("resourceArn", "tags")),
    "TestState": Structure(
        {
            "definition": _DEFINITION,
            "roleArn": _ARN,
            "input": _DATA,
            "inspectionLevel": Text(choices=("INFO", "DEBUG", "TRACE")),
            "revealSecrets": Flag(),
            "variables": _DATA,
            "stateName": _NAME,
            "context": Text(),
            "mock": Structure(
                {
                    "result": _DATA,
                    "errorOutput": Structure({"error": _ERROR, "cause": _CAUSE}),
                    "fieldValidationMode": Text(choices=("STRICT", "PRESENT", "NONE")),
                }
            ),
            "stateConfiguration": Structure(
                {
                    "retrierRetryCount": Whole(0, 2_147_483_647),
                    "errorCausedByState": _NAME,
                    "mapIterationFailureCount": Whole(0, 2_147_483_647),
                    "mapItemReaderData": _DATA,
                }
            ),
        },
        ("definition",),
    ),
    "UntagResource": Structure({"resourceArn": _ARN, "tagKeys": Items(_KEY, 0, 50)}, ("resourceArn", "tagKeys")),
    "UpdateMapRun": Structure(
        {
            "mapRunArn": _LONG_ARN,
            "maxConcurrency": Whole(0, 2_147_483_647),
            "toleratedFailureCount": Whole(0, 2_147_483_647),
        },
        ("mapRunArn",),
    ),
    "UpdateStateMachine": Structure({"stateMachineArn": _ARN, **_SETTINGS}, ("stateMachineArn",)),
    "ValidateStateMachineDefinition": Structure(
        {
            "definition": _DEFINITION,
            "type": _KINDS,
            "severity": Text(choices=("ERROR", "WARNING")),
            "maxResults": Whole(0, 100),
        },
        ("definition",),
    ),
}
