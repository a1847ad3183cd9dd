"""What commands share: common options, and the console, key, session and directory from them."""

from __future__ import annotations

import errno
import inspect
import os
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Option

import foxapi_async
from foxapi_async import ConfigurationError, FoxAPIError, Limits, Polling
from foxapi_async.cli.configured_commands import configured_options, files_read
from foxapi_async.cli.console import Console
from foxapi_async.cli.credentials import Key, find_key, find_key_if_any
from foxapi_async.cli.end_notice import EndNotice
from foxapi_async.cli.exit_codes import ExitCode, exit_code_for
from foxapi_async.cli.formatting import error_json
from foxapi_async.cli.invocation import command_again, without_password
from foxapi_async.cli.places import check_store, place_of
from foxapi_async.cli.signals import Interrupted
from foxapi_async.files.object_path import ObjectPath

if TYPE_CHECKING:
    from foxapi_async.journal import StoredJournal

_common_option = partial(Option, rich_help_panel="Common options")

Directory = Annotated[
    Path | None,
    Option(
        "--output",
        "-o",
        metavar="DIR",
        parser=place_of,
        help="Save the files here; created if it does not exist. Or a URL: s3://bucket/folder.",
    ),
]
Timeout = Annotated[
    float | None,
    Option(
        "--timeout",
        metavar="SECONDS",
        min=0.001,
        help="How long to wait for a task and its files. The task itself continues at the server "
        "(exit code 7; 8 if only files are missing).",
    ),
]


class CommandContext:
    """The common options of one command, and what they set up."""

    def __init__(
        self,
        *,
        key_file: Annotated[
            Path | None,
            _common_option(
                metavar="FILE",
                help="A file that contains only the API key. Default: FOXAPI_API_KEY, "
                "FOXAPI_API_KEY_FILE, ~/.config/foxapi/key.",
            ),
        ] = None,
        base_url: Annotated[
            str | None,
            _common_option(
                metavar="URL",
                help="The address of the API. Default: FOXAPI_BASE_URL, https://api.foxapi.cc.",
            ),
        ] = None,
        proxy: Annotated[
            str | None,
            _common_option(
                metavar="URL",
                help='A proxy such as http://host:3128, "" for none. Default: HTTPS_PROXY, ALL_PROXY '
                "and NO_PROXY, which are also the place for a password.",
            ),
        ] = None,
        as_json: Annotated[
            bool, _common_option("--json", help="Print one JSON document on stdout.")
        ] = False,
        quiet: Annotated[
            bool, _common_option("--quiet", "-q", help="Only warnings and errors on stderr.")
        ] = False,
        verbose: Annotated[
            bool, _common_option("--verbose", "-v", help="Print the log on stderr, at DEBUG.")
        ] = False,
    ) -> None:
        self.console: Console = Console(as_json=as_json, quiet=quiet, verbose=verbose)
        self.key_file = key_file
        self.base_url = base_url
        self.proxy = proxy
        self.invocation: typer.Context | None = None
        """The command line, if the command came from one."""
        self._end_notice: EndNotice | None = None

    def keep_log(self, path: Path | None) -> None:
        """Give each message date and time where no person watches, and append all to a file, if any.

        Say which options came from configuration files.
        """
        self.console.dated = True
        if self.invocation is not None and (options := configured_options(self.invocation)):
            files = ", ".join(str(path) for path in files_read(self.invocation))
            self.console.info(f"from {files}: {' '.join(options)}")
        if path is not None:
            self.console.log_to(path)

    def tell_end(self, *, command: str | None, webhook: str | None, dry_run: bool) -> None:
        """Tell a command and a webhook how this command ends, if they are given.

        A ``dry_run`` only checks them.

        Raises:
            InvalidRequestError: The URL of the webhook cannot be used.
        """
        if command is not None or webhook is not None:
            notice = EndNotice(
                console=self.console, command=command, webhook=webhook, proxy=self.proxy
            )
            self._end_notice = None if dry_run else notice

    def ended(self, code: int) -> None:
        """Tell whoever is to be told."""
        if self._end_notice is not None:
            self._end_notice.send(self.console.last_document, code)

    def key(self) -> Key:
        """Find the key, and print warnings about its source."""
        key = find_key(self.key_file, os.environ)
        for warning in key.warnings:
            self.console.warning(warning)
        return key

    def check_access(self) -> bool:
        """Check key, address and proxy as a session does, without a call; return whether there is a key.

        Raises:
            ConfigurationError: One of them cannot be used.
        """
        key = find_key_if_any(self.key_file, os.environ)
        value = "sk-none" if key is None else key.value
        foxapi_async.Session(value, base_url=self.base_url, proxy=self.proxy)
        return key is not None

    def session(
        self,
        *,
        limits: Limits | None = None,
        polling: Polling | None = None,
        journal: StoredJournal | None = None,
        on_event: Callable[[foxapi_async.Event], object] | None = None,
    ) -> foxapi_async.Session:
        """Return a session that is not open yet."""
        # An attribute of the facade, because importing the class would load aiohttp for `--help`.
        return foxapi_async.Session(
            self.key().value,
            base_url=self.base_url,
            limits=limits or Limits(),
            polling=polling or Polling(),
            journal=journal,
            proxy=self.proxy,
            on_event=on_event,
        )

    def options(self) -> list[str]:
        """Return the options that another command needs in order to find the same tasks."""
        options = [] if self.base_url is None else ["--base-url", self.base_url]
        if self.proxy is not None:
            options += ["--proxy", without_password(self.proxy)]
        return options + ([] if self.key_file is None else ["--key-file", str(self.key_file)])

    def again(self, *, without: Collection[str] = ()) -> str:
        """Return the command line as it was given, see `command_again`."""
        assert self.invocation is not None
        return command_again(self.invocation, without=without)

    def replace_argument(self, name: str, value: object) -> None:
        """Let `again` repeat another value of a parameter than was given."""
        assert self.invocation is not None
        self.invocation.params[name] = value
        given = self.invocation.get_parameter_source("jobs")
        assert given is not None
        self.invocation.set_parameter_source(name, given)


def command(function: Callable[..., ExitCode], *, local: bool = False) -> Callable[..., None]:
    """Return a typer command that takes the common options besides those of a function.

    A ``local`` command has no key and no address, because it calls no service.
    """
    shared = dict(inspect.signature(CommandContext, eval_str=True).parameters)
    if local:
        del shared["key_file"], shared["base_url"], shared["proxy"]
    _, *own = inspect.signature(function, eval_str=True).parameters.values()

    def run(invocation: typer.Context, **options: Any) -> None:
        context = CommandContext(**{name: options.pop(name) for name in shared})
        context.invocation = invocation
        console = context.console
        try:
            code = function(context, **options)
        except Interrupted as signal:
            code = signal.code
        except FoxAPIError as error:
            code = exit_code_for(error)
            console.error(str(error))
            console.document(**error_json(error, code))
        except KeyboardInterrupt:
            code = ExitCode.INTERRUPTED
        except Exception:
            context.ended(ExitCode.TASK_FAILED)  # the exit code of a traceback
            raise
        context.ended(code)
        raise typer.Exit(int(console.finish(code)))

    invocation = inspect.Parameter(
        "invocation", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context
    )
    run.__name__, run.__doc__ = function.__name__, _unwrapped(function.__doc__ or "")
    run.__signature__ = inspect.Signature([invocation, *own, *shared.values()])  # type: ignore[attr-defined]
    return run


def _unwrapped(text: str) -> str:
    """Return a docstring with a line for each paragraph; typer would show its line breaks."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def check_directory(directory: Path) -> None:
    """Check, without a change, that files can be saved in a directory or that it can be created.

    Raises:
        ConfigurationError: They cannot.
    """
    try:
        # The directory itself, or what it would be created in.
        place = next(path for path in (directory, *directory.absolute().parents) if path.exists())
        reason = None if place.is_dir() else os.strerror(errno.ENOTDIR)
    except (OSError, ValueError) as error:  # ValueError: a name that this locale cannot encode
        place, reason = directory, getattr(error, "strerror", None) or str(error)
    if reason is None and not os.access(place, os.W_OK | os.X_OK):
        reason = "it is not writable" if place == directory else f"{place} is not writable"
    if reason is not None:
        raise ConfigurationError(f"nothing can be saved in {directory}: {reason}")


def prepare_directory(directory: Path) -> Path:
    """Create a directory and check that it is writable, before anything is billed.

    Of a place in an object store only the configuration is checked.
    """
    if isinstance(directory, ObjectPath):
        check_store(directory)
        return directory
    directory = directory.expanduser()
    check_directory(directory)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:  # ValueError: a name that this locale cannot encode
        raise ConfigurationError(
            f"nothing can be saved in {directory}: {getattr(error, 'strerror', None) or error}"
        ) from error
    if not os.access(directory, os.W_OK | os.X_OK):
        raise ConfigurationError(f"nothing can be saved in {directory}: it is not writable")
    return directory
