"""Which profiles a job uses that nobody has used before."""

from __future__ import annotations

import pytest

from foxapi_async import PhotaImage
from foxapi_async.bulk import Job
from foxapi_async.bulk.input.profile_uses import ProfileUse, ProfileUses
from foxapi_async.phota import profiles_in
from tests.bulk.conftest import JobFolder

pytestmark = pytest.mark.ordinary_loop


def test_profiles_are_in_the_prompt_and_in_profile_ids():
    payload = {"prompt": "[[a]] and [[ b ]], not [[]] or [c]", "profile_ids": ["d", "a", 7]}
    assert profiles_in(payload) == ("a", "b", "d")
    assert profiles_in({"prompt": 7, "profile_ids": "x"}) == ()
    assert PhotaImage("[[a]] [[a]]").profile_ids == ("a",)


def test_a_profile_is_listed_once_with_its_first_line_and_a_count():
    uses = ProfileUses({"known"})
    model = "phota-image"
    for line in range(3, 8):
        uses.add(line, {"model": model, "prompt": "[[abc]] and [[known]]"})
    uses.add(9, {"model": "phota-image-edit", "prompt": "p", "profile_ids": ["other"]})
    uses.add(10, {"model": "another", "prompt": "[[text]]"})
    assert uses.unknown(None) == (ProfileUse("abc", 3, 5), ProfileUse("other", 9, 1))


def test_a_job_of_a_million_profiles_keeps_a_bounded_number():
    uses = ProfileUses(())
    for line in range(1500):
        uses.add(line, {"model": "phota-image", "prompt": f"[[p{line}]]"})
    assert len(uses.unknown(None)) == 1000


async def test_what_a_completed_request_of_the_journal_has_used_is_known(job_folder: JobFolder):
    job_folder.write({"prompt": "[[abc]] smiles"})
    await job_folder.run()
    job_folder.write(
        {"prompt": "[[abc]] sleeps"}, {"prompt": "[[abd]] sleeps"}, {"prompt": "[[me]]"}
    )
    job = Job.read(job_folder.path / "jobs.jsonl")
    journal = job_folder.out / "journal.sqlite"
    assert [use.id for use in job.plan(None).profiles] == ["abc", "abd", "me"]
    assert job.plan(journal, profiles={"me"}).profiles == (ProfileUse("abd", 2, 1),)
    assert job.plan(journal, profiles={"me", "abd"}).profiles == ()
