"""CloudFormation's secrets: `AWS::SecretsManager::Secret` and `ResourcePolicy`, made in moto when it is loaded.

Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/AWS_SecretsManager.html
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Mapping
from typing import Final, cast

from localcloud.services.contract import WireResponse
from localcloud.services.delegated_setup import letters_of, make, unmake
from localcloud.services.iam.errors import MalformedPolicy
from localcloud.services.iam.policy import parse_document
from localcloud.services.secretsmanager.wire import SecretsManagerService
from localcloud.template.handler import Physical, RefusedHandler, Resource, Support, Supported
from localcloud.template.properties import Properties, json_text, read_properties

__all__ = ["SecretHandler", "SecretPolicyHandler", "refused_handlers"]

_NAME: Final = re.compile(r"[A-Za-z0-9/_+=.@-]{1,512}")
_MADE: Final = 12  # characters at the end of a name that CloudFormation makes


class SecretHandler:
    """`AWS::SecretsManager::Secret`. Ref is the ARN; attribute Id, the same."""

    type: str = "AWS::SecretsManager::Secret"
    properties: Mapping[str, Supported] = {
        "Description": Supported(Support.DELEGATED),
        "GenerateSecretString.ExcludeCharacters": Supported(),
        "GenerateSecretString.ExcludeLowercase": Supported(),
        "GenerateSecretString.ExcludeNumbers": Supported(),
        "GenerateSecretString.ExcludePunctuation": Supported(),
        "GenerateSecretString.ExcludeUppercase": Supported(),
        "GenerateSecretString.GenerateStringKey": Supported(),
        "GenerateSecretString.IncludeSpace": Supported(),
        "GenerateSecretString.PasswordLength": Supported(),
        "GenerateSecretString.RequireEachIncludedType": Supported(),
        "GenerateSecretString.SecretStringTemplate": Supported(),
        "KmsKeyId": Supported(
            Support.PARTIAL, "who reads the secret needs this key as well; the secret is not encrypted in memory"
        ),
        "Name": Supported(Support.DELEGATED),
        "ReplicaRegions": Supported(Support.REFUSED, "secrets here are not replicated"),
        "SecretString": Supported(Support.DELEGATED),
        "Tags": Supported(Support.DELEGATED),
    }

    def __init__(
        self, service: Callable[[], SecretsManagerService], *, rng: random.Random, keeps: bool = False
    ) -> None:
        self._service = service
        self._rng = rng
        self._made: set[str] = set()
        lost = "answered by moto; a secret is made anew at each start, with --persist as well"
        self.support: Supported = Supported(Support.DELEGATED, lost if keeps else "answered by moto")

    async def create(self, resource: Resource) -> Physical:
        """Make the secret. Raises TemplateError for what CreateSecret refuses, and rules no password can keep."""
        read, context = read_properties(resource), resource.context
        name = read.text("Name", f"{resource.logical_id}-{letters_of(resource, _MADE)}")
        if not _NAME.fullmatch(name):
            raise read.error("Name", f"must be 1 to 512 letters, digits and /_+=.@-, is {name!r}")
        if name in self._made:
            raise read.error("Name", f"the secret {name} is made by another resource of this template")
        if "SecretString" in read and "GenerateSecretString" in read:
            raise read.error("SecretString", "either this or GenerateSecretString is given, not both")
        ending = letters_of(resource, _MADE + 6)[_MADE:]
        arn = f"arn:{context.partition}:secretsmanager:{context.region}:{context.account_id}:secret:{name}-{ending}"

        def give_arn(_answer: WireResponse) -> None:
            from localcloud.services.secretsmanager import identity  # noqa: PLC0415 - loads moto

            identity.give_arn(name, arn, region=context.region)

        key = read.text("KmsKeyId", "")
        body = {
            "Region": context.region,
            "Name": name,
            "Description": read.text("Description", "") or None,
            "KmsKeyId": key or None,
            "SecretString": self._value(read),
            "Tags": [{"Key": tag, "Value": value} for tag, value in read.tags().items()] or None,
        }
        await make(self._service(), "CreateSecret", body, read=read, then=give_arn)
        self._made.add(name)
        self._service().add(name, arn, key=key, region=context.region)
        return Physical(arn, {"Id": arn})

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """Delete it at once."""
        name = physical.ref.split(":")[6][:-7]
        self._made.discard(name)
        self._service().forget(name, resource.context.region)
        body = {"SecretId": physical.ref, "ForceDeleteWithoutRecovery": True}
        await unmake(self._service(), "DeleteSecret", body, region=resource.context.region)

    def _value(self, read: Properties) -> str | None:
        if "SecretString" in read:
            return read.text("SecretString")
        if "GenerateSecretString" not in read:
            return None
        from localcloud.services.secretsmanager.passwords import (  # noqa: PLC0415 - few stacks make passwords
            MAX_LENGTH,
            PasswordRules,
            make_password,
        )

        made = read.nested("GenerateSecretString")
        rules = PasswordRules(
            length=made.integer("PasswordLength", 32, low=1, high=MAX_LENGTH),
            excluded=made.text("ExcludeCharacters", ""),
            lowercase=not made.flag("ExcludeLowercase", default=False),
            uppercase=not made.flag("ExcludeUppercase", default=False),
            numbers=not made.flag("ExcludeNumbers", default=False),
            punctuation=not made.flag("ExcludePunctuation", default=False),
            space=made.flag("IncludeSpace", default=False),
            each=made.flag("RequireEachIncludedType", default=True),
        )
        try:
            return _planted(made, make_password(rules, self._rng))
        except ValueError as error:
            raise read.error("GenerateSecretString", str(error)) from error


class SecretPolicyHandler:
    """`AWS::SecretsManager::ResourcePolicy`: who else may use a secret; evaluated. Ref is the secret's ARN."""

    type: str = "AWS::SecretsManager::ResourcePolicy"
    support: Supported = Supported()
    properties: Mapping[str, Supported] = {
        "BlockPublicPolicy": Supported(reason="policies are not searched for public access here", values=(False,)),
        "ResourcePolicy": Supported(),
        "SecretId": Supported(),
    }

    def __init__(self, service: Callable[[], SecretsManagerService]) -> None:
        self._service = service

    async def create(self, resource: Resource) -> Physical:
        """Attach it. Raises TemplateError for a policy that means nothing."""
        read, region = read_properties(resource), resource.context.region
        secret, text = read.text("SecretId"), json_text(read.values.get("ResourcePolicy"))
        try:
            parse_document(text, name="ResourcePolicy", resource_policy=True)
        except MalformedPolicy as error:
            raise read.error("ResourcePolicy", str(error)) from error
        body = {"Region": region, "SecretId": secret, "ResourcePolicy": text}
        await make(self._service(), "PutResourcePolicy", body, read=read)
        self._service().set_policy(secret, text, region=region)
        return Physical(secret)

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """Take it off."""
        region = resource.context.region
        self._service().set_policy(physical.ref, "", region=region)
        await unmake(self._service(), "DeleteResourcePolicy", {"SecretId": physical.ref}, region=region)


def refused_handlers() -> list[RefusedHandler]:
    """The types that are not here."""
    return [
        RefusedHandler("AWS::SecretsManager::RotationSchedule", "secrets here are not rotated"),
        RefusedHandler("AWS::SecretsManager::SecretTargetAttachment", "there are no databases here to attach to"),
    ]


def _planted(made: Properties, password: str) -> str:
    """The password alone, or in the template under its key. Raises ValueError."""
    template, key = made.text("SecretStringTemplate", ""), made.text("GenerateStringKey", "")
    if bool(template) is not bool(key):
        raise ValueError("SecretStringTemplate and GenerateStringKey are given together or not at all")
    if not template:
        return password
    value: object = json.loads(template)
    if not isinstance(value, dict):
        raise ValueError("SecretStringTemplate must be a JSON object")  # noqa: TRY004 - of the template's text
    return json.dumps({**cast("dict[str, object]", value), key: password})
