"""`foxapi doctor`: the findings of a checkup, for a person or a program."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from foxapi_async.cli import interrupt
from foxapi_async.cli.checkup import gather
from foxapi_async.cli.diagnosis import Finding, Grade, diagnose
from foxapi_async.cli.exits import Exit, gravest
from foxapi_async.cli.screen import Screen

__all__ = ["run_doctor"]

_MARKS: Final = {Grade.GOOD: "ok", Grade.NOTE: "note", Grade.BAD: "BAD", Grade.UNKNOWN: "?"}


def run_doctor(screen: Screen, key_file: Path | None, base_url: str | None) -> Exit:
    """Check what can be checked for free, and print what was found."""
    findings = diagnose(interrupt.run(gather(key_file, base_url)))
    code = gravest(finding.code for finding in findings)
    for finding in findings:
        screen.result(f"{_MARKS[finding.grade]:<5} {finding.subject:<13} {finding.words}")
    screen.document(
        {"findings": [_as_json(finding) for finding in findings], "exit_code": int(code)}
    )
    screen.say("nothing was billed" if code is Exit.OK else "nothing was billed; see what is BAD")
    return code


def _as_json(finding: Finding) -> dict[str, object]:
    return {
        "subject": finding.subject,
        "grade": finding.grade.value,
        "words": finding.words,
        "exit_code": int(finding.code),
    }
