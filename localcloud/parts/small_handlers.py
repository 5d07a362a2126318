"""The handlers of the small services: parameters, secrets, keys and schemas."""

from __future__ import annotations

import random

from localcloud.parts.delegated import Delegated
from localcloud.services.glue.resources import RegistryHandler, SchemaHandler, SchemaVersionHandler
from localcloud.services.glue.resources import refused_handlers as refused_glue_handlers
from localcloud.services.kms.resources import AliasHandler, KeyHandler
from localcloud.services.secretsmanager.resources import SecretHandler, SecretPolicyHandler
from localcloud.services.secretsmanager.resources import refused_handlers as refused_secret_handlers
from localcloud.services.ssm.resources import ParameterHandler
from localcloud.template.handler import ResourceHandler

__all__ = ["small_handlers"]


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
    ]
