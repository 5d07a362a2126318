"""Who may read which topic: statements by topic, and the callers that they speak of. Deny by default.

    {"orders": [
        {"allow": ["analysts"], "columns": ["order", "total", "customer.city"], "rows": {"country": ["NO"]}},
        {"allow": ["billing"], "masks": {"customer.email": "tokenise"}},
        {"deny": "*", "except": ["security"], "masks": {"customer.card": "redact"}}
     ],
     "prices": "public"}

A caller may see of a record what one of the allowing statements that speak of it shows, and none of the denying ones
takes away; a topic without statements is read by nobody. Cheap to load, since every cold start of a socket does:
patterns and masks are read with the first question about a topic (`views`). Must not know connections or stores.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from sluiceway.errors import Misconfigured, Rejected

if TYPE_CHECKING:
    from sluiceway.rules.masking import MaskKey
    from sluiceway.rules.views import Statement, TopicView

__all__ = ["DENY_ALL", "NOBODY", "AccessRules", "Viewer", "read_viewer"]

MAX_STATEMENTS: Final = 64  # of a topic
MAX_VIEWS: Final = 1_000  # that are kept; made anew beyond
PUBLIC: Final = "public"


class Viewer(NamedTuple):
    """Who looks: the groups and the tenant of a token. `name` is the same in another form, as a store keeps it."""

    groups: tuple[str, ...] = ()
    tenant: str = ""

    @property
    def name(self) -> str:
        """Canonical text, "" for whoever has neither groups nor tenant."""
        if not self.groups and not self.tenant:
            return ""
        members = {"groups": sorted(set(self.groups)), "tenant": self.tenant}
        return json.dumps(members, ensure_ascii=True, separators=(",", ":"))


NOBODY: Final = Viewer()


def read_viewer(name: str) -> Viewer:
    """Who a name stands for. Raises: Rejected (`invalid-viewer`) for text that is no name."""
    if not name:
        return NOBODY
    try:
        members: object = json.loads(name)
    except (ValueError, RecursionError):
        members = None
    fields = cast("dict[str, object]", members) if isinstance(members, dict) else {}
    groups, tenant = fields.get("groups"), fields.get("tenant")
    texts = [each for each in cast("list[object]", groups) if isinstance(each, str)] if isinstance(groups, list) else []
    if not isinstance(tenant, str) or not isinstance(groups, list) or len(texts) != len(cast("list[object]", groups)):
        raise Rejected("it is no viewer", reason="invalid-viewer")
    return Viewer(tuple(texts), tenant)


class AccessRules:
    """The statements of every topic. One lives as long as the execution environment.

    `what` is the setting that they came from. Raises Misconfigured that names it, and the place in it: at once for a
    topic that is neither `"public"` nor a list of 1 to 64 statements, by `check` or the first question for the rest.
    """

    def __init__(self, declared: Mapping[str, object], what: str, *, key: MaskKey | None = None) -> None:
        for topic, statements in declared.items():
            count = len(cast("Sequence[object]", statements)) if isinstance(statements, list) else 0
            if statements != PUBLIC and not 1 <= count <= MAX_STATEMENTS:
                rule = f'is neither "{PUBLIC}" nor a list of 1 to {MAX_STATEMENTS} statements'
                raise Misconfigured(f"{what}.{topic} {rule}", what=what)
        self._declared = declared
        self._what = what
        self._key = key
        self._statements: dict[str, tuple[Statement, ...]] = {}
        self._views: dict[tuple[str, Viewer], TopicView | None] = {}

    def check(self, topics: Iterable[str]) -> None:
        """Read every statement now. Raises: Misconfigured; also for a topic that is none, or a mask without its key."""
        unknown = sorted(self._declared.keys() - set(topics))
        if unknown:
            raise Misconfigured(f"{self._what}.{unknown[0]} is no topic", what=self._what)
        from sluiceway.rules.views import check_masks  # noqa: PLC0415 - see the module's docstring

        for topic in self._declared:
            statements = self._of(topic)
            try:
                check_masks(statements, self._key)
            except Rejected as error:
                raise Misconfigured(f"{self._what}.{topic}{error}", what=self._what) from error

    def view(self, topic: str, viewer: Viewer) -> TopicView | None:
        """What `viewer` may see of a topic; None where it may not read it at all. Raises: Misconfigured."""
        known = (topic, viewer)
        if known not in self._views:
            from sluiceway.rules.views import make_view  # noqa: PLC0415 - see the module's docstring

            if len(self._views) >= MAX_VIEWS:
                self._views.clear()
            self._views[known] = make_view(self._of(topic), viewer, self._key)
        return self._views[known]

    def _of(self, topic: str) -> tuple[Statement, ...]:
        statements = self._statements.get(topic)
        if statements is None:
            from sluiceway.rules.views import read_statements  # noqa: PLC0415 - the same

            declared = self._declared.get(topic)
            listed = [{"allow": "*"}] if declared == PUBLIC else cast("Sequence[object]", declared or ())
            try:
                statements = read_statements(topic, listed)
            except Rejected as error:
                raise Misconfigured(f"{self._what}.{topic}{error}", what=self._what) from error
            self._statements[topic] = statements
        return statements


DENY_ALL: Final = AccessRules({}, "ACCESS")
"""No statements: nobody reads anything."""
