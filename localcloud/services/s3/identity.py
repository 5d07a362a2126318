"""What makes an object in moto that object: ETag, date, version. Importing this loads moto (0.8 s).

Owns the one reach into moto's S3 model: no request can set these, and clients hold on to them.
"""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Final

from moto.s3.models import s3_backends

from localcloud.services.contract import ACCOUNT_ID
from localcloud.services.s3.store import KeptObject

__all__ = ["restore_identity"]

_PARTITION: Final = "aws"


def restore_identity(kept: KeptObject) -> None:
    """Give the object that was just put its old ETag, date and version id."""
    backend: Any = s3_backends[ACCOUNT_ID][_PARTITION]
    stored: Any = backend.get_object(kept.bucket, kept.key)
    stored._etag = kept.etag.strip('"')  # noqa: SLF001 - moto computes it, and that of an upload in parts otherwise
    if kept.modified:
        stored.last_modified = parsedate_to_datetime(kept.modified).astimezone(UTC).replace(tzinfo=None)
    if kept.version_id and kept.version_id != "null":
        new_arn = stored.arn
        stored._version_id = kept.version_id  # noqa: SLF001 - as above
        backend.tagger.copy_tags(new_arn, stored.arn)  # moto's tags hang on the version
        backend.tagger.delete_all_tags_for_resource(new_arn)
