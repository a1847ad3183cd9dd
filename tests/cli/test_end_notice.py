"""What is told of the end of a run: to a command, and to a webhook."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio.to_thread
import pytest
from aiohttp import web

from foxapi_async import InvalidRequestError
from foxapi_async.cli import webhook
from foxapi_async.cli.console import Console
from foxapi_async.cli.end_notice import EndNotice
from foxapi_async.cli.exit_codes import ExitCode

pytestmark = pytest.mark.ordinary_loop

SUMMARY = {"requests": 3, "completed": 2, "exit_code": ExitCode.TASK_FAILED}


def test_the_command_gets_the_summary_and_the_exit_code(tmp_path, capfd):
    command = f'cat > {tmp_path}/got; echo "code $FOXAPI_EXIT_CODE" | tr c C'
    EndNotice(console=Console(), command=command).send(SUMMARY, ExitCode.TASK_FAILED)
    got = json.loads((tmp_path / "got").read_text())
    assert (got["requests"], got["completed"], got["exit_code"]) == (3, 2, 1)
    assert got["text"].startswith("foxapi: 2 of 3 requests done; exit code 1 (")
    # Standard output has results only.
    assert capfd.readouterr() == ("", "Code 1\n")


@pytest.mark.parametrize(
    ("command", "words"),
    [("exit 3", "--on-end ended with exit code 3"), ("/nonexistent", "--on-end ended with")],
)
def test_a_command_that_fails_is_a_warning(command, words, capfd):
    EndNotice(console=Console(), command=command).send({}, ExitCode.OK)
    assert words in capfd.readouterr().err


def test_a_command_that_does_not_end_is_stopped_with_its_children(monkeypatch, capfd):
    monkeypatch.setattr("foxapi_async.cli.end_notice._TIMEOUT", 0.2)
    EndNotice(console=Console(), command="sleep 600 | sleep 600").send({}, ExitCode.OK)
    assert "--on-end was stopped after 0.2 s" in capfd.readouterr().err


class Hook:
    """Answers with these statuses, the last one again and again, and keeps what it gets."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.got: list[tuple[Any, Any]] = []

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        async def answer(request: web.Request) -> web.Response:
            self.got.append((dict(request.headers), await request.json()))
            status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
            return web.Response(status=status, headers={"Location": "/elsewhere"})

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook/SECRET?token=SECRET"
        finally:
            await runner.cleanup()


@pytest.mark.parametrize(
    ("statuses", "posts", "words"),
    [
        ([200], 1, ""),
        ([204], 1, ""),
        ([503, 429, 200], 3, ""),
        ([500], 3, "it answered 500"),
        ([404], 1, "it answered 404"),
        ([307], 1, "it answered 307"),
    ],
)
async def test_the_webhook_gets_the_summary(statuses, posts, words, monkeypatch, capfd):
    monkeypatch.setattr(webhook, "_PAUSES", (0.01, 0.01))
    monkeypatch.setenv("FOXAPI_API_KEY", "sk-secret")
    hook = Hook(*statuses)
    async with hook.serving() as url:
        notice = EndNotice(console=Console(), webhook=url)
        await anyio.to_thread.run_sync(notice.send, SUMMARY, ExitCode.OK)
    assert len(hook.got) == posts
    headers, document = hook.got[0]
    assert headers["Content-Type"] == "application/json"
    assert "sk-secret" not in str(headers)
    assert (document["requests"], document["exit_code"]) == (3, 0)
    err = capfd.readouterr().err
    assert words in err
    assert bool(err) == bool(words)
    assert "SECRET" not in err


def test_a_webhook_that_cannot_be_reached_is_a_warning(monkeypatch, capfd):
    monkeypatch.setattr(webhook, "_PAUSES", ())
    url = "http://127.0.0.1:1/hook/SECRET"
    EndNotice(console=Console(), webhook=url).send({}, ExitCode.OK)
    err = capfd.readouterr().err
    assert "the webhook http://127.0.0.1/… was not told: " in err
    assert "SECRET" not in err


@pytest.mark.parametrize(
    "url", ["http://example.com/SECRET", "ftp://localhost/SECRET", "SECRET", "https:///SECRET", ""]
)
def test_a_webhook_without_encryption_is_refused(url):
    with pytest.raises(InvalidRequestError, match="--webhook must be a URL") as caught:
        EndNotice(console=Console(), webhook=url)
    assert "SECRET" not in str(caught.value)
