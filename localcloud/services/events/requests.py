"""The shape of every request that is served, and the names of those that are not.

Source: https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_Operations.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from localcloud.services.events.shapes import Flag, Items, Moment, Shape, Structure, Table, Text, Whole

__all__ = ["NOT_SERVED", "REQUESTS", "TARGET"]

_BUS_NAME: Final = Text(low=1, high=256, pattern=r"[/\.\-_A-Za-z0-9]+")
_OWN_BUS_NAME: Final = Text(low=1, high=256, pattern=r"[\.\-_A-Za-z0-9]+")
_ARN_PREFIX: Final = r"(arn:aws[\w-]*:events:[a-z]+-[a-z]+-[\w-]+:[0-9]{12}:event-bus\/)?"
_BUS: Final = Text(low=1, high=1600, pattern=_ARN_PREFIX + r"[/\.\-_A-Za-z0-9]+")
_OWN_BUS: Final = Text(low=1, high=1600, pattern=_ARN_PREFIX + r"[\.\-_A-Za-z0-9]+")
_RULE: Final = Text(low=1, high=64, pattern=r"[\.\-_A-Za-z0-9]+")
_TARGET_ID: Final = Text(low=1, high=64, pattern=r"[\.\-_A-Za-z0-9]+")
_ARN: Final = Text(low=1, high=1600)
_PATTERN: Final = Text(high=4096)
_DESCRIPTION: Final = Text(high=512)
_INPUT_PATH: Final = Text(high=256)
_ANY: Final = Text()
_TAGS: Final = Items(Structure({"Key": Text(low=1, high=128), "Value": Text(high=256)}, ("Key", "Value")))
_DEAD_LETTERS: Final = Structure({"Arn": _ARN})
_LOGS: Final = Structure(
    {
        "IncludeDetail": Text(choices=("NONE", "FULL")),
        "Level": Text(choices=("OFF", "ERROR", "INFO", "TRACE")),
    }
)
_KMS: Final = Text(high=2048, pattern=r"^[a-zA-Z0-9_\-/:]*$")
_PAGE: Final[Mapping[str, Shape]] = {"NextToken": Text(low=1, high=2048), "Limit": Whole(1, 100)}

TARGET: Final = Structure(
    {
        "Id": _TARGET_ID,
        "Arn": _ARN,
        "RoleArn": _ARN,
        "Input": Text(high=8192),
        "InputPath": _INPUT_PATH,
        "InputTransformer": Structure(
            {
                "InputPathsMap": Table(Text(low=1, high=256, pattern=r"[A-Za-z0-9\_\-]+"), _INPUT_PATH, 100),
                "InputTemplate": Text(low=1, high=8192),
            },
            ("InputTemplate",),
        ),
        "KinesisParameters": Structure({"PartitionKeyPath": Text(high=256)}, ("PartitionKeyPath",)),
        "SqsParameters": Structure({"MessageGroupId": Text(high=100)}),
        "DeadLetterConfig": _DEAD_LETTERS,
        "RetryPolicy": Structure(
            {"MaximumRetryAttempts": Whole(0, 185), "MaximumEventAgeInSeconds": Whole(60, 86_400)}
        ),
    },
    ("Id", "Arn"),
)
_ENTRY: Final = Structure(
    {
        "Time": Moment(),
        "Source": _ANY,
        "Resources": Items(_ANY),
        "DetailType": _ANY,
        "Detail": _ANY,
        "EventBusName": _OWN_BUS,
        "TraceHeader": Text(low=1, high=500),
    },
    name="PutEventsRequestEntry",
)
_OF_RULE: Final = Structure({"Name": _RULE, "EventBusName": _BUS}, ("Name",))
_BUS_SETTINGS: Final[Mapping[str, Shape]] = {
    "Name": _BUS_NAME,
    "Description": _DESCRIPTION,
    "KmsKeyIdentifier": _KMS,
    "DeadLetterConfig": _DEAD_LETTERS,
    "LogConfig": _LOGS,
}

_ARCHIVE: Final = Text(low=1, high=48, pattern=r"[\.\-_A-Za-z0-9]+")
_REPLAY: Final = Text(low=1, high=64, pattern=r"[\.\-_A-Za-z0-9]+")
_SOURCE_ARN: Final = Text(  # EventBusArn and ArchiveArn
    low=1, high=1600, pattern=r"^arn:aws([a-z]|\-)*:events:([a-z]|\d|\-)*:([0-9]{12})?:.+\/.+$"
)
_ARCHIVE_SETTINGS: Final[Mapping[str, Shape]] = {
    "ArchiveName": _ARCHIVE,
    "Description": _DESCRIPTION,
    "EventPattern": _PATTERN,
    "RetentionDays": Whole(0, 2_147_483_647),
    "KmsKeyIdentifier": _KMS,
}
_ARCHIVE_STATES: Final = ("ENABLED", "DISABLED", "CREATING", "UPDATING", "CREATE_FAILED", "UPDATE_FAILED")
_REPLAY_STATES: Final = ("STARTING", "RUNNING", "CANCELLING", "COMPLETED", "CANCELLED", "FAILED")
_ONE_ARCHIVE: Final = Structure({"ArchiveName": _ARCHIVE}, ("ArchiveName",))
_ONE_REPLAY: Final = Structure({"ReplayName": _REPLAY}, ("ReplayName",))

REQUESTS: Final[Mapping[str, Structure]] = {
    "CancelReplay": _ONE_REPLAY,
    "CreateArchive": Structure({"EventSourceArn": _SOURCE_ARN, **_ARCHIVE_SETTINGS}, ("ArchiveName", "EventSourceArn")),
    "CreateEventBus": Structure(
        {
            **_BUS_SETTINGS,
            "EventSourceName": Text(low=1, high=256, pattern=r"aws\.partner(/[\.\-_A-Za-z0-9]+){2,}"),
            "Tags": _TAGS,
        },
        ("Name",),
    ),
    "DeleteArchive": _ONE_ARCHIVE,
    "DeleteEventBus": Structure({"Name": _BUS_NAME}, ("Name",)),
    "DeleteRule": Structure({"Name": _RULE, "EventBusName": _BUS, "Force": Flag()}, ("Name",)),
    "DescribeArchive": _ONE_ARCHIVE,
    "DescribeEventBus": Structure({"Name": _BUS}),
    "DescribeReplay": _ONE_REPLAY,
    "DescribeRule": _OF_RULE,
    "DisableRule": _OF_RULE,
    "EnableRule": _OF_RULE,
    "ListArchives": Structure(
        {"NamePrefix": _ARCHIVE, "EventSourceArn": _SOURCE_ARN, "State": Text(choices=_ARCHIVE_STATES), **_PAGE}
    ),
    "ListEventBuses": Structure({"NamePrefix": _BUS_NAME, **_PAGE}),
    "ListReplays": Structure(
        {"NamePrefix": _REPLAY, "EventSourceArn": _SOURCE_ARN, "State": Text(choices=_REPLAY_STATES), **_PAGE}
    ),
    "ListRuleNamesByTarget": Structure({"TargetArn": _ARN, "EventBusName": _BUS, **_PAGE}, ("TargetArn",)),
    "ListRules": Structure({"NamePrefix": _RULE, "EventBusName": _BUS, **_PAGE}),
    "ListTagsForResource": Structure({"ResourceARN": _ARN}, ("ResourceARN",)),
    "ListTargetsByRule": Structure({"Rule": _RULE, "EventBusName": _BUS, **_PAGE}, ("Rule",)),
    "PutEvents": Structure(
        {
            "Entries": Items(_ENTRY, 1, 10),
            "EndpointId": Text(low=1, high=50, pattern=r"^[A-Za-z0-9\-]+[\.][A-Za-z0-9\-]+$"),
        },
        ("Entries",),
    ),
    "PutPermission": Structure(
        {
            "EventBusName": _OWN_BUS_NAME,
            "Action": Text(low=1, high=64, pattern=r"events:[a-zA-Z]+"),
            "Principal": Text(low=1, high=12, pattern=r"(\d{12}|\*)"),
            "StatementId": Text(low=1, high=64, pattern=r"[a-zA-Z0-9-_]+"),
            "Condition": Structure({"Type": _ANY, "Key": _ANY, "Value": _ANY}, ("Type", "Key", "Value")),
            "Policy": _ANY,
        }
    ),
    "PutRule": Structure(
        {
            "Name": _RULE,
            "ScheduleExpression": Text(high=256),
            "EventPattern": _PATTERN,
            "State": Text(choices=("ENABLED", "DISABLED", "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS")),
            "Description": _DESCRIPTION,
            "RoleArn": _ARN,
            "Tags": _TAGS,
            "EventBusName": _BUS,
        },
        ("Name",),
    ),
    "PutTargets": Structure(
        {"Rule": _RULE, "EventBusName": _BUS, "Targets": Items(TARGET, 1, 100)}, ("Rule", "Targets")
    ),
    "RemovePermission": Structure(
        {
            "StatementId": Text(low=1, high=64, pattern=r"[a-zA-Z0-9-_]+"),
            "RemoveAllPermissions": Flag(),
            "EventBusName": _OWN_BUS_NAME,
        }
    ),
    "RemoveTargets": Structure(
        {"Rule": _RULE, "EventBusName": _BUS, "Ids": Items(_TARGET_ID, 1, 100), "Force": Flag()}, ("Rule", "Ids")
    ),
    "StartReplay": Structure(
        {
            "ReplayName": _REPLAY,
            "Description": _DESCRIPTION,
            "EventSourceArn": _SOURCE_ARN,
            "EventStartTime": Moment(),
            "EventEndTime": Moment(),
            "Destination": Structure({"Arn": _ARN, "FilterArns": Items(_ARN)}, ("Arn",)),
        },
        ("ReplayName", "EventSourceArn", "EventStartTime", "EventEndTime", "Destination"),
    ),
    "TagResource": Structure({"ResourceARN": _ARN, "Tags": _TAGS}, ("ResourceARN", "Tags")),
    "TestEventPattern": Structure({"EventPattern": _PATTERN, "Event": _ANY}, ("EventPattern", "Event")),
    "UntagResource": Structure(
        {"ResourceARN": _ARN, "TagKeys": Items(Text(low=1, high=128))}, ("ResourceARN", "TagKeys")
    ),
    "UpdateArchive": Structure(_ARCHIVE_SETTINGS, ("ArchiveName",)),
    "UpdateEventBus": Structure(_BUS_SETTINGS),
}

NOT_SERVED: Final = frozenset(
    {
        "ActivateEventSource", "CreateApiDestination", "CreateConnection", "CreateEndpoint",
        "CreatePartnerEventSource", "DeactivateEventSource", "DeauthorizeConnection", "DeleteApiDestination",
        "DeleteConnection", "DeleteEndpoint", "DeletePartnerEventSource", "DescribeApiDestination",
        "DescribeConnection", "DescribeEndpoint", "DescribeEventSource", "DescribePartnerEventSource",
        "ListApiDestinations", "ListConnections", "ListEndpoints", "ListEventSources",
        "ListPartnerEventSourceAccounts", "ListPartnerEventSources", "PutPartnerEvents", "UpdateApiDestination",
        "UpdateConnection", "UpdateEndpoint",
    }
)  # fmt: skip
