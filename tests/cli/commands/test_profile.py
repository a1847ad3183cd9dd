"""`foxapi profile`: a profile is checked, agreed to, paid for once, and its id printed."""

from __future__ import annotations

import io
import json
import shlex
import signal
import zipfile
from pathlib import Path

import pytest
from aiohttp import ClientSession

from foxapi_async import (
    ConfigurationError,
    InvalidRequestError,
    InvalidResponseError,
    Journal,
    Output,
    Task,
)
from foxapi_async.cli.commands import profile
from foxapi_async.cli.context import CommandContext
from foxapi_async.cli.exit_codes import ExitCode
from foxapi_async.cli.profile_record import (
    JOURNAL_NAME,
    CreatedProfile,
    created_profiles,
    record_profile,
    state_directory,
)
from foxapi_async.emulator import Drop, Fate, Fault
from tests.bulk.test_local_files import png
from tests.cli.process import KEY, foxapi, running, until

pytestmark = pytest.mark.ordinary_loop


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        png(folder / f"{number}.png", bytes([number]))
    return folder


@pytest.fixture
def state(tmp_path: Path) -> dict[str, str]:
    return {"XDG_STATE_HOME": str(tmp_path / "state")}


def create(folder: Path, *options: str, env: dict[str, str]):
    return foxapi("profile", "create", str(folder), *options, env=env)


async def test_a_profile_is_created_once_and_its_id_printed_again(emulated, photos, state):
    async with emulated() as (emulator, env):
        env.update(state)
        done = await create(photos, "--yes", env=env)
        (photos / "0.png").rename(photos / "renamed.png")
        again = await create(photos, "--json", env=env)
        (task,) = emulator.tasks.values()
        async with ClientSession() as http, http.get(task.payload["image_archive_url"]) as answer:
            content = await answer.read()
    assert done.code == again.code == 0
    assert done.lines == [f"pf_{task.id[-8:]}"]
    assert "3 photos" in done.err
    assert again.document["profile_id"] == done.lines[0]
    assert again.document["task_id"] == task.id
    assert (emulator.counters.posts, emulator.counters.uploads) == (1, 1)
    assert created_profiles(state)[0].folder == str(photos)
    assert state_directory(state).stat().st_mode & 0o77 == 0
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        found = {archive.read(name) for name in archive.namelist()}
    assert found == {path.read_bytes() for path in photos.iterdir()}


async def test_a_killed_command_is_continued_and_not_billed_again(emulated, photos, state):
    async with emulated(duration=3600) as (emulator, env):
        arguments = ("profile", "create", str(photos))
        async with running(*arguments, "--yes", env=env | state) as command:
            await until(lambda: bool(emulator.tasks))
            journal = Journal(state_directory(state) / JOURNAL_NAME)
            await until(lambda: len(journal.unfinished()) == 1)
            command.interrupt(signal.SIGKILL)
        waited = await create(photos, "--timeout", "0.2", env=env | state)
    assert waited.code == 7
    assert "run the same command again; what is billed is not billed again" in waited.err
    assert emulator.counters.posts == 1


async def test_a_failed_profile_is_made_again_only_when_asked(emulated, photos, state):
    async with emulated() as (emulator, env):
        emulator.script(Fault("submit", Fate(ends_as="failed")))
        failed = await create(photos, "--yes", env=env | state)
        still = await create(photos, "--yes", env=env | state)
        posts = emulator.counters.posts
        done = await create(photos, "--yes", "--again", env=env | state)
    assert [each.code for each in (failed, still, done)] == [1, 1, 0]
    assert "--again makes another profile; it is billed again" in still.err
    assert (posts, emulator.counters.posts) == (1, 2)


async def test_an_unknown_submission_can_be_settled(emulated, photos, state):
    async with emulated() as (emulator, env):
        emulator.script(Fault("submit", Drop(carried_out=True)))
        unknown = await create(photos, "--yes", env=env | state)
        (task,) = emulator.tasks.values()
        words = shlex.split(unknown.err.split("to record it:\n")[1].split("\n")[0])
        Journal(words[-1]).resolve(words[2], task.id)
        done = await create(photos, env=env | state)
    assert [each.code for each in (unknown, done)] == [6, 0]
    assert done.lines == [f"pf_{task.id[-8:]}"]
    assert emulator.counters.posts == 1


async def test_an_unknown_submission_without_a_task_can_be_repeated(emulated, photos, state):
    async with emulated() as (emulator, env):
        emulator.script(Fault("submit", Drop()))
        lost = await create(photos, "--yes", env=env | state)
        assert "with --again makes another profile" in lost.err
        journal = state_directory(state) / JOURNAL_NAME
        listed = await foxapi("unknown", "--journal", str(journal), "--json", env=env)
        (doubtful,) = listed.document["unknown"]
        words = shlex.split(doubtful["if_not_billed"])
        assert words == f"foxapi profile create DIR --again --journal {journal}".split()
        done = await create(photos, "--yes", "--again", "--journal", str(journal), env=env | state)
        once_more = await create(photos, env=env | state)
    assert [each.code for each in (lost, done, once_more)] == [6, 0, 0]
    assert done.lines == once_more.lines == [f"pf_{next(iter(emulator.tasks))[-8:]}"]
    assert emulator.counters.tasks == 1


@pytest.fixture
def here(monkeypatch, state) -> None:
    """Make this process look like the user's: the command runs in it, and sends nothing."""
    monkeypatch.setenv("FOXAPI_API_KEY", KEY)
    monkeypatch.setenv("FOXAPI_BASE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("XDG_STATE_HOME", state["XDG_STATE_HOME"])


@pytest.mark.usefixtures("here")
def test_without_agreement_and_in_a_dry_run_nothing_is_sent(photos, state, capsys):
    with pytest.raises(InvalidRequestError, match="creating a profile needs agreement"):
        profile.create(CommandContext(), folder=photos)
    (photos / "0.txt").write_text("no photo")
    with pytest.raises(InvalidRequestError, match="it is of no known format"):
        profile.create(CommandContext(), folder=photos, yes=True)
    (photos / "0.txt").unlink()
    context = CommandContext(as_json=True)
    assert profile.create(context, folder=photos, dry_run=True) == 0
    context.console.finish(ExitCode.OK)
    document = json.loads(capsys.readouterr().out)
    assert (document["photos"], document["status"]) == (3, None)
    assert not (state_directory(state) / JOURNAL_NAME).exists()


@pytest.mark.usefixtures("here")
def test_a_state_folder_that_cannot_be_made_is_told_before_the_question(photos, state):
    Path(state["XDG_STATE_HOME"]).write_text("in the way")
    with pytest.raises(ConfigurationError, match="Set XDG_STATE_HOME"):
        profile.create(CommandContext(), folder=photos)


@pytest.mark.usefixtures("here")
def test_created_profiles_are_listed(state, capsys):
    profile.list_profiles(CommandContext())
    assert "no profile was created here" in capsys.readouterr().err
    state_directory(state).mkdir(parents=True)
    record_profile(state_directory(state), a_profile(1))
    context = CommandContext()
    profile.list_profiles(context)
    context.console.finish(ExitCode.OK)
    assert capsys.readouterr().out.split() == ["pf_1", "now", "1", "photo", "/f"]


def a_profile(number: int) -> CreatedProfile:
    return CreatedProfile(
        profile_id=f"pf_{number}",
        key="k",
        task_id="t",
        photos=1,
        folder="/f",
        journal="/j",
        created="now",
    )


def test_the_list_is_appended_to_and_read_whatever_is_in_it(tmp_path):
    environment = {"XDG_STATE_HOME": str(tmp_path)}
    assert created_profiles(environment) == []
    directory = tmp_path / "foxapi"
    directory.mkdir()
    record_profile(directory, a_profile(1))
    with (directory / "profiles.jsonl").open("a") as file:
        file.write('[]\n{"profile_id": 1}\n{"profile_id": "x"}\n{"profile_id": "cut')
    record_profile(directory, a_profile(2))
    record_profile(directory, a_profile(2))
    assert created_profiles(environment) == [a_profile(1), a_profile(2)]


def test_a_list_that_cannot_be_written_is_told_with_the_id(tmp_path):
    (tmp_path / "profiles.jsonl").mkdir()
    with pytest.raises(ConfigurationError, match=r"the profile pf_1 was created, but .* cannot be"):
        record_profile(tmp_path, a_profile(1))


@pytest.mark.parametrize("data", [None, {}, {"profile_id": 7}, {"profile_id": ""}])
def test_an_answer_without_a_profile_id_names_the_task(data):
    outputs = () if data is None else (Output(0, data=data),)
    with pytest.raises(InvalidResponseError, match="foxapi status task-1"):
        profile.profile_id_of(Task("task-1", outputs=outputs))
