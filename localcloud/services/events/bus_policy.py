"""The resource policy of a bus, as PutPermission and RemovePermission keep it. Pure.

Source: https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutPermission.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, cast

from localcloud.services.events.errors import EventsError, validation
from localcloud.services.events.limits import MAX_POLICY_CHARS
from localcloud.services.iam.errors import MalformedPolicy
from localcloud.services.iam.policy import Document, parse_document

__all__ = ["BusPolicy"]

_VERSION: Final = "2012-10-17"
_PUT_EVENTS: Final = "events:PutEvents"


class BusPolicy:
    """The policy of one bus; empty at first."""

    def __init__(self, bus_arn: str) -> None:
        self._bus_arn = bus_arn
        self._document: dict[str, Any] = {}
        self._parsed: Document | None = None

    @property
    def text(self) -> str:
        """The policy as JSON, "" where there is none."""
        return json.dumps(self._document, separators=(",", ":")) if self._document else ""

    @property
    def document(self) -> Document | None:
        """The policy, parsed; None where there is none."""
        return self._parsed

    @property
    def statement_ids(self) -> tuple[str, ...]:
        """The Sids of its statements, "" for those without."""
        return tuple(str(statement.get("Sid", "")) for statement in self._statements())

    def replace(self, policy: str | Mapping[str, Any]) -> None:
        """Put a whole policy in place of what is there. Raises EventsError."""
        self._keep(dict(_parse(policy).source))

    def grant(self, statement: Mapping[str, Any]) -> None:
        """Add the statement that the parameters of PutPermission describe, in place of one with its id.

        Raises EventsError.
        """
        if statement.get("Action", _PUT_EVENTS) != _PUT_EVENTS:
            raise validation("Provided value in parameter 'action' is not supported.")
        for name in ("StatementId", "Action", "Principal"):
            if name not in statement:
                raise validation(f"Parameter {name} must be specified.")
        self.add(self._make(statement))

    def add(self, statement: Mapping[str, Any]) -> None:
        """Add a statement of the policy language, in place of one with its Sid. Raises EventsError."""
        statements = self._statements()
        places = [place for place, other in enumerate(statements) if other.get("Sid") == statement.get("Sid")]
        if places:
            statements[places[0]] = dict(statement)
        else:
            statements.append(dict(statement))
        self._keep({"Version": self._document.get("Version", _VERSION), "Statement": statements})

    def revoke(self, statement_id: str) -> None:
        """Take a statement away. Raises EventsError: ResourceNotFoundException."""
        left = [statement for statement in self._statements() if statement.get("Sid") != statement_id]
        if len(left) == len(self._statements()):
            raise EventsError("ResourceNotFoundException", "Statement with the provided id does not exist.")
        self._keep({**self._document, "Statement": left} if left else {})

    def clear(self) -> None:
        """Take everything away."""
        self._keep({})

    def _make(self, statement: Mapping[str, Any]) -> dict[str, Any]:
        principal = statement["Principal"]
        made: dict[str, Any] = {
            "Sid": statement["StatementId"],
            "Effect": "Allow",
            "Principal": "*" if principal == "*" else {"AWS": f"arn:aws:iam::{principal}:root"},
            "Action": _PUT_EVENTS,
            "Resource": self._bus_arn,
        }
        condition = statement.get("Condition")
        if condition is None:
            return made
        if principal != "*":
            message = "Value of the parameter 'principal' must be '*' when the parameter 'condition' is set."
            raise validation(message)
        if (condition["Type"], condition["Key"]) != ("StringEquals", "aws:PrincipalOrgID"):
            raise validation("Provided value in parameter 'condition' is not supported.")
        return {**made, "Condition": {"StringEquals": {"aws:PrincipalOrgID": condition["Value"]}}}

    def _statements(self) -> list[dict[str, Any]]:
        found: Any = self._document.get("Statement", [])
        return list(cast("list[dict[str, Any]]", found if isinstance(found, list) else [found]))

    def _keep(self, document: dict[str, Any]) -> None:
        text = json.dumps(document, separators=(",", ":"))
        if len(text) > MAX_POLICY_CHARS:
            message = f"The policy of the event bus would be longer than {MAX_POLICY_CHARS} characters."
            raise EventsError("PolicyLengthExceededException", message)
        self._parsed = _parse(document) if document else None
        self._document = document


def _parse(policy: str | Mapping[str, Any]) -> Document:
    try:
        return parse_document(policy, name="of the event bus", resource_policy=True)
    except MalformedPolicy as error:
        raise validation(f"Parameter Policy is not valid. Reason: {error}") from error
