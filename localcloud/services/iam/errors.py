"""What IAM refuses. Messages as IAM words them; knows nothing of the wire."""

from __future__ import annotations

__all__ = ["IamError", "InvalidTags", "MalformedPolicy", "NoSuchEntity", "RoleNotAssumable"]


class IamError(Exception):
    """Root of this service's errors; `code` is the API's error code."""

    code = "ServiceFailure"


class InvalidTags(IamError):
    """Tags that a role or session cannot have."""

    code = "InvalidInput"


class MalformedPolicy(IamError):
    """A policy document that means nothing, or names a condition operator that is not known."""

    code = "MalformedPolicyDocument"


class NoSuchEntity(IamError):
    """A role or policy that is not here."""

    code = "NoSuchEntity"


class RoleNotAssumable(IamError):
    """The trust policy of the role does not let the service assume it."""

    code = "AccessDenied"
