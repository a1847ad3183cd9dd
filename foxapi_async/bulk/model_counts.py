"""What of each model a run may submit. Pure."""

from __future__ import annotations

from typing import Final

import attrs

_MODELS: Final = 100  # Models that are counted by name


@attrs.frozen(kw_only=True)
class ModelCounts:
    """The requests of one model that may be submitted; what ends in ``_outputs`` counts their images."""

    model: str
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
        self._counts: dict[str, dict[str, list[int]]] = {}

    def add(self, model: str, step: str, outputs: int) -> None:
        """Count a request; ``step`` is the name of a count of `ModelCounts`."""
        steps = self._counts.get(model)
        if steps is None:
            name = model if len(self._counts) < _MODELS else ""
            steps = self._counts.setdefault(name, {})
        count = steps.setdefault(step, [0, 0])
        count[0] += 1
        count[1] += outputs

    def counts(self) -> tuple[ModelCounts, ...]:
        """Return the counts; models beyond the first 100 are together in one without a name."""
        return tuple(
            ModelCounts(
                model=model,
                **{step: requests for step, (requests, _) in steps.items()},
                **{f"{step}_outputs": outputs for step, (_, outputs) in steps.items()},
            )
            for model, steps in self._counts.items()
        )
