"""Publishing versions: the code of a version is a copy that later changes of $LATEST do not reach.

Knows functions and their code; no wire and no template.
Source: https://docs.aws.amazon.com/lambda/latest/dg/configuration-versions.html
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace

from localcloud.clock import Clock
from localcloud.compute.code import CodeStore
from localcloud.compute.function import FunctionSpec
from localcloud.compute.versions import FunctionRecord
from localcloud.services.lambda_.errors import LambdaError, refused
from localcloud.uuids import new_uuid

__all__ = ["Publisher", "check_revision"]


class Publisher:
    """Publishes versions of functions, whose code `code` keeps."""

    def __init__(self, code: CodeStore, *, clock: Clock, rng: random.Random) -> None:
        self.code = code
        self._clock = clock
        self._rng = rng
        self._follows = asyncio.Lock()

    def new_revision(self) -> str:
        """A RevisionId that nothing had before."""
        return new_uuid(self._rng)

    async def measure(self, spec: FunctionSpec) -> FunctionSpec:
        """The configuration with the hash and the size of its code as it is now."""
        if spec.code_sha256:
            return spec
        facts = await asyncio.to_thread(self.code.measure, spec.code_dir)
        return replace(spec, code_sha256=facts.sha256, code_size=facts.size_bytes)

    async def publish(
        self, record: FunctionRecord, *, description: str | None = None, sha256: str = "", revision: str = ""
    ) -> tuple[FunctionSpec, bool]:
        """A version of $LATEST as it is now, and whether it is a new one: what has not changed is not published twice.

        Raises LambdaError where $LATEST has another hash than `sha256`, or another revision than `revision`.
        """
        check_revision(revision, record.spec.revision_id, call="GetFunction/GetAlias")
        latest = record.spec
        folder, facts = await asyncio.to_thread(self.code.keep, latest.code_dir)
        known = latest.code_sha256 or facts.sha256
        if sha256 not in {"", known}:
            text = (
                f"CodeSHA256 ({sha256}) is different from current CodeSHA256 in $LATEST ({known}). Please try again "
                "with the CodeSHA256 in $LATEST."
            )
            raise refused(text)
        size = latest.code_size or facts.size_bytes
        spec = replace(latest, code_dir=folder, code_sha256=known, code_size=size)
        same = record.is_published(spec)
        if same is not None:
            return same, False
        said = latest.description if description is None else description
        spec = replace(spec, description=said, revision_id=self.new_revision(), modified_s=self._clock.time())
        return record.publish(spec), True

    async def follow(self, record: FunctionRecord) -> bool:
        """Publish code that was edited, and let the aliases that follow it go there; whether there was a new version.

        Source: https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/using-sam-cli-sync.html
        """
        async with self._follows:  # edits in their order
            spec, is_new = await self.publish(record)
            await self._lead(record, spec)
        return is_new

    async def _lead(self, record: FunctionRecord, spec: FunctionSpec) -> None:
        for name in sorted(record.following & record.aliases.keys()):
            alias = replace(record.aliases[name], version=spec.version, weights={}, revision_id=self.new_revision())
            await record.repoint(alias, now_s=self._clock.time())


def check_revision(given: str, current: str, *, call: str) -> None:
    """Raises LambdaError PreconditionFailedException where `given` is a RevisionId of the past."""
    if given and given != current:
        text = (
            "The Revision Id provided does not match the latest Revision Id. "
            f"Call the {call} API to retrieve the latest Revision Id"
        )
        raise LambdaError("PreconditionFailedException", text, 412, message_key="Message")
