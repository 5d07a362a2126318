"""Secrets Manager on the wire: which IAM action a request needs, what is refused, and moto for the answer.

A secret's ARN ends in six characters that no name tells: they are known here as secrets are made.
Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssecretsmanager.html
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from localcloud.delegate import Delegate
from localcloud.json_delegate import Fault, Heard, JsonApi, JsonDelegate
from localcloud.services.contract import ACCOUNT_ID, Permission
from localcloud.services.iam.errors import MalformedPolicy
from localcloud.services.iam.policy import parse_document
from localcloud.services.iam.tags import read_keys, read_tag_list, request_tags, tag_keys
from localcloud.services.kms.wire import KeyArnOf

__all__ = ["SecretsManagerService"]

MAX_SECRET_BYTES: Final = 65_536  # https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html
OWN_KEY: Final = "alias/aws/secretsmanager"
_OF_SECRETS: Final = (
    "DeleteResourcePolicy", "DeleteSecret", "DescribeSecret", "GetResourcePolicy", "GetSecretValue",
    "ListSecretVersionIds", "PutResourcePolicy", "PutSecretValue", "RestoreSecret", "TagResource", "UntagResource",
    "UpdateSecret", "UpdateSecretVersionStage",
)  # fmt: skip
_OF_ACCOUNT: Final = ("BatchGetSecretValue", "GetRandomPassword", "ListSecrets")
_API: Final = JsonApi(
    "secretsmanager",
    "secretsmanager.",
    frozenset(("CreateSecret", *_OF_SECRETS, *_OF_ACCOUNT)),
    blame={
        KeyError: Fault("ResourceNotFoundException", "Secrets Manager can't find the specified secret."),
        ValueError: Fault("InvalidNextTokenException", "The NextToken value is invalid."),
    },
)


@dataclass(frozen=True, slots=True)
class _Known:
    arn: str
    key: str


class SecretsManagerService(JsonDelegate):
    """The secrets of every Region. `key_arn` finds the KMS key that something names."""

    def __init__(self, delegate: Delegate, *, key_arn: KeyArnOf) -> None:
        super().__init__(_API, delegate)
        self._key_arn = key_arn
        self._known: dict[tuple[str, str], _Known] = {}
        self._policies: dict[str, str] = {}

    def add(self, name: str, arn: str, *, key: str, region: str) -> None:
        """Know a secret by its name; `key` is what it was told of its KMS key, "" for AWS's own."""
        self._known[region, name] = _Known(arn, key or OWN_KEY)

    def forget(self, name: str, region: str) -> None:
        """Know it no more."""
        self._known.pop((region, name), None)

    def set_policy(self, secret_id: str, text: str, *, region: str) -> None:
        """Know a secret's policy, "" for none."""
        known = self._find(secret_id, region)
        if known is not None:
            self._policies[known.arn] = text

    def policy_text(self, arn: str) -> str:
        """The policy of a secret by its ARN, "" for none."""
        return self._policies.get(arn, "")

    def find_fault(self, operation: str, body: Mapping[str, Any]) -> Fault | None:
        """What moto would pass over."""
        if body.get("AddReplicaRegions"):
            return Fault("InvalidParameterException", "The local cloud does not replicate secrets: AddReplicaRegions.")
        if body.get("SecretString") is not None and body.get("SecretBinary") is not None:
            return Fault(
                "InvalidParameterException",
                "You can't specify both a binary secret value and a string secret value in the same secret.",
            )
        size = max(len(str(body.get("SecretString") or "").encode()), _size(body.get("SecretBinary")))
        if size > MAX_SECRET_BYTES:
            limit = f"Member must have length less than or equal to {MAX_SECRET_BYTES}"
            message = f"1 validation error detected: Value at 'secretString' failed to satisfy constraint: {limit}"
            return Fault("ValidationException", message)
        return _policy_fault(body) if operation == "PutResourcePolicy" else None

    def hear(self, operation: str, heard: Heard) -> None:
        """Learn the ARNs of secrets and their keys."""
        body, answer, region = heard.body, heard.answer, heard.region
        if operation == "CreateSecret":
            self.add(str(answer["Name"]), str(answer["ARN"]), key=str(body.get("KmsKeyId") or ""), region=region)
        elif operation == "UpdateSecret" and body.get("KmsKeyId"):
            self.add(str(answer["Name"]), str(answer["ARN"]), key=str(body["KmsKeyId"]), region=region)
        elif operation in {"PutResourcePolicy", "DeleteResourcePolicy"}:
            self.set_policy(str(body["SecretId"]), str(body.get("ResourcePolicy", "")), region=region)
        elif operation == "DeleteSecret" and body.get("ForceDeleteWithoutRecovery"):
            self.forget(str(answer["Name"]), region)

    def needs(self, operation: str, body: Mapping[str, Any], region: str) -> tuple[Permission, ...]:
        """The operation on its secret, and the secret's key where it is the account's own."""
        action = f"secretsmanager:{operation}"
        if operation in {"GetRandomPassword", "ListSecrets"}:
            return (Permission(action, "*"),)
        if operation == "BatchGetSecretValue":
            asked = [
                self._on("secretsmanager:GetSecretValue", name, region) for name in read_keys(body.get("SecretIdList"))
            ]
            return (Permission(action, "*"), *asked)
        tags = request_tags(read_tag_list(body.get("Tags"))) + tag_keys(read_keys(body.get("TagKeys")))
        if operation == "CreateSecret":
            name = str(body.get("Name", ""))
            key = str(body.get("KmsKeyId") or OWN_KEY)
            arn = f"arn:aws:secretsmanager:{region}:{ACCOUNT_ID}:secret:{name}"
            own = Permission(action, arn, (("secretsmanager:Name", name), *tags))
            return (own, *self._keyed(("kms:GenerateDataKey", "kms:Decrypt"), key, arn, region=region))
        own = self._on(action, str(body.get("SecretId", "")), region, context=tags)
        known = self._find(str(body.get("SecretId", "")), region)
        actions = {
            "GetSecretValue": ("kms:Decrypt",),
            "PutSecretValue": ("kms:GenerateDataKey", "kms:Decrypt"),
            "UpdateSecret": ("kms:GenerateDataKey", "kms:Decrypt"),
        }.get(operation, ())
        return (own, *self._keyed(actions, known.key, known.arn, region=region)) if known else (own,)

    def _on(self, action: str, secret_id: str, region: str, *, context: tuple[tuple[str, str], ...] = ()) -> Permission:
        known = self._find(secret_id, region)
        named = secret_id if secret_id.startswith("arn:") else self._unknown(secret_id, region)
        return Permission(action, known.arn if known else named, (("secretsmanager:SecretId", secret_id), *context))

    def _find(self, secret_id: str, region: str) -> _Known | None:
        """By name, ARN, or an ARN without its six characters."""
        if not secret_id.startswith("arn:"):
            return self._known.get((region, secret_id))
        ours = [known for (place, _), known in self._known.items() if place == region]
        return next((known for known in ours if secret_id in {known.arn, known.arn[:-7]}), None)

    def _unknown(self, name: str, region: str) -> str:
        """What AWS asks of a secret that is not there: its policy names end in six characters as well."""
        return f"arn:aws:secretsmanager:{region}:{ACCOUNT_ID}:secret:{name}-??????"

    def _keyed(self, actions: tuple[str, ...], key: str, arn: str, *, region: str) -> Iterator[Permission]:
        """Source: https://docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html."""
        if key.endswith(OWN_KEY):
            return
        context = (
            ("kms:EncryptionContext:SecretARN", arn),
            ("kms:EncryptionContextKeys", "SecretARN"),
            ("kms:ViaService", f"secretsmanager.{region}.amazonaws.com"),
        )
        for action in actions:
            yield Permission(action, self._key_arn(key, region), context)


def _policy_fault(body: Mapping[str, Any]) -> Fault | None:
    if body.get("BlockPublicPolicy"):
        return Fault("InvalidParameterException", "The local cloud does not serve BlockPublicPolicy.")
    try:
        parse_document(str(body["ResourcePolicy"]), name="ResourcePolicy", resource_policy=True)
    except MalformedPolicy as error:
        return Fault("MalformedPolicyDocumentException", str(error))
    return None


def _size(value: object) -> int:
    try:
        return len(base64.b64decode(str(value or "")))
    except (binascii.Error, ValueError):
        return 0
