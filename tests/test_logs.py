"""FOXAPI_LOG, and the attributes of log records."""

from __future__ import annotations

import logging

import pytest

from foxapi_async import ConfigurationError, PhotaImage, Session, SubmissionUnknownError, log_setup
from foxapi_async.emulator import Drop, Emulator, Fault, error
from tests.conftest import OpenSession

FOX = PhotaImage("a fox")


async def test_records_name_the_task_and_the_key(
    open_session: OpenSession, emulator: Emulator, caplog: pytest.LogCaptureFixture, tmp_path
):
    emulator.script(
        Fault("submit", error(422, code="no_compatible_channel")), Fault("poll", error(500))
    )
    with caplog.at_level(logging.DEBUG, "foxapi_async"):
        async with open_session() as session:
            task = await session.generate(FOX, key="fox")
            await session.download(task, tmp_path)
            emulator.script(Fault("submit", Drop(carried_out=True)))
            with pytest.raises(SubmissionUnknownError):
                await session.submit(FOX, key="wolf")
    named = [
        (record.getMessage(), getattr(record, "task_id", None), getattr(record, "key", None))
        for record in caplog.records
        if record.name != "foxapi_async.http"  # one line for each HTTP request
    ]
    for message, task_id, key in named:
        if task.id in message:
            assert task_id == task.id, message
            assert key in {"fox", None}
    keys = {key: message for message, _, key in named}
    assert "was created" in " ".join(message for message, _, key in named if key == "fox")
    assert any("polling task" in message and id_ == task.id for message, id_, _ in named)
    assert "may have created" in keys["wolf"]


@pytest.mark.parametrize(("value", "level"), [("debug", "DEBUG"), (" Info ", "INFO")])
def test_a_level_is_set_once_and_handlers_of_the_application_are_used(
    value: str, level: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(log_setup, "_applied", set())
    monkeypatch.setenv("FOXAPI_LOG", value)
    logger = logging.getLogger("foxapi_async")
    before = list(logger.handlers)
    Session("sk-emulator")
    assert logging.getLevelName(logger.level) == level
    assert logger.handlers == before  # pytest has handlers
    logger.setLevel(logging.ERROR)
    Session("sk-emulator")
    assert logger.level == logging.ERROR


@pytest.mark.parametrize("value", ["", "  "])
def test_an_empty_value_changes_nothing(value: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FOXAPI_LOG", value)
    level = logging.getLogger("foxapi_async").level
    Session("sk-emulator")
    assert logging.getLogger("foxapi_async").level == level


def test_an_unknown_level_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FOXAPI_LOG", "loud")
    with pytest.raises(ConfigurationError, match=r"FOXAPI_LOG is 'loud'; .*debug, info"):
        Session("sk-emulator")


def test_records_go_to_stderr_if_the_application_has_no_handlers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(log_setup, "_applied", set())
    logger = logging.getLogger("foxapi_async")
    monkeypatch.setattr(logger, "handlers", [])
    logger.propagate = False
    log_setup.set_up_logging("info")
    logger.info("task %s", 1)
    logging.getLogger("foxapi_async.http").debug("hidden")
    said = capsys.readouterr().err
    assert said.endswith("INFO foxapi_async: task 1\n")
    assert "hidden" not in said
