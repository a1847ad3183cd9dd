"""A worker in the manner of Celery's prefork pool: jobs from a queue, a session for each process.

FOXAPI_API_KEY=sk-… python examples/worker.py out "a fox" "a wolf"

With Celery, call `open_session` in a handler of ``worker_process_init`` and ``close`` in one of
``worker_process_shutdown``, and make `generate` a task. The id of the Celery task is a good key: it is the same when
Celery delivers the task again (``acks_late``), and the journal, which all processes share, then returns the task that
was paid for instead of submitting another. The soft time limit ends `generate` only when the id of its task is known.
"""

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from foxapi_async import PhotaImage
from foxapi_async.sync import Session

_session: Session | None = None


def open_session(folder: Path) -> None:
    """Open the session of this process: after the fork, because a thread does not survive one."""
    global _session  # noqa: PLW0603 - one for the process, as Celery's signals have it
    _session = Session(journal=folder / "journal.db").open()


def generate(key: str, prompt: str, folder: Path) -> list[str]:
    """Carry out one job; the same key is paid for once, however often it is delivered."""
    assert _session is not None, "open_session was not called in this process"
    task = _session.generate(PhotaImage(prompt), key=key)
    return [str(path) for path in _session.download(task, folder, name=key)]


def main(folder: Path, prompts: list[str]) -> None:
    """Have two processes carry out the jobs; each is delivered twice, as a queue may do it."""
    folder.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, context, open_session, (folder,)) as pool:
        jobs = [
            pool.submit(generate, f"job-{number}", prompt, folder)
            for number, prompt in enumerate(prompts)
            for _ in range(2)
        ]
        for job in jobs:
            print(*job.result())


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
