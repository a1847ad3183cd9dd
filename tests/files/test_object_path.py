"""Paths of objects: URLs as text, otherwise like paths of files, and never taken for one."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxapi_async import ConfigurationError, ObjectPath
from foxapi_async.files.object_path import destination


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/", "s3://bucket"),
        ("s3://bucket/a/b/", "s3://bucket/a/b"),
        ("S3://bucket//a/./b", "s3://bucket/a/b"),
        (Path("gs://bucket/a"), "gs://bucket/a"),
        ("az://container/ü b#%", "az://container/ü b#%"),
        (ObjectPath("s3://bucket/a"), "s3://bucket/a"),
    ],
)
def test_a_url_is_a_destination(given, text):
    place = destination(given)
    assert isinstance(place, ObjectPath)
    assert str(place) == text
    assert f"{text}/fox.png" == str(place / "fox.png") == f"{place / 'fox.png'}"


@pytest.mark.parametrize("given", ["out", "/tmp/out", Path("a/s3:/b"), "a:b/c", "foo:/bar", "c:/x"])
def test_everything_else_is_a_folder(given):
    assert destination(given) == Path(given)
    assert not isinstance(destination(given), ObjectPath)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://bucket/a", "begins with http://, only under s3://, gs:// and az://"),
        ("gcs://bucket/a", "write gs://"),
        ("s3://", "does not name a bucket"),
        ("s3:///a", "does not name a bucket"),
        ("s3://key:secret@bucket/a", "does not name a bucket"),
        ("s3://bucket/a/../b", "'[.][.]'"),
        ("az://container/a?sig=secret", "'[?]'"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_its_secrets(url, words):
    with pytest.raises(ConfigurationError, match=words) as caught:
        destination(url)
    assert "secret" not in str(caught.value)


def test_it_is_a_path_but_not_of_a_file():
    path = ObjectPath("s3://bucket/a/fox.png")
    assert isinstance(path, Path)
    assert (path.scheme, path.bucket, path.key) == ("s3", "bucket", "a/fox.png")
    assert (path.name, path.stem, path.suffix) == ("fox.png", "fox", ".png")
    assert [str(each) for each in path.parents[:2]] == ["s3://bucket/a", "s3://bucket"]
    assert str(path.with_name("b.png")) == "s3://bucket/a/b.png"
    assert repr(path) == "ObjectPath('s3://bucket/a/fox.png')"
    assert str(path.relative_to(ObjectPath("s3://bucket"))) == "a/fox.png"
    again = pickle.loads(pickle.dumps(path))
    assert (again, str(again), type(again)) == (path, str(path), ObjectPath)
    for use in (os.fspath, Path.read_bytes, Path.exists, Path.stat, os.listdir):
        with pytest.raises(TypeError, match=r"s3://bucket/a/fox\.png is an object in a store"):
            use(path)


@given(st.text(max_size=40))
def test_any_text_is_a_folder_a_url_or_an_error(text):
    for url in (text, f"s3://{text}", f"s3://bucket/{text}"):
        try:
            place = destination(url)
        except ConfigurationError:
            continue
        if isinstance(place, ObjectPath):
            assert destination(str(place)) == place
            assert ".." not in place.parts
        else:
            assert url == text
