"""The words of `replay --from`: what goes together, what they mean, where they lead, what is shown."""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from localcloud.clock import run_virtual
from localcloud.replay.archives import ArchiveReplay, Watched
from localcloud.replay.command import main
from localcloud.replay.edits import edit_by_command, edit_by_paths, read_edit
from localcloud.replay.meter import Meter, Tally
from localcloud.replay.ports import Outlook
from localcloud.replay.reach import find_reach
from localcloud.replay.targets.http import UrlTarget
from localcloud.replay.targets.streams import StreamTarget
from localcloud.replay.words import make_parser, read_moment, read_span
from localcloud.state import NotRunning, RunningState, write_state
from sluiceway.aws.reply import Reply
from sluiceway.errors import Misconfigured, Rejected, Retryable, ServiceUnavailable
from sluiceway.ports.producing import Declined, Entry, Placed
from sluiceway.rules.consuming.spans import Span
from tests.unit.replay_setup import FixedChance, make_item

NOW_MS = 1_800_000_000_000


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of the developer's own account, and no local cloud."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def options(*words: str) -> Any:
    return make_parser("replay").parse_args(["--from", "stream:s", *words])


# ---------------------------------------------------------------- words


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--from", "topic:x"], "--from is one of stream, queue, s3, archive"),
        (["--from", "stream:"], "--from is one of"),
        (["--from", "stream:s"], "name a --target, or say --dry-run"),
        (["--from", "stream:s", "--target", "everywhere"], "--target is one of same, source"),
        (["--from", "stream:s", "--target", "same:x"], "--target is one of"),
        (["--from", "stream:s", "--target", "source"], "--target source is for letters"),
        (["--from", "stream:s", "--target", "same", "--list"], "--list does not go with stream:"),
        (["--from", "queue:q", "--target", "same", "--at", "TRIM_HORIZON"], "--at does not go with queue:"),
        (["--from", "queue:q", "--target", "same", "--resume", "x"], "--resume does not go with queue:"),
        (["--from", "queue:q", "--target", "same", "--share", "0.1"], "--share does not go with queue:"),
        (["--from", "s3://b/x", "--target", "same", "--fan-out"], "--fan-out does not go with s3:"),
        (["--from", "archive:a", "--target", "same"], "EventBridge replays an archive to its own bus"),
        (["--from", "archive:a", "--target", "source", "--edit", "a=1"], "--edit does not go with archive:"),
        (["--from", "stream:s", "--target", "same", "--edit", "a=1", "--edit-with", "cat"], "two ways"),
        (["--from", "stream:s", "--target", "same", "--share", "0.1", "--fan-out"], "--fan-out does not make"),
        (["--from", "stream:s", "--target", "same", "--share", "2"], "--share is more than 0"),
        (["--from", "stream:s", "--target", "same", "--rate", "-1"], "--rate is more than 0"),
        (["--from", "stream:s", "--target", "same", "--rate", "nan"], "--rate is more than 0"),
        (["--from", "stream:s", "--target", "same", "--batch", "0"], "--batch is 1 to 10000"),
        (["--from", "stream:s", "--dry-run", "--aws", "--endpoint-url", "http://x"], "are two places"),
    ],
)
def test_words_that_do_not_go_together_are_code_2(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence that names them, before anything is asked."""
    assert main(words) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert said in told.err


def test_words_behind_two_dashes_are_sams() -> None:
    """As they are."""
    chosen = options("--target", "sam:F", "--", "--docker-network", "host")
    assert chosen.sam_arguments == ["--docker-network", "host"]


def test_without_a_cloud_nothing_is_replayed(capsys: pytest.CaptureFixture[str]) -> None:
    """AWS is never meant by mistake: it has to be named."""
    assert main(["--from", "stream:s", "--dry-run"]) == 1
    assert capsys.readouterr().err == (
        "replay: no local cloud runs from this folder; start one with `sluiceway up`, or say --aws\n"
    )


def test_an_error_of_a_service_says_where_it_was_asked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A setting of a cloud that was stopped since is what nobody thinks of."""
    for name, value in (("ENDPOINT_URL", "http://127.0.0.1:1"), ("ACCESS_KEY_ID", "x"), ("SECRET_ACCESS_KEY", "x")):
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_REGION", "us-west-2")
    assert main(["--from", "queue:letters", "--list"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("replay: sqs GetQueueUrl: ConnectFailed: ")
    assert told.endswith(" (asked: http://127.0.0.1:1 us-west-2)\n")


def test_the_words_of_recorded_events_are_theirs_still(capsys: pytest.CaptureFixture[str]) -> None:
    """Without `--from` it is the other command; `--from` behind `--` is sam's."""
    assert main(["--target", "sam", "--", "--from", "x"]) == 2
    assert "there is no folder events" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "span"),
    [
        ([], Span(until_ms=NOW_MS)),
        (["--at", "TRIM_HORIZON", "--until", "now"], Span(until_ms=NOW_MS)),
        (["--at", "2026-11-28T00:00:00Z"], Span("AT_TIMESTAMP", at_ms=1_795_824_000_000, until_ms=NOW_MS)),
        (
            ["--at", "2026-11-28", "--until", "2026-11-28T02:00:00+01:00"],
            Span("AT_TIMESTAMP", at_ms=1_795_824_000_000, until_ms=1_795_827_600_000),
        ),
        (
            ["--after", "shardId-0:12", "--after", "shardId-1:7"],
            Span("AFTER_SEQUENCE_NUMBER", after={"shardId-0": "12", "shardId-1": "7"}, until_ms=NOW_MS),
        ),
    ],
)
def test_a_part_of_a_stream(words: list[str], span: Span) -> None:
    """Everything until now, where nothing is said; a date without a zone is UTC."""
    assert read_span(options(*words), now_ms=NOW_MS) == span


@pytest.mark.parametrize(
    "words",
    [
        ["--at", "LATEST"],
        ["--at", "yesterday"],
        ["--at", "1969-01-01"],
        ["--until", "0001-01-01T00:00:00+14:00"],
        ["--after", "12"],
        ["--after", "shard:x"],
        ["--after", "shard:1", "--at", "TRIM_HORIZON"],
        ["--at", "2026-11-28", "--until", "2026-11-27"],
    ],
)
def test_a_part_that_is_none_is_called_that(words: list[str]) -> None:
    """With the word that is wrong."""
    with pytest.raises(Misconfigured, match=r"--a|--until"):
        read_span(options(*words), now_ms=NOW_MS)


def test_a_moment_has_milliseconds() -> None:
    """As records have."""
    assert read_moment("2026-11-28T00:00:00.123Z", now_ms=0, word="x") == 1_795_824_000_123


# ---------------------------------------------------------------- where they lead


def cloud(tmp_path: Path, **outputs: str) -> None:
    running = RunningState(
        os.getpid(), "t.yaml", "eu-west-1", "", {"aws": "http://127.0.0.1:1"}, outputs, {"ReadJob": "s-ReadJob"}, {}
    )
    write_state(tmp_path / ".sluiceway", running)


def test_the_local_cloud_is_meant_where_nothing_else_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its own keys and Region, and the names of its stack."""
    cloud(tmp_path, OrdersStream="orders-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "mine")
    reach = find_reach(options())
    assert (reach.place, reach.environ["AWS_ENDPOINT_URL"]) == ("the local cloud", "http://127.0.0.1:1")
    assert (reach.environ["AWS_ACCESS_KEY_ID"], reach.environ["AWS_REGION"]) == ("local", "eu-west-1")
    names = [reach.resolve(name) for name in ("OrdersStream", "ordersstream", "other")]
    assert names == ["orders-1", "orders-1", "other"]
    assert [reach.find_function(name) for name in ("read_job", "ReadJob", "x")] == ["s-ReadJob", "s-ReadJob", "x"]


def test_settings_that_name_the_local_cloud_mean_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the pages export for other programs takes no name away; a setting that leads elsewhere does."""
    cloud(tmp_path, OrdersStream="orders-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1/")
    monkeypatch.setenv("AWS_ENDPOINT_URL_KINESIS", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_REGION", "us-west-2")
    reach = find_reach(options())
    assert (reach.place, reach.resolve("OrdersStream")) == ("the local cloud", "orders-1")
    assert (reach.environ["AWS_ENDPOINT_URL"], reach.environ["AWS_REGION"]) == ("http://127.0.0.1:1", "eu-west-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_KINESIS", "http://127.0.0.1:2")
    elsewhere = find_reach(options())
    assert (elsewhere.place, elsewhere.state) == ("http://127.0.0.1:1/ us-west-2", None)


def test_settings_and_words_go_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The endpoint settings of the SDKs first of all, then the word; `--aws` sweeps both aside."""
    cloud(tmp_path, OrdersStream="orders-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_KINESIS", "http://k")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://all")
    monkeypatch.setenv("AWS_REGION", "us-west-2")
    assert find_reach(options()).place == "http://all us-west-2"
    named = find_reach(options("--endpoint-url", "http://word"))
    assert (named.place, named.environ["AWS_ENDPOINT_URL"], named.state) == ("http://word", "http://word", None)
    assert "AWS_ENDPOINT_URL_KINESIS" not in named.environ
    assert find_reach(options("--endpoint-url", "http://127.0.0.1:1")).resolve("OrdersStream") == "orders-1"
    aws = find_reach(options("--aws", "--region", "eu-west-2"))
    assert (aws.place, [name for name in aws.environ if "ENDPOINT" in name]) == ("AWS eu-west-2", [])
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    assert find_reach(options()).place == "the local cloud"
    (tmp_path / ".sluiceway" / "state.json").unlink()
    with pytest.raises(NotRunning):
        find_reach(options())


# ---------------------------------------------------------------- edits


@pytest.mark.parametrize(
    ("edits", "content", "edited"),
    [
        (["a=1"], '{"a":0}', {"a": 1}),
        (["$.a.b=x y"], '{"a":{}}', {"a": {"b": "x y"}}),
        (['a[1].b={"c":[1]}'], '{"a":[0,{}]}', {"a": [0, {"b": {"c": [1]}}]}),
        (["a[0]=null", "a[1]=true"], '{"a":[0,0]}', {"a": [None, True]}),
        (['["odd. name"]=1'], "{}", {"odd. name": 1}),
        (["a=b=c"], "{}", {"a": "b=c"}),
        (["[0]=5"], "[1]", [5]),
        (["a="], '{"a":1}', {"a": ""}),
    ],
)
def test_members_are_set_by_path(edits: list[str], content: str, edited: Any) -> None:
    """In turn; a value is JSON where it is."""
    editor = edit_by_paths([read_edit(each) for each in edits])
    assert json.loads(run_virtual(lambda: editor(content.encode()))) == edited


@pytest.mark.parametrize("text", ["", "a", "=1", "$=1", "a..b=1", "a[x]=1", "a b=1", "a[=1", '["\\q"]=1'])
def test_a_path_that_is_none_is_called_that(text: str) -> None:
    """Before anything is sent."""
    with pytest.raises(Misconfigured, match="--edit is PATH=VALUE"):
        read_edit(text)


@pytest.mark.parametrize(
    ("edit", "content"),
    [("a.b=1", "{}"), ("a[0]=1", '{"a":[]}'), ("a[0]=1", '{"a":{}}'), ("a=1", "[]"), ("a=1", "5"), ("a=1", "x"),
     ("a.b=1", '{"a":"text"}'), ("[0]=1", "{}")],
)  # fmt: skip
def test_an_edit_that_leads_nowhere_refuses_the_item(edit: str, content: str) -> None:
    """Rather than make what was not there."""
    with pytest.raises(Rejected) as caught:
        run_virtual(lambda: edit_by_paths([read_edit(edit)])(content.encode()))
    assert caught.value.reason == "edit-failed"


@pytest.mark.parametrize(
    "content",
    [
        '{"a":1,"b":NaN}',
        '{"a":1,"b":1e400}',
        '{"a":1,"b":0.12345678901234567890123}',
        '{"a":1,"b":1,"b":2}',
        '{"a":1,"b":' + "[" * 100_000,
    ],
)
def test_an_edit_that_would_change_more_than_it_names_refuses_the_item(content: str) -> None:
    """A number that no double holds, a name twice, what is no JSON: none of it comes out as something else."""
    with pytest.raises(Rejected) as caught:
        run_virtual(lambda: edit_by_paths([read_edit("a=2")])(content.encode()))
    assert caught.value.reason == "edit-failed"


def test_an_edit_keeps_the_escape_of_half_a_surrogate_pair() -> None:
    """UTF-8 has no such character, and whoever read it back would find no text."""
    edited = run_virtual(lambda: edit_by_paths([read_edit("a=NaN")])(b'{"a":1,"b":"\\ud800"}'))
    assert edited == b'{"a":"NaN","b":"\\ud800"}'


def test_a_command_edits_and_may_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard input to output; another code, or nothing, or no end, refuses; one that is not there ends the run."""

    def run(command: str) -> bytes:
        with asyncio.Runner() as runner:
            return runner.run(edit_by_command(command)(b"abc"))

    assert run("tr a-z A-Z") == b"ABC"
    for command in ("false", "true"):
        with pytest.raises(Rejected):
            run(command)
    monkeypatch.setattr("localcloud.replay.edits.COMMAND_S", 0.1)
    with pytest.raises(Rejected, match="did not end"):
        run("sleep 30")
    for command in ("no-such-command-here", "", "'"):
        with pytest.raises(Misconfigured):
            run(command)


# ---------------------------------------------------------------- what is shown


def show(tally: Tally, outlook: Outlook, seconds: float, *, is_terminal: bool) -> list[str]:
    now, said = [0.0], list[str]()
    meter = Meter(said.append, clock=lambda: now[0], is_terminal=is_terminal)
    meter.show(tally, outlook)
    now[0] = seconds
    meter.show(tally, outlook)
    meter.show(tally, outlook)
    meter.say("x")
    return said


def test_a_terminal_has_a_line_that_is_drawn_over() -> None:
    """Records, records a second, the date that was reached, what is left by dates; a line of its own takes it away."""
    tally = Tally(taken=40, refused=2, taken_now=40, refused_now=2, first_ms=NOW_MS, last_ms=NOW_MS + 25_000)
    line = "[#####...............]  25% 42 records, 4/s, 2 refused, at 2027-01-15T08:00:25Z, 30 s left"
    said = show(tally, Outlook(end_ms=NOW_MS + 100_000), 10.0, is_terminal=True)
    assert said == [f"\r{line}\x1b[K", "\r\x1b[K", "x\n"]


def test_elsewhere_a_line_comes_now_and_then() -> None:
    """Every ten seconds; by number where there are no dates; nothing of the end where nobody knows it."""
    tally = Tally(taken=50, taken_now=50)
    assert show(tally, Outlook(total=75), 10.0, is_terminal=False) == [" 67% 50 records, 5/s, 5 s left\n", "x\n"]
    assert show(tally, Outlook(), 9.0, is_terminal=False) == ["x\n"]
    assert show(tally, Outlook(), 5000.0, is_terminal=False)[0] == "50 records, 0/s\n"
    far = show(Tally(taken=1, taken_now=1), Outlook(total=100), 100.0, is_terminal=False)
    assert far[0] == "  1% 1 records, 0/s, 2 h 45 min left\n"


# ---------------------------------------------------------------- a URL


class Desk:
    """An HTTP server that answers by `statuses` in turn, then 200; `most` requests were under way at once."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.bodies: list[bytes] = []
        self.heads: list[str] = []
        self.open = self.most = 0
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
                self.bodies.append(await reader.readexactly(length))
                self.heads.append(head.decode())
                self.open += 1
                self.most = max(self.most, self.open)
                await asyncio.sleep(0.01)
                self.open -= 1
                status = self.statuses.pop(0) if self.statuses else 200
                writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: 0\r\nretry-after: 0\r\n\r\n".encode())
        except asyncio.IncompleteReadError:
            return


def post(desk: Desk, items: Sequence[Any], *, at_once: int = 3) -> list[str]:
    async def body() -> list[str]:
        server = await asyncio.start_server(desk.serve, "127.0.0.1", 0)
        async with server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/in?x=1"
            try:
                async with UrlTarget.open(url, at_once=at_once, chance=FixedChance()) as target:
                    return await target.send(items)
            finally:
                for writer in desk.writers:
                    writer.close()
                    await writer.wait_closed()

    with asyncio.Runner() as runner:
        return runner.run(body())


def test_items_are_posted_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """With type, key and origin; a 4xx refuses, a 503 and a 429 are asked again."""
    monkeypatch.setattr("localcloud.replay.patience.FIRST_S", 0.01)
    desk = Desk(503, 400, 429)
    items = [make_item(n) for n in range(8)] + [make_item(8, content=b"\xff", key='a"b\r\nc')]
    reasons = post(desk, items)
    assert sorted(reasons) == [*[""] * 8, "http-400"]
    assert desk.most == 3
    assert len(desk.bodies) == 11
    assert set(desk.bodies) == {item.content for item in items}
    head = next(each for each, body in zip(desk.heads, desk.bodies, strict=True) if body == b"\xff")
    assert head.startswith("POST /in?x=1 HTTP/1.1\r\n")
    assert 'idempotency-key: "a\\"b\\r\\nc"\r\n' in head
    assert "content-type: application/octet-stream\r\n" in head
    assert f"x-replay-origin: {items[0].origin}\r\n" in head


def test_a_server_that_stays_busy_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not a refusal: the run goes on from there."""
    monkeypatch.setattr("localcloud.replay.patience.FIRST_S", 0.001)
    with pytest.raises(Retryable, match="answers 503"):
        post(Desk(*[503] * 50), [make_item(0)])


# ---------------------------------------------------------------- a stream


class Stream:
    """Declines entries by chance."""

    def __init__(self, seed: int, *, rate: float) -> None:
        self.rng = random.Random(seed)
        self.rate = rate
        self.kept: list[Entry] = []
        self.calls: list[int] = []

    async def put(self, entries: Sequence[Entry], *, deadline: float | None = None) -> Sequence[Any]:
        self.calls.append(len(entries))
        if self.rng.random() < self.rate / 2:
            raise ServiceUnavailable("x", service="kinesis", operation="PutRecords", code="Throttled")
        answers = [Declined("InternalFailure") if self.rng.random() < self.rate else Placed("s", "1") for _ in entries]
        self.kept += [entry for entry, answer in zip(entries, answers, strict=True) if isinstance(answer, Placed)]
        return answers


@pytest.mark.parametrize("seed", range(5))
def test_what_a_stream_declines_is_put_again(seed: int) -> None:
    """Until all of it stands there, once; in calls of 500 records at most."""
    stream = Stream(seed, rate=0.2)
    items = [make_item(n, partition_key="" if n % 2 else "k") for n in range(700)]
    reasons = run_virtual(lambda: StreamTarget(stream, chance=FixedChance()).send(items))
    assert reasons == [""] * 700
    wanted = sorted((item.partition_key or item.key, item.content) for item in items)
    assert sorted((entry.partition_key, entry.data) for entry in stream.kept) == wanted
    assert max(stream.calls) == 500


def test_a_stream_that_declines_for_good_ends_the_run_and_a_large_record_is_refused() -> None:
    """A record has 10 MiB with its key; calls have so much together."""
    stream = Stream(1, rate=0.0)
    sizes = [10 * 1024 * 1024, 6 * 1024 * 1024, 6 * 1024 * 1024]
    items = [make_item(n, content=bytes(size)) for n, size in enumerate(sizes)]
    reasons = run_virtual(lambda: StreamTarget(stream, chance=FixedChance()).send(items))
    assert [reason[:9] for reason in reasons] == ["too-large", "", ""]
    assert stream.calls == [1, 1]
    with pytest.raises(Retryable):
        run_virtual(lambda: StreamTarget(Stream(1, rate=1.0), chance=FixedChance()).send([make_item(0)]))


# ---------------------------------------------------------------- an archive of EventBridge


class Events:
    """A replay that runs `looks` looks long and ends as `state`."""

    def __init__(self, looks: int, state: str = "COMPLETED") -> None:
        self.looks = looks
        self.state = state
        self.asked: list[tuple[str, Any]] = []

    async def call(self, service: Any, operation: str, body: Any = b"", **more: Any) -> Reply:
        self.asked.append((f"{service.target_prefix}.{operation}", body))
        answers: dict[str, Any] = {
            "DescribeArchive": {"ArchiveArn": "arn:a", "EventSourceArn": "arn:bus", "EventCount": 7, "SizeBytes": 90},
            "DescribeReplay": {"State": "RUNNING", "EventLastReplayedTime": 1_800_000_000},
        }
        if operation == "DescribeReplay":
            self.looks -= 1
            if self.looks < 0:
                answers[operation] = {"State": self.state, "StateReason": "because"}
        return Reply(200, {}, json.dumps(answers.get(operation, {})).encode())


def test_an_archive_is_replayed_by_eventbridge_and_watched_to_its_end() -> None:
    """To the bus that it came from, to the rules that are named; each look is shown."""
    events, seen = Events(3), list[Watched]()

    async def body() -> Watched:
        replay = ArchiveReplay(events, "a", chance=FixedChance())
        return await replay.run("n", span_ms=(1000, 2500), rule_arns=["arn:rule"], show=seen.append)

    assert run_virtual(body) == Watched("COMPLETED", "because", 0)
    assert seen == [Watched("RUNNING", "", NOW_MS)] * 3
    assert events.asked[1] == (
        "AWSEvents.StartReplay",
        {
            "ReplayName": "n",
            "EventSourceArn": "arn:a",
            "EventStartTime": 1.0,
            "EventEndTime": 2.5,
            "Destination": {"Arn": "arn:bus", "FilterArns": ["arn:rule"]},
        },
    )
    assert [name for name, _ in events.asked[2:]] == ["AWSEvents.DescribeReplay"] * 4


def test_a_replay_of_an_archive_that_is_stopped_is_cancelled() -> None:
    """Nothing goes on behind a command that has ended."""
    events = Events(10_000)

    async def body() -> None:
        async with asyncio.timeout(10):
            await ArchiveReplay(events, "a", chance=FixedChance()).run("n", span_ms=(1000, 2500))

    with pytest.raises(TimeoutError):
        run_virtual(body)
    assert events.asked[-1] == ("AWSEvents.CancelReplay", {"ReplayName": "n"})
