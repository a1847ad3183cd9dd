"""The asyncio-first Python SDK for FoxAPI.

async with Session() as session:
    task = await session.generate(PhotaImage("A fox in the snow", num_outputs=2))
    paths = await session.download(task, "out")
"""

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
from foxapi_async.handle import TaskHandle
from foxapi_async.journal import Journal
from foxapi_async.models import Output, Task, TaskError, TaskInfo, TaskStatus, UploadedFile
from foxapi_async.options import Limits, Polling, Retry, Timeout
from foxapi_async.outcome import Outcome
from foxapi_async.phota import PhotaCreateProfile, PhotaImage, PhotaImageEdit, PhotaImageEnhance
from foxapi_async.requests import GenerationRequest, Request
from foxapi_async.session import Session
from foxapi_async.tally import Statistics

__all__ = [
    "APIConnectionError",
    "APIStatusError",
    "APITimeoutError",
    "AuthenticationError",
    "BadRequestError",
    "BudgetExceededError",
    "ConfigurationError",
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
    "RateLimitError",
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
