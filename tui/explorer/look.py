"""What the explorer shows of a run: an immutable choice of layer, token, map and view."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, TypeVar, get_args

Kind = Literal["cam", "attention"]
View = Literal["main", "grid"]
Norm = Literal["all", "paper", "no-sink", "value"]

KINDS: tuple[Kind, ...] = get_args(Kind)
VIEWS: tuple[View, ...] = get_args(View)
NORMS: tuple[Norm, ...] = get_args(Norm)
T = TypeVar("T")

OPACITIES = (0, 50, 75, 100)
"""Percent of heat over the photo, in the order that the key steps through."""


@dataclass(frozen=True, slots=True)
class Look:
    """One state of the view.

    Attributes:
        layer: Current layer, 0-based.
        token: Answer token, 0-based; None for all together.
        kind: Which map lies over the image.
        opacity: Percent, one of `OPACITIES`.
        view: The main view or the grid of all layers.
        norm: How attention shares are normalised.
    """

    layer: int = 0
    token: int | None = None
    kind: Kind = "cam"
    opacity: int = 75
    view: View = "main"
    norm: Norm = "all"

    def at_layer(self, layer: int, layers: int) -> Look:
        """At a layer, or the nearest there is."""
        return replace(self, layer=max(0, min(layer, layers - 1)))

    def at_token(self, step: int, tokens: int) -> Look:
        """`step` tokens on, in the circle of "all tokens" and then each."""
        place = (0 if self.token is None else self.token + 1) + step
        place %= tokens + 1
        return replace(self, token=None if place == 0 else place - 1)

    def next_kind(self) -> Look:
        """The other map."""
        return replace(self, kind=_after(KINDS, self.kind))

    def next_view(self) -> Look:
        """The other view."""
        return replace(self, view=_after(VIEWS, self.view))

    def next_norm(self) -> Look:
        """The next normalisation."""
        return replace(self, norm=_after(NORMS, self.norm))

    def next_opacity(self) -> Look:
        """The next opacity."""
        return replace(self, opacity=_after(OPACITIES, self.opacity))

    def to_plain(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def look_from_plain(plain: object, layers: int, tokens: int) -> Look:
    """A look from data that may come from anywhere; whatever does not fit the run falls back to the default."""
    values: dict[str, Any] = plain if isinstance(plain, dict) else {}
    default = Look()
    choices: dict[str, tuple[Any, ...]] = {"kind": KINDS, "view": VIEWS, "norm": NORMS, "opacity": OPACITIES}
    kept: dict[str, Any] = {}
    for name, allowed in choices.items():
        # By value and type: 0 == False, and a list is not hashable.
        hit = [a for a in allowed if type(a) is type(values.get(name)) and a == values.get(name)]
        kept[name] = hit[0] if hit else getattr(default, name)
    layer, token = values.get("layer"), values.get("token")
    return Look(
        layer=layer if type(layer) is int and 0 <= layer < layers else default.layer,
        token=token if type(token) is int and 0 <= token < tokens else None,
        **kept,
    )


def _after(options: tuple[T, ...], now: T) -> T:
    return options[(options.index(now) + 1) % len(options)]
