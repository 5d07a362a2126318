"""CloudFormation put together: what a template is made into, custom resources, nested stacks, and its API."""

from __future__ import annotations

import platform
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, cast

from localcloud.compute.cloud import Compute
from localcloud.front import Front
from localcloud.options import CloudOptions, cloud_parameters
from localcloud.parts.delegated import Lazily
from localcloud.parts.handler_groups import Handlers
from localcloud.parts.messaging import Messaging
from localcloud.parts.services import Services
from localcloud.services.cloudformation.answers import ANSWERS_PATH, AnswerDesk
from localcloud.services.cloudformation.model import Stacks
from localcloud.services.cloudformation.resources import CustomResourceHandler, Send
from localcloud.services.cloudformation.stacks import Nesting, StackHandler
from localcloud.services.contract import Service
from localcloud.services.lambda_.errors import LambdaError
from localcloud.template.deploy import Deployed, deploy, undeploy
from localcloud.template.handler import ResourceHandler
from localcloud.template.inert import inert_handlers
from localcloud.template.ledger import Ledger
from localcloud.template.source import read_template
from localcloud.template.stack import Settled, Stack, prepare_stack, stack_context
from localcloud.template.stored import read_stored
from localcloud.urls import Urls

if TYPE_CHECKING:
    from localcloud.services.sns.model import Topics

__all__ = ["Formation", "open_formation", "prepare", "send_to"]

SUBJECT: Final = "AWS CloudFormation custom resource request"  # of the message to a topic
MACHINES: Final = {"amd64": "x86_64", "aarch64": "arm64"}


async def prepare(options: CloudOptions, services: Services, *, console: str, aws: str) -> Stack:
    """The stack of the template, before anything of it is made. Raises TemplateError."""
    source = read_template(options.template)
    machine = platform.machine().lower()
    parameters = cloud_parameters(options, source, MACHINES.get(machine, machine), console=console, aws=aws)
    base = options.template.resolve().parent
    context = stack_context(base, stack_name=options.stack_name, region=options.region)
    stored = await read_stored(source, parameters, services.delegated.read_parameter)
    exports: dict[str, str] = {}  # nested stacks add theirs
    cache = options.cache / "translations"
    return prepare_stack(source, context, Settled(parameters, exports, cache=cache, stored=stored))


class Formation:
    """The deployer of one cloud. `handlers` are those of this part; `service` is the API."""

    def __init__(
        self, options: CloudOptions, stack: Stack, services: Services, *, desk: AnswerDesk, send: Send
    ) -> None:
        self._stack = stack
        self._references = services.delegated.resolve_reference
        self._stacks = Stacks(services.clock, services.rng)
        self._all = Handlers()
        nesting = Nesting(
            handlers=self._all,
            stacks=self._stacks,
            settled=Settled(cache=options.cache / "translations"),
            exports=cast("dict[str, str]", stack.graph.scope.exports),
            references=self._references,
            read_parameter=services.delegated.read_parameter,
            allow=options.allow,
        )
        custom = CustomResourceHandler(desk, send, tell=options.progress)
        self.handlers: tuple[ResourceHandler, ...] = (custom, StackHandler(nesting), *inert_handlers())
        self.service = Lazily("cloudformation", self._load)
        self._urls: Urls | None = None

    def tell_by(self, urls: Urls) -> Urls:
        """Tell outputs by the API as they are reached here, and give `urls` back."""
        self._urls = urls
        return urls

    def _load(self) -> Service:
        from localcloud.services.cloudformation.wire import CloudFormationService  # noqa: PLC0415 - few ask for it

        return CloudFormationService(self._stacks, show=self._show)

    def _show(self, value: str) -> str:
        return value if self._urls is None else self._urls.localise(value)

    @asynccontextmanager
    async def deployed(self, handlers: Handlers, ledger: Ledger) -> AsyncGenerator[Deployed]:
        """The stack, made for the length of the block. Raises TemplateError."""
        self._all.include(handlers)
        watch = self._stacks.begin(self._stack)
        made = await deploy(self._stack, handlers, ledger, watch=watch, references=self._references)
        self._stacks.end(made)
        try:
            yield made
        finally:
            await undeploy(made)


def open_formation(options: CloudOptions, stack: Stack, services: Services, *, front: Front, send: Send) -> Formation:
    """The deployer of `stack`; its API and its answer addresses are behind `front`."""
    desk = AnswerDesk(lambda secure: (secure and front.secured) or services.queues.endpoint, services.rng)
    front.answer_own(desk.answer, under=ANSWERS_PATH)
    formation = Formation(options, stack, services, desk=desk, send=send)
    front.add(formation.service)
    return formation


def send_to(compute: Compute, messaging: Messaging) -> Send:
    """The way to whoever makes custom resources."""

    async def send(token: str, document: str) -> None:
        if ":sns:" in token:
            _publish(messaging.topics, token, document)
            return
        if ":lambda:" not in token:
            raise LookupError(f"Invalid service token: {token} is no ARN of a function or a topic")
        try:
            await compute.functions.invoke(token, document.encode(), invocation_type="Event")
        except LambdaError as error:
            raise LookupError(str(error)) from error

    return send


def _publish(topics: Topics, arn: str, document: str) -> None:
    from localcloud.services.sns.errors import SnsError  # noqa: PLC0415 - few stacks have custom resources
    from localcloud.services.sns.message import Publication  # noqa: PLC0415 - likewise

    try:
        topics.publish(topics.get(arn, arn.split(":")[3]), Publication(document, subject=SUBJECT))
    except SnsError as error:
        raise LookupError(f"{error.code}: {error.message}") from error
