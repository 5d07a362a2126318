"""A function's code as Lambda keeps it: its hash and size, a copy that nothing changes, an archive unpacked.

A copy is a folder in the cache that is named by its content, made once. Blocking: call from a worker thread. Knows
folders and archives; no function, no wire.
Source: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html (deployment package)
"""

from __future__ import annotations

import base64
import hashlib
import io
import lzma
import struct
import zipfile
import zlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Final

from localcloud.compute.code_files import copy_code, list_code
from localcloud.compute.installer import make_once

__all__ = ["BadArchive", "CodeFacts", "CodeStore"]

MAX_ZIPPED_BYTES: Final = 50 * 1024 * 1024  # gettingstarted-limits: 50 MB zipped, in a request; by S3 it may be more
MAX_UNZIPPED_BYTES: Final = 250 * 1024 * 1024  # the same: 250 MB unzipped
MAX_FILES: Final = 20_000  # ours: an archive may name any number of empty files
_UNREADABLE: Final = (
    *(zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError, OSError),
    *(zlib.error, lzma.LZMAError, struct.error),  # of compressed data that is none: zipfile lets them through
)
_MODE_BITS: Final = 16  # of ZipInfo.external_attr: the Unix mode is above them


class BadArchive(Exception):
    """It is no archive that Lambda takes, in Lambda's words."""


@dataclass(frozen=True, slots=True)
class CodeFacts:
    """`sha256` in base64, as CodeSha256: of an archive as it came, of a folder over the names and contents in it."""

    sha256: str
    size_bytes: int


class CodeStore:
    """Code in `cache_dir`. A folder that is measured again and has not changed is not read again."""

    def __init__(self, cache_dir: Path) -> None:
        self._folder = cache_dir / "code"
        self._known: dict[Path, tuple[str, CodeFacts]] = {}

    def measure(self, folder: Path) -> CodeFacts:
        """Hash and size of what is in a folder now."""
        files = list(list_code(folder))
        signature = hashlib.sha256()
        for path in files:
            stat = path.stat()
            signature.update(f"{path}\0{stat.st_mtime_ns}\0{stat.st_size}\0".encode())
        known = self._known.get(folder)
        if known is None or known[0] != signature.hexdigest():
            known = self._known[folder] = (signature.hexdigest(), _read_facts(folder, files))
        return known[1]

    def keep(self, folder: Path) -> tuple[Path, CodeFacts]:
        """A copy of a folder as it is now, and its facts."""
        if folder.is_relative_to(self._folder):
            return folder, self._known.get(folder, ("", CodeFacts("", 0)))[1]
        facts = self.measure(folder)
        kept = make_once(self._target(facts), partial(copy_code, folder))
        self._known[kept] = ("", facts)
        return kept, facts

    def unpack(self, archive: bytes) -> tuple[Path, CodeFacts]:
        """The folder that an archive holds, and its facts. Raises BadArchive."""
        facts = CodeFacts(base64.b64encode(hashlib.sha256(archive).digest()).decode(), len(archive))
        try:
            with zipfile.ZipFile(io.BytesIO(archive)) as opened:
                members = _check(opened)
                kept = make_once(self._target(facts), lambda target: _extract(opened, members, target))
        except _UNREADABLE as error:
            raise BadArchive(
                "Could not unzip uploaded file. Please check your file, then try to upload again."
            ) from error
        self._known[kept] = ("", facts)
        return kept, facts

    def _target(self, facts: CodeFacts) -> Path:
        return self._folder / base64.b64decode(facts.sha256).hex()[:32]


def _check(opened: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    members = opened.infolist()
    if sum(member.file_size for member in members) > MAX_UNZIPPED_BYTES:
        raise BadArchive(f"Unzipped size must be smaller than {MAX_UNZIPPED_BYTES} bytes")
    if not members:
        raise BadArchive("Uploaded file must be a non-empty zip")
    if len(members) > MAX_FILES or any(_leaves(member.filename) for member in members):
        raise zipfile.BadZipFile
    return members


def _leaves(name: str) -> bool:
    path = PurePosixPath(name)
    return path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name


def _extract(opened: zipfile.ZipFile, members: list[zipfile.ZipInfo], target: Path) -> None:
    """No member is read beyond the size that `_check` has counted: zipfile ends there, and checks its hash."""
    for member in members:
        place = target / member.filename
        if member.is_dir():
            place.mkdir(parents=True, exist_ok=True)
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        with opened.open(member) as source:
            content = source.read()
        place.write_bytes(content)
        place.chmod(0o755 if member.external_attr >> _MODE_BITS & 0o111 else 0o644)


def _read_facts(folder: Path, files: list[Path]) -> CodeFacts:
    digest, size = hashlib.sha256(), 0
    for path in files:
        content = path.read_bytes()
        digest.update(f"{path.relative_to(folder)}\0{len(content)}\0".encode() + content)
        size += len(content)
    return CodeFacts(base64.b64encode(digest.digest()).decode(), size)
