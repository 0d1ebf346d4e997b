"""Ink from the application's theme."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.color import Color, ColorParseError

from flowtui.tui.draw.ink import DARK, LIGHT, Ink, Rgb, make_ink

if TYPE_CHECKING:
    from textual.app import App


def ink_of(app: App[None]) -> Ink:
    """The ink that goes with the theme in force; a default for themes without colours of their own."""
    variables = app.theme_variables
    dark = app.current_theme.dark
    found: dict[str, Rgb] = {}
    for name in ("foreground", "background", "primary", "warning", "error"):
        try:
            colour = Color.parse(variables[name])
        except (KeyError, ColorParseError):
            return DARK if dark else LIGHT
        if colour.ansi is not None:
            return DARK if dark else LIGHT
        found[name] = colour.rgb
    return make_ink(found, dark=dark)
