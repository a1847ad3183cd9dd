"""Names of columns: fields of requests, own columns, slips of the pen, keys, defaults and templates."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxapi_async import GenerationRequest, InvalidRequestError, PhotaImage, PhotaImageEdit
from foxapi_async.bulk import Job, JobFileError, JobLine
from foxapi_async.bulk.input.field_names import FIELDS, meaning_of
from foxapi_async.bulk.input.job_line import default_key
from foxapi_async.bulk.input.prompt_template import PromptTemplate
from foxapi_async.bulk.temporary_index import Duplicates
from foxapi_async.phota import CLASSES
from tests.bulk.conftest import JobFolder


@pytest.fixture
def jobs(tmp_path: Path) -> Path:
    return tmp_path / "jobs.jsonl"


def write(path: Path, *lines: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def read(path: Path, *lines: dict[str, Any], **options: Any) -> list[JobLine]:
    return list(Job.read(write(path, *lines), **options).lines())


def refused(path: Path, *lines: dict[str, Any], **options: Any) -> list[tuple[int, str | None]]:
    with pytest.raises(JobFileError) as caught:
        Job.read(write(path, *lines), **options)
    return [(problem.line, problem.field) for problem in caught.value.problems]


def refusal(path: Path, *lines: dict[str, Any], **options: Any) -> str:
    with pytest.raises(JobFileError) as caught:
        Job.read(write(path, *lines), **options)
    return str(caught.value)


def test_other_columns_ride_along_and_are_not_sent(jobs: Path):
    own = {"category": "sea", "row": 17, "tags": ["a", {"b": None}], "score": 0.5}
    (line,) = read(jobs, {"prompt": "a", "nothing": None, **own})
    assert line.request == PhotaImage("a")
    assert line.own == own


async def test_own_columns_are_in_the_results(job_folder: JobFolder):
    job_folder.write({"prompt": "a", "custom_id": "w-1", "metadata": {"row": 1}})
    results, summary = await job_folder.run()
    assert summary.is_done
    assert results["w-1"].own == {"custom_id": "w-1", "metadata": {"row": 1}}
    (line,) = job_folder.lines()
    assert (line["key"], line["own"]) == ("w-1", {"custom_id": "w-1", "metadata": {"row": 1}})
    assert job_folder.pictures() == ["w-1.png"]


KNOWN_KEYS = [
    ({"prompt": "A fox, in the snow!"}, "a-fox-in-the-snow-056419d891a0084f"),
    ({"prompt": "A fox, in the snow!", "note": "x"}, "a-fox-in-the-snow-056419d891a0084f-2"),
    (
        {"prompt": "Füchse im Schnee", "num_outputs": 2, "resolution": "4K", "aspect_ratio": "3:4"},
        "füchse-im-schnee-8ab1f5f5501976c2",
    ),
    (
        {
            "model": "phota-image-edit",
            "prompt": "b",
            "image_urls": ["https://x.example/a.png"],
            "profile_ids": ["p1"],
        },
        "b-fdccbe79616340aa",
    ),
    (
        {"model": "phota-create-profile", "image_archive_url": "https://x.example/a.zip"},
        "daa72995270e789f",
    ),
    (
        {"model": "gpt-image-2", "prompt": "c", "size": "1:1", "num_outputs": 3, "id": 7}
        | {"custom_id": "x", "seed": None},
        "c-797a680a01bfe0d9",
    ),
    (
        {"model": "suno-v4", "kind": "audio", "params": {"text": "d", "n": 1.5, "u": "é"}},
        "8b443ad17325b6ec",
    ),
    ({"prompt": "長い狐"}, "長い狐-3846272fdba6368d"),
]


def test_default_keys_are_those_of_earlier_releases(jobs: Path):
    # A changed key would be paid for again.
    found = [line.key for line in read(jobs, *(line for line, _ in KNOWN_KEYS))]
    assert found == [key for _, key in KNOWN_KEYS]


def test_custom_id_and_id_are_keys_of_lines_without_one(jobs: Path):
    lines = read(
        jobs,
        {"prompt": "a", "key": "k", "id": "i", "custom_id": "c"},
        {"prompt": "a", "id": "i", "custom_id": "c"},
        {"prompt": "a", "ID": 17},
        {"prompt": "a", "id": {"no": "key"}},
        {"prompt": "a", "id": "", "custom_id": True},
    )
    assert [line.key for line in lines[:3]] == ["k", "c", "17"]
    assert all(line.key.startswith("a-") for line in lines[3:])
    assert lines[0].own == {"id": "i", "custom_id": "c"}
    assert lines[2].own == {"ID": 17}


def test_an_id_that_occurs_twice_is_a_problem_with_a_way_out(jobs: Path):
    lines = ({"prompt": "a", "id": "x"}, {"prompt": "b", "id": "x"})
    assert refused(jobs, *lines) == [(2, "key")]
    assert "--field NAME=id" in refusal(jobs, *lines)
    found = read(jobs, *lines, fields={"group": "id"})
    assert [line.own for line in found] == [{"group": "x"}] * 2
    assert len({line.key for line in found}) == 2


def test_capital_letters_do_not_matter(jobs: Path):
    (line,) = read(
        jobs, {"Prompt": "a", "NUM_OUTPUTS": 2, "Key": "k", "Model": "phota-image", "Note": "n"}
    )
    assert line == JobLine(1, "k", PhotaImage("a", num_outputs=2), {"Note": "n"})
    assert line.own == {"Note": "n"}


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("promt", "prompt"),
        ("Prompts", "prompt"),
        ("num_output", "num_outputs"),
        ("aspect-ratio", "aspect_ratio"),
        ("aspectratio", "aspect_ratio"),
        ("resolutions", "resolution"),
        ("modell", "model"),
        ("image_url", "image_urls"),
        ("parms", "params"),
    ],
)
def test_a_slip_of_the_pen_is_asked_about_once(jobs: Path, name: str, near: str):
    cls = {"model": "phota-image-edit", "image_urls": ["https://x.example/1"]}
    lines = [{"prompt": "a", **cls, name: 1} for _ in range(3)]
    assert refused(jobs, *lines) == [(1, name)]
    assert f"{near!r}" in refusal(jobs, *lines)


@pytest.mark.parametrize(
    "name",
    ["id", "category", "Challenge", "note", "score", "seed", "style", "size", "title", "text", "index",
     "line", "prompt_id", "metadata", "image", "url", "Unnamed: 0", "file", "", "Ωμέγα"],
)  # fmt: skip
def test_what_is_not_like_a_field_is_an_own_column(name: str):
    assert meaning_of(name, PhotaImage).field is None
    assert meaning_of(name, PhotaImage).question is None


@given(st.text(), st.sampled_from([*CLASSES.values(), None]))
def test_any_name_means_one_thing(name: str, cls: Any):
    meaning = meaning_of(name, cls)
    assert meaning.field is None or meaning.field == name.casefold()
    assert meaning.field is None or meaning.question is None
    if name.casefold() in FIELDS:
        assert meaning.field is not None or meaning.question is not None


def test_a_doubtful_name_can_be_kept_or_mapped(jobs: Path):
    line = {"prompt": "a", "promt": "b"}
    assert "--field promt=promt" in refusal(jobs, line)
    (kept,) = read(jobs, line, fields={"promt": "promt"})
    assert (kept.request, kept.own) == (PhotaImage("a"), {"promt": "b"})
    (mapped,) = read(jobs, {"promt": "b"}, fields={"prompt": "promt"})
    assert (mapped.request, mapped.own) == (PhotaImage("b"), {})


def test_a_field_of_another_model_is_not_taken_for_an_own_column(jobs: Path):
    line = {"prompt": "a", "image_urls": ["https://x.example/1"]}
    assert refused(jobs, line, line) == [(1, "image_urls")]
    assert "phota-image-edit" in refusal(jobs, line)


def test_beside_params_there_are_own_columns_but_no_fields(jobs: Path):
    line = {"model": "gpt-image-2", "params": {"prompt": "a"}, "id": 5, "note": "n"}
    (found,) = read(jobs, line)
    assert found.request == GenerationRequest("gpt-image-2", {"prompt": "a"})
    assert (found.key, found.own) == ("5", {"id": 5, "note": "n"})
    assert refused(jobs, {**line, "num_outputs": 2}) == [(1, "num_outputs")]
    assert refused(jobs, {**line, "num_output": 2}) == [(1, "num_output")]


def test_without_params_each_field_of_another_model_is_a_parameter(jobs: Path):
    (line,) = read(jobs, {"model": "gpt-image-2", "prompt": "a", "id": 5, "Prompt": "x"})
    assert line.request.payload() == {
        "model": "gpt-image-2", "prompt": "a", "id": 5, "Prompt": "x",
    }  # fmt: skip
    assert line.own == {}


# --field


def test_columns_are_mapped_to_fields(tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_text("Text,prompt number,Bilder\na fox,7,2\n")
    fields = {"prompt": "text", "row": "prompt number", "num_outputs": "Bilder"}
    (line,) = Job.read(path, fields=fields).lines()
    assert line.request == PhotaImage("a fox", num_outputs=2)
    assert line.own == {"row": "7"}


def test_a_column_may_feed_two_fields_and_conflicts_are_asked_about_once(jobs: Path):
    fields = {"prompt": "t", "caption": "t"}
    (line,) = read(jobs, {"t": "a"}, fields=fields)
    assert (line.request, line.own) == (PhotaImage("a"), {"caption": "a"})
    both = {"t": "a", "prompt": "b"}
    assert refused(jobs, both, both, fields=fields) == [(1, "prompt")]


def test_a_mapped_column_that_no_line_has_is_told_once(jobs: Path, tmp_path: Path):
    lines = [{"Text": "a"}] * 3
    assert refused(jobs, *lines, fields={"prompt": "Txet"}) == [(1, "prompt")]
    lines = [{"prompt": "a"}] * 3
    assert refused(jobs, *lines, fields={"resolution": "r"}) == [(1, "resolution")]
    table = tmp_path / "a.csv"
    table.write_text("prompt,r\na,\n")
    assert Job.read(table, fields={"resolution": "r"}).requests == 1


def test_a_mapped_table_is_recognised_without_a_name(tmp_path: Path):
    path = tmp_path / "jobs"
    path.write_text("Text;x\na fox;1\n")
    (line,) = Job.read(path, fields={"prompt": "Text"}).lines()
    assert line.request == PhotaImage("a fox")


# --set


def test_defaults_are_read_like_cells_and_a_value_of_the_line_wins(jobs: Path):
    defaults = {"resolution": "4K", "num_outputs": "2.0", "campaign": "sea"}
    lines = read(
        jobs, {"prompt": "a"}, {"prompt": "b", "Resolution": "1K", "campaign": 7}, defaults=defaults
    )
    assert lines[0].request == PhotaImage("a", resolution="4K", num_outputs=2)
    assert lines[1].request == PhotaImage("b", num_outputs=2)
    assert [line.own for line in lines] == [{"campaign": "sea"}, {"campaign": 7}]


def test_an_empty_cell_has_the_default(tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_text("prompt,resolution\na,\nb,NaN\nc,1K\n")
    lines = Job.read(path, defaults={"resolution": "4K"}).lines()
    assert [line.request.resolution for line in lines] == ["4K", "4K", "1K"]  # type: ignore[attr-defined]


def test_the_model_may_have_a_default(jobs: Path):
    url = "https://x.example/1"
    defaults = {"model": "phota-image-edit", "image_urls": url}
    (line,) = read(jobs, {"prompt": "a"}, defaults=defaults)
    assert line.request == PhotaImageEdit("a", image_urls=(url,))
    (line,) = read(jobs, {"prompt": "a"}, defaults={"model": "gpt-image-2", "seed": "7"})
    assert line.request == GenerationRequest("gpt-image-2", {"prompt": "a", "seed": 7})


@pytest.mark.parametrize(
    "defaults",
    [{"resolution": "9K"}, {"num_outputs": "x"}, {"resolutoin": "4K"}, {"image_url": "x"}],
)
def test_a_wrong_default_is_told_once(jobs: Path, defaults: dict[str, str]):
    lines = [{"prompt": "a"}, {"prompt": "b"}]
    assert refused(jobs, *lines, defaults=defaults) == [(1, *defaults)]
    assert "--set" in refusal(jobs, *lines, defaults=defaults)


@pytest.mark.parametrize(
    "options", [{"defaults": {"Key": "k"}}, {"defaults": {"": "k"}}, {"fields": {"prompt": ""}}]
)
def test_a_rule_that_cannot_be_right_is_refused(jobs: Path, options: Any):
    write(jobs, {"prompt": "a"})
    with pytest.raises(InvalidRequestError):
        Job.read(jobs, **options)


# --template


def test_a_template_makes_prompts_from_columns(tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_text("Prompt,style,nr\na fox,wool,7\n")
    template = "{Prompt} of {Style}, {{no. {nr:03}}} ({resolution})"
    (line,) = Job.read(path, template=template, defaults={"resolution": "4K"}).lines()
    assert line.request == PhotaImage("a fox of wool, {no. 007} (4K)", resolution="4K")
    assert line.own == {"style": "wool", "nr": "7"}


def test_a_template_serves_prompts_and_other_models(tmp_path: Path):
    path = tmp_path / "a.txt"
    path.write_text("a fox\nan owl\n")
    job = Job.read(path, template="{prompt}, watercolor", defaults={"model": "gpt-image-2"})
    assert [line.request.payload()["prompt"] for line in job.lines()] == [
        "a fox, watercolor",
        "an owl, watercolor",
    ]


def test_a_column_that_a_template_names_is_no_slip_of_the_pen(jobs: Path):
    (line,) = read(jobs, {"prompts": "a"}, template="{prompts}!")
    assert (line.request, line.own) == (PhotaImage("a!"), {"prompts": "a"})


def test_a_column_that_a_template_lacks_is_told_once(jobs: Path, tmp_path: Path):
    lines = [{"a": "x"}, {"a": "y"}, {"a": "z", "b": "z"}]
    assert refused(jobs, *lines, template="{a} {b}") == [(1, "prompt")]
    table = tmp_path / "a.csv"
    table.write_text("a,b\nx,y\nx,\nx,NaN\n")
    with pytest.raises(JobFileError, match="1 problem"):
        Job.read(table, template="{a} {c}")
    with pytest.raises(JobFileError) as empty:
        Job.read(table, template="{a} {b}")
    assert [problem.line for problem in empty.value.problems] == [3, 4]
    assert refused(jobs, {"a": "x"}, template="{a:05d}") == [(1, "prompt")]


@pytest.mark.parametrize(
    "text", ["{}", "no column", "{a", "a}", "{a!r}", "{a:{b}}", "{ }", "{0!s}", "", "{{a}}"]
)
def test_a_template_that_is_none_is_refused(text: str):
    with pytest.raises(InvalidRequestError, match="template"):
        PromptTemplate.parse(text)


def test_a_template_cannot_reach_into_values(jobs: Path):
    for text in ("{a.__class__}", "{a[0]}"):
        assert "which this line does not have" in refusal(jobs, {"a": "x"}, template=text)
    (line,) = read(jobs, {"a.b": "x", "c": [1]}, template="{a.b} {c}")
    assert line.request == PhotaImage("x [1]")


@given(st.text(), st.text(min_size=1))
def test_a_template_gives_a_text_or_is_refused(text: str, value: str):
    try:
        template = PromptTemplate.parse(text)
    except InvalidRequestError:
        return
    if all(":" not in part for part in text.split("{")):
        assert isinstance(template.format(lambda _: value), str)


@given(st.text().filter(lambda text: not set(text) & set("{}")), st.text(min_size=1))
def test_what_surrounds_a_column_is_kept(around: str, value: str):
    template = PromptTemplate.parse(f"{around}{{{{{{x}}}}}}{around}")
    assert template.format({"x": value}.get) == f"{around}{{{value}}}{around}"


@given(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=300)
    | st.text(alphabet="aÄß -_.", max_size=300)
)
def test_the_beginning_of_a_prompt_in_a_key_is_that_of_earlier_releases(prompt: str):
    with Duplicates() as duplicates:
        key = default_key(GenerationRequest("m", {"prompt": prompt}), duplicates)
    text = re.sub(r"[\W_]+", "-", prompt[:200].casefold())
    assert key[:-16].removesuffix("-") == text.strip("-")[:40].rstrip("-")
