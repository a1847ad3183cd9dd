"""The exit of a process that has used a store."""

from __future__ import annotations

import _thread
import time

from foxapi_async.files import store_exit


def test_foreign_threads_end_their_work_with_python_first(monkeypatch):
    ended = []

    def work() -> None:
        time.sleep(0.2)
        ended.append(True)

    _thread.start_new_thread(work, ())  # unknown to `threading`, as those of obstore are
    store_exit.settle()
    assert ended


def test_a_thread_that_does_not_end_holds_the_exit_up_for_a_bounded_time(monkeypatch):
    monkeypatch.setattr(store_exit, "_LONGEST", 0.1)
    lock = _thread.allocate_lock()
    lock.acquire()
    _thread.start_new_thread(lock.acquire, ())
    store_exit.settle()
    lock.release()
