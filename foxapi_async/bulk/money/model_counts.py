"""What of each model a run may submit. Pure."""

from __future__ import annotations

from typing import Final

import attrs

from foxapi_async.phota import PhotaImage, PhotaImageEdit
from foxapi_async.requests import Request

_MODELS: Final = 100  # Models that are counted by name


@attrs.frozen(kw_only=True)
class ModelCounts:
    """The requests of one model that may be submitted; what ends in ``_outputs`` counts their images."""

    model: str
    is_double: bool = False
    """Whether these are the requests in 4K, which cost twice as much."""

    submit: int = 0
    submit_outputs: int = 0
    failed: int = 0
    failed_outputs: int = 0
    unknown: int = 0
    unknown_outputs: int = 0

    def to_submit(self, *, retry_failed: bool = False, retry_unknown: bool = False) -> int:
        """Return how many requests would be submitted with these options."""
        return self.submit + self.failed * retry_failed + self.unknown * retry_unknown

    def outputs_to_submit(self, *, retry_failed: bool = False, retry_unknown: bool = False) -> int:
        """Return how many images would be billed with these options."""
        failed, unknown = self.failed_outputs, self.unknown_outputs
        return self.submit_outputs + failed * retry_failed + unknown * retry_unknown


class ModelTally:
    """Counts requests by model and by what is to be done for them, in bounded memory."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, bool], dict[str, list[int]]] = {}

    def add(self, request: Request, step: str) -> None:
        """Count a request; ``step`` is the name of a count of `ModelCounts`."""
        outputs = request.num_outputs
        # FoxAPI documents it of these two models only.
        is_double = isinstance(request, PhotaImage | PhotaImageEdit) and request.resolution == "4K"
        kind = request.model, is_double
        steps = self._counts.get(kind)
        if steps is None:
            kind = kind if len(self._counts) < _MODELS else ("", False)
            steps = self._counts.setdefault(kind, {})
        count = steps.setdefault(step, [0, 0])
        count[0] += 1
        count[1] += outputs

    def counts(self) -> tuple[ModelCounts, ...]:
        """Return the counts, those in 4K apart; beyond the first 100 all are in one without a name."""
        return tuple(
            ModelCounts(
                model=model,
                is_double=is_double,
                **{step: requests for step, (requests, _) in steps.items()},
                **{f"{step}_outputs": outputs for step, (_, outputs) in steps.items()},
            )
            for (model, is_double), steps in self._counts.items()
        )
