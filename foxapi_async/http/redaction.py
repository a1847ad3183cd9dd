"""Removes the API key from what a server says, however it was escaped.

The texts of a server end up in errors, logs, events and journals. A server may quote the key as it is,
in JSON escapes, percent-encoded, in HTML entities, or in UTF-16.
"""

from __future__ import annotations

import html
import re
from functools import cached_property
from typing import Final

REPLACEMENT: Final = "[API key]"

_SHORTEST_SECRET: Final = 8
"""Shorter keys, which are not real ones, may occur in an id or a URL by chance."""


class Redactor:
    """Replaces one API key in texts and bodies."""

    def __init__(self, secret: str) -> None:
        self._is_secret = len(secret) >= _SHORTEST_SECRET
        self._secret = secret
        escapes = _escapes_of(secret)
        self._escape = re.compile(escapes)
        self.escape: re.Pattern[bytes] = re.compile(escapes.encode())
        """Found in every body in which a character of the key is escaped; a search costs little."""

    def text(self, text: str) -> str:
        """Return the text without the key."""
        if not self._is_secret:
            return text
        if not (self._secret in text or "\0" in text or self._escape.search(text)):
            return text
        return self._pattern.sub(REPLACEMENT, text)

    def cut_text(self, text: str) -> str:
        """Return the beginning of a longer text without the key, nor a part of it at the end."""
        text = self.text(text)
        for length in range(len(self._secret) - 1, _SHORTEST_SECRET - 1, -1):
            if text.endswith(self._secret[:length]):
                return text[:-length] + REPLACEMENT
        return text

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        # A NUL between two characters is what UTF-16 looks like to a reader of UTF-8.
        return re.compile(r"\0*".join(map(_forms_of, self._secret)))


def _forms_of(character: str) -> str:
    """Return a pattern for a character and its escapes; an escape may be escaped once more."""
    return rf"(?:{re.escape(character)}|{_escapes_of(character)})"


def _escapes_of(characters: str) -> str:
    """Return a pattern for the escapes of all characters.

    Each alternative begins with a literal: only then `re` skips fast over a text without them. Runs of
    backslashes, which a text may consist of, are bounded: otherwise the time would grow with their square.
    """
    numbers = {ord(character) for character in characters}
    code = f"(?i:{'|'.join(f'{number:02x}' for number in numbers)})"
    decimal = "|".join(map(str, numbers))
    forms = [
        rf"%(?:25)*{code}",
        rf"\\\\{{0,15}}(?:u0025(?:25)*|u00|u\{{0*|x){code}\}}?",
        rf"&(?:amp;)*#(?:0*(?:{decimal})|[xX]0*{code});",
    ]
    for character in set(characters):
        if character in '"\\/':
            forms.append(rf"\\\\{{0,15}}{re.escape(character)}")
        if (named := html.escape(character)) != character:
            forms.append(re.escape(named))
    return "|".join(forms)
