"""Sessions that a service keeps of roles: one for each role, made anew where its credentials are gone."""

from __future__ import annotations

from localcloud.services.iam.errors import IamError
from localcloud.services.iam.model import Iam

__all__ = ["RoleSessions"]


class RoleSessions:
    """The sessions of `service` (`apigateway.amazonaws.com`), all named `session`."""

    def __init__(self, iam: Iam, *, service: str, session: str) -> None:
        self._iam = iam
        self._service = service
        self._session = session
        self._keys: dict[str, str] = {}

    def assume(self, role_arn: str) -> str:
        """The access key id of the role's session. Raises LookupError."""
        key = self._keys.get(role_arn, "")
        if key and self._iam.credentials_of(key) is not None:
            return key
        try:
            credentials = self._iam.issue_credentials(role_arn, function_name=self._session, service=self._service)
        except IamError as error:
            raise LookupError(str(error)) from error
        self._keys[role_arn] = credentials.access_key
        return credentials.access_key
