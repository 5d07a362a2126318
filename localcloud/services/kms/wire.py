"""KMS on the wire: which IAM action a request needs, on which key, and moto for the answer.

A policy names keys, a request may name an alias, or nothing but a ciphertext: the aliases are known here as they are
made. Key policies are kept and told, not evaluated.
Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_awskeymanagementservice.html
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from localcloud.delegate import Delegate
from localcloud.json_delegate import Fault, Heard, JsonApi, JsonDelegate
from localcloud.refusals import refuse
from localcloud.services.contract import ACCOUNT_ID, Permission, WireRequest, WireResponse

__all__ = ["KmsService", "key_arn_of"]

ALIAS: Final = "alias/"
_ID_BYTES: Final = 36  # moto writes a key's id at the head of what it encrypts
_CRYPTOGRAPHIC: Final = (
    "Decrypt", "Encrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "GenerateMac", "GetPublicKey",
    "ReEncrypt", "Sign", "Verify", "VerifyMac",
)  # fmt: skip
_OF_KEYS: Final = (
    "CancelKeyDeletion", "CreateGrant", "DescribeKey", "DisableKey", "DisableKeyRotation", "EnableKey",
    "EnableKeyRotation", "GetKeyPolicy", "GetKeyRotationStatus", "ListGrants", "ListKeyPolicies", "ListResourceTags",
    "PutKeyPolicy", "RevokeGrant", "ScheduleKeyDeletion", "TagResource", "UntagResource", "UpdateKeyDescription",
)  # fmt: skip
_OF_ALIASES: Final = ("CreateAlias", "DeleteAlias", "UpdateAlias")
_OF_ACCOUNT: Final = ("CreateKey", "GenerateRandom", "ListAliases", "ListKeys")
_API: Final = JsonApi(
    "kms",
    "TrentService.",
    frozenset((*_CRYPTOGRAPHIC, *_OF_KEYS, *_OF_ALIASES, *_OF_ACCOUNT)),
    blame={KeyError: Fault("NotFoundException", "The key or grant does not exist.")},
)
_BROKEN: Final = {"Verify": "KMSInvalidSignatureException", "VerifyMac": "KMSInvalidMacException"}
_UNSERVED: Final = ("CustomKeyStoreId", "GrantTokens", "Recipient", "XksKeyId")

KeyArnOf = Callable[[str, str], str]
"""Takes what names a key, and a Region: the key's ARN."""


class KmsService(JsonDelegate):
    """The KMS API of every Region."""

    def __init__(self, delegate: Delegate) -> None:
        super().__init__(_API, delegate)
        self._aliases: dict[tuple[str, str], str] = {}

    def key_arn(self, named: str, region: str) -> str:
        """The ARN of a key by its id, ARN, alias or alias's ARN; an alias that leads nowhere stays as it is."""
        name = named.rpartition(":")[2] if named.startswith("arn:") else named
        if name.startswith(ALIAS):
            target = self._aliases.get((region, name))
            return key_arn_of(target, region) if target else f"arn:aws:kms:{region}:{ACCOUNT_ID}:{name}"
        return named if named.startswith("arn:") else key_arn_of(name, region)

    def add_alias(self, name: str, key: str, region: str) -> None:
        """Know what an alias leads to."""
        self._aliases[region, name] = key.rpartition("/")[2]

    async def handle(self, request: WireRequest) -> WireResponse:
        """Answer one request; a signature that does not hold is an error, as moto does not know.

        Source: https://docs.aws.amazon.com/kms/latest/APIReference/API_Verify.html
        """
        answer = await super().handle(request)
        code = _BROKEN.get(self.operation(request), "")
        if not code or answer.status != 200:
            return answer
        told = json.loads(cast("bytes", answer.body))
        return (
            answer if told.get("SignatureValid", told.get("MacValid")) else refuse(request, 400, code=code, message="")
        )

    def find_fault(self, operation: str, body: Mapping[str, Any]) -> Fault | None:
        """Members that moto would pass over."""
        for name in _UNSERVED:
            if body.get(name):
                return Fault("UnsupportedOperationException", f"The local cloud does not serve {name} of {operation}.")
        if body.get("DryRun"):
            return Fault("UnsupportedOperationException", f"The local cloud does not serve DryRun of {operation}.")
        alias = str(body.get("AliasName", ""))
        if operation in _OF_ALIASES and not alias.startswith(ALIAS):
            return Fault("ValidationException", "Invalid identifier")
        return None

    def hear(self, operation: str, heard: Heard) -> None:
        """Learn what aliases lead to."""
        body, region = heard.body, heard.region
        if operation in {"CreateAlias", "UpdateAlias"}:
            self.add_alias(str(body["AliasName"]), str(body["TargetKeyId"]), region)
        elif operation == "DeleteAlias":
            self._aliases.pop((region, str(body["AliasName"])), None)

    def needs(self, operation: str, body: Mapping[str, Any], region: str) -> tuple[Permission, ...]:
        """The operation on its key; on the alias as well where one is made, moved or deleted."""
        if operation in _OF_ACCOUNT:
            return (Permission(f"kms:{operation}", "*"),)
        context = _context(body.get("EncryptionContext"))
        if operation in _OF_ALIASES:
            return tuple(Permission(f"kms:{operation}", arn) for arn in self._of_alias(operation, body, region) if arn)
        if operation == "ReEncrypt":
            source = Permission(
                "kms:ReEncryptFrom",
                self._named(body.get("SourceKeyId"), body, region),
                _context(body.get("SourceEncryptionContext")),
            )
            target = self.key_arn(str(body.get("DestinationKeyId", "")), region)
            return source, Permission("kms:ReEncryptTo", target, _context(body.get("DestinationEncryptionContext")))
        return (Permission(f"kms:{operation}", self._named(body.get("KeyId"), body, region), context),)

    def _of_alias(self, operation: str, body: Mapping[str, Any], region: str) -> tuple[str, ...]:
        name = str(body.get("AliasName", ""))
        alias = f"arn:aws:kms:{region}:{ACCOUNT_ID}:{name}"
        before = self._aliases.get((region, name), "")
        old = key_arn_of(before, region) if before else ""
        new = self.key_arn(str(body.get("TargetKeyId", "")), region)
        return {"CreateAlias": (alias, new), "DeleteAlias": (alias, old)}.get(operation, (alias, old, new))

    def _named(self, key: object, body: Mapping[str, Any], region: str) -> str:
        if isinstance(key, str) and key:
            return self.key_arn(key, region)
        try:
            head = base64.b64decode(str(body.get("CiphertextBlob", "")))[:_ID_BYTES]
        except (binascii.Error, ValueError):
            return "*"
        return key_arn_of(head.decode(errors="replace"), region) if head else "*"


def key_arn_of(key_id: str, region: str) -> str:
    """A key's ARN."""
    return f"arn:aws:kms:{region}:{ACCOUNT_ID}:key/{key_id}"


def _context(value: object) -> tuple[tuple[str, str], ...]:
    """`kms:EncryptionContext:*` of a request.

    Source: https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html
    """
    given = cast("dict[str, object]", value) if isinstance(value, dict) else {}
    pairs = tuple((f"kms:EncryptionContext:{key}", str(text)) for key, text in given.items())
    return pairs + tuple(("kms:EncryptionContextKeys", key) for key in given)
