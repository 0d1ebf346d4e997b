"""A run as the panels need it: arrays over all layers, made once per run and kept; no drawing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowtui.engine.cliff import DEFAULT_ETA_NATS, Cliff, describe_rule, find_cliff
from flowtui.engine.results import GROUPS, Run
from flowtui.engine.spec import ANALYSES
from flowtui.tui.draw.bars import percent
from flowtui.tui.draw.curve import Curve
from flowtui.tui.summary import peak_cell

from .look import Kind, Look, Norm
from .shares import group_shares

NORM_NAMES: dict[Norm, tuple[str, str]] = {
    "all": ("all groups = 100 %", "all = 100 %"),
    "paper": ("without the answer = 100 %", "answer left out"),
    "no-sink": ("without token 0, the sink = 100 %", "token 0 left out"),
    "value": ("weight × value norm = 100 %", "× value norm"),
}
"""What is 100 %, in full and in short."""

ANALYSIS_NAMES = {
    "attention": "attention",
    "cam": "CAM",
    "saliency": "saliency",
    "truncation": "truncation curve",
    "lens": "logit lens",
    "knockout": "knockout",
    "faithfulness": "insertion and deletion",
    "matrix": "attention matrix",
}
KIND_NAMES: dict[Kind, str] = {"cam": "LLaVA-CAM", "attention": "Attention", "saliency": "Saliency"}


@dataclass(frozen=True, slots=True)
class Heat:
    """A layer's map over the image tokens.

    Attributes:
        values: [n] float32, divided by the largest value on a grid; all zero where the map is.
        source: The layer's result it was taken from: as long as this is the same object, so is the map.
        high: The largest value, with its unit, as text.
        peak: Where the largest value lies, as text; "" where the map is zero everywhere.
        peak_short: The same, shorter.
        note: What has to be said about it, or "".
        top: The largest value, as a number.
        unit: "%" for shares, else a format of one number.
        part: What the hottest pixel is drawn as, of the colours' end at 1.
    """

    values: NDArray[np.floating]
    source: object
    high: str
    peak: str
    peak_short: str = ""
    note: str = ""
    top: float = 0.0
    unit: str = "{:.3g}"
    part: float = 1.0

    def say(self, value: float) -> str:
        """A value of the map, not divided by its largest, with its unit."""
        return f"{100 * value:.3g} %" if self.unit == "%" else self.unit.format(value)


@dataclass(frozen=True, slots=True)
class Gap:
    """A map that is not there, and why."""

    note: str


class Facts:
    """Derived numbers of one immutable run.

    Attributes:
        run: The run.
        layers: Decoder layers L.
        tokens: Answer tokens T.
    """

    def __init__(self, run: Run, before: Facts | None = None) -> None:
        self.run = run
        self.layers = run.model.layers
        self.tokens = len(run.answer.tokens)
        self._shares: dict[tuple[int | None, Norm], NDArray[np.float64]] = {}
        self._heats: dict[tuple[Kind, int, int | None, int | None], Heat | Gap] = {}
        self._common: dict[tuple[Kind, int, int | None, int | None], tuple[Heat, float, Heat]] = {}
        self._curves: dict[int | None, Curve | None] = {}
        if before is not None:
            # While layers arrive, those that were there already keep their maps, and so what was drawn from them.
            for key, heat in before._heats.items():
                analysis = run.analyses.get(key[0])
                if isinstance(heat, Heat) and analysis is not None and analysis.layers.get(key[1]) is heat.source:
                    self._heats[key] = heat

    def shares(self, token: int | None, norm: Norm) -> NDArray[np.float64]:
        """Attention shares of the groups: [L 4], mean over heads (and answer tokens if None), NaN where missing.

        Each head's row is normalised first and the mean taken then (Eq. 7 and 9).
        """
        key = (token, norm)
        if key not in self._shares:
            made = np.full((self.layers, len(GROUPS)), np.nan)
            for layer, arrays in self._arrays("attention").items():
                rows = group_shares(arrays, norm, token)
                made[layer] = rows.mean(axis=(0, 1)) if rows.size else 0
            self._shares[key] = made
        return self._shares[key]

    def heat(self, kind: Kind, layer: int, token: int | None, head: int | None = None) -> Heat | Gap:
        """The map of a layer.

        Args:
            kind: Which map.
            layer: 0-based.
            token: Answer token, None for all together.
            head: Of the attention map, which head (all answer tokens together); None for the mean over heads.
        """
        key = (kind, layer, None if head is not None else token, head)
        if key not in self._heats:
            self._heats[key] = self._cam(layer, token) if kind == "cam" else self._rows(kind, layer, token, head)
        return self._heats[key]

    def heat_of(self, look: Look, layer: int | None = None) -> Heat | Gap:
        """The map that a look shows: at its own layer, or at another."""
        head = look.head if look.kind == "attention" else None
        return self.heat(look.kind, look.layer if layer is None else layer, look.token, head)

    def common_heat(self, look: Look, layer: int) -> Heat | Gap:
        """The map that a look shows at a layer, on the scale that all layers' maps share."""
        heat, top = self.heat_of(look, layer), self.common_top(look)
        if isinstance(heat, Gap) or not heat.top:
            return heat
        key = (look.kind, layer, look.token, look.head if look.kind == "attention" else None)
        kept = self._common.get(key)
        if kept is None or kept[0] is not heat or kept[1] != top:
            # A map is known by the identity of its values, so on another scale they are other values.
            kept = self._common[key] = (heat, top, replace(heat, values=heat.values.copy(), part=heat.top / top))
        return kept[2]

    def common_top(self, look: Look) -> float:
        """The largest value of all layers' maps; 0 where there is none."""
        return max((heat.top for heat in self.heats(look) if heat is not None), default=0.0)

    def spread(self, look: Look, layer: int) -> float:
        """Over how many image tokens a layer's map is spread: the exponential of its entropy, 1..n; 0 for no map."""
        heat = self.heat_of(look, layer)
        if isinstance(heat, Gap):
            return 0.0
        part = np.asarray(heat.values, dtype=np.float64).clip(0)
        part = part[part > 0] / part.sum() if part.any() else part[:0]
        return float(np.exp(-(part * np.log(part)).sum())) if len(part) else 0.0

    def sharpest(self, look: Look) -> list[int]:
        """Layers with a map that is not zero, the one first whose map is spread the least."""
        spreads = {layer: self.spread(look, layer) for layer in range(self.layers)}
        return sorted((layer for layer, spread in spreads.items() if spread), key=spreads.__getitem__)

    def heats(self, look: Look) -> list[Heat | None]:
        """The map that a look shows at each layer, None where there is none."""
        found = [self.heat_of(look, layer) for layer in range(self.layers)]
        return [heat if isinstance(heat, Heat) else None for heat in found]

    def rows_of(self, look: Look) -> list[str]:
        """Ways to say which rows of attention or of the answer a look's map is of, the longest first."""
        names = ["all tokens", "all"] if look.token is None else [f"token {look.token}"]
        if look.kind == "attention" and look.head is not None:
            names = [f"head {look.head}, all tokens", f"head {look.head}"]
        return [name + through for through in self.through for name in names]

    @cached_property
    def cliff(self) -> Cliff | None:
        """The cliff, or None while the curve is not complete."""
        analysis = self.run.analyses.get("truncation")
        if analysis is not None and not self.tokens:
            # The mean KL over no tokens is no number: an empty answer has no cliff.
            return Cliff(None, describe_rule(), DEFAULT_ETA_NATS)
        return None if analysis is None else find_cliff(analysis, self.layers)

    @property
    def cliff_layer(self) -> int | None:
        """The first layer that needs no image, or None."""
        return None if self.cliff is None else self.cliff.k

    def curve(self, token: int | None) -> Curve | None:
        """The truncation curve, or None where there is nothing of it."""
        if token not in self._curves:
            self._curves[token] = self._curve(token)
        return self._curves[token]

    def _curve(self, token: int | None) -> Curve | None:
        results = self._arrays("truncation")
        if not results:
            return None
        kl = np.full(self.layers + 1, np.nan)
        same: list[bool | None] = [None] * (self.layers + 1)
        for k, arrays in results.items():
            values = np.asarray(arrays["kl"], dtype=np.float64)
            values = values if token is None else values[token : token + 1]
            kl[k] = values.mean() if values.size else 0
            same[k] = bool(arrays["same"])
        return Curve(kl, tuple(same), self.cliff_layer, self.cliff.eta if self.cliff else DEFAULT_ETA_NATS)

    def logprob(self, k: int, token: int | None) -> float:
        """Log-probability of the reference answer (or one token of it) with the image cut at K; NaN if missing."""
        arrays = self._arrays("truncation").get(k)
        if arrays is None:
            return float("nan")
        values = np.asarray(arrays["logprob"], dtype=np.float64)
        return float(values.sum() if token is None else values[token])

    def text_at(self, k: int) -> str | None:
        """The greedy answer with the image cut at K, None if missing."""
        analysis = self.run.analyses.get("truncation")
        return analysis.layers[k].text if analysis is not None and k in analysis.layers else None

    def gap(self, analysis: str) -> str:
        """What of an analysis is missing, as a sentence; "" if nothing."""
        missing, all_of = len(self.run.missing(analysis)), len(self.run.expected(analysis))
        unit = "K" if analysis == "truncation" else "layers"
        if not missing:
            return ""
        if missing == all_of:
            return f"No {ANALYSIS_NAMES[analysis]} yet."
        return f"{ANALYSIS_NAMES[analysis]}: {missing} of {all_of} {unit} missing."

    @property
    def through(self) -> tuple[str, ...]:
        """Ways to say what stands between the image tokens and the image, the longest first; "" where nothing does."""
        return (" through the Q-Former", ", Q-Former") if any(self.run.tokens.projections) else ("",)

    @cached_property
    def missing(self) -> tuple[str, ...]:
        """Names of the analyses that are not complete."""
        return tuple(name for name in ANALYSES if self.run.missing(name))

    def _arrays(self, analysis: str) -> dict[int, Any]:
        found = self.run.analyses.get(analysis)
        return {} if found is None else {k: r.arrays for k, r in found.layers.items()}

    def _cam(self, layer: int, token: int | None) -> Heat | Gap:
        analysis = self.run.analyses.get("cam")
        result = None if analysis is None else analysis.layers.get(layer)
        if analysis is None or result is None:
            return Gap(f"{self.gap('cam')} Press r to compute what is missing.")
        heat, row = result.arrays["heat"], 0 if token is None else token + 1
        if row >= len(heat):
            return Gap("This CAM was made for all answer tokens together; there are no maps per token. Press [ or ].")
        site = str(analysis.parameters.get("site", "post_attention"))
        note = ""
        if not np.any(heat[row] > 0):
            note = "Zero everywhere: no channel speaks for the answer in this layer (ReLU of Eq. 3)."
            if site == "post_attention" and layer == self.layers - 1:
                note = (
                    "Exactly zero: after the last attention no image token has a path to the answer. "
                    "See ctrl+p, CAM at the input."
                )
        return self._heat(heat[row], result, "{:.3g}", note)

    def _rows(self, kind: Kind, layer: int, token: int | None, head: int | None) -> Heat | Gap:
        """The map of attention or saliency, whose rows are the answer's."""
        analysis = self.run.analyses.get(kind)
        result = None if analysis is None else analysis.layers.get(layer)
        if result is None:
            return Gap(f"{self.gap(kind)} Press r to compute what is missing.")
        rows = result.arrays["image_rows"]
        if head is not None:
            if "head_rows" not in result.arrays:
                return Gap("This run was made before heads were kept. Make it again with flowtui precompute --force.")
            if head >= len(result.arrays["head_rows"]):
                return Gap(f"Layer {layer} has no attention, so it has no heads.")
            rows, token = result.arrays["head_rows"], head
        values = rows[token] if token is not None else rows.mean(axis=0) if len(rows) else rows.sum(axis=0)
        which = "attention" if kind == "attention" else "saliency"
        note = "" if np.any(values > 0) else f"Zero everywhere: no {which} from the answer to the image here."
        return self._heat(values, result, "%" if kind == "attention" else "{:.3g}", note)

    def _heat(self, values: NDArray[np.floating], source: object, unit: str, note: str) -> Heat | Gap:
        if not any(self.run.tokens.grid_of(span) for span in self.run.tokens.spans):
            return Gap("The image tokens of this model have no grid, so there is no map over the image.")
        peak = peak_cell(self.run, values)
        if peak is None:
            return Heat(
                np.zeros(len(values), dtype=np.float32), source, "0", "", "", note or "Zero on every grid cell."
            )
        span, row, col = peak
        top = float(self.run.tokens.on_grid(values, self.run.tokens.spans[span])[row, col])
        high = percent(top).strip() if unit == "%" else unit.format(top)
        where = f"peak row {row} col {col}" + (f" of grid {span}" if len(self.run.tokens.spans) > 1 else "")
        shown = np.asarray(values, dtype=np.float32) / np.float32(top)
        return Heat(shown, source, high, where, f"peak {row},{col}", note, top, unit)
