"""The durable store of S3: each object's newest state, and the requests that made each bucket.

Owns a database of names, headers and settings, and a folder of bodies, one file each under a name of its own. A body is
written before the row that names it and removed after the row that no longer does, so a killed process leaves the old
object or the new one, and at worst a file that nothing names, which the next opening removes. Knows nothing of moto.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from localcloud.persistence import open_database, transaction

__all__ = ["KeptObject", "KeptSetting", "Store"]

_FILE: Final = "s3.sqlite3"
_BODIES: Final = "s3-objects"
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS settings (bucket TEXT, query TEXT, region TEXT NOT NULL, headers TEXT NOT NULL,
  body BLOB NOT NULL, PRIMARY KEY (bucket, query));
CREATE TABLE IF NOT EXISTS objects (bucket TEXT, object_key TEXT, region TEXT NOT NULL, headers TEXT NOT NULL,
  etag TEXT NOT NULL, modified TEXT NOT NULL, version_id TEXT NOT NULL, file TEXT NOT NULL,
  PRIMARY KEY (bucket, object_key));
"""


@dataclass(frozen=True, slots=True)
class KeptSetting:
    """A PUT on a bucket: with `query` "" the one that made it, else one of its subresources (`versioning`)."""

    bucket: str
    query: str
    region: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class KeptObject:
    """An object without its body. `headers`: those of a PutObject that makes it; `modified` an HTTP date."""

    bucket: str
    key: str
    region: str
    headers: Mapping[str, str]
    etag: str
    modified: str
    version_id: str


class Store:
    """What is kept of S3 in `folder`. One thread at a time; close it at the end. Raises KeptStateUnusable."""

    def __init__(self, folder: Path) -> None:
        self._bodies = folder / _BODIES
        self._bodies.mkdir(parents=True, exist_ok=True)
        self._connection = open_database(folder / _FILE, _SCHEMA, any_thread=True)
        named = {file for (file,) in self._connection.execute("SELECT file FROM objects")}
        for path in self._bodies.iterdir():
            if path.name not in named:
                path.unlink()

    def keep_setting(self, setting: KeptSetting) -> None:
        """Keep the latest request for this bucket and query."""
        row = (setting.bucket, setting.query, setting.region, json.dumps(dict(setting.headers)), setting.body)
        self._connection.execute("INSERT OR REPLACE INTO settings VALUES (?, ?, ?, ?, ?)", row)

    def drop_setting(self, bucket: str, query: str) -> None:
        """Forget one setting of a bucket."""
        self._connection.execute("DELETE FROM settings WHERE bucket = ? AND query = ?", (bucket, query))

    def drop_bucket(self, bucket: str) -> None:
        """Forget a bucket with its settings and objects."""
        files = self._files("SELECT file FROM objects WHERE bucket = ?", (bucket,))
        with transaction(self._connection):
            self._connection.execute("DELETE FROM settings WHERE bucket = ?", (bucket,))
            self._connection.execute("DELETE FROM objects WHERE bucket = ?", (bucket,))
        self._remove(files)

    def settings(self) -> list[KeptSetting]:
        """Every setting, that which made a bucket first, then in the order of keeping."""
        rows = self._connection.execute(
            "SELECT bucket, query, region, headers, body FROM settings ORDER BY bucket, query <> '', rowid"
        )
        return [KeptSetting(name, query, region, json.loads(text), body) for name, query, region, text, body in rows]

    def keep_object(self, kept: KeptObject, body: bytes) -> None:
        """Keep an object's newest state."""
        old = self._files(*_file_of(kept.bucket, kept.key))
        file = secrets.token_hex(16)
        (self._bodies / file).write_bytes(body)
        row = (kept.bucket, kept.key, kept.region, json.dumps(dict(kept.headers)), kept.etag, kept.modified)
        self._connection.execute(
            "INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*row, kept.version_id, file)
        )
        self._remove(old)

    def drop_object(self, bucket: str, key: str) -> None:
        """Forget an object; no error where it was not kept."""
        old = self._files(*_file_of(bucket, key))
        self._connection.execute("DELETE FROM objects WHERE bucket = ? AND object_key = ?", (bucket, key))
        self._remove(old)

    def objects(self) -> Iterator[tuple[KeptObject, bytes]]:
        """Every object with its body, oldest first."""
        rows = self._connection.execute(
            "SELECT bucket, object_key, region, headers, etag, modified, version_id, file FROM objects ORDER BY rowid"
        ).fetchall()
        for bucket, key, region, headers, etag, modified, version_id, file in rows:
            kept = KeptObject(bucket, key, region, json.loads(headers), etag, modified, version_id)
            yield kept, (self._bodies / file).read_bytes()

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def _files(self, query: str, values: tuple[str, ...]) -> list[str]:
        return [file for (file,) in self._connection.execute(query, values)]

    def _remove(self, files: list[str]) -> None:
        for file in files:
            (self._bodies / file).unlink(missing_ok=True)


def _file_of(bucket: str, key: str) -> tuple[str, tuple[str, str]]:
    return "SELECT file FROM objects WHERE bucket = ? AND object_key = ?", (bucket, key)
