"""CloudFormation's KMS resources: `AWS::KMS::Key` and `AWS::KMS::Alias`, made in moto when it is loaded.

A key's id is made here, always the same for a stack and logical id, so that it can be told before moto is there.
Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/AWS_KMS.html
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from localcloud.services.contract import WireResponse
from localcloud.services.delegated_setup import hash_of, make, unmake
from localcloud.services.iam.errors import MalformedPolicy
from localcloud.services.iam.policy import parse_document
from localcloud.services.kms.wire import KmsService, key_arn_of
from localcloud.template.handler import Physical, Resource, Support, Supported
from localcloud.template.properties import Properties, json_text, read_properties

__all__ = ["AliasHandler", "KeyHandler"]

_NAME: Final = re.compile(r"alias/[a-zA-Z0-9:/_-]{1,250}")
_TURNED: Final = Supported(Support.PARTIAL, "recorded and told; keys here are not rotated")


class KeyHandler:
    """`AWS::KMS::Key`. Ref is the key's id; attributes Arn and KeyId."""

    type: str = "AWS::KMS::Key"
    properties: Mapping[str, Supported] = {
        "BypassPolicyLockoutSafetyCheck": Supported(Support.PARTIAL, "key policies are not evaluated here"),
        "Description": Supported(Support.DELEGATED),
        "EnableKeyRotation": _TURNED,
        "Enabled": Supported(Support.DELEGATED),
        "KeyPolicy": Supported(
            Support.PARTIAL, "recorded and told; who may use a key is decided by the caller's policies alone"
        ),
        "KeySpec": Supported(Support.DELEGATED),
        "KeyUsage": Supported(Support.DELEGATED),
        "MultiRegion": Supported(reason="keys of several Regions are not served here", values=(False,)),
        "Origin": Supported(reason="key material is not imported here", values=("AWS_KMS",)),
        "PendingWindowInDays": Supported(Support.PARTIAL, "keys end with the local cloud"),
        "RotationPeriodInDays": _TURNED,
        "Tags": Supported(Support.DELEGATED),
    }

    def __init__(self, service: Callable[[], KmsService], *, keeps: bool = False) -> None:
        self._service = service
        lost = "answered by moto; its material ends with the process, with --persist as well: what it sealed is lost"
        self.support: Supported = Supported(Support.DELEGATED, lost if keeps else "answered by moto")

    async def create(self, resource: Resource) -> Physical:
        """Make the key. Raises TemplateError for what CreateKey refuses."""
        read, region = read_properties(resource), resource.context.region
        key_id = str(uuid.UUID(hex=hash_of(resource)[:32], version=4))
        await self._make(read, key_id, region)
        if read.flag("EnableKeyRotation", default=False):
            days = read.integer("RotationPeriodInDays", 365, low=90, high=2_560)
            body = {"Region": region, "KeyId": key_id, "RotationPeriodInDays": days}
            await make(self._service(), "EnableKeyRotation", body, read=read)
        if not read.flag("Enabled", default=True):
            await make(self._service(), "DisableKey", {"Region": region, "KeyId": key_id}, read=read)
        return Physical(key_id, {"Arn": key_arn_of(key_id, region), "KeyId": key_id})

    async def _make(self, read: Properties, key_id: str, region: str) -> None:
        def give_id(answer: WireResponse) -> None:
            from localcloud.services.kms import identity  # noqa: PLC0415 - loads moto

            made = json.loads(cast("bytes", answer.body))["KeyMetadata"]["KeyId"]
            identity.give_id(made, key_id, region=region)

        body: dict[str, Any] = {
            "Region": region,
            "Description": read.text("Description", ""),
            "KeySpec": read.text("KeySpec", "SYMMETRIC_DEFAULT"),
            "KeyUsage": read.text("KeyUsage", "ENCRYPT_DECRYPT"),
            "Policy": _policy(read) if "KeyPolicy" in read else None,
            "Tags": [{"TagKey": key, "TagValue": value} for key, value in read.tags().items()] or None,
        }
        if body["KeySpec"] != "SYMMETRIC_DEFAULT" and "KeyUsage" not in read:
            raise read.error("KeyUsage", f"must be given for a key of the spec {body['KeySpec']}")
        await make(self._service(), "CreateKey", body, read=read, then=give_id)

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """Schedule its deletion, as CloudFormation does."""
        body = {"KeyId": physical.ref, "PendingWindowInDays": 7}
        await unmake(self._service(), "ScheduleKeyDeletion", body, region=resource.context.region)


class AliasHandler:
    """`AWS::KMS::Alias`. Ref is the alias."""

    type: str = "AWS::KMS::Alias"
    support: Supported = Supported(Support.DELEGATED, "answered by moto")
    properties: Mapping[str, Supported] = {
        "AliasName": Supported(Support.DELEGATED),
        "TargetKeyId": Supported(Support.DELEGATED),
    }

    def __init__(self, service: Callable[[], KmsService]) -> None:
        self._service = service

    async def create(self, resource: Resource) -> Physical:
        """Make the alias. Raises TemplateError for a name that no alias can have."""
        read, region = read_properties(resource), resource.context.region
        name, key = read.text("AliasName"), read.text("TargetKeyId")
        if not _NAME.fullmatch(name) or name.startswith("alias/aws/"):
            raise read.error("AliasName", f"must be alias/ and 1 to 250 of a-zA-Z0-9:/_-, not alias/aws/, is {name!r}")
        body = {"Region": region, "AliasName": name, "TargetKeyId": key.rpartition("/")[2]}
        await make(self._service(), "CreateAlias", body, read=read)
        self._service().add_alias(name, key, region)
        return Physical(name)

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """Delete it."""
        await unmake(self._service(), "DeleteAlias", {"AliasName": physical.ref}, region=resource.context.region)


def _policy(read: Properties) -> str:
    text = json_text(read.values["KeyPolicy"])
    try:
        parse_document(text, name="KeyPolicy", resource_policy=True)
    except MalformedPolicy as error:
        raise read.error("KeyPolicy", str(error)) from error
    return text
