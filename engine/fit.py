"""Whether work fits into the memory that is free, how it must be run to fit, and how long it takes. Torch-free.

An analysis that does not fit as it is gets smaller chunks; one that still does not computes layers again instead of
keeping them; what then is too large is refused, before anything is loaded or computed, with the numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from flowtui.errors import OutOfMemoryError

from .budget import CHUNK_BYTES, LEAST_CHUNK_BYTES
from .costs import COSTS
from .sequence import as_text, as_whole
from .sizes import Bytes, Sizes, Way, forward
from .spec import Parameters

Wanted = Sequence[tuple[Parameters, Sequence[int] | None]]
"""Parameters of each analysis, and the layers (or K) wanted of it; None for all."""

FINER = 4
"""Chunks are tried in sizes that differ by this factor."""

_UNITS = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


@dataclass(frozen=True, slots=True)
class Need:
    """What one analysis takes, run the way it would be.

    Attributes:
        analysis: Its name.
        activations_bytes: The forward pass, and what is kept of it for a backward pass.
        buffers_bytes: What the analysis takes beside it.
        chunk_bytes: Size of its chunks.
        recompute: Whether layers are computed again in the backward pass rather than kept for it.
        passes: How long it takes, in forward passes of the same prompt.
        fits: Whether all that is free.
    """

    analysis: str
    activations_bytes: int
    buffers_bytes: int
    chunk_bytes: int
    recompute: bool
    passes: float
    fits: bool

    @property
    def bytes(self) -> int:
        """Activations and buffers."""
        return self.activations_bytes + self.buffers_bytes


@dataclass(frozen=True, slots=True)
class Fit:
    """What a model and analyses of one prompt take, next to what there is.

    Attributes:
        model: As the user gave it.
        dtype, device: What it is computed in, and where.
        weights_bytes: Of the weights there.
        loaded: Whether the weights are there already, so that what is free is free beside them.
        free_bytes: What the device has for them and for everything else.
        tokens, image_tokens, answer_tokens: Of the prompt; the answer as long as it can become.
        pass_bytes: What one forward pass takes.
        pass_s: Seconds of one forward pass; None where none has been measured.
        needs: What each analysis takes.
    """

    model: str
    dtype: str
    device: str
    weights_bytes: int
    loaded: bool
    free_bytes: int
    tokens: int
    image_tokens: int
    answer_tokens: int
    pass_bytes: int
    pass_s: float | None
    needs: tuple[Need, ...]

    def check(self) -> None:
        """Passes where everything fits.

        Raises:
            OutOfMemoryError: The weights or an analysis do not; with needed and free bytes.
        """
        weights = 0 if self.loaded else self.weights_bytes
        if weights > self.free_bytes:
            raise weights_refusal(self.model, self.dtype, self.device, weights, self.free_bytes)
        left = self.free_bytes - weights
        for need in self.needs:
            if not need.fits:
                raise refusal(need, self.device, left, self.tokens)
        if self.pass_bytes > left:
            raise OutOfMemoryError(
                f"One forward pass over {self.tokens} tokens needs about {show_bytes(self.pass_bytes)} on "
                f"{self.device}, where {show_bytes(left)} are free beside the weights.",
                _HINT,
            )


_HINT = "Use a smaller image, a shorter answer, --dtype bfloat16 or another --device."


def plan(analysis: str, sizes: Sizes, parameters: Parameters, layers: Sequence[int], free_bytes: int) -> Need:
    """How an analysis is to be run: in the largest chunks that fit, layers kept if they fit.

    Args:
        analysis: Its name.
        sizes: Of the model and the prompt.
        parameters: Of the analysis.
        layers: Layers (or K) wanted, ascending, at least one.
        free_bytes: What it may take.

    Returns:
        The first way that fits; the one that takes least, with `fits` false, where none does.
    """
    cost = COSTS[analysis]
    for recompute in (False, True) if cost.recomputes else (False,):
        chunk_bytes = CHUNK_BYTES
        while True:
            way = Way(layers, chunk_bytes, recompute)
            found: Bytes = cost.estimate(sizes, parameters, way)
            passes = cost.passes(sizes, parameters, way)
            fits = found.peak <= free_bytes
            need = Need(analysis, found.activations, found.buffers, chunk_bytes, recompute, passes, fits)
            if fits or chunk_bytes <= LEAST_CHUNK_BYTES:
                break
            chunk_bytes = max(LEAST_CHUNK_BYTES, chunk_bytes // FINER)
        if need.fits:
            break
    return need


def pass_bytes(sizes: Sizes) -> int:
    """What one forward pass takes, in the smallest chunks."""
    return forward(sizes, Way((0,), LEAST_CHUNK_BYTES))


def refusal(need: Need, device: str, free_bytes: int, tokens: int) -> OutOfMemoryError:
    """The error for an analysis that does not fit."""
    return OutOfMemoryError(
        f"The analysis {need.analysis} of {tokens} tokens needs about {show_bytes(need.bytes)} on {device} "
        f"({show_bytes(need.activations_bytes)} for activations, {show_bytes(need.buffers_bytes)} for buffers), in the "
        f"smallest chunks; {show_bytes(free_bytes)} are free.",
        f"{_HINT} Other analyses may fit: flowtui models --check shows what each takes.",
    )


def weights_refusal(model: str, dtype: str, device: str, needed_bytes: int, free_bytes: int) -> OutOfMemoryError:
    """The error for weights that do not fit."""
    half = "--dtype bfloat16 (half of that), " if dtype == "float32" else ""
    return OutOfMemoryError(
        f"The weights of {model} need {show_bytes(needed_bytes)} in {dtype} on {device}, where "
        f"{show_bytes(free_bytes)} are free.",
        f"Use {half}another --device or a smaller model.",
    )


def show_bytes(count: int) -> str:
    """A size as a person reads it: 900 bytes, 12.5 MiB, 13.2 GiB."""
    for unit, name in _UNITS:
        if count >= unit:
            return f"{count / unit:,.1f} {name}"
    return f"{count} bytes"


def fit_to_plain(fit: Fit) -> dict[str, Any]:
    """A fit as plain data, for the engine protocol."""
    return {**asdict(fit), "needs": [asdict(need) for need in fit.needs]}


def fit_from_plain(plain: dict[str, Any]) -> Fit:
    """Inverse of `fit_to_plain`."""
    needs = tuple(
        Need(
            as_text(need["analysis"]),
            as_whole(need["activations_bytes"]),
            as_whole(need["buffers_bytes"]),
            as_whole(need["chunk_bytes"]),
            need["recompute"] is True,
            float(need["passes"]),
            need["fits"] is True,
        )
        for need in plain["needs"]
    )
    return Fit(
        model=as_text(plain["model"]),
        dtype=as_text(plain["dtype"]),
        device=as_text(plain["device"]),
        weights_bytes=as_whole(plain["weights_bytes"]),
        loaded=plain["loaded"] is True,
        free_bytes=as_whole(plain["free_bytes"]),
        tokens=as_whole(plain["tokens"]),
        image_tokens=as_whole(plain["image_tokens"]),
        answer_tokens=as_whole(plain["answer_tokens"]),
        pass_bytes=as_whole(plain["pass_bytes"]),
        pass_s=None if plain["pass_s"] is None else float(plain["pass_s"]),
        needs=needs,
    )
