"""The handlers of the small services: parameters, secrets, keys, schemas and user pools."""

from __future__ import annotations

import random

from localcloud.compute.functions import Functions
from localcloud.compute.policies import FunctionPolicies
from localcloud.parts.delegated import Delegated
from localcloud.services.cognito.resources import cognito_handlers
from localcloud.services.glue.resources import RegistryHandler, SchemaHandler, SchemaVersionHandler
from localcloud.services.glue.resources import refused_handlers as refused_glue_handlers
from localcloud.services.kms.resources import AliasHandler, KeyHandler
from localcloud.services.secretsmanager.resources import SecretHandler, SecretPolicyHandler
from localcloud.services.secretsmanager.resources import refused_handlers as refused_secret_handlers
from localcloud.services.ssm.resources import ParameterHandler
from localcloud.template.handler import ResourceHandler

__all__ = ["connect_functions", "small_handlers"]


def connect_functions(delegated: Delegated, functions: Functions, policies: FunctionPolicies) -> None:
    """Let user pools call functions, as the functions' permissions say."""

    async def call(function_arn: str, payload: bytes, *, source_arn: str) -> bytes:
        from localcloud.services.cognito.backends import LambdaTriggers  # noqa: PLC0415 - few stacks have pools

        return await LambdaTriggers(functions.invoke, policies.allows)(function_arn, payload, source_arn=source_arn)

    delegated.functions = call


def small_handlers(delegated: Delegated, rng: random.Random, *, keeps: bool) -> list[ResourceHandler]:
    """Each opens its service when it makes the first resource. `keeps`: other services keep their state."""
    return [
        ParameterHandler(lambda: delegated.ssm, keeps=keeps),
        SecretHandler(lambda: delegated.secrets, rng=rng, keeps=keeps),
        SecretPolicyHandler(lambda: delegated.secrets),
        *refused_secret_handlers(),
        KeyHandler(lambda: delegated.kms, keeps=keeps),
        AliasHandler(lambda: delegated.kms),
        RegistryHandler(lambda: delegated.glue),
        SchemaHandler(lambda: delegated.glue),
        SchemaVersionHandler(lambda: delegated.glue),
        *refused_glue_handlers(),
        *cognito_handlers(lambda: delegated.cognito, keeps=keeps),
    ]
