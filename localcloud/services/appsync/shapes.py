"""The shapes of the control plane's requests: those of Event APIs, and the operations that are not served.

Source: https://docs.aws.amazon.com/appsync/latest/APIReference/API_Operations.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from localcloud.services.appsync.errors import AppSyncError
from localcloud.services.events.errors import EventsError
from localcloud.services.events.shapes import Items, Structure, Table, Text, Whole, check_request

__all__ = ["REQUESTS", "read_request"]

_ANY: Final = Text()
_LONG: Final = Whole(0, 2**63 - 1)
_KINDS: Final = ("API_KEY", "AWS_IAM", "AMAZON_COGNITO_USER_POOLS", "OPENID_CONNECT", "AWS_LAMBDA")
_MODES: Final = Items(Structure({"authType": Text(choices=_KINDS)}, ("authType",)))
_TAGS: Final = Table(
    Text(low=1, high=128, pattern=r"(?!aws:)[ a-zA-Z+-=._:/]+"), Text(high=256, pattern=r"[\s\w+-=\.:/@]*"), 50
)
_PROVIDER: Final = Structure(
    {
        "authType": Text(choices=_KINDS),
        "cognitoConfig": Structure(
            {"userPoolId": _ANY, "awsRegion": _ANY, "appIdClientRegex": _ANY}, ("userPoolId", "awsRegion")
        ),
        "openIDConnectConfig": Structure(
            {"issuer": _ANY, "clientId": _ANY, "iatTTL": _LONG, "authTTL": _LONG}, ("issuer",)
        ),
        "lambdaAuthorizerConfig": Structure(
            {
                "authorizerResultTtlInSeconds": Whole(0, 3600),
                "authorizerUri": _ANY,
                "identityValidationExpression": _ANY,
            },
            ("authorizerUri",),
        ),
    },
    ("authType",),
)
_EVENT_CONFIG: Final = Structure(
    {
        "authProviders": Items(_PROVIDER),
        "connectionAuthModes": _MODES,
        "defaultPublishAuthModes": _MODES,
        "defaultSubscribeAuthModes": _MODES,
        "logConfig": Structure(
            {"logLevel": Text(choices=("NONE", "ERROR", "ALL", "INFO", "DEBUG")), "cloudWatchLogsRoleArn": _ANY},
            ("logLevel", "cloudWatchLogsRoleArn"),
        ),
    },
    ("authProviders", "connectionAuthModes", "defaultPublishAuthModes", "defaultSubscribeAuthModes"),
)
_HANDLER: Final = Structure(
    {
        "behavior": Text(choices=("CODE", "DIRECT")),
        "integration": Structure(
            {
                "dataSourceName": _ANY,
                "lambdaConfig": Structure({"invokeType": Text(choices=("REQUEST_RESPONSE", "EVENT"))}),
            },
            ("dataSourceName",),
        ),
    },
    ("behavior", "integration"),
)
_API: Final = {
    "name": Text(low=1, high=50, pattern=r"[A-Za-z0-9_\-\ ]+"),
    "ownerContact": Text(high=250),
    "eventConfig": _EVENT_CONFIG,
}
_NAMESPACE: Final = {
    "name": Text(low=1, high=50, pattern=r"([A-Za-z0-9](?:[A-Za-z0-9\-]{0,48}[A-Za-z0-9])?)"),
    "subscribeAuthModes": _MODES,
    "publishAuthModes": _MODES,
    "codeHandlers": Text(low=1, high=32_768),
    "handlerConfigs": Structure({"onPublish": _HANDLER, "onSubscribe": _HANDLER}),
}
_SOURCE: Final = Structure(
    {
        "name": Text(low=1, high=65_536, pattern=r"[_A-Za-z][_0-9A-Za-z]*"),
        "description": _ANY,
        "type": Text(
            choices=(
                "AWS_LAMBDA", "AMAZON_DYNAMODB", "AMAZON_ELASTICSEARCH", "NONE", "HTTP", "RELATIONAL_DATABASE",
                "AMAZON_OPENSEARCH_SERVICE", "AMAZON_EVENTBRIDGE", "AMAZON_BEDROCK_RUNTIME",
            )
        ),
        "serviceRoleArn": _ANY,
        "lambdaConfig": Structure({"lambdaFunctionArn": _ANY}, ("lambdaFunctionArn",)),
    },
    ("name", "type"),
)  # fmt: skip
_KEY: Final = Structure({"description": _ANY, "expires": _LONG})
_PAGE: Final = Structure({"nextToken": Text(low=1, high=65_536, pattern=r"[\S]+"), "maxResults": Whole(0, 25)})
_NOTHING: Final = Structure()

REQUESTS: Final[Mapping[str, Structure]] = {
    "CreateApi": Structure({**_API, "tags": _TAGS}, ("name",)),
    "CreateApiKey": _KEY,
    "CreateChannelNamespace": Structure({**_NAMESPACE, "tags": _TAGS}, ("name",)),
    "CreateDataSource": _SOURCE,
    "DeleteApi": _NOTHING,
    "DeleteApiKey": _NOTHING,
    "DeleteChannelNamespace": _NOTHING,
    "DeleteDataSource": _NOTHING,
    "GetApi": _NOTHING,
    "GetChannelNamespace": _NOTHING,
    "GetDataSource": _NOTHING,
    "ListApiKeys": _PAGE,
    "ListApis": _PAGE,
    "ListChannelNamespaces": _PAGE,
    "ListDataSources": _PAGE,
    "ListTagsForResource": _NOTHING,
    "TagResource": Structure({"tags": _TAGS}, ("tags",)),
    "UntagResource": Structure({"tagKeys": Items(Text(low=1, high=128), 1, 50)}, ("tagKeys",)),
    "UpdateApi": Structure(_API, ("name",)),
    "UpdateApiKey": _KEY,
    "UpdateChannelNamespace": Structure(_NAMESPACE, ("name",)),
    "UpdateDataSource": _SOURCE,
}


def read_request(action: str, values: object) -> Mapping[str, Any]:
    """The request, if it has its shape. Raises AppSyncError."""
    try:
        return check_request(REQUESTS[action], values)
    except EventsError as error:
        raise AppSyncError(error.code, error.message, error.status) from error
