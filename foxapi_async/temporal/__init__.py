"""Generate images with workers on many machines, moved by Temporal; the extra is [temporal].

async with Session(journal="postgresql://...") as session:
    await SessionWorker(client, session, task_queue="foxapi", directory="out").run()

The journal makes it safe: an activity that is run again finds its key there and pays nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from foxapi_async.errors import ConfigurationError

__all__ = [
    "Activities",
    "Batch",
    "GenerateImages",
    "Generation",
    "GenerationResult",
    "GenerationRun",
    "SessionWorker",
    "TemporalEngine",
    "connect",
    "generate",
    "generate_images",
]

try:
    import temporalio as _temporalio
except ModuleNotFoundError as _error:
    if _error.name != "temporalio":
        raise
    raise ConfigurationError(
        "foxapi_async.temporal needs the package temporalio: pip install 'foxapi-async[temporal]'"
    ) from _error

del _temporalio

# Names are loaded on first use: a module with workflows, which Temporal loads again in its sandbox,
# needs neither aiohttp nor the journal.
if TYPE_CHECKING:
    from foxapi_async.temporal.activities import Activities
    from foxapi_async.temporal.client import GenerationRun, generate_images
    from foxapi_async.temporal.connection import connect
    from foxapi_async.temporal.job_engine import TemporalEngine
    from foxapi_async.temporal.messages import Batch, Generation, GenerationResult
    from foxapi_async.temporal.worker import SessionWorker
    from foxapi_async.temporal.workflows import GenerateImages, generate
else:
    _HOMES = {
        "Activities": "activities",
        "Batch": "messages",
        "GenerateImages": "workflows",
        "Generation": "messages",
        "GenerationResult": "messages",
        "GenerationRun": "client",
        "SessionWorker": "worker",
        "TemporalEngine": "job_engine",
        "connect": "connection",
        "generate": "workflows",
        "generate_images": "client",
    }

    def __getattr__(name: str) -> object:
        if name in _HOMES:
            value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
            globals()[name] = value
            return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
