"""SAM translation: offline, cached, with local paths kept; and the repository's own template as a stack."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from localcloud.template.errors import TemplateError
from localcloud.template.source import Source, read_template
from localcloud.template.stack import Settled, Stack, prepare_stack, stack_context
from localcloud.template.translate import translate

ROOT = Path(__file__).resolve().parents[2]
SAM = "AWS::Serverless-2016-10-31"
GIVEN = {"TokenIssuer": "https://issuer", "TokenKeys": '{"keys":[]}'}


def _translate(resources: dict, *, cache: Path | None = None, **body: object) -> dict:
    template = {"Transform": SAM, "Resources": resources, **body}
    return dict(translate(template, {"Path": "src/by_parameter"}, region="eu-west-1", cache=cache).body)["Resources"]


def _function(**properties: object) -> dict:
    return {
        "Type": "AWS::Serverless::Function",
        "Properties": {"Handler": "app.handler", "Runtime": "python3.13", **properties},
    }


@pytest.fixture(scope="module")
def stack() -> Stack:
    """The repository's own template."""
    return prepare_stack(read_template(ROOT / "template.yaml"), stack_context(ROOT), Settled(parameters=GIVEN))


@pytest.mark.parametrize(
    ("resource", "body", "name", "expected"),
    [
        (_function(CodeUri="functions/a"), {}, "Code", "functions/a"),
        (_function(CodeUri="./a b/ü"), {}, "Code", "./a b/ü"),
        (_function(CodeUri={"Ref": "Path"}), {}, "Code", "src/by_parameter"),
        (_function(), {"Globals": {"Function": {"CodeUri": "all"}}}, "Code", "all"),
        (_function(CodeUri="s3://b/k"), {}, "Code", {"S3Bucket": "b", "S3Key": "k"}),
        (_function(InlineCode="pass"), {}, "Code", {"ZipFile": "pass"}),
    ],
)
def test_local_code_keeps_its_path(resource: dict, body: dict, name: str, expected: object) -> None:
    """A function's Code is the path as written; S3 and inline code stay what they are."""
    assert _translate({"F": resource}, **body)["F"]["Properties"][name] == expected


def test_a_layer_keeps_path_build_method_and_name() -> None:
    """Its logical id gets a hash; Metadata still says how to build it, and what it was called."""
    layer = {
        "Type": "AWS::Serverless::LayerVersion",
        "Metadata": {"BuildMethod": "makefile"},
        "Properties": {"ContentUri": "layers/x"},
    }
    found = _translate({"Layer": layer, "F": _function(CodeUri="a", Layers=[{"Ref": "Layer"}])})
    (logical_id,) = [name for name in found if name.startswith("Layer")]
    assert logical_id != "Layer"
    assert found[logical_id]["Properties"]["Content"] == "layers/x"
    assert found[logical_id]["Metadata"] == {"BuildMethod": "makefile", "SamResourceId": "Layer"}
    assert found["F"]["Properties"]["Layers"] == [{"Ref": logical_id}]


def test_an_api_definition_keeps_its_path() -> None:
    """DefinitionUri becomes BodyS3Location with the path."""
    api = {"Type": "AWS::Serverless::Api", "Properties": {"StageName": "v1", "DefinitionUri": "api.yaml"}}
    assert _translate({"Api": api})["Api"]["Properties"]["BodyS3Location"] == "api.yaml"


def test_a_template_without_sam_is_left_alone() -> None:
    """No translator, no cache."""
    body = {"Resources": {"Q": {"Type": "AWS::SQS::Queue"}}}
    assert translate(body, {}, region="eu-west-1").body is body


@pytest.mark.parametrize(
    ("resources", "where", "message"),
    [
        ({"F": {"Type": "AWS::Serverless::Function", "Properties": {"CodeUri": "x"}}}, "Resources.F", "Runtime"),
        ({"F": {"Type": "AWS::Serverless::Function", "Properties": []}}, "Resources.F", "should be a map"),
        ({"F": _function(CodeUri="a", Handlr="b")}, "Resources.F", "property Handlr not defined"),
        ({"F": _function(CodeUri="a", Events={"E": {"Type": "SQS"}})}, "Resources.FE", "Missing required property"),
        ({"F": 3}, "Resources", "must be Objects"),
    ],
)
def test_an_invalid_template_names_resource_and_property(resources: dict, where: str, message: str) -> None:
    """What the translator says, with the resource in front."""
    with pytest.raises(TemplateError, match=message) as caught:
        _translate(resources)
    assert caught.value.where == where


def test_every_fault_is_listed() -> None:
    """Not only the first."""
    with pytest.raises(TemplateError) as caught:
        _translate({"A": _function(), "B": _function()})
    assert ("[A]" in caught.value.detail, "[B]" in caught.value.detail) == (True, True)


def test_another_macro_is_refused() -> None:
    """Aloud, by name."""
    with pytest.raises(TemplateError, match="Transform: the macro MyMacro is not served here"):
        translate({"Transform": [SAM, "MyMacro"], "Resources": {}}, {}, region="eu-west-1")


def test_an_application_of_the_repository_is_refused() -> None:
    """The translator would ask the network for it."""
    application = {"Type": "AWS::Serverless::Application", "Properties": {"Location": {"ApplicationId": "a"}}}
    with pytest.raises(TemplateError, match=r"App\.Properties\.Location: applications of the Serverless"):
        _translate({"App": application})


def test_a_translation_is_remembered_by_its_content(tmp_path: Path) -> None:
    """The same template and parameters are read back; any change, or a damaged file, translates again."""
    template = {"Transform": SAM, "Resources": {"F": _function(CodeUri="a")}}
    first = translate(template, {"P": "1"}, region="eu-west-1", cache=tmp_path / "cache")
    again = translate(template, {"P": "1"}, region="eu-west-1", cache=tmp_path / "cache")
    other = translate(template, {"P": "2"}, region="eu-west-1", cache=tmp_path / "cache")
    assert (first.cached, again.cached, other.cached) == (False, True, False)
    assert again.body == first.body
    for path in (tmp_path / "cache").iterdir():
        path.write_text("{")
    assert not translate(template, {"P": "1"}, region="eu-west-1", cache=tmp_path / "cache").cached


def test_what_each_start_makes_anew_needs_no_translator(tmp_path: Path) -> None:
    """Addresses and key sets of this machine differ from start to start; they stay in the template by name."""
    variables = {"KEYS": {"Ref": "Keys"}, "AT": {"Ref": "At"}}
    template = {
        "Transform": SAM,
        "Resources": {"F": _function(CodeUri="a", Environment={"Variables": variables})},
    }
    given = [{"Keys": '{"keys": [1]}', "At": "http://127.0.0.1:1"}, {"Keys": "{}", "At": "http://127.0.0.1:2"}]
    first, second = (translate(template, each, region="eu-west-1", cache=tmp_path) for each in given)
    assert (first.cached, second.cached) == (False, True)
    assert first.body == second.body == translate(template, given[1], region="eu-west-1").body


def test_what_the_translator_reads_of_it_is_the_value(tmp_path: Path) -> None:
    """A translation that has a value in it is that value's own."""
    template = {"Transform": SAM, "Resources": {"F": _function(CodeUri={"Ref": "Path"})}}
    asked = ["{one}/src", "{two}/src", "{one}/src"]
    found = [translate(template, {"Path": each}, region="eu-west-1", cache=tmp_path) for each in asked]
    assert [each.cached for each in found] == [False, False, True]
    assert [each.body["Resources"]["F"]["Properties"]["Code"] for each in found] == asked


def test_a_warm_start_never_imports_the_translator(tmp_path: Path) -> None:
    """With a remembered translation, neither samtranslator nor boto3 is loaded: that is the start's budget."""
    program = (
        "import sys; from pathlib import Path\n"
        "from localcloud.template.source import read_template\n"
        "from localcloud.template.stack import Settled, prepare_stack, stack_context\n"
        f"root, given = Path({str(ROOT)!r}), {GIVEN!r}\n"
        f"settled = Settled(parameters=given, cache=Path({str(tmp_path)!r}))\n"
        "stack = prepare_stack(read_template(root / 'template.yaml'), stack_context(root), settled)\n"
        "print(stack.cached, 'samtranslator' in sys.modules, 'boto3' in sys.modules)\n"
    )
    prepare_stack(read_template(ROOT / "template.yaml"), stack_context(ROOT), Settled(parameters=GIVEN, cache=tmp_path))
    paths = [str(ROOT), str(ROOT / "layers" / "sluiceway")]
    run = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {paths!r}\n{program}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.split() == ["True", "False", "False"]


def test_the_template_of_this_repository_becomes_a_stack(stack: Stack) -> None:
    """Each function is there with its local code; the layer it needs comes before it."""
    nodes = stack.graph.nodes
    order = list(nodes)
    assert {nodes[name].properties["Code"] for name in ("AuthorizeRequest", "GenerateAnswer", "ReadJob")} == {
        "functions/authorize_request",
        "functions/generate_answer",
        "functions/read_job",
    }
    (layer,) = [name for name in order if name.startswith("SluicewayLayer")]
    assert order.index(layer) < order.index("GenerateAnswer")
    assert nodes[layer].metadata["SamResourceId"] == "SluicewayLayer"
    assert stack.parameters["JobConcurrency"] == "10"
    assert stack.metadata["Sluiceway"]["TokenIssuer"]["Keys"] == "TokenKeys"


def _prepare(body: dict, base: Path, **settled: object) -> Stack:
    return prepare_stack(Source(base / "template.yaml", body), stack_context(base), Settled(**settled))


def test_an_included_file_is_put_in_before_sam_reads_it(tmp_path: Path) -> None:
    """`Fn::Transform` with AWS::Include of a local file: the API's definition, with functions inside."""
    (tmp_path / "api.yaml").write_text("openapi: 3.0.1\npaths: {/x: {get: {summary: {'Fn::Sub': '${Env}'}}}}")
    include = {"Fn::Transform": {"Name": "AWS::Include", "Parameters": {"Location": {"Fn::Sub": "${Env}.yaml"}}}}
    api = {"Type": "AWS::Serverless::Api", "Properties": {"StageName": "v1", "DefinitionBody": include}}
    body = {"Transform": SAM, "Parameters": {"Env": {"Type": "String"}}, "Resources": {"Api": api}}
    found = _prepare(body, tmp_path, parameters={"Env": "api"}).graph.nodes["Api"].properties["Body"]
    assert found["paths"]["/x"]["get"]["summary"] == {"Fn::Sub": "${Env}"}


def test_an_include_stands_beside_other_keys(tmp_path: Path) -> None:
    """The map's own keys win over the file's."""
    (tmp_path / "some.yaml").write_text("a: 1\nb: 2")
    include = {"Name": "AWS::Include", "Parameters": {"Location": "some.yaml"}}
    body = {"Resources": {"R": {"Type": "T", "Properties": {"Fn::Transform": include, "b": 3}}}}
    assert _prepare(body, tmp_path).graph.nodes["R"].properties == {"a": 1, "b": 3}


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({"x": {"Fn::Transform": {"Name": "Mine"}}}, "Resources.R.Properties.x.Fn::Transform: the macro Mine is not"),
        (
            {"x": {"Fn::Transform": {"Name": "AWS::Include", "Parameters": {"Location": "s3://b/k"}}}},
            "Resources.R.Properties.x.Fn::Transform: Location must be a local file, is 's3://b/k'",
        ),
        (
            {"x": {"Fn::Transform": {"Name": "AWS::Include", "Parameters": {"Location": "none.yaml"}}}},
            "Resources.R.Properties.x.Fn::Transform: none.yaml cannot be read",
        ),
        ({"Fn::ForEach::X": ["A", [], {}]}, "Resources.R.Properties.Fn::ForEach::X: Fn::ForEach needs Transform"),
    ],
)
def test_what_cannot_be_included_is_refused(tmp_path: Path, properties: dict, message: str) -> None:
    """Other macros, S3, missing files, loops: by path."""
    with pytest.raises(TemplateError) as caught:
        _prepare({"Resources": {"R": {"Type": "T", "Properties": properties}}}, tmp_path)
    assert str(caught.value)[: len(message)] == message


def test_sections_that_are_not_served_are_refused(tmp_path: Path) -> None:
    """Hooks would be checks that nothing does here."""
    with pytest.raises(TemplateError, match="Hooks: this section is not served here"):
        _prepare({"Resources": {"R": {"Type": "T"}}, "Hooks": {}}, tmp_path)


def test_hidden_parameters_are_not_shown(tmp_path: Path) -> None:
    """NoEcho: the stack uses the value and shows ****."""
    body = {"Parameters": {"P": {"Type": "String", "NoEcho": True}}, "Resources": {"R": {"Type": "T"}}}
    stack = _prepare(body, tmp_path, parameters={"P": "hush"})
    assert (stack.parameters, stack.graph.scope.parameters) == ({"P": "****"}, {"P": "hush"})


@pytest.mark.parametrize(
    ("region", "partition"), [("eu-west-1", "aws"), ("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")]
)
def test_the_partition_follows_from_the_region(region: str, partition: str) -> None:
    """China and GovCloud have their own."""
    assert stack_context(Path(), region=region).partition == partition
