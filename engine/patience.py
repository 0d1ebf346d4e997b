"""How long an engine on another machine waits for a sign of life: a client may be gone and its line not."""

from __future__ import annotations

import io
import os
import select

BEAT_S = 2.0
"""A client of a far engine says something at least this often."""

PATIENCE_S = 8.0
"""After so much silence a far engine takes its client for dead."""


class PatientReader(io.RawIOBase):
    """Reads a file descriptor, and ends like a stream that has ended when nothing comes for too long.

    The computing thread may hold the interpreter for any time: what has come meanwhile is there to be read, and counts.

    Args:
        descriptor: Taken over.
        patience_s: None to wait as long as it takes; may be changed between two reads.

    Attributes:
        lost_patience: Whether that is why it ended.
    """

    def __init__(self, descriptor: int, patience_s: float | None) -> None:
        super().__init__()
        self.patience_s = patience_s
        self.lost_patience = False
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)

    def readable(self) -> bool:
        """It is."""
        return True

    def close(self) -> None:
        """Closes the descriptor."""
        if not self.closed:
            os.close(self._descriptor)
        super().close()

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Waits for bytes; 0 at the end."""
        if not self._poll.poll(None if self.patience_s is None else 1e3 * self.patience_s):
            self.lost_patience = True
            return 0
        data = os.read(self._descriptor, len(buffer))
        buffer[: len(data)] = data
        return len(data)
