"""What the explorer shows of a run: an immutable choice of layer, token, map and view."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, TypeVar, get_args

Kind = Literal["cam", "attention", "saliency"]
View = Literal["main", "grid", "heads", "tokens", "flow", "matrix", "truncation", "lens", "compare"]
Norm = Literal["all", "paper", "no-sink", "value"]
Measure = Literal["image share", "entropy"]
Scale = Literal["share", "absolute", "log"]

KINDS: tuple[Kind, ...] = get_args(Kind)
VIEWS: dict[View, str] = {
    "main": "main view",
    "grid": "grid: every layer's map",
    "heads": "heads: image share and entropy of each",
    "tokens": "tokens: the sequence and what the answer attends to",
    "flow": "flow: what the answer takes from image, user and system",
    "matrix": "matrix: who looks at what",
    "truncation": "truncation: the answer when the image is cut at K",
    "lens": "lens: what each layer would say",
    "compare": "compare: two layers, or two maps of one",
}
"""Views in the order of their keys (1, 2, ...), and what they show."""
NORMS: tuple[Norm, ...] = get_args(Norm)
MEASURES: tuple[Measure, ...] = get_args(Measure)
SCALES: tuple[Scale, ...] = get_args(Scale)
PALETTES = ("inferno", "viridis", "cividis")
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
        view: One of `VIEWS`.
        norm: How attention shares are normalised.
        head: Attention head in the heads view, and of the attention map; None for the mean over heads.
        palette: Colour map of heat, one of `PALETTES`.
        cell: Image token under the inspecting cursor, an index among the image tokens; None while not inspecting.
        pinned: The other layer of the compare view; None for none yet.
        against: The other map of the compare view; None for the same.
        measure: What the heads view shows of each head.
        item: Token under the cursor of the tokens view, an index among what it shows; None for the first.
        patches: Whether the lens view shows the image tokens in place of the answer's.
        patch: Image token under the cursor of the lens view, an index among them; None for the first.
        scale: Of the bands in the flow view.
        linear: Whether the matrix view has a linear scale in place of a logarithmic one.
        logprob: Whether the truncation view shows the log-probability large in place of the KL.
        untouched: Whether the truncation view is at K = L, one past the last layer.
        tied: Whether the pinned layer moves along in the compare view.
        common: Whether the grid view has one scale for all maps in place of each one's own.
        beside: In the compare view, the other open run to compare with, an index among them; None for none. Not kept:
            which runs are open is another matter the next time.
    """

    layer: int = 0
    token: int | None = None
    kind: Kind = "cam"
    opacity: int = 75
    view: View = "main"
    norm: Norm = "all"
    head: int | None = None
    palette: str = "inferno"
    cell: int | None = None
    pinned: int | None = None
    against: Kind | None = None
    measure: Measure = "image share"
    item: int | None = None
    patches: bool = False
    patch: int | None = None
    scale: Scale = "share"
    linear: bool = False
    logprob: bool = False
    untouched: bool = False
    tied: bool = False
    common: bool = False
    beside: int | None = None

    def at_layer(self, layer: int, layers: int) -> Look:
        """At a layer, or the nearest there is; the pinned layer keeps its distance where it is tied."""
        layer, pinned = max(0, min(layer, layers - 1)), self.pinned
        if self.moves_both and pinned is not None:
            apart = pinned - self.layer
            layer = max(0, -apart, min(layer, layers - 1, layers - 1 - apart))
            pinned = layer + apart
        return replace(self, layer=layer, pinned=pinned, untouched=False)

    @property
    def moves_both(self) -> bool:
        """Whether the pinned layer is on screen and moves along."""
        one = self.against is None and self.beside is None
        return self.view == "compare" and self.tied and self.pinned is not None and one

    def at_token(self, step: int, tokens: int) -> Look:
        """`step` tokens on, in the circle of "all tokens" and then each."""
        place = (0 if self.token is None else self.token + 1) + step
        place %= tokens + 1
        return replace(self, token=None if place == 0 else place - 1)

    def next_kind(self) -> Look:
        """The next map."""
        return replace(self, kind=_after(KINDS, self.kind))

    def next_view(self, step: int = 1) -> Look:
        """The next view, or the one before."""
        names = tuple(VIEWS)
        return replace(self, view=names[(names.index(self.view) + step) % len(names)])

    def next_palette(self) -> Look:
        """The next colour map."""
        return replace(self, palette=_after(PALETTES, self.palette))

    def next_norm(self) -> Look:
        """The next normalisation."""
        return replace(self, norm=_after(NORMS, self.norm))

    def next_measure(self) -> Look:
        """The other number of a head."""
        return replace(self, measure=_after(MEASURES, self.measure))

    def next_scale(self) -> Look:
        """The next scale of the flow."""
        return replace(self, scale=_after(SCALES, self.scale))

    def next_opacity(self) -> Look:
        """The next opacity."""
        return replace(self, opacity=_after(OPACITIES, self.opacity))

    def to_plain(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Limits:
    """How many of what a run has.

    Attributes:
        layers, tokens, heads: Of the decoder, the answer, a layer.
        cells: Image tokens.
        items: Tokens in all.
    """

    layers: int
    tokens: int
    heads: int
    cells: int
    items: int = 0


def look_from_plain(plain: object, limits: Limits, default: Look | None = None) -> Look:
    """A look from data that may come from anywhere; whatever does not fit the run falls back to the default."""
    values: dict[str, Any] = plain if isinstance(plain, dict) else {}
    default = default or Look()
    choices: dict[str, tuple[Any, ...]] = {
        "kind": KINDS,
        "view": tuple(VIEWS),
        "norm": NORMS,
        "opacity": OPACITIES,
        "palette": PALETTES,
        "against": (None, *KINDS),
        "measure": MEASURES,
        "patches": (False, True),
        "scale": SCALES,
        "linear": (False, True),
        "logprob": (False, True),
        "untouched": (False, True),
        "tied": (False, True),
        "common": (False, True),
    }
    kept: dict[str, Any] = {}
    for name, allowed in choices.items():
        # By value and type: 0 == False, and a list is not hashable.
        hit = [a for a in allowed if type(a) is type(values.get(name)) and a == values.get(name)]
        kept[name] = hit[0] if hit else getattr(default, name)

    def index(name: str, count: int) -> int | None:
        value = values.get(name)
        return value if type(value) is int and 0 <= value < count else None

    return Look(
        layer=index("layer", limits.layers) or default.layer,
        token=index("token", limits.tokens),
        head=index("head", limits.heads),
        cell=index("cell", limits.cells),
        pinned=index("pinned", limits.layers),
        item=index("item", limits.items),
        patch=index("patch", limits.cells),
        **kept,
    )


def _after(options: tuple[T, ...], now: T) -> T:
    return options[(options.index(now) + 1) % len(options)]
