"""`foxapi generate`: from options to a request, checked before anything is sent."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import attrs
from typer import Argument, Option

from foxapi_async import GenerationRequest, Limits, PhotaImage, Polling, Request, errors
from foxapi_async.cli.context import CommandContext, Directory, Timeout, prepare_directory
from foxapi_async.cli.exit_codes import ExitCode
from foxapi_async.cli.formatting import as_utf_8
from foxapi_async.cli.task_runner import TaskRunner

if TYPE_CHECKING:
    from foxapi_async.bulk.input.local_files import LocalFiles

_JSON_STARTS: Final = ("{", "[", '"')


def generate(
    context: CommandContext,
    *,
    prompt: Annotated[
        str | None, Argument(metavar="PROMPT", help="What to show; - reads it from standard input.")
    ] = None,
    outputs: Annotated[
        int | None, Option("-n", metavar="N", help="Images to generate; each is billed.")
    ] = None,
    aspect_ratio: Annotated[
        str | None, Option(metavar="W:H", help="1:1 (default), 2:3, 3:2, 3:4, 4:3, 9:16 or 16:9.")
    ] = None,
    resolution: Annotated[
        str | None, Option(metavar="RES", help="1K (default) or 4K, which costs twice as much.")
    ] = None,
    output: Directory = Path(),
    split: Annotated[
        bool,
        Option(
            "--split",
            help="One task per image instead of one task for all: images arrive one by one, "
            "and a failure costs one image.",
        ),
    ] = False,
    model: Annotated[
        str | None, Option(metavar="ID", help="Another model than phota-image.")
    ] = None,
    kind: Annotated[
        str | None,
        Option(
            metavar="KIND", help="What the model generates: image, video, audio, document or llm."
        ),
    ] = None,
    param: Annotated[
        list[str] | None,
        Option(
            metavar="NAME=VALUE",
            help="A field of the request; JSON or text. Can be repeated. Where it takes a URL "
            "(image_url, image_urls, …), a local file is uploaded.",
        ),
    ] = None,
    timeout: Timeout = None,
) -> ExitCode:
    """Generate images and save them. Each image is billed.

    Prints the paths of the files on stdout. Ctrl-C ends the wait, not the tasks; their ids are
    printed.
    """
    options = RequestOptions(
        prompt=read_prompt(prompt),
        outputs=outputs,
        aspect_ratio=aspect_ratio,
        resolution=resolution,
        model=model,
        kind=kind,
        params=param or (),
    )
    request = options.request()
    request, files = with_local_files(request)
    requests = request.split() if split else [request]
    limits = Limits(outputs=max(Limits().outputs, *(each.num_outputs for each in requests)))
    directory = prepare_directory(output or Path())
    runner = TaskRunner(context, directory, Polling(give_up_after=timeout), limits)
    return runner.submit(requests, files)


def with_local_files(request: Request) -> tuple[Request, LocalFiles | None]:
    """Return a request with stand-ins for local files, and those files."""
    if not isinstance(request, GenerationRequest):
        return request, None
    from foxapi_async.bulk.input.local_files import LocalFileError, LocalFiles  # noqa: PLC0415 - loads aiohttp

    files, params = LocalFiles(Path()), dict(request.params)
    for name, value in params.items():
        try:
            params[name] = files.replace(name, value, strict=False)
        except LocalFileError as error:
            raise errors.InvalidRequestError(
                f"--param {name}: {error}", field=name, value=value
            ) from error
    return attrs.evolve(request, params=params), files


@attrs.frozen
class RequestOptions:
    """The options that describe a request; None for an option that was not given."""

    prompt: str | None
    outputs: int | None = None
    aspect_ratio: str | None = None
    resolution: str | None = None
    model: str | None = None
    kind: str | None = None
    params: Sequence[str] = ()

    def request(self) -> Request:
        """Return the request; only given options are sent."""
        params = parse_params(self.params)
        if self.model is None and self.kind is None and not params:
            return self._phota_image()
        options: dict[str, object] = {
            "prompt": self.prompt,
            "num_outputs": self.outputs,
            "resolution": self.resolution,
            "aspect_ratio": self.aspect_ratio,
        }
        given = {name: value for name, value in options.items() if value is not None}
        return GenerationRequest(
            self.model or PhotaImage.model, {**given, **params}, kind=self.kind or "image"
        )

    def _phota_image(self) -> PhotaImage:
        if self.prompt is None:
            raise errors.InvalidRequestError(
                "a prompt is needed: foxapi generate PROMPT", field="prompt"
            )
        request = PhotaImage(self.prompt)
        try:
            return attrs.evolve(
                request,
                num_outputs=request.num_outputs if self.outputs is None else self.outputs,
                resolution=self.resolution or request.resolution,
                aspect_ratio=self.aspect_ratio or request.aspect_ratio,
            )
        except errors.InvalidRequestError as error:
            if error.field not in {"resolution", "aspect_ratio"}:
                raise
            # The error names GenerationRequest as the way around; here that is --param.
            allowed = str(error).partition(". If the service")[0]
            raise errors.InvalidRequestError(
                f"{allowed}. If the service accepts other values now, "
                f"--param {error.field}={error.value} sends the value unchanged",
                field=error.field,
                value=error.value,
            ) from error


def parse_params(given: Sequence[str]) -> dict[str, object]:
    """Return parameters of the form NAME=VALUE; a value is JSON, or else plain text."""
    params: dict[str, object] = {}
    for text in given:
        name, equals, value = text.partition("=")
        name = name.strip()
        if not name or not equals:
            raise errors.InvalidRequestError(
                f"--param is {text!r}; it must be NAME=VALUE", field="param", value=text
            )
        if name in params:
            raise errors.InvalidRequestError(
                f"--param {name} is given twice", field=name, value=value
            )
        params[name] = _parse_value(name, value)
    return params


def read_prompt(argument: str | None) -> str | None:
    """Return the prompt; ``-`` reads all of standard input."""
    if argument is None or argument != "-":
        return argument and as_utf_8(argument)
    return "" if sys.stdin is None else as_utf_8(sys.stdin.read().rstrip("\r\n"))


def _parse_value(name: str, text: str) -> object:
    try:
        return json.loads(text)
    except ValueError as error:
        if text.lstrip().startswith(_JSON_STARTS):
            raise errors.InvalidRequestError(
                f"--param {name}: the value looks like JSON but is not valid: {error}",
                field=name,
                value=text,
            ) from error
        return text
