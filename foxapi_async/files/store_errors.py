"""What an error of an object store means: whether to try again, and what to tell the user. Pure."""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

import attrs

_STATUS: Final = re.compile(r"status code: (\d{3})")
_CODE: Final = re.compile(r"<Code>([A-Za-z0-9.]{1,64})</Code>")
_WITHOUT_CREDENTIALS: Final = (
    "://169.254.",
    "://metadata.google.",
    "://[fd00:ec2::254]",
    "Account must be specified",
)
"""Signs that there are none: the client has asked the metadata server of a virtual machine."""

_REFUSALS: Final = {
    "incorrectly configured region": "the bucket is in another region than the one that is set; set "
    "AWS_REGION",
    "builder error": "the address of the store is not HTTPS; set AWS_ALLOW_HTTP=true if that is meant",
    "Could not parse path": "the store's client does not take this name of an object",
}
_TRANSIENT_STATUSES: Final = frozenset({408, 409, 425, 429})
_NOT_IMPLEMENTED: Final = 501
_TRANSIENT_CODES: Final = frozenset({"RequestTimeout", "SlowDown", "InternalError", "ServerBusy"})
_CREDENTIALS: Final = {
    "s3": "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}


class StoreAnswer(Enum):
    """What kind of answer an error of a store is."""

    EXISTS = "exists"
    MISSING = "missing"
    DENIED = "denied"
    TRANSIENT = "transient"
    REFUSED = "refused"


_BY_CLASS: Final = {
    "AlreadyExistsError": StoreAnswer.EXISTS,
    "PermissionDeniedError": StoreAnswer.DENIED,
    "UnauthenticatedError": StoreAnswer.DENIED,
}


@attrs.frozen
class StoreFault:
    """An error of a store: its kind, and the reason in words, which never contain credentials."""

    answer: StoreAnswer
    reason: str


def classify(error: Exception, scheme: str, bucket: str) -> StoreFault:
    """Return what an error of obstore means for a request to a bucket.

    Only the status and the code of an answer are shown: its text may repeat credentials.
    """
    text = str(error).partition("\n\nDebug source:")[0]
    found, code = _STATUS.search(text), _CODE.search(text)
    status = int(found[1]) if found else None
    said = f"HTTP {status} {code[1]}" if code else f"HTTP {status}"
    variables = _CREDENTIALS[scheme]
    if any(place in text for place in _WITHOUT_CREDENTIALS):
        answer = StoreAnswer.TRANSIENT if status is None else StoreAnswer.DENIED
        return StoreFault(answer, f"no credentials for {scheme}:// were found; set {variables}")
    reasons = {
        StoreAnswer.EXISTS: f"the store says that it exists already ({said})",
        StoreAnswer.MISSING: f"the bucket {bucket!r} does not exist ({said}); check its name and the region",
        StoreAnswer.DENIED: f"the store denied access to the bucket {bucket!r} ({said}); check {variables}, "
        "and that they allow reading and writing there",
        StoreAnswer.TRANSIENT: f"the store answered {said}"
        if status
        else "the store cannot be reached, or cut the connection",
        StoreAnswer.REFUSED: next(
            (reason for sign, reason in _REFUSALS.items() if sign in text),
            f"the store refused the request ({said})",
        ),
    }
    answer = _answer_of(error, text, status, code[1] if code else None)
    return StoreFault(answer, reasons[answer])


def _answer_of(error: Exception, text: str, status: int | None, code: str | None) -> StoreAnswer:
    if isinstance(error, FileNotFoundError):
        return StoreAnswer.MISSING
    if (known := _BY_CLASS.get(type(error).__name__)) is not None:
        return known
    if any(sign in text for sign in _REFUSALS):
        return StoreAnswer.REFUSED
    is_transient = (
        status is None
        or code in _TRANSIENT_CODES
        or status in _TRANSIENT_STATUSES
        or (status >= 500 and status != _NOT_IMPLEMENTED)  # noqa: PLR2004
    )
    return StoreAnswer.TRANSIENT if is_transient else StoreAnswer.REFUSED
