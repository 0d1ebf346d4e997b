"""Every error flowtui raises on purpose, and the exit code each ends the command with.

FlowtuiError (1)
├── UsageError (2)          an option, an argument or a value that cannot be meant
├── RunFileError (3)        a run file that is damaged, hostile or not a run file
├── CacheError (4)          the cache folder cannot be used (the explorer goes on without it)
├── ModelError (5)          a model that cannot be found, loaded or trusted with numbers
│   └── UnsupportedModelError (5)  loaded, but its structure is not one the engine can take apart
├── EngineError (6)         the engine process failed or went away
│   ├── ProtocolError (6)   a frame that is malformed, too large or unknown
│   ├── LineError (6)       the line to another machine cannot be made, or was lost
│   └── OutOfMemoryError (7)  with needed and free bytes in the message
├── CheckFailedError (8)    a check ran and its numbers were not good enough
└── CancelledError (130)    the user cancelled

A message says what happened; the hint says what to do about it. Neither ever holds a traceback.
"""

from __future__ import annotations


class FlowtuiError(Exception):
    """Base of all errors shown to a user.

    Attributes:
        message: What happened, one sentence, names included.
        hint: What to do, or "".
        exit_code: Exit code of the command that it ends.
        kind: The class's name; travels over the engine protocol.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    @property
    def kind(self) -> str:
        """The name this error has in the engine protocol."""
        return type(self).__name__

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class UsageError(FlowtuiError):
    """An option, an argument or a value that cannot be meant."""

    exit_code = 2


class RunFileError(FlowtuiError):
    """A run file that is damaged, hostile or not a run file."""

    exit_code = 3


class CacheError(FlowtuiError):
    """The cache cannot be used."""

    exit_code = 4


class ModelError(FlowtuiError):
    """A model that cannot be found, loaded or trusted with numbers."""

    exit_code = 5


class UnsupportedModelError(ModelError):
    """A model whose structure the engine cannot take apart; the message says what was found."""


class EngineError(FlowtuiError):
    """The engine process failed or went away."""

    exit_code = 6


class ProtocolError(EngineError):
    """A frame that is malformed, too large or unknown."""


class LineError(EngineError):
    """The line to an engine on another machine cannot be made, or was lost."""


class OutOfMemoryError(EngineError):
    """Not enough memory, after a retry in smaller chunks."""

    exit_code = 7


class CheckFailedError(FlowtuiError):
    """A check ran and its numbers were not good enough."""

    exit_code = 8


class CancelledError(FlowtuiError):
    """The user cancelled."""

    exit_code = 130


KINDS: dict[str, type[FlowtuiError]] = {
    cls.__name__: cls
    for cls in (
        FlowtuiError,
        UsageError,
        RunFileError,
        CacheError,
        ModelError,
        UnsupportedModelError,
        EngineError,
        ProtocolError,
        LineError,
        OutOfMemoryError,
        CheckFailedError,
        CancelledError,
    )
}
"""Error classes by their name in the engine protocol."""
