"""What makes a key of moto's the key that a template was told of: its id. Importing this loads moto (0.8 s).

Owns the one reach into moto's KMS model: CreateKey takes no id.
"""

from __future__ import annotations

from typing import Any

from moto.kms.models import kms_backends

from localcloud.services.contract import ACCOUNT_ID
from localcloud.services.kms.wire import key_arn_of

__all__ = ["give_id"]


def give_id(old: str, new: str, *, region: str) -> None:
    """Let the key that was just made have another id."""
    backend: Any = kms_backends[ACCOUNT_ID][region]
    key: Any = backend.keys.pop(old)
    key.id, key.arn = new, key_arn_of(new, region)
    backend.keys[new] = key
    backend.tagger.copy_tags(old, new)
    backend.tagger.delete_all_tags_for_resource(old)
