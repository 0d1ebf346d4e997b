"""Answers of a terminal to a question that is no longer waited for: taken out of what is typed."""

from __future__ import annotations

import re
from collections.abc import Iterable

from textual._xterm_parser import XTermParser
from textual.message import Message

_ANSWER = re.compile(r"\x1b_G[^\x1b]*\x1b\\|\x1b\[6;\d{1,4};\d{1,4}t|\x1b\[\?[\d;]*c")
"""What `flowtui.tui.draw.probe.QUESTION` is answered with."""
_BEGUN = re.compile(r"\x1b(_G[^\x1b]{0,64}\x1b?|\[\?[\d;]{0,64}|\[6;[\d;]{0,9})\Z")
"""The beginning of an answer, as far as it can be no key that somebody has pressed."""


class KeysAlone(XTermParser):
    """Reads keys as Textual does, which takes every character of a late answer for one."""

    def __init__(self, debug: bool = False) -> None:
        super().__init__(debug)
        self._held = ""

    def feed(self, data: str) -> Iterable[Message]:
        """Feeds what has been read."""
        if not data:
            # The end of the input: nothing else may be said like that.
            return super().feed(data)
        text = _ANSWER.sub("", self._held + data)
        begun = _BEGUN.search(text)
        self._held = begun[0] if begun else ""
        text = text[: begun.start()] if begun else text
        return super().feed(text) if text else ()
