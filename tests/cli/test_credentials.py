"""Where the key comes from, and warnings about its source."""

from __future__ import annotations

import os

import pytest

from foxapi_async.cli.credentials import find_key, key_option_in
from foxapi_async.errors import ConfigurationError


def test_the_first_source_wins(tmp_path):
    given = _file(tmp_path / "given", "sk-given")
    named = _file(tmp_path / "named", "sk-named")
    (tmp_path / "foxapi").mkdir()
    _file(tmp_path / "foxapi" / "key", "sk-default")
    everything = {
        "FOXAPI_API_KEY": "sk-environment",
        "FOXAPI_API_KEY_FILE": str(named),
        "XDG_CONFIG_HOME": str(tmp_path),
    }
    assert find_key(given, everything).value == "sk-given"
    assert find_key(None, everything).value == "sk-environment"
    del everything["FOXAPI_API_KEY"]
    assert find_key(None, everything).value == "sk-named"
    del everything["FOXAPI_API_KEY_FILE"]
    assert find_key(None, everything).value == "sk-default"


def test_the_default_file_is_in_the_home_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".config" / "foxapi").mkdir(parents=True)
    _file(tmp_path / ".config" / "foxapi" / "key", "sk-home\n")
    assert find_key(None, {}).value == "sk-home"


@pytest.mark.skipif(os.name != "posix", reason="POSIX file modes")
def test_a_key_file_that_other_users_can_read_causes_a_warning(tmp_path):
    path = _file(tmp_path / "key", "sk-x")
    assert find_key(path, {}).warnings == ()
    path.chmod(0o640)
    (warning,) = find_key(path, {}).warnings
    assert f"chmod 600 {path}" in warning


@pytest.mark.parametrize("content", ["", " \n", "sk-one sk-two", "x" * 5000, "\xff\xfe"])
def test_a_file_that_is_not_a_key_file_is_refused(tmp_path, content):
    path = tmp_path / "key"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(ConfigurationError, match="key"):
        find_key(path, {})


def test_without_a_key_the_error_names_its_sources(tmp_path):
    with pytest.raises(ConfigurationError, match="FOXAPI_API_KEY"):
        find_key(None, {"XDG_CONFIG_HOME": str(tmp_path)})
    with pytest.raises(ConfigurationError, match="cannot be read"):
        find_key(tmp_path / "missing", {"FOXAPI_API_KEY": "sk-x"})


def test_the_repr_of_a_key_does_not_contain_it(tmp_path):
    assert "secret" not in repr(find_key(None, {"FOXAPI_API_KEY": "sk-secret"}))


def test_a_key_passed_as_an_argument_is_noticed_anywhere():
    assert key_option_in(["generate", "x", "--api-key", "sk-x"]) == "--api-key"
    assert key_option_in(["--api-key=sk-x", "doctor"]) == "--api-key"
    assert key_option_in(["generate", "--", "--api-key"]) is None
    assert key_option_in(["generate", "--key-file", "x"]) is None


def _file(path, text):
    path.write_text(text)
    path.chmod(0o600)
    return path
