"""Job files in each format, as programs and people write them."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foxapi_async import PhotaImage
from foxapi_async.bulk import Job, JobFileError
from foxapi_async.bulk.input.field_names import FIELDS
from foxapi_async.bulk.input.rows.detection import UnclearFormatError, detect_format
from foxapi_async.bulk.input.rows.json_rows import json_value_rows
from foxapi_async.bulk.input.rows.row import LONGEST_LINE
from foxapi_async.bulk.input.rows.table_rows import table_rows


class Chunks:
    """A text that is read in small pieces, as from a slow pipe."""

    def __init__(self, text: str, size: int) -> None:
        self._text, self._size, self._at = text, size, 0

    def read(self, _: int) -> str:
        self._at += self._size
        return self._text[self._at - self._size : self._at]


def read(path: Path, content: str | bytes, **options: Any) -> list[tuple[int, Any, dict[str, Any]]]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    job = Job.read(path, **options)
    return [(line.number, line.request, dict(line.own)) for line in job.lines()]


def refused(path: Path, content: str | bytes, **options: Any) -> JobFileError:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(JobFileError) as caught:
        Job.read(path, **options)
    return caught.value


PROMPTS = "# winter\nA fox\n\n  An owl  \r\n#not this\nA #1 hare\n"


def test_a_text_has_a_prompt_per_line_and_comments(tmp_path: Path):
    found = read(tmp_path / "p.txt", PROMPTS)
    prompts = [(number, request.prompt) for number, request, _ in found]
    assert prompts == [(2, "A fox"), (4, "An owl"), (6, "A #1 hare")]


def test_a_prompt_that_begins_with_a_profile_is_no_json(tmp_path: Path):
    ((_, request, _),) = read(tmp_path / "p.txt", "[[abc]] at the beach")
    assert request.profile_ids == ("abc",)


def test_a_json_object_among_prompts_is_a_problem(tmp_path: Path):
    error = refused(tmp_path / "p.txt", 'A fox\n{"prompt": "a"}\n{a} cat}\n')
    assert [problem.line for problem in error.problems] == [2]


def test_strings_are_prompts_in_json_too(tmp_path: Path):
    fox, owl = PhotaImage("a fox"), PhotaImage("an owl")
    assert read(tmp_path / "a.jsonl", '"a fox"\n"an owl"') == [(1, fox, {}), (2, owl, {})]
    assert read(tmp_path / "a.json", '["a fox", "an owl"]') == [(1, fox, {}), (2, owl, {})]


def test_the_elements_of_an_array_have_the_numbers_of_their_lines(tmp_path: Path):
    objects = [{"prompt": "a"}, {"prompt": "b"}, {"prompt": "c"}]
    text = "[\n  " + ",\n  ".join(json.dumps(each) for each in objects) + "\n]\n"
    assert [number for number, _, _ in read(tmp_path / "a.json", text)] == [2, 3, 4]
    pretty = json.dumps(objects, indent=1)
    assert [number for number, _, _ in read(tmp_path / "b.json", pretty)] == [2, 5, 8]
    dense = json.dumps(objects)
    assert [number for number, _, _ in read(tmp_path / "c.json", dense)] == [1, 2, 3]


def test_objects_of_several_lines_may_follow_each_other(tmp_path: Path):
    text = "\n".join(json.dumps({"prompt": prompt}, indent=2) for prompt in "ab")
    expected = [(1, PhotaImage("a"), {}), (4, PhotaImage("b"), {})]
    assert read(tmp_path / "jq.json", text) == expected
    assert read(tmp_path / "jq.jsonl", text) == expected
    assert read(tmp_path / "jq", text) == expected


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('[{"prompt": "a"},\n {"prompt": "b", "prompt": "c"},\n {"prompt": ""}]', [2, 3]),
        ('[{"prompt": "a"},\n {"prompt": "b", "num_outputs": NaN},\n 7]', [2, 3]),
        ('[{"prompt": "a"}\n {"prompt": "b"}]', [2]),
        ('[{"prompt": "a"},\n {"prompt" "b"}]', [2]),
        ('[{"prompt": "a"},\n {"prompt": "b"}', [3]),
        ('[{"prompt": "a"}]\n{"prompt": "b"}', [2]),
        ("[]", [1]),
        ("[\n", [2]),
        ("[" + "[" * 5000, [1]),
    ],
)
def test_what_is_wrong_in_an_array_is_a_problem(tmp_path: Path, text: str, found: list[int]):
    error = refused(tmp_path / "a.json", text, format="json")
    assert [problem.line for problem in error.problems] == found


def test_an_element_of_an_array_that_is_too_long_is_a_problem(tmp_path: Path):
    text = json.dumps([{"prompt": "x" * (LONGEST_LINE + 5)}, {"prompt": "a"}])
    (problem,) = refused(tmp_path / "a.json", text).problems
    assert "is longer than" in problem.message


VALUES = st.none() | st.integers() | st.text(max_size=9) | st.lists(st.text(max_size=3), max_size=2)


@given(
    st.lists(st.dictionaries(st.text(max_size=3), VALUES, max_size=3), max_size=5),
    st.sampled_from([None, 0, 2]),
    st.integers(1, 50),
)
@settings(max_examples=60)
def test_an_array_is_read_the_same_in_pieces_of_any_size(
    objects: list[dict[str, Any]], indent: int | None, size: int
):
    text = json.dumps(objects, indent=indent)
    rows = list(json_value_rows(Chunks(text, size)))  # type: ignore[arg-type]
    assert [row.fields for row in rows] == objects
    numbers = [row.number for row in rows]
    assert numbers == sorted(set(numbers))


EXCEL = '\ufeffsep=;\r\nPrompt;num_outputs;Kampagne;;\r\n"Ein Fuchs; rot";2;Winter;;\r\n;;;;\r\n'


def test_a_table_of_a_spreadsheet(tmp_path: Path):
    expected = [(3, PhotaImage("Ein Fuchs; rot", num_outputs=2), {"Kampagne": "Winter"})]
    assert read(tmp_path / "e.csv", EXCEL) == expected
    assert read(tmp_path / "e", EXCEL) == expected
    assert read(tmp_path / "e.csv", EXCEL.replace("\ufeff", "").encode("utf-16")) == expected


def test_unicode_text_of_a_spreadsheet(tmp_path: Path):
    text = "Prompt\tCampaign\r\nEin Füchslein, rot\tWinter\r\n".encode("utf-16")
    assert read(tmp_path / "e.txt", text) == [
        (2, PhotaImage("Ein Füchslein, rot"), {"Campaign": "Winter"})
    ]


def test_a_decimal_comma_is_understood_for_fractions_and_never_for_counts(tmp_path: Path):
    table = "model;image_url;creativity\nphota-image-enhance;https://x.example/1;0,5\n"
    ((_, request, _),) = read(tmp_path / "a.csv", table)
    assert request.creativity == 0.5
    (problem,) = refused(tmp_path / "b.csv", "prompt;num_outputs\na;1,000\n").problems
    assert problem.field == "num_outputs"


def test_a_table_of_pandas(tmp_path: Path):
    table = ",prompt,num_outputs,aspect_ratio,score\n0,a,2.0,NaN,0.9\n1,b,,3:4,\n2,c,nan,None,nan\n"
    assert read(tmp_path / "p.csv", table) == [
        (2, PhotaImage("a", num_outputs=2), {"score": "0.9"}),
        (3, PhotaImage("b", aspect_ratio="3:4"), {}),
        (4, PhotaImage("c"), {"score": "nan"}),
    ]
    records = '{"prompt": "a", "num_outputs": 2.0, "score": null}\n'
    assert read(tmp_path / "p.jsonl", records) == [(1, PhotaImage("a", num_outputs=2), {})]


def test_a_missing_prompt_is_not_painted(tmp_path: Path):
    error = refused(tmp_path / "p.csv", "prompt,x\nNaN,1\nNone,2\n,3\na,4\n")
    assert [problem.line for problem in error.problems] == [2, 3, 4]
    assert "stands for an empty cell" in str(error)


def test_quotes_in_a_table_of_tabs_without_quoting_are_literal(tmp_path: Path):
    rows = ['"Open" over a door\tWorld', 'a 5" pipe\t"x', 'the "end"\tWorld', '"whole"\ty']
    found = read(tmp_path / "t.tsv", "\n".join(["Prompt\tCategory", *rows]))
    assert [request.prompt for _, request, _ in found] == [
        '"Open" over a door',
        'a 5" pipe',
        'the "end"',
        "whole",
    ]


def test_a_quoted_cell_of_a_table_of_tabs_may_have_several_lines(tmp_path: Path):
    ((number, request, own),) = read(tmp_path / "t.tsv", 'prompt\tnote\n"two\nlines"\tx\n')
    assert (number, request.prompt, own) == (2, "two\nlines", {"note": "x"})


@pytest.mark.parametrize(
    ("table", "found"),
    [
        ("promt,num_outputs\na,1\nb,2\nc,3\n", [(1, "promt")]),
        ("Text,num_outputs\na,1\nb,2\n", [(1, "prompt")]),
        ("prompt,num_output\na,1\nb,2\n", [(1, "num_output")]),
        ("prompt,aspect-ratio\na,1\n", [(1, "aspect-ratio")]),
        ("prompt,image_url\na,https://x.example/1\nb,https://x.example/1\n", [(1, "image_url")]),
        ("prompt,Prompt\na,b\nc,d\n", [(1, "Prompt")]),
        ("prompt,note,\na,b,\nc,d,e\n", [(3, None)]),
        ("sep=;\nprompt;prompt\na;b\n", [(2, None)]),
        ("prompt\n" + "x" * (LONGEST_LINE + 5) + "\na\n", [(2, None)]),
        ("x" * (LONGEST_LINE + 5), [(1, None)]),
        ("prompt\n" + "x" * 200_000 + "\na\n", [(2, None)]),
    ],
)
def test_a_fault_of_the_header_is_told_once(tmp_path: Path, table: str, found: object):
    error = refused(tmp_path / "t.csv", table)
    assert [(problem.line, problem.field) for problem in error.problems] == found


def test_a_column_of_another_model_matters_only_where_it_has_a_value(tmp_path: Path):
    table = "model,prompt,image_urls\n,a,\nphota-image-edit,b,https://x.example/1\n,c,nan\n"
    assert [request.model for _, request, _ in read(tmp_path / "m.csv", table)] == [
        "phota-image",
        "phota-image-edit",
        "phota-image",
    ]


FORMS = {
    "p.txt": PROMPTS,
    "p.jsonl": '{"prompt": "A fox"}\n{"prompt": "An owl"}\n{"prompt": "A #1 hare"}\n',
    "p.json": json.dumps(["A fox", "An owl", "A #1 hare"], indent=2),
    "p.csv": "prompt,note\nA fox,\nAn owl,\nA #1 hare,x\n",
}


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_each_format_may_be_compressed_and_in_each_encoding(
    tmp_path: Path, name: str, encoding: str
):
    path = tmp_path / name
    expected = read(path, FORMS[name])
    assert len(expected) == 3
    content = FORMS[name].encode(encoding)
    assert read(path, content) == expected
    packed = gzip.compress(content[:20]) + gzip.compress(content[20:])
    assert read(tmp_path / f"{name}.gz", packed) == expected
    if name != "p.txt":
        assert read(tmp_path / "unnamed", packed) == expected


@pytest.mark.parametrize("name", [name for name in FORMS if name != "p.txt"])
@pytest.mark.parametrize("wrong", ["p.txt", "p.csv", "p"])
def test_json_and_tables_are_not_billed_as_prompts_under_a_wrong_name(
    tmp_path: Path, name: str, wrong: str
):
    try:
        found = read(tmp_path / wrong, FORMS[name])
    except JobFileError as error:
        assert "--format" in str(error) or error.problems  # noqa: PT017
    else:
        assert [request.prompt for _, request, _ in found] == ["A fox", "An owl", "A #1 hare"]


@pytest.mark.parametrize(
    ("name", "head", "form"),
    [
        ("a.jsonl", '{"prompt": "a"}\n', "jsonl"),
        ("a.ndjson", "nope\n", "jsonl"),
        ("a.jsonl", '{"prompt": "a"\n{"prompt": "b"}\n', "jsonl"),
        ("a.jsonl", '[{"prompt": "a"}]', "json"),
        ("a.jsonl", "prompt,x\na,b\n", "csv"),
        ("a.json", '{"prompt": "a"}\n{"prompt": "b"}\n', "jsonl"),
        ("a.json", '{"prompt":\n "a"}\n', "json"),
        ("a.csv", '{"prompt": "a"}\n', "jsonl"),
        ("a.csv", '"prompt"\n"a"\n', "csv"),
        ("a.CSV.GZ", "a\n", "csv"),
        ("a.tab", "x\n", "csv"),
        ("a.txt", '{"prompt": "a"}\n', "jsonl"),
        ("a.txt", '"a fox", said the owl\nx\n', "txt"),
        ("a.txt", "[1girl, solo]\n", "txt"),
        ("a.txt", "fox; red; snow\nowl; grey\n", "txt"),
        ("-", '"a fox"\n"an owl"\n', "jsonl"),
        ("-", '"prompt"\n"an owl"\n', "csv"),
        ("-", "prompt\nan owl\n", "csv"),
        ("-", "key;Prompt\n1;an owl\n", "csv"),
        ("-", "sep=;\nText;x\n", "csv"),
        ("-", "a fox, red\nan owl\n", "txt"),
        ("-", '{"prompt": "' + "x" * 100, "jsonl"),
        ("-", "", "txt"),
    ],
)
def test_the_content_decides_where_the_name_does_not_tell(name: str, head: str, form: str):
    assert detect_format(name, head, FIELDS) == form


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("a.txt", "prompt,category\na,b\n"),
        ("a.txt", "Text\tCategory\na\tb\nc\td\n"),
        ("-", "Text;Category\na;b\nc;d\n"),
    ],
)
def test_a_text_that_may_be_a_table_is_refused(tmp_path: Path, name: str, head: str):
    with pytest.raises(UnclearFormatError, match="--format csv or --format txt"):
        detect_format(name, head, FIELDS)
    error = refused(tmp_path / name, head)
    assert error.field == "format"
    assert len(read(tmp_path / name, head, format="txt")) == head.count("\n")


@given(st.text(max_size=200), st.sampled_from(["a.txt", "a.json", "a.jsonl", "a.csv", "-"]))
def test_any_beginning_has_a_format_or_is_unclear(head: str, name: str):
    try:
        assert detect_format(name, head, FIELDS) in {"jsonl", "json", "csv", "txt"}
    except UnclearFormatError:
        assert name in {"a.txt", "-"}


@given(st.text(alphabet='ab,;\t"\n\r ', max_size=60))
@settings(max_examples=200)
def test_any_table_is_read_to_its_end_with_growing_numbers(text: str):
    rows = list(table_rows(io.StringIO("x\tprompt\n" + text, newline="")))
    numbers = [row.number for row in rows]
    assert numbers == sorted(set(numbers))


@pytest.mark.parametrize("name", ["a.csv", "a.xlsx", "a.txt", "a.jsonl"])
def test_a_file_of_another_program_is_named(tmp_path: Path, name: str):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as workbook:
        workbook.writestr("xl/workbook.xml", "prompt,category\na fox,animals\n")
    error = refused(tmp_path / name, packed.getvalue())
    assert "the file is a ZIP file, as Excel and LibreOffice write workbooks; save it as" in str(
        error
    )
    assert len(error.problems) == 1
    assert "compressed with xz" in str(refused(tmp_path / name, lzma.compress(b"a fox\n")))
    assert "bzip2" in str(refused(tmp_path / name, bz2.compress(b"a fox\n"), format="csv"))


@pytest.mark.parametrize("cut", [3, 12, 36])
def test_a_damaged_compressed_file_is_a_problem(tmp_path: Path, cut: int):
    packed = gzip.compress(b'{"prompt": "a"}\n' * 3)
    error = refused(tmp_path / "a.jsonl.gz", packed[:cut])
    assert [problem.line for problem in error.problems] == [1]
    assert "damaged" in str(error)
    broken = bytearray(packed)
    broken[15] ^= 255
    assert "damaged" in str(refused(tmp_path / "a.jsonl.gz", bytes(broken)))


def test_half_a_character_of_utf16_is_a_problem(tmp_path: Path):
    error = refused(tmp_path / "a.txt", "a fox\nan owl".encode("utf-16") + b"x")
    assert "utf-16" in str(error)
    assert refused(tmp_path / "b.txt", "a \ud83e fox".encode("utf-16", "surrogatepass")).problems


@pytest.mark.parametrize("name", [*FORMS, *(f"{name}.gz" for name in FORMS)])
def test_an_edit_is_noticed_and_an_appended_line_is_not_read(tmp_path: Path, name: str):
    path = tmp_path / name
    content = FORMS[name.removesuffix(".gz")].encode()
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    job = Job.read(path)
    with path.open("ab") as file:
        file.write(gzip.compress(b"A wren\n") if name.endswith(".gz") else b"A wren\n")
    assert len(list(job.lines())) == 3
    changed = content.replace(b"owl", b"emu")
    path.write_bytes(gzip.compress(changed) if name.endswith(".gz") else changed)
    with pytest.raises(JobFileError, match="was changed"):
        list(job.lines())
