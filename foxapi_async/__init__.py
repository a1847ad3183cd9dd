"""The asyncio-first Python SDK for FoxAPI.

async with Session() as session:
    task = await session.generate(PhotaImage("A fox in the snow", num_outputs=2))
    paths = await session.download(task, "out")
"""

from importlib import import_module
from typing import TYPE_CHECKING

__all__ = [
    "APIConnectionError",
    "APIStatusError",
    "APITimeoutError",
    "AuthenticationError",
    "BadRequestError",
    "Balance",
    "BudgetExceededError",
    "ConfigurationError",
    "Credits",
    "DownloadError",
    "Event",
    "FoxAPIError",
    "GenerationRequest",
    "InsufficientQuotaError",
    "InvalidRequestError",
    "InvalidResponseError",
    "JobFileError",
    "Journal",
    "Limits",
    "NotFoundError",
    "ObjectPath",
    "Outcome",
    "Output",
    "OutputExpiredError",
    "PayloadTooLargeError",
    "PermissionDeniedError",
    "PhotaCreateProfile",
    "PhotaImage",
    "PhotaImageEdit",
    "PhotaImageEnhance",
    "Polling",
    "PostgresJournal",
    "RateLimitError",
    "RawResponse",
    "Request",
    "Retry",
    "ServerError",
    "Session",
    "SessionClosedError",
    "Statistics",
    "SubmissionUnknownError",
    "Task",
    "TaskCancelledError",
    "TaskError",
    "TaskFailedError",
    "TaskHandle",
    "TaskInfo",
    "TaskOutcomeError",
    "TaskStatus",
    "TaskTimeoutError",
    "Timeout",
    "UnprocessableEntityError",
    "UploadedFile",
]

# Names are loaded on first use, so that importing errors or requests does not load aiohttp. Type
# checkers and editors read the imports, Python reads the table.
if TYPE_CHECKING:
    from foxapi_async.errors import (
        APIConnectionError,
        APIStatusError,
        APITimeoutError,
        AuthenticationError,
        BadRequestError,
        BudgetExceededError,
        ConfigurationError,
        DownloadError,
        FoxAPIError,
        InsufficientQuotaError,
        InvalidRequestError,
        InvalidResponseError,
        JobFileError,
        NotFoundError,
        OutputExpiredError,
        PayloadTooLargeError,
        PermissionDeniedError,
        RateLimitError,
        ServerError,
        SessionClosedError,
        SubmissionUnknownError,
        TaskCancelledError,
        TaskFailedError,
        TaskOutcomeError,
        TaskTimeoutError,
        UnprocessableEntityError,
    )
    from foxapi_async.events import Event
    from foxapi_async.files.object_path import ObjectPath
    from foxapi_async.handle import TaskHandle
    from foxapi_async.journal import Journal, PostgresJournal
    from foxapi_async.models import (
        Balance,
        Credits,
        Output,
        RawResponse,
        Task,
        TaskError,
        TaskInfo,
        TaskStatus,
        UploadedFile,
    )
    from foxapi_async.options import Limits, Polling, Retry, Timeout
    from foxapi_async.outcome import Outcome
    from foxapi_async.phota import PhotaCreateProfile, PhotaImage, PhotaImageEdit, PhotaImageEnhance
    from foxapi_async.requests import GenerationRequest, Request
    from foxapi_async.session import Session
    from foxapi_async.statistics import Statistics
else:
    _MODULES = {
        "events": ["Event"],
        "files.object_path": ["ObjectPath"],
        "handle": ["TaskHandle"],
        "journal": ["Journal", "PostgresJournal"],
        "models": [
            "Balance",
            "Credits",
            "Output",
            "RawResponse",
            "Task",
            "TaskError",
            "TaskInfo",
            "TaskStatus",
            "UploadedFile",
        ],
        "options": ["Limits", "Polling", "Retry", "Timeout"],
        "outcome": ["Outcome"],
        "phota": ["PhotaCreateProfile", "PhotaImage", "PhotaImageEdit", "PhotaImageEnhance"],
        "requests": ["GenerationRequest", "Request"],
        "session": ["Session"],
        "statistics": ["Statistics"],
    }
    """The names that are not errors, by module."""

    _HOMES = {name: module for module, names in _MODULES.items() for name in names}

    def __getattr__(name: str) -> object:
        if name in __all__:
            value = getattr(import_module(f"{__name__}.{_HOMES.get(name, 'errors')}"), name)
            globals()[name] = value
            return value
        if name == "errors" or name in _MODULES:  # as attributes, without an import of theirs
            return import_module(f"{__name__}.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__} - {"TYPE_CHECKING", "import_module"})
