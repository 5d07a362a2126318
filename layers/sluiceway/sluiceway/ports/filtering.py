"""What filtering needs of the outside: where rules are kept, and where records go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from sluiceway.errors import SluicewayError
from sluiceway.rules.filtering import Destination, FilterRule

__all__ = ["Destinations", "FilterRuleStore", "Outgoing", "RuleChanges"]


class RuleChanges(NamedTuple):
    """What has become of a topic's rules since some version of them; `version` is the one that it comes to.

    `wrong`: ids of rules that cannot be read, with the reason's code. `is_whole`: `rules` are all that there are, and
    whatever else is known is gone (a table that was restored, or made anew).
    """

    version: int
    rules: tuple[FilterRule, ...] = ()
    removed: tuple[str, ...] = ()
    wrong: Mapping[str, str] = {}
    is_whole: bool = False


class FilterRuleStore(Protocol):
    """The rules of every topic. Each write counts the topic's version up, together with what it writes."""

    async def put(self, rule: FilterRule) -> FilterRule:
        """Keep a rule in place of the one of its `version`, 0 where there must be none; returns it as it is kept.

        Raises Rejected with the field of a rule that is wrong (`invalid-rule`, `invalid-pattern`), or `conflict` where
        another version of the rule is kept.
        """
        ...

    async def remove(self, topic: str, rule_id: str) -> None:
        """Forget a rule; nothing where there is none."""
        ...

    async def get(self, topic: str, rule_id: str) -> FilterRule | None:
        """One rule as last written. Raises Rejected for one that cannot be read."""
        ...

    async def changes(self, topic: str, since: int) -> RuleChanges:
        """What was written after version `since` (0: everything), up to this moment; never less."""
        ...


class Outgoing(NamedTuple):
    """One message. `message_id` is the same whenever the same record meets the same rule.

    `key`: messages of one key keep their order, where the destination has one. `body` is JSON text: of a queue or SNS
    what is shown of the record; of a stream, a bus and a bucket an object with `metadata` and `data`. `attributes` are
    texts beside the body.
    """

    message_id: str
    key: str
    body: str
    attributes: Mapping[str, str]
    sent_ms: int


class Destinations(Protocol):
    """The way to destinations."""

    async def send(
        self, destination: Destination, messages: Sequence[Outgoing], *, deadline: float
    ) -> Sequence[SluicewayError | None]:
        """Send messages in their order; for each None, or why it was not sent (and perhaps was). Never raises those.

        Of an ordered destination nothing of a key is sent after a message of it that was not. `deadline` is on the
        loop's clock.
        """
        ...
