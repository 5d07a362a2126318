"""The small services of the local cloud, each imported when a call, a resource or a reference first needs it.

Parameters, secrets, keys and schemas are delegated to moto; user pools, roles, sessions and logs are the local cloud's
own. Knows no rule of any of them.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, cast

from localcloud.clock import Clock
from localcloud.delegate import Delegate
from localcloud.front import TakesUnsigned
from localcloud.services.contract import Permission, Service, WireRequest, WireResponse
from localcloud.services.iam.model import Iam
from localcloud.services.iam.policy import Document, read_resource_policy
from localcloud.services.logs.model import Logs
from localcloud.template.errors import TemplateError

if TYPE_CHECKING:
    from localcloud.services.cognito.model import Pool, User
    from localcloud.services.cognito.triggers import FunctionPort
    from localcloud.services.cognito.wire import CognitoService
    from localcloud.services.glue.wire import GlueService
    from localcloud.services.kms.wire import KmsService
    from localcloud.services.secretsmanager.wire import SecretsManagerService
    from localcloud.services.ssm.wire import SsmService

__all__ = ["Delegated", "Lazily", "Setting", "UnresolvedReference", "open_delegated"]

CALLER: Final = "local"  # no key that was issued here: the account's root user, as whoever deploys a stack
_ISSUER: Final = "https://cognito-idp."
Load = Callable[[], Service]


class UnresolvedReference(TemplateError):
    """A dynamic reference, or an SSM parameter that a template's parameter names, leads nowhere."""


class Lazily:
    """A service that is imported and made when it is first asked."""

    def __init__(self, name: str, load: Load) -> None:
        self.name = name
        self._load = load
        self._service: Service | None = None

    @property
    def service(self) -> Service:
        """The service itself."""
        if self._service is None:
            self._service = self._load()
        return self._service

    async def handle(self, request: WireRequest) -> WireResponse:
        """As the service answers."""
        return await self.service.handle(request)

    def permissions(self, request: WireRequest) -> tuple[Permission, ...]:
        """As the service says."""
        return self.service.permissions(request)

    def takes_unsigned(self, request: WireRequest) -> bool:
        """As the service says; no where it takes none."""
        return isinstance(self.service, TakesUnsigned) and self.service.takes_unsigned(request)


@dataclass(frozen=True, slots=True)
class Setting:
    """What services of the local cloud's own are made with."""

    region: str
    clock: Clock
    rng: random.Random
    iam: Iam
    logs: Logs


class Delegated:
    """The services by signing name, and what other parts ask of them in process."""

    def __init__(self, loads: dict[str, Load], *, region: str) -> None:
        self.services = {name: Lazily(name, load) for name, load in loads.items()}
        self.functions: FunctionPort | None = None
        """What user pools call; set once there are functions."""
        self._region = region

    @property
    def kms(self) -> KmsService:
        """KMS, imported now where it was not yet."""
        return cast("KmsService", self.services["kms"].service)

    @property
    def cognito(self) -> CognitoService:
        """The user pools, likewise."""
        return cast("CognitoService", self.services["cognito-idp"].service)

    @property
    def glue(self) -> GlueService:
        """The schema registry, likewise."""
        return cast("GlueService", self.services["glue"].service)

    @property
    def ssm(self) -> SsmService:
        """The Parameter Store, likewise."""
        return cast("SsmService", self.services["ssm"].service)

    @property
    def secrets(self) -> SecretsManagerService:
        """Secrets Manager, likewise."""
        return cast("SecretsManagerService", self.services["secretsmanager"].service)

    def secret_policy(self, arn: str) -> Document | None:
        """The policy of a secret by its ARN, None where it has none."""
        return read_resource_policy(self.secrets.policy_text(arn))

    async def pool_keys(self, issuer: str) -> dict[str, Any] | None:
        """The JSON Web Key Set (`{"keys": [...]}`) of the user pool that `issuer` names, None where there is none.

        `issuer` is a token's `iss`: `https://cognito-idp.us-east-1.amazonaws.com/us-east-1_Example`.
        """
        host, _, pool = issuer.removeprefix(_ISSUER).partition("/")
        if not issuer.startswith(_ISSUER) or not pool or "cognito-idp" not in self.services:
            return None
        answer = await self._ask("cognito-idp", path=f"/{pool}/.well-known/jwks.json", region=host.partition(".")[0])
        return cast("dict[str, Any]", json.loads(_bytes(answer))) if answer.status == 200 else None

    async def resolve_reference(self, service: str, reference: str) -> str:
        """What `{{resolve:service:reference}}` stands for. Raises UnresolvedReference that names what was not found.

        `ssm` and `ssm-secure`: `name[:version]`; `secretsmanager`:
        `id[:SecretString[:json-key[:version-stage[:version-id]]]]`, where `id` may be an ARN.
        Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/dynamic-references.html
        """
        if service == "secretsmanager":
            return await self._read_secret(reference)
        if service not in {"ssm", "ssm-secure"}:
            raise UnresolvedReference(
                f"there are no dynamic references to {service}", where=_written(service, reference)
            )
        return await self._read_parameter(reference, secure=service == "ssm-secure", where=_written(service, reference))

    async def read_parameter(self, name: str) -> str:
        """The value of the SSM parameter that a template's `AWS::SSM::Parameter::Value<...>` names; a list has commas.

        Raises UnresolvedReference: there is none, or it is a SecureString.
        """
        return await self._read_parameter(name, secure=False, where=name)

    async def _read_parameter(self, reference: str, *, secure: bool, where: str) -> str:
        name, _, version = reference.partition(":")
        if reference.startswith("arn:"):
            parts = reference.split(":")
            name, version = ":".join(parts[:6]), ":".join(parts[6:])
        if version and not version.isdecimal():
            raise UnresolvedReference(f"the version must be a number, is {version!r}", where=where)
        selected = f"{name}:{version}" if version else name
        body = {"Name": selected, "WithDecryption": secure}
        answer = await self._ask("ssm", target="AmazonSSM.GetParameter", body=body)
        if answer.status != 200:
            raise UnresolvedReference(f"there is no SSM parameter {selected} ({_fault(answer)})", where=where)
        found = json.loads(_bytes(answer))["Parameter"]
        is_secure = found["Type"] == "SecureString"
        if is_secure and not secure:
            raise UnresolvedReference(f"{name} is a SecureString, which ssm-secure resolves", where=where)
        if secure and not is_secure:
            raise UnresolvedReference(f"{name} is a {found['Type']}, which ssm resolves", where=where)
        return str(found["Value"])

    async def _read_secret(self, reference: str) -> str:
        where = _written("secretsmanager", reference)
        parts = reference.split(":")
        width = 7 if reference.startswith("arn:") else 1
        secret_id = ":".join(parts[:width])
        kind, key, stage, version, *rest = [*parts[width:], "", "", "", ""][: max(4, len(parts) - width)]
        if rest or kind not in {"", "SecretString"} or (stage and version):
            form = "id:SecretString:json-key:version-stage or version-id"
            raise UnresolvedReference(f"must be {form}; a secret's binary cannot be resolved", where=where)
        body = {"SecretId": secret_id}
        body |= {"VersionStage": stage} if stage else {}
        body |= {"VersionId": version} if version else {}
        answer = await self._ask("secretsmanager", target="secretsmanager.GetSecretValue", body=body)
        if answer.status != 200:
            raise UnresolvedReference(f"the secret {secret_id} cannot be read ({_fault(answer)})", where=where)
        found = json.loads(_bytes(answer))
        if "SecretString" not in found:
            raise UnresolvedReference(f"the secret {secret_id} has a binary value", where=where)
        return _pick(str(found["SecretString"]), key, where) if key else str(found["SecretString"])

    async def _ask(
        self, service: str, *, target: str = "", body: object = None, path: str = "/", region: str = ""
    ) -> WireResponse:
        request = WireRequest(
            service=service,
            region=region or self._region,
            method="POST" if target else "GET",
            path=path,
            query="",
            headers={},
            body=json.dumps(body).encode() if target else b"",
            access_key=CALLER,
            request_id="deployer",
        )
        if target:
            request = replace(
                request, headers={"x-amz-target": target, "content-type": "application/x-amz-json-1.1", "host": service}
            )
        return await self.services[service].handle(request)


def _pick(text: str, key: str, where: str) -> str:
    try:
        value: object = json.loads(text)
    except ValueError as error:
        raise UnresolvedReference(f"the secret is no JSON, so it has no key {key}", where=where) from error
    if not isinstance(value, dict) or key not in value:
        raise UnresolvedReference(f"the secret has no key {key}", where=where)
    found = cast("dict[str, object]", value)[key]
    return found if isinstance(found, str) else json.dumps(found)


def _written(service: str, reference: str) -> str:
    return f"{{{{resolve:{service}:{reference}}}}}"


def _bytes(answer: WireResponse) -> bytes:
    return cast("bytes", answer.body)


def _fault(answer: WireResponse) -> str:
    told = json.loads(_bytes(answer) or b"{}")
    return f"{told.get('__type', answer.status)}: {told.get('message', told.get('Message', ''))}"


def open_delegated(delegate: Delegate, setting: Setting) -> Delegated:
    """Every small service; none is imported yet."""

    def kms() -> Service:
        from localcloud.services.kms.wire import KmsService  # noqa: PLC0415 - few stacks need it, as those below

        return KmsService(delegate)

    def ssm() -> Service:
        from localcloud.services.ssm.wire import SsmService  # noqa: PLC0415

        return SsmService(delegate, key_arn=opened.kms.key_arn)

    def glue() -> Service:
        from localcloud.services.glue.wire import open_glue  # noqa: PLC0415

        return open_glue(delegate)

    def secrets() -> Service:
        from localcloud.services.secretsmanager.wire import SecretsManagerService  # noqa: PLC0415

        return SecretsManagerService(delegate, key_arn=opened.kms.key_arn)

    def functions() -> FunctionPort | None:
        return opened.functions

    loads: dict[str, Load] = {
        "glue": glue,
        "kms": kms,
        "ssm": ssm,
        "secretsmanager": secrets,
        **_own(setting, functions),
    }
    opened = Delegated(loads, region=setting.region)
    return opened


def _own(setting: Setting, functions: Callable[[], FunctionPort | None]) -> dict[str, Load]:
    def iam() -> Service:
        from localcloud.services.iam.operations import IamApi  # noqa: PLC0415
        from localcloud.services.iam.wire import IamService  # noqa: PLC0415

        return IamService(IamApi(setting.iam, clock=setting.clock))

    def cognito() -> Service:
        from localcloud.services.cognito.model import UserPools  # noqa: PLC0415
        from localcloud.services.cognito.triggers import NO_FUNCTIONS  # noqa: PLC0415
        from localcloud.services.cognito.wire import CognitoService  # noqa: PLC0415

        def send(pool: Pool, user: User, text: str) -> None:
            setting.logs.append(f"/sluiceway/cognito/{pool.id}", user.username, text)

        async def call_function(function_arn: str, payload: bytes, *, source_arn: str) -> bytes:
            return await (functions() or NO_FUNCTIONS)(function_arn, payload, source_arn=source_arn)

        pools = UserPools(clock=setting.clock, rng=setting.rng)
        return CognitoService(pools, functions=call_function, send=send)

    def logs() -> Service:
        from localcloud.services.logs.wire import LogsService  # noqa: PLC0415

        return LogsService(setting.logs, region=setting.region, clock=setting.clock)

    def sts() -> Service:
        from localcloud.services.sts.wire import StsService  # noqa: PLC0415

        return StsService(setting.iam, clock=setting.clock)

    return {"cognito-idp": cognito, "iam": iam, "logs": logs, "sts": sts}
