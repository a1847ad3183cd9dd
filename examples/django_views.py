"""Django: submit in one request, ask for the picture in another. A whole site in one file.

FOXAPI_API_KEY=sk-… python examples/django_views.py runserver --noreload
curl -d "prompt=a fox" -d "key=order-1" localhost:8000/pictures
curl localhost:8000/pictures/TASK_ID -o fox.png

The views are ordinary ones, in threads; one session serves all threads of a process.
"""

import os
import sys
import threading

import django
from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.http import require_GET, require_POST

from foxapi_async import (
    FoxAPIError,
    InvalidRequestError,
    PhotaImage,
    SubmissionUnknownError,
    TaskTimeoutError,
)
from foxapi_async.sync import Session

_sessions: list[Session] = []
_lock = threading.Lock()


def session() -> Session:
    """Return the session of this process, which is opened by the first request and so after any fork."""
    with _lock:
        if not _sessions:
            _sessions.append(Session(journal=os.environ.get("FOXAPI_JOURNAL", "site.db")).open())
        return _sessions[0]


@require_POST
def submit(request: HttpRequest) -> JsonResponse:
    """Submit a prompt; the same key, such as the number of an order, is paid for once."""
    try:
        picture = PhotaImage(request.POST.get("prompt", ""))
        handle = session().submit(picture, key=request.POST.get("key"))
    except InvalidRequestError as error:
        return JsonResponse({"error": str(error)}, status=400)
    except SubmissionUnknownError as error:
        # It may be paid for: the caller must not simply repeat it. See docs/faults.md.
        return JsonResponse({"error": str(error), "unknown": True}, status=502)
    except FoxAPIError as error:
        return JsonResponse({"error": str(error)}, status=503)
    return JsonResponse({"task_id": handle.id}, status=202)


@require_GET
def picture(_: HttpRequest, task_id: str) -> HttpResponse:
    """Return the picture of a task, or 202 while it is not there."""
    try:
        task = session().attach(task_id).wait(timeout=20)
        return HttpResponse(session().read(task.outputs[0]), content_type="image/png")
    except TaskTimeoutError:
        return JsonResponse({"task_id": task_id}, status=202)
    except FoxAPIError as error:
        return JsonResponse({"error": str(error)}, status=502)


urlpatterns = [path("pictures", submit), path("pictures/<str:task_id>", picture)]

if not settings.configured:
    settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="an example")  # noqa: S106
    django.setup()

if __name__ == "__main__":
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
