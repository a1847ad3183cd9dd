"""Addresses of journals: without the password, and the way back to the same server."""

from __future__ import annotations

import pytest

from foxapi_async import ConfigurationError
from foxapi_async.journal import Journal, PostgresJournal, journal_at

pytest.importorskip("psycopg")


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://u:p@h/db", "postgresql://u@h/db"),
        ("postgres://u:p%40@h:5433/db#night", "postgresql://u@h:5433/db#night"),
        ("postgresql://u:a#b@h/db", "postgresql://u@h/db"),
        ("postgresql://a:1,b:2/db", "postgresql://a:1,b:2/db"),
        ("postgresql://a,b/db?port=7", "postgresql://a:7,b:7/db"),
        ("postgresql://%2Frun%2Fpg/db", "postgresql://%2Frun%2Fpg/db"),
        ("postgresql://u@[::1]:5/db", "postgresql://u@[::1]:5/db"),
        ("postgresql://u%40x@h/a%2Fb", "postgresql://u%40x@h/a%2Fb"),
        (
            "postgresql://h/db?sslmode=verify-full&sslpassword=p&password=p&user=u",
            "postgresql://u@h/db?sslmode=verify-full",
        ),
        ("postgresql:///db?service=foxes", "postgresql:///db?service=foxes"),
    ],
)
def test_an_address_is_shown_without_its_password_and_leads_back(address: str, shown: str):
    journal = journal_at(address)
    assert journal.address == shown
    assert journal_at(shown).address == shown


@pytest.mark.parametrize("name", ["a#b", "a@b", "50 %", "für/uns?"])
def test_a_name_with_any_character_leads_back(name: str):
    journal = PostgresJournal("postgresql://u:p@h/db", name=name)
    back = journal_at(journal.address)
    assert isinstance(back, PostgresJournal)
    assert back.name == name


@pytest.mark.parametrize(
    "address", ["mysql://u:pw@h/db", "postgresql:/u:pw@h/db", "host=h dbname=d password=pw"]
)
def test_what_is_neither_file_nor_server_is_refused_without_being_shown(address: str):
    with pytest.raises(ConfigurationError, match="neither the path of a file") as caught:
        journal_at(address)
    assert "pw" not in str(caught.value)


def test_a_path_is_a_file(tmp_path):
    assert journal_at(str(tmp_path / "j.sqlite")).address == str(tmp_path / "j.sqlite")
    assert isinstance(journal_at("C:/jobs/j.sqlite"), Journal)


@pytest.mark.parametrize(
    "address",
    [
        " postgresql://u@h/d",
        "postgresql://u@h/d\n",
        "\ufeffpostgresql://u@h/d",
        "\tPostgres://u@h/d \r\n",
    ],
)
def test_what_a_file_or_a_variable_has_around_an_address_does_not_count(address: str):
    assert journal_at(address).address.endswith("postgresql://u@h/d")


@pytest.mark.parametrize(
    "address",
    [
        *("'postgresql://u:secret@h/d'", '"postgresql://u:secret@h/d"', "postgres:u:secret@h/d"),
        *("postgresql//u:secret@h/d", "postgresql:", " 'mysql://u:secret@h/d'"),
    ],
)
def test_a_misspelt_address_is_not_taken_for_a_file(address: str):
    with pytest.raises(ConfigurationError, match="neither the path of a file") as caught:
        journal_at(address)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("path", ["postgres/journal.sqlite", "postgres.sqlite", "C:/jobs.db", " x"])
def test_a_path_that_only_resembles_an_address_is_a_path(path: str):
    assert isinstance(journal_at(path), Journal)
