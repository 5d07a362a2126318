"""The examples of docs/filtering.md run as they stand, and its numbers and words are the code's."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from pathlib import Path
from typing import Any

from localcloud.template.source import read_template
from sluiceway.aws.filter_rules import DynamoDbFilterRuleStore
from sluiceway.flows import filter as flow
from sluiceway.flows.filter_account import OTHERS, RULE_METRICS
from sluiceway.flows.filter_rules import FRESH_MS, STALE_MS
from sluiceway.rules.access import AccessRules, Viewer
from sluiceway.rules.filtering import parse_rule
from sluiceway.rules.masking import MASKS, MaskKey, Spec, combine
from sluiceway.rules.views import read_masks
from tests.contract.answer_tables import Post
from tests.contract.rule_tables import RULES, local_rules
from tests.fakes import LoopClockMs

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "filtering.md").read_text(encoding="utf-8")
BLOCK = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[0]
ACCESS = json.loads(re.findall(r"^```json\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[0])
KEY = MaskKey("k1", bytes(range(32)))


def test_the_example_keeps_a_rule_however_often_it_is_run(capsys: Any) -> None:
    """Against the local cloud's table: the second write is of the first's version, and to the queue that was named."""
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(BLOCK, "docs/filtering.md", "exec", dont_inherit=True), names)
    post = Post(local_rules())

    class Opened:
        async def __aenter__(self) -> Post:
            return post

        async def __aexit__(self, *_: object) -> None:
            return None

    class Wire:
        @staticmethod
        def open(_environ: object) -> Opened:
            return Opened()

    names["Wire"] = Wire

    async def run() -> None:
        url = "http://127.0.0.1:4600/123456789012/sluiceway-mesh-large-orders"
        await names["main"](RULES, url)
        await names["main"](RULES, url)
        kept = await DynamoDbFilterRuleStore(post, RULES, LoopClockMs()).get("records", "large-orders")
        assert kept == parse_rule({**names["LARGE"], "destination": {"type": "sqs", "url": url}})._replace(version=2)

    names["asyncio"].run(run())
    assert capsys.readouterr().out == "large-orders version 1\nlarge-orders version 2\n"


def test_the_statements_of_the_page_show_what_the_page_says() -> None:
    """Limited, admin, tenant, intern: each of the five statements once."""
    rules = AccessRules(ACCESS, "ACCESS", key=KEY)
    rules.check({"records", "prices"})
    record = {
        "journal": "J", "title": "T", "abstract": "A", "state": "draft", "tenant": "acme",
        "author": {"email": "e", "card": "c", "name": "n"},
    }  # fmt: skip

    def seen(*groups: str, tenant: str = "") -> Any:
        view = rules.view("records", Viewer(groups, tenant))
        return None if view is None else view.show(record)

    assert seen() is None
    assert seen(tenant="acme") == {"title": "T"}
    assert seen(tenant="other") is None
    limited = seen("limited")
    assert limited.keys() == {"journal", "title", "abstract"}
    assert limited["journal"].startswith("tok_k1_")
    assert seen("admin")["author"].keys() == {"email", "name"}
    assert len(seen("admin")["author"]["email"]) == 64
    assert seen("admin", "security") == record
    assert seen("admin", "interns") is None


def test_a_pseudonym_is_made_as_the_page_says() -> None:
    """By another program: lengths, colons, bytes."""

    def parts(*of: bytes) -> bytes:
        return b"".join(b"%d:%s" % (len(part), part) for part in of)

    value = {"b": [1, "x", None], "a": True}
    content = b"{" + parts(b"sa", b"ttrue", b"sb", b"[" + parts(b"n1.0", b"sx", b"tnull"))
    expected = hmac.new(KEY.secret, parts(b"sluiceway", b"HASH", b"orders/v", content), hashlib.sha256).hexdigest()
    shown = combine([Spec((), read_masks({"v": "hash"}, "orders"))], [], KEY).show({"v": value})
    assert shown == {"v": expected}


def test_the_numbers_of_the_page_are_the_codes() -> None:
    """Five seconds, thirty, five hundred records, a second before the deadline; every mask, reason and metric, and no
    other reason."""
    assert (FRESH_MS, STALE_MS, flow.WINDOW, flow.RESERVE_S) == (5_000, 30_000, 500, 1.0)
    files = [Path(flow.__file__).with_name(name) for name in ("filter.py", "filter_rules.py", "filter_account.py")]
    source = "".join(file.read_text(encoding="utf-8") for file in files)
    for name in re.findall(r'"((?:Records|Messages|Rules)[A-Z]\w+)"', source):
        assert name in PAGE or name == "RecordsMatched" or name == "MessagesSent", name
    parameters = read_template(Path(__file__).resolve().parents[2] / "template.yaml").body["Parameters"]
    assert re.findall(r"^\| `(Rule\w+)` \|", PAGE, re.MULTILINE) == list(RULE_METRICS.values())
    assert f"`RULE_METRICS` says how many rules an invocation names, {flow.RULES_TOLD} " in PAGE
    assert f"`{OTHERS}`" in PAGE
    for name in re.findall(r"`((?:Records|Messages|Rules)[A-Z]\w+)`", PAGE):
        assert f'"{name}"' in source or name in parameters, name
    assert all(f"| `{mask}` |" in PAGE for mask in MASKS)
