"""Hands out a prompt's image placeholders in order, and notices when a layout's count is not the processor's."""

from __future__ import annotations

from flowtui.errors import UnsupportedModelError

from .seen import Seen


class Cursor:
    """Walks the placeholders of a prompt once, from the first to the last."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        self._next = 0

    def peek(self) -> int:
        """Position of the next placeholder.

        Raises:
            UnsupportedModelError: There is none.
        """
        if self._next == len(self._seen.image_positions):
            raise self.refusal("the image tokens end too early")
        return int(self._seen.image_positions[self._next])

    def take(self, count: int) -> int:
        """Position of the first of the next `count` placeholders.

        Raises:
            UnsupportedModelError: There are fewer, or something stands between them.
        """
        block = self._seen.image_positions[self._next : self._next + count]
        if count < 1 or len(block) != count or int(block[-1]) - int(block[0]) != count - 1:
            raise self.refusal(f"{count} image tokens in a row were expected after the first {self._next}")
        self._next += count
        return int(block[0])

    def finish(self) -> None:
        """Checks that no placeholder is left over.

        Raises:
            UnsupportedModelError: There is one.
        """
        left = len(self._seen.image_positions) - self._next
        if left:
            raise self.refusal(f"{left} image tokens are left over after the first {self._next}")

    def refusal(self, found: str) -> UnsupportedModelError:
        """The error for a prompt that is not laid out as this family's are."""
        sizes = ", ".join(f"{width} x {height}" for width, height in self._seen.image_sizes)
        return UnsupportedModelError(
            f"The image tokens of this {self._seen.family} prompt do not fit its images ({sizes} pixels): {found}.",
            "The grids of its images cannot be told, so no map would be right.",
        )
