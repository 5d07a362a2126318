"""Making and unmaking stacks with handlers that only remember."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from localcloud.clock import run_virtual
from localcloud.template.deploy import Deployed, deploy, undeploy
from localcloud.template.errors import TemplateError
from localcloud.template.handler import Physical, Resource, ResourceHandler, Support, Supported
from localcloud.template.ledger import make_ledger
from localcloud.template.source import Source, read_template
from localcloud.template.stack import Settled, prepare_stack, stack_context

ROOT = Path(__file__).resolve().parents[2]


class Everything(Mapping[str, Supported]):
    """A table that serves every property."""

    def __getitem__(self, name: str) -> Supported:
        return Supported()

    def __contains__(self, name: object) -> bool:
        return True

    def __iter__(self):
        return iter(())

    def __len__(self) -> int:
        return 0


class RememberingHandler:
    """Makes nothing, remembers the order; `fails` by logical id."""

    support = Supported()

    def __init__(self, kind: str, history: list[str], *, fails: Mapping[str, Exception] | None = None) -> None:
        self.type = kind
        self.properties: Mapping[str, Supported] = Everything()
        self.history = history
        self.fails = fails or {}
        self.seen: dict[str, Resource] = {}

    async def create(self, resource: Resource) -> Physical:
        """Ref is `<id>-ref`; the attributes that this template asks for."""
        await asyncio.sleep(1)
        if resource.logical_id in self.fails:
            raise self.fails[resource.logical_id]
        self.history.append(f"+{resource.logical_id}")
        self.seen[resource.logical_id] = resource
        names = ("Arn", "Name", "QueueUrl", "QueueName", "ApiId", "FunctionUrl")
        return Physical(f"{resource.logical_id}-ref", {name: f"{resource.logical_id}-{name}" for name in names})

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """Remembered; fails where `fails` names `-<id>`."""
        if f"-{resource.logical_id}" in self.fails:
            raise self.fails[f"-{resource.logical_id}"]
        assert physical.ref == f"{resource.logical_id}-ref"
        self.history.append(f"-{resource.logical_id}")


def _body(**resources: dict) -> dict:
    return {"Resources": {name: {"Type": "T::S::R", **entry} for name, entry in resources.items()}}


CHAIN = _body(
    A={"Properties": {"x": {"Fn::GetAtt": "B.Arn"}}, "Metadata": {"m": {"Ref": "AWS::Region"}}},
    B={"Properties": {"y": {"Fn::Sub": "${C}/${AWS::StackName}"}}},
    C={},
)


async def _deploy(body: dict, handler: ResourceHandler | None, *, allow: tuple[str, ...] = (), **settled) -> Deployed:
    stack = prepare_stack(Source(Path("t.yaml"), body), stack_context(Path()), Settled(**settled))
    handlers = {"T::S::R": handler} if handler is not None else {}
    return await deploy(stack, handlers, make_ledger(stack.graph, handlers, allow=allow))


async def _fail(body: dict, handler: ResourceHandler | None, **settled) -> TemplateError:
    with pytest.raises(TemplateError) as caught:
        await _deploy(body, handler, **settled)
    return caught.value


def test_each_resource_sees_what_it_refers_to() -> None:
    """Made after what it needs, its properties resolved at that moment; metadata too."""
    history: list[str] = []
    handler = RememberingHandler("T::S::R", history)
    run_virtual(lambda: _deploy(CHAIN, handler))
    assert history == ["+C", "+B", "+A"]
    assert handler.seen["B"].properties == {"y": "C-ref/sluiceway"}
    assert handler.seen["A"].properties == {"x": "B-Arn"}
    assert handler.seen["A"].metadata == {"m": "us-east-1"}


def test_outputs_and_exports_are_text() -> None:
    """Scalars become text; an export is known to the next stack."""
    body = _body(A={}) | {
        "Outputs": {
            "One": {"Value": {"Ref": "A"}, "Export": {"Name": {"Fn::Sub": "${AWS::StackName}-a"}}},
            "Two": {"Value": 2},
        }
    }
    deployed = run_virtual(lambda: _deploy(body, RememberingHandler("T::S::R", [])))
    assert deployed.outputs == {"One": "A-ref", "Two": "2"}
    assert deployed.exports == {"sluiceway-a": "A-ref"}
    importing = _body(B={"Properties": {"x": {"Fn::ImportValue": "sluiceway-a"}}})
    handler = RememberingHandler("T::S::R", [])
    run_virtual(lambda: _deploy(importing, handler, exports=deployed.exports))
    assert handler.seen["B"].properties == {"x": "A-ref"}


def test_a_failure_unmakes_what_was_made_and_names_the_resource() -> None:
    """In reverse; the handler's own error keeps its type and words."""
    history: list[str] = []
    handler = RememberingHandler("T::S::R", history, fails={"A": ValueError("no room")})
    error = run_virtual(lambda: _fail(CHAIN, handler))
    assert str(error) == "Resources.A: cannot be made: ValueError: no room"
    assert isinstance(error.__cause__, ValueError)
    assert history == ["+C", "+B", "-B", "-C"]


def test_a_handlers_template_error_passes_as_it_is() -> None:
    """It already names resource and property."""
    handler = RememberingHandler("T::S::R", [], fails={"C": TemplateError("too long", where="C.Properties.Name")})
    assert str(run_virtual(lambda: _fail(CHAIN, handler))) == "C.Properties.Name: too long"


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({"X": {"Value": {"Fn::GetAtt": "A.Nope"}}}, "Outputs.X.Value.Fn::GetAtt: A (T::S::R) has no attribute Nope"),
        ({"X": {"Value": ["a"]}}, "Outputs.X.Value: must be text"),
        (
            {"X": {"Value": 1, "Export": {"Name": "e"}}, "Y": {"Value": 2, "Export": {"Name": "e"}}},
            "Outputs.Y.Export: there is already an export e",
        ),
        ({"X": {"Value": 1, "Export": {}}}, "Outputs.X.Export.Name: must be text"),
    ],
)
def test_a_wrong_output_unmakes_the_stack(outputs: dict, message: str) -> None:
    """Named by path."""
    history: list[str] = []
    error = run_virtual(lambda: _fail(_body(A={}) | {"Outputs": outputs}, RememberingHandler("T::S::R", history)))
    assert str(error)[: len(message)] == message
    assert history == ["+A", "-A"]


def test_a_cancelled_start_unmakes_what_was_made() -> None:
    """Ctrl-C in the middle leaves nothing behind."""
    history: list[str] = []

    async def cancel_after_two() -> None:
        async with asyncio.timeout(2.5):
            await _deploy(CHAIN, RememberingHandler("T::S::R", history))

    with pytest.raises(TimeoutError):
        run_virtual(cancel_after_two)
    assert history == ["+C", "+B", "-B", "-C"]


def test_undeploy_goes_on_after_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    """Last made first; what could not be deleted is logged and named."""
    history: list[str] = []

    async def main() -> tuple[str, ...]:
        handler = RememberingHandler("T::S::R", history, fails={"-B": RuntimeError("stuck")})
        return await undeploy(await _deploy(CHAIN, handler))

    assert run_virtual(main) == ("B",)
    assert history == ["+C", "+B", "+A", "-A", "-C"]
    assert caplog.messages == ["stack.delete_failed"]


def test_what_is_refused_is_not_deployed() -> None:
    """The deployer holds to the ledger."""
    error = run_virtual(lambda: _fail(CHAIN, None))
    assert str(error).startswith("ledger: refused   C (T::S::R): T::S::R is not served here; refused   B")


def test_an_allowed_resource_is_left_out_and_its_name_says_so() -> None:
    """Others see a Ref and attributes that nobody takes for real ones."""
    body = _body(A={"Properties": {"x": {"Fn::Sub": "${B} ${B.Arn}"}}}) | {}
    body["Resources"]["B"] = {"Type": "T::S::Missing"}
    handler = RememberingHandler("T::S::R", [])
    deployed = run_virtual(lambda: _deploy(body, handler, allow=("T::S::Missing",)))
    assert (list(deployed.made), deployed.left_out) == (["A"], ("B",))
    assert handler.seen["A"].properties == {"x": "left-out-B left-out-B.Arn"}


def test_an_allowed_property_never_reaches_the_handler() -> None:
    """Taken away wherever it stands, so that a handler needs no knowledge of what it does not serve."""
    handler = RememberingHandler("T::S::R", [])
    handler.properties = {"Keep": Supported(), "List.Keep": Supported(), "No": Supported(Support.REFUSED, "no")}
    properties = {"Keep": 1, "No": 2, "List": [{"Keep": 1, "Drop": 2}, {"Drop": 3}]}
    body = _body(A={"Properties": properties})
    run_virtual(lambda: _deploy(body, handler, allow=("A",)))
    assert handler.seen["A"].properties == {"Keep": 1, "List": [{"Keep": 1}, {}]}


def test_what_is_nothing_without_an_allowed_property_is_left_out() -> None:
    """The item of a list that holds it, and no other; the resource where it is the resource's own."""
    handler = RememberingHandler("T::S::R", [])
    vital = Supported(reason="no", values=("sqs",), vital=True)
    handler.properties = {"Kind": vital, "List.Kind": vital, "List.To": Supported()}
    items = [{"Kind": "email", "To": "a"}, {"Kind": "sqs", "To": "b"}]
    body = _body(
        A={"Properties": {"List": items}}, B={"Properties": {"Kind": "email"}}, C={"Properties": {"Kind": "sqs"}}
    )
    deployed = run_virtual(lambda: _deploy(body, handler, allow=("A.List.Kind", "B.Kind")))
    assert handler.seen["A"].properties == {"List": [{"Kind": "sqs", "To": "b"}]}
    assert (list(deployed.made), deployed.left_out) == (["A", "C"], ("B",))


def test_the_template_of_this_repository_can_be_deployed() -> None:
    """Each type once with a handler that remembers: every reference resolves, every output is there."""
    given = {"TokenIssuer": "https://issuer", "TokenKeys": '{"keys":[]}'}
    stack = prepare_stack(read_template(ROOT / "template.yaml"), stack_context(ROOT), Settled(parameters=given))
    history: list[str] = []
    kinds = {node.type for node in stack.graph.nodes.values()}
    handlers = {kind: RememberingHandler(kind, history) for kind in kinds}
    ledger = make_ledger(stack.graph, handlers)
    assert ledger.refused == ()
    deployed = run_virtual(lambda: deploy(stack, handlers, ledger))
    assert len(history) == len(stack.graph.nodes)
    assert deployed.outputs["ApiUrl"] == "https://Api-ref.execute-api.us-east-1.amazonaws.com/v1"
    assert deployed.outputs["JobsQueueUrl"] == "JobsQueue-QueueUrl"
    worker = handlers["AWS::Lambda::Function"].seen["GenerateAnswer"].properties
    assert worker["Environment"]["Variables"]["JOBS_TABLE"] == "JobsTable-ref"
    assert worker["Code"] == "functions/generate_answer"
    role = handlers["AWS::IAM::Role"].seen["ReadJobRole"].properties
    assert role["Policies"][0]["PolicyDocument"]["Statement"][2]["Resource"] == "ResultsBucket-Arn/results/*"
    body = handlers["AWS::ApiGateway::RestApi"].seen["Api"].properties["Body"]
    post = body["paths"]["/jobs"]["post"]["x-amazon-apigateway-integration"]
    assert post["uri"] == "arn:aws:apigateway:us-east-1:sqs:path/123456789012/JobsQueue-QueueName"
    assert "AlarmActions" not in handlers["AWS::CloudWatch::Alarm"].seen["ErrorsAlarm"].properties


class SlowHandler(RememberingHandler):
    """Waits for somebody else: 100 s for `create`, as long as `hangs_s` for `delete`."""

    hangs_s = 1.0

    async def create(self, resource: Resource) -> Physical:
        """As the others, later."""
        self.history.append(f"({resource.logical_id}")
        await asyncio.sleep(100)
        return await super().create(resource)

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """As the others, after `hangs_s`."""
        await asyncio.sleep(self.hangs_s)
        await super().delete(resource, physical)

    async def undo(self, resource: Resource) -> None:
        """Remembered."""
        self.history.append(f"~{resource.logical_id}")


def _mixed(history: list[str], *, fails: Mapping[str, Exception] | None = None) -> dict[str, ResourceHandler]:
    slow, quick = SlowHandler("S::L::W", history, fails=fails), RememberingHandler("T::S::R", history, fails=fails)
    return {"S::L::W": slow, "T::S::R": quick}


MIXED = {
    "Resources": {
        "One": {"Type": "S::L::W"},
        "Two": {"Type": "S::L::W", "DeletionPolicy": "Retain"},
        "Quick": {"Type": "T::S::R"},
        "After": {"Type": "T::S::R", "Properties": {"x": {"Ref": "One"}}},
    }
}


async def _deploy_mixed(handlers: dict[str, ResourceHandler], **others: Any) -> Deployed:
    stack = prepare_stack(Source(Path("t.yaml"), MIXED), stack_context(Path()), Settled())
    return await deploy(stack, handlers, make_ledger(stack.graph, handlers), **others)


def test_what_waits_for_others_is_made_beside_the_rest() -> None:
    """Two at once; only what needs one of them comes after it."""
    history: list[str] = []

    async def main() -> float:
        await _deploy_mixed(_mixed(history))
        return asyncio.get_running_loop().time()

    assert run_virtual(main) == 102.0
    assert history == ["(One", "(Two", "+Quick", "+One", "+Two", "+After"]


class FarSightedHandler(RememberingHandler):
    """Remembers what it saw ahead."""

    def __init__(self, kind: str, history: list[str]) -> None:
        super().__init__(kind, history)
        self.ahead: list[Resource] = []

    async def look_ahead(self, resources: Sequence[Resource]) -> None:
        """Remembered; it must be before anything is made."""
        assert self.history == []
        self.ahead += resources


def test_a_handler_looks_ahead_at_what_is_known() -> None:
    """Once, at all of its resources, before the first is made; what waits for another stays as it was written."""
    history: list[str] = []
    handler = FarSightedHandler("T::S::R", history)
    run_virtual(lambda: _deploy(CHAIN, handler))
    assert {each.logical_id: each.properties for each in handler.ahead} == {
        "A": {"x": {"Fn::GetAtt": "B.Arn"}},
        "B": {"y": {"Fn::Sub": "${C}/${AWS::StackName}"}},
        "C": {},
    }
    assert [each.metadata for each in handler.ahead if each.metadata] == [{"m": "us-east-1"}]
    assert history == ["+C", "+B", "+A"]


def test_what_was_begun_when_another_failed_is_undone() -> None:
    """The slow ones were not made yet, and their handler takes back what it had begun."""
    history: list[str] = []
    with pytest.raises(TemplateError, match=r"Resources\.Quick: cannot be made: ValueError: no"):
        run_virtual(lambda: _deploy_mixed(_mixed(history, fails={"Quick": ValueError("no")})))
    assert history == ["(One", "(Two", "~Two", "~One"]


def test_retain_spares_what_others_made() -> None:
    """A custom resource or a nested stack stays; the rest is deleted, each before what it needs."""
    history: list[str] = []

    async def main() -> tuple[str, ...]:
        return await undeploy(await _deploy_mixed(_mixed(history)))

    assert run_virtual(main) == ()
    assert history[6:] == ["-After", "-Quick", "-One"]


def test_deletions_have_an_end(caplog: pytest.LogCaptureFixture) -> None:
    """Each after 15 s; what is left is named."""
    history: list[str] = []
    handlers = _mixed(history)
    slow = handlers["S::L::W"]
    assert isinstance(slow, SlowHandler)
    slow.hangs_s = 1000

    async def main() -> tuple[tuple[str, ...], float]:
        deployed = await _deploy_mixed(handlers)
        begun = asyncio.get_running_loop().time()
        return await undeploy(deployed), asyncio.get_running_loop().time() - begun

    assert run_virtual(main) == (("One",), 15.0)
    assert caplog.messages == ["stack.delete_failed"]


def test_all_deletions_together_have_an_end(caplog: pytest.LogCaptureFixture) -> None:
    """After 25 s whoever waits for the stack's end is told what is left."""
    history: list[str] = []
    chain = {
        "Resources": {
            "A": {"Type": "S::L::W"},
            "B": {"Type": "S::L::W", "DependsOn": "A"},
            "C": {"Type": "S::L::W", "DependsOn": "B"},
        }
    }
    handlers = _mixed(history)
    slow = handlers["S::L::W"]
    assert isinstance(slow, SlowHandler)
    slow.hangs_s = 14

    async def main() -> tuple[tuple[str, ...], float]:
        stack = prepare_stack(Source(Path("t.yaml"), chain), stack_context(Path()), Settled())
        deployed = await deploy(stack, handlers, make_ledger(stack.graph, handlers))
        begun = asyncio.get_running_loop().time()
        return await undeploy(deployed), asyncio.get_running_loop().time() - begun

    assert run_virtual(main) == (("B", "A"), 25.0)
    assert caplog.messages == ["stack.delete_unfinished"]


def test_a_dynamic_reference_is_read_when_its_resource_is_made() -> None:
    """After what the resource needs, from whoever the deployer asks; in outputs as well."""
    history: list[str] = []

    async def read(service: str, key: str) -> str:
        return f"<{service} {key} {' '.join(history)}>"

    body = _body(A={}, B={"DependsOn": "A", "Properties": {"x": {"Fn::Sub": "a{{resolve:ssm:/${A}}}"}}})
    body["Outputs"] = {"O": {"Value": "{{resolve:ssm:/o}}"}}
    handler = RememberingHandler("T::S::R", history)

    async def main() -> Deployed:
        stack = prepare_stack(Source(Path("t.yaml"), body), stack_context(Path()), Settled())
        handlers: dict[str, ResourceHandler] = {"T::S::R": handler}
        return await deploy(stack, handlers, make_ledger(stack.graph, handlers), references=read)

    assert run_virtual(main).outputs == {"O": "<ssm /o +A +B>"}
    assert handler.seen["B"].properties == {"x": "a<ssm /A-ref +A>"}
