"""The colours that drawing uses, derived once from a theme."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rich.color import Color
from rich.style import Style

Rgb = tuple[int, int, int]

# Okabe and Ito's colour-blind safe palette; the light variants are darkened to keep 4.5:1 on white.
_GROUPS_DARK: tuple[Rgb, ...] = ((153, 153, 153), (230, 159, 0), (86, 180, 233), (0, 190, 140))
_GROUPS_LIGHT: tuple[Rgb, ...] = ((110, 110, 110), (176, 84, 0), (0, 100, 158), (0, 112, 82))


@dataclass(frozen=True, slots=True)
class Ink:
    """Styles by role; every one carries the background, so a strip needs no further styling.

    Attributes:
        text, dim, strong, accent, warn, bad: Text of that weight.
        mark: The current item (layer, token).
        cliff: The cliff and everything about it.
        groups: One style per token group, in the order of `GROUPS`.
        groups_dim: The same, receding.
        background: Colour behind everything.
        dark: Whether the background is dark.
    """

    text: Style
    dim: Style
    strong: Style
    accent: Style
    warn: Style
    bad: Style
    mark: Style
    cliff: Style
    groups: tuple[Style, ...]
    groups_dim: tuple[Style, ...]
    background: Rgb
    dark: bool


def style(foreground: Rgb, background: Rgb, *, bold: bool = False) -> Style:
    """A style of two true colours."""
    made = Style.from_color(Color.from_rgb(*foreground), Color.from_rgb(*background))
    return made + Style(bold=True) if bold else made


def mix(a: Rgb, b: Rgb, part: float) -> Rgb:
    """The colour `part` of the way from `a` to `b`."""
    red, green, blue = (round(x + (y - x) * part) for x, y in zip(a, b, strict=True))
    return red, green, blue


def make_ink(variables: Mapping[str, Rgb], *, dark: bool) -> Ink:
    """Ink from a theme's colours.

    Args:
        variables: Colours named foreground, background, primary, warning and error.
        dark: Whether the theme is a dark one.
    """
    front, back = variables["foreground"], variables["background"]
    # Themes choose accents for dark grounds: on a light one they are pulled towards the text colour to stay readable.
    accent, warn, bad = (
        variables[n] if dark else mix(variables[n], front, 0.45) for n in ("primary", "warning", "error")
    )
    accent = mix(accent, front, 0.25) if dark else accent
    groups = _GROUPS_DARK if dark else _GROUPS_LIGHT
    return Ink(
        text=style(front, back),
        dim=style(mix(front, back, 0.42 if dark else 0.32), back),
        strong=style(front, back, bold=True),
        accent=style(accent, back, bold=True),
        warn=style(warn, back),
        bad=style(bad, back, bold=True),
        mark=style(back, accent, bold=True),
        cliff=style(warn, back, bold=True),
        groups=tuple(style(colour, back) for colour in groups),
        groups_dim=tuple(style(mix(colour, back, 0.5), back) for colour in groups),
        background=back,
        dark=dark,
    )


DARK = make_ink(
    {
        "foreground": (224, 224, 224),
        "background": (18, 18, 18),
        "primary": (1, 120, 212),
        "warning": (255, 166, 43),
        "error": (186, 60, 91),
    },
    dark=True,
)
LIGHT = make_ink(
    {
        "foreground": (31, 31, 31),
        "background": (224, 224, 224),
        "primary": (0, 69, 120),
        "warning": (255, 166, 43),
        "error": (186, 60, 91),
    },
    dark=False,
)
"""Inks of Textual's dark and light themes, for use without a theme of true colours."""
