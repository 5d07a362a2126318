"""The Parameter Store on the wire: which IAM action a request needs, what is refused, and moto for the answer.

A SecureString under a key of the account's own needs that key as well; the names of such parameters are known here.
Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssystemsmanager.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from localcloud.delegate import Delegate
from localcloud.json_delegate import Fault, Heard, JsonApi, JsonDelegate
from localcloud.services.contract import ACCOUNT_ID, Permission
from localcloud.services.iam.tags import read_keys, read_tag_list, request_tags, tag_keys
from localcloud.services.kms.wire import KeyArnOf

__all__ = ["SsmService", "find_value_fault", "parameter_arn"]

MAX_STANDARD_BYTES: Final = 4_096  # https://docs.aws.amazon.com/general/latest/gr/ssm.html
MAX_ADVANCED_BYTES: Final = 8_192
MAX_LEVELS: Final = 15
OWN_KEY: Final = "alias/aws/ssm"  # AWS's key for the account, whose policy lets everybody in through the service
_BY_NAME: Final = (
    "DeleteParameter", "GetParameter", "GetParameterHistory", "LabelParameterVersion", "PutParameter",
    "UnlabelParameterVersion",
)  # fmt: skip
_BY_NAMES: Final = ("DeleteParameters", "GetParameters")
_TAGS: Final = ("AddTagsToResource", "ListTagsForResource", "RemoveTagsFromResource")
_API: Final = JsonApi(
    "ssm",
    "AmazonSSM.",
    frozenset((*_BY_NAME, *_BY_NAMES, *_TAGS, "DescribeParameters", "GetParametersByPath")),
    blame={
        IndexError: Fault("InvalidResourceId", "The resource ID is not valid."),
        ValueError: Fault("InvalidNextToken", "The specified token is not valid."),
    },
)
_NAME: Final = re.compile(r"[a-zA-Z0-9_./-]+")
_BAD_NAME: Final = (
    'Parameter name: can\'t be prefixed with "ssm" (case-insensitive). If formed as a path, it can consist of '
    "sub-paths divided by slash symbol; each sub-path can be formed as a mix of letters, numbers and the following 3 "
    "symbols .-_"
)
_EMPTY: Final = (
    "1 validation error detected: Value '' at 'value' failed to satisfy constraint: Member must have length greater "
    "than or equal to 1"
)
_TOO_LONG: Final = (
    "Standard tier parameters support a maximum parameter value of 4096 characters. To create a larger parameter "
    "value, upgrade the parameter to use the advanced-parameter tier. For more information, see "
    "https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html"
)


class SsmService(JsonDelegate):
    """The Parameter Store of every Region. `key_arn` finds the KMS key that something names."""

    def __init__(self, delegate: Delegate, *, key_arn: KeyArnOf) -> None:
        super().__init__(_API, delegate)
        self._key_arn = key_arn
        self._keys: dict[tuple[str, str], str] = {}

    def find_fault(self, operation: str, body: Mapping[str, Any]) -> Fault | None:
        """What moto would pass over of a parameter that is put, and tags of what is no parameter."""
        if operation in _TAGS and body.get("ResourceType") != "Parameter":
            kind = body.get("ResourceType")
            return Fault("InvalidResourceType", f"The local cloud serves tags of parameters, not of {kind}.")
        return find_value_fault(body) if operation == "PutParameter" else None

    def hear(self, operation: str, heard: Heard) -> None:
        """Learn which key a SecureString is under."""
        body, region = heard.body, heard.region
        if operation == "PutParameter" and body.get("Type") == "SecureString":
            self._keys[region, str(body["Name"])] = str(body.get("KeyId") or OWN_KEY)
        elif operation in {"DeleteParameter", "DeleteParameters"}:
            for name in (*read_keys(body.get("Names")), str(body.get("Name"))):
                self._keys.pop((region, name), None)

    def needs(self, operation: str, body: Mapping[str, Any], region: str) -> tuple[Permission, ...]:
        """The operation on each parameter it names, and the keys of those that are to be decrypted."""
        action = f"ssm:{operation}"
        if operation == "DescribeParameters":
            return (Permission(action, f"arn:aws:ssm:{region}:{ACCOUNT_ID}:*"),)
        if operation in _TAGS:
            context = request_tags(read_tag_list(body.get("Tags"))) + tag_keys(read_keys(body.get("TagKeys")))
            return (Permission(action, parameter_arn(str(body.get("ResourceId", "")), region), context),)
        if operation == "GetParametersByPath":
            recursive = "true" if body.get("Recursive") else "false"
            path = str(body.get("Path", ""))
            under = path if path.endswith("/") else f"{path}/"
            keys = [name for place, name in self._keys if place == region and name.startswith(under)]
            first = Permission(action, parameter_arn(path, region), (("ssm:Recursive", recursive),))
            return (first, *self._decrypting(keys, body, region))
        names = read_keys(body.get("Names")) if operation in _BY_NAMES else [str(body.get("Name", ""))]
        own = [Permission(action, parameter_arn(name, region), _put_context(operation, body)) for name in names]
        return (*own, *self._decrypting(names, body, region), *self._encrypting(operation, body, region))

    def _decrypting(self, names: list[str], body: Mapping[str, Any], region: str) -> Iterator[Permission]:
        for name in names if body.get("WithDecryption") else ():
            arn = parameter_arn(name, region)
            yield from self._key("kms:Decrypt", self._keys.get((region, _bare(name)), OWN_KEY), arn, region=region)

    def _encrypting(self, operation: str, body: Mapping[str, Any], region: str) -> Iterator[Permission]:
        if operation == "PutParameter" and body.get("Type") == "SecureString":
            arn = parameter_arn(str(body.get("Name", "")), region)
            advanced = body.get("Tier") == "Advanced"
            action = "kms:GenerateDataKey" if advanced else "kms:Encrypt"
            yield from self._key(action, str(body.get("KeyId") or OWN_KEY), arn, region=region)

    def _key(self, action: str, key: str, parameter: str, *, region: str) -> Iterator[Permission]:
        """Source: https://docs.aws.amazon.com/kms/latest/developerguide/services-parameter-store.html."""
        if key.endswith(OWN_KEY):
            return
        context = (
            ("kms:EncryptionContext:PARAMETER_ARN", parameter),
            ("kms:EncryptionContextKeys", "PARAMETER_ARN"),
            ("kms:ViaService", f"ssm.{region}.amazonaws.com"),
        )
        yield Permission(action, self._key_arn(key, region), context)


def parameter_arn(name: str, region: str) -> str:
    """`arn:aws:ssm:us-east-1:123456789012:parameter/a/b` of `/a/b`; of a name with a version as of that without."""
    if name.startswith("arn:"):
        return ":".join(name.split(":")[:6])
    return f"arn:aws:ssm:{region}:{ACCOUNT_ID}:parameter/{_bare(name).removeprefix('/')}"


def find_value_fault(body: Mapping[str, Any]) -> Fault | None:
    """What PutParameter refuses of a parameter beyond the shapes of its members.

    Source: https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_PutParameter.html
    """
    value = str(body["Value"])
    size = len(value.encode())
    tier = body.get("Tier") or "Standard"
    if not value:
        return Fault("ValidationException", _EMPTY)
    if size > MAX_ADVANCED_BYTES or (size > MAX_STANDARD_BYTES and tier == "Standard"):
        return Fault("ValidationException", _TOO_LONG)
    if body.get("Policies"):
        return Fault("InvalidPolicyTypeException", "The local cloud does not serve policies of parameters.")
    if (body.get("DataType") or "text") != "text":
        return Fault("ValidationException", "The local cloud serves parameters of the data type text alone.")
    return _name_fault(str(body["Name"])) or _match(value, cast("str | None", body.get("AllowedPattern")))


def _name_fault(name: str) -> Fault | None:
    if not _NAME.fullmatch(name):
        return Fault("ValidationException", _BAD_NAME)
    if "/" in name and not name.startswith("/"):
        return Fault("ValidationException", "Parameter name must be a fully qualified name.")
    if name.count("/") > MAX_LEVELS:
        message = f"The parameter name has more than {MAX_LEVELS} levels: {name}"
        return Fault("HierarchyLevelLimitExceededException", message)
    return None


def _match(value: str, pattern: str | None) -> Fault | None:
    if not pattern:
        return None
    try:
        matches = re.fullmatch(pattern, value) is not None
    except re.error:
        return Fault("InvalidAllowedPatternException", f"The allowedPattern is no regular expression: {pattern}")
    message = f"Parameter value, cannot be validated against allowedPattern: {pattern}"
    return None if matches else Fault("ParameterPatternMismatchException", message)


def _bare(name: str) -> str:
    """Without a version or label."""
    return name.partition(":")[0]


def _put_context(operation: str, body: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    if operation != "PutParameter":
        return ()
    overwrite = "true" if body.get("Overwrite") else "false"
    return (("ssm:Overwrite", overwrite), *request_tags(read_tag_list(body.get("Tags"))))
