"""Notes of a run: each cause once, with the number of lines that it concerns."""

from __future__ import annotations

from foxapi_async.bulk.results.run_notes import RunNotes


def test_each_cause_is_told_once():
    notes = RunNotes()
    notes.add("the table cannot be written")
    notes.add("no room", 3)
    assert notes.texts() == ("the table cannot be written", "line 3: no room")
    notes.add("no room", 7)
    assert notes.texts()[1] == "no room (2 times, the first at line 3)"


def test_texts_that_differ_each_time_do_not_fill_the_memory():
    notes = RunNotes()
    for number in range(1000):
        notes.add(f"cause {number}", number)
    assert len(notes.texts()) == 21
