"""A line that was lost is made again: how often that is tried, for how long, and what is said meanwhile. Torch-free."""

from __future__ import annotations

import asyncio
import time

from flowtui.errors import LineError

from .replies import Progress

PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Before each attempt; the last one before all that follow."""

GIVE_UP_S = 600.0


class Attempts:
    """The attempts after one loss.

    Args:
        lost: How the line was lost.
    """

    def __init__(self, lost: LineError) -> None:
        self._lost = self._last = lost
        self._count = 0
        self._start = time.monotonic()

    @property
    def progress(self) -> Progress:
        """What to say while the next one is made."""
        tried = f" for the {_nth(self._count + 1)} time" if self._count else ""
        return Progress("reconnect", text=f"{self._last.message} Connecting again{tried}.")

    async def pause(self) -> None:
        """Waits until the next one.

        Raises:
            LineError: It has been tried for long enough.
        """
        if time.monotonic() - self._start > GIVE_UP_S:
            minutes = f"{GIVE_UP_S / 60:.0f} minutes"
            raise LineError(f"{self._lost.message} In {minutes} it did not come back.", self._lost.hint)
        await asyncio.sleep(PAUSES_S[min(self._count, len(PAUSES_S) - 1)])

    def failed(self, error: LineError) -> None:
        """Counts one."""
        self._count += 1
        self._last = error


def _nth(number: int) -> str:
    special = {1: "st", 2: "nd", 3: "rd"}
    return f"{number}{'th' if 10 < number % 100 < 20 else special.get(number % 10, 'th')}"
