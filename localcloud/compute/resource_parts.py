"""What the CloudFormation handlers of Lambda share: functions, what publishes them, what their roles may do."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from localcloud.clock import Clock
from localcloud.compute.async_settings import MayDo
from localcloud.compute.functions import Functions
from localcloud.compute.publishing import Publisher
from localcloud.compute.versions import FunctionRecord
from localcloud.services.lambda_.errors import LambdaError
from localcloud.template.properties import Properties

__all__ = ["FunctionParts", "naming"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionParts:
    """Parts of one Region's Lambda."""

    functions: Functions
    publisher: Publisher
    may_do: MayDo
    clock: Clock

    def find(self, read: Properties) -> FunctionRecord:
        """The function that FunctionName names. Raises TemplateError."""
        with naming(read, "FunctionName"):
            return self.functions.find(read.text("FunctionName"))[0]


@contextmanager
def naming(read: Properties, name: str) -> Generator[None]:
    """What Lambda refuses inside is the fault of this property: it raises TemplateError."""
    try:
        yield
    except LambdaError as error:
        raise read.error(name, error.message) from error
