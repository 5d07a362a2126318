"""What makes a secret of moto's the one that a template was told of: its ARN. Importing this loads moto (0.8 s).

Owns the one reach into moto's model of secrets: CreateSecret chooses the last six characters itself.
"""

from __future__ import annotations

from typing import Any

from moto.secretsmanager.models import secretsmanager_backends

from localcloud.services.contract import ACCOUNT_ID

__all__ = ["give_arn"]


def give_arn(name: str, arn: str, *, region: str) -> None:
    """Let the secret that was just made have another ARN."""
    backend: Any = secretsmanager_backends[ACCOUNT_ID][region]
    backend.secrets[name].arn = arn
