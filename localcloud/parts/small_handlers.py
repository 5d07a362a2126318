"""The handlers of the small services: parameters, secrets, keys, schemas and user pools."""

from __future__ import annotations

import random
from collections.abc import Iterable

from localcloud.compute.functions import Functions
from localcloud.compute.policies import FunctionPolicies
from localcloud.parts.delegated import Delegated
from localcloud.parts.handler_groups import Handlers
from localcloud.template.handler import ResourceHandler

__all__ = ["add_small_handlers", "connect_functions"]


def connect_functions(delegated: Delegated, functions: Functions, policies: FunctionPolicies) -> None:
    """Let user pools call functions, as the functions' permissions say."""

    async def call(function_arn: str, payload: bytes, *, source_arn: str) -> bytes:
        from localcloud.services.cognito.backends import LambdaTriggers  # noqa: PLC0415 - few stacks have pools

        return await LambdaTriggers(functions.invoke, policies.allows)(function_arn, payload, source_arn=source_arn)

    delegated.functions = call


def add_small_handlers(handlers: Handlers, delegated: Delegated, rng: random.Random, *, keeps: bool) -> None:
    """Each opens its service when it makes the first resource. `keeps`: other services keep their state."""
    handlers.add("AWS::SSM::", lambda: _ssm(delegated, keeps=keeps))
    handlers.add("AWS::SecretsManager::", lambda: _secrets(delegated, rng, keeps=keeps))
    handlers.add("AWS::KMS::", lambda: _kms(delegated, keeps=keeps))
    handlers.add("AWS::Glue::", lambda: _glue(delegated))
    handlers.add("AWS::Cognito::", lambda: _cognito(delegated, keeps=keeps))


def _ssm(delegated: Delegated, *, keeps: bool) -> Iterable[ResourceHandler]:
    from localcloud.services.ssm.resources import ParameterHandler  # noqa: PLC0415 - few stacks need it, as those below

    return (ParameterHandler(lambda: delegated.ssm, keeps=keeps),)


def _secrets(delegated: Delegated, rng: random.Random, *, keeps: bool) -> Iterable[ResourceHandler]:
    from localcloud.services.secretsmanager.resources import (  # noqa: PLC0415
        SecretHandler,
        SecretPolicyHandler,
        refused_handlers,
    )

    made = (
        SecretHandler(lambda: delegated.secrets, rng=rng, keeps=keeps),
        SecretPolicyHandler(lambda: delegated.secrets),
    )
    return *made, *refused_handlers()


def _kms(delegated: Delegated, *, keeps: bool) -> Iterable[ResourceHandler]:
    from localcloud.services.kms.resources import AliasHandler, KeyHandler  # noqa: PLC0415

    return KeyHandler(lambda: delegated.kms, keeps=keeps), AliasHandler(lambda: delegated.kms)


def _glue(delegated: Delegated) -> Iterable[ResourceHandler]:
    from localcloud.services.glue.resources import (  # noqa: PLC0415
        RegistryHandler,
        SchemaHandler,
        SchemaVersionHandler,
        refused_handlers,
    )

    kinds = (RegistryHandler, SchemaHandler, SchemaVersionHandler)
    return *(kind(lambda: delegated.glue) for kind in kinds), *refused_handlers()


def _cognito(delegated: Delegated, *, keeps: bool) -> Iterable[ResourceHandler]:
    from localcloud.services.cognito.resources import cognito_handlers  # noqa: PLC0415

    return cognito_handlers(lambda: delegated.cognito, keeps=keeps)
