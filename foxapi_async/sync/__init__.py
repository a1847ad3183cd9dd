"""The session for code that is not async: scripts, notebooks, Django views, Celery tasks.

with Session() as session:
    task = session.generate(PhotaImage("A fox in the snow"))
    paths = session.download(task, "out")

The names are those of `foxapi_async`, without ``await``. The calls run in one event loop, in a thread of
the session, and any number of threads may make them at once. An interrupt (Ctrl-C, and whatever else a
signal handler raises) ends a call only when a POST under way has been finished, so that the id of each
billed task is known.
"""

from foxapi_async.sync.handle import TaskHandle, TaskUpdates
from foxapi_async.sync.outcomes import OutcomeIterator
from foxapi_async.sync.session import Session

__all__ = ["OutcomeIterator", "Session", "TaskHandle", "TaskUpdates"]
