"""How many cells each panel gets, by the size of the terminal."""

from __future__ import annotations

from dataclasses import dataclass

STATUS_ROWS = 1


@dataclass(frozen=True, slots=True)
class Layout:
    """Cells of the panels; the rest of the right column is the truncation curve's.

    Attributes:
        header: Rows of the header.
        scrubber: Rows of the layer scrubber.
        body: Rows between the two.
        map_cells: Columns of the map panel, its margin included.
        group_rows: Lines per token group.
        groups: Rows of the group panel.
    """

    header: int
    scrubber: int
    body: int
    map_cells: int
    group_rows: int
    groups: int


def plan(width: int, height: int, ratio: float) -> Layout:
    """Shares out a terminal.

    Args:
        width: Cells.
        height: Cells.
        ratio: Width over height of the image(s), in pixels.
    """
    roomy = height >= 32
    header = min(4 if roomy else 3, max(1, height - STATUS_ROWS - 2))
    scrubber = min(4 if roomy else 3, max(0, height - header - STATUS_ROWS - 4))
    body = max(1, height - header - scrubber - STATUS_ROWS)
    # Heading, legend and a blank line below the map; the image takes what its shape asks for, up to 55 % of the width.
    wanted = round((body - 3) * 2 * ratio) + 2
    map_cells = max(min(26, width // 2), min(wanted, int(width * (0.55 if width >= 100 else 0.48))))
    group_rows = 1 if body < 22 else 2 if body < 28 else 3 if body < 44 else 4
    groups = min(body, 4 * group_rows + (1 if body < 16 else 2))
    return Layout(header, scrubber, body, map_cells, group_rows, groups)
