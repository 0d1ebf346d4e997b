"""Runs one analysis: chooses its module and what memory it may take, reports progress, cancels between layers.

What does not fit is refused before it starts (`flowtui.engine.fit`); a lack of memory all the same is survived once.
"""

from __future__ import annotations

import gc
import logging
import re
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from importlib import import_module

import torch

from flowtui.errors import CancelledError, OutOfMemoryError, UsageError

from .budget import limits, smaller_chunks
from .failures import is_out_of_memory
from .fit import Need, plan, refusal
from .free import free_beside, free_on
from .inputs import Inputs
from .loaded import Loaded
from .measure import sizes_of
from .results import LayerResult
from .rows import NAME, implementation
from .spec import ANALYSES, PARAMETERS, AnalysisName, Parameters, TruncationParameters

log = logging.getLogger(__name__)

Run = Callable[
    [Loaded, Inputs, Parameters, list[int], Callable[[LayerResult], None], Callable[[int, float], None]], None
]
"""(model, inputs, parameters, layers, on_layer, check): computes one analysis, checking before each layer."""

_UNITS = {"": 1, "bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}


def run_analysis(
    loaded: Loaded,
    inputs: Inputs,
    parameters: Parameters,
    layers: Sequence[int] | None,
    on_layer: Callable[[LayerResult], None],
    on_progress: Callable[[int, float], None],
    cancelled: Callable[[], bool],
) -> None:
    """Runs the analysis that the parameters belong to.

    Args:
        loaded: The model.
        inputs: Prompt and answer.
        parameters: Their type says which analysis.
        layers: Layers wanted (K for truncation), or None for all.
        on_layer: Gets each layer's result as it is made, each layer once.
        on_progress: Gets (layer, fraction done).
        cancelled: Asked between layers.

    Raises:
        CancelledError: `cancelled` said yes.
        OutOfMemoryError: Not enough memory, in smaller chunks neither; before anything is computed where that can be
            told by then. With needed and free bytes.
        UsageError: No such layer.
    """
    run_fitted(loaded, inputs, parameters, layers, _run, on_layer, on_progress, cancelled)


def run_fitted(
    loaded: Loaded,
    inputs: Inputs,
    parameters: Parameters,
    layers: Sequence[int] | None,
    run: Run,
    on_layer: Callable[[LayerResult], None],
    on_progress: Callable[[int, float], None],
    cancelled: Callable[[], bool],
) -> None:
    """`run_analysis` with another way to run it.

    Args:
        loaded, inputs, parameters, layers, on_layer, on_progress, cancelled: As for `run_analysis`.
        run: Computes the analysis of these layers, or of more; called once more where memory was short.

    Raises:
        CancelledError, OutOfMemoryError, UsageError: As `run_analysis`.
    """
    count = loaded.info.layers + isinstance(parameters, TruncationParameters)
    wanted = sorted(set(range(count) if layers is None else layers))
    if wanted and not 0 <= wanted[0] <= wanted[-1] < count:
        raise UsageError(f"This analysis of {loaded.info.name} has layers 0 to {count - 1}.", "Ask for those.")
    if not wanted:
        return
    need = plan_analysis(loaded, inputs, parameters, wanted)
    log.info("%s of %d layers, %d tokens: %s", need.analysis, len(wanted), inputs.length, need)
    if not need.fits:
        raise refusal(need, str(loaded.device), free_beside(loaded), inputs.length)
    delivered: set[int] = set()

    def deliver(result: LayerResult) -> None:
        if result.layer not in delivered:
            delivered.add(result.layer)
            on_layer(result)

    def check(layer: int, fraction: float) -> None:
        if cancelled():
            raise CancelledError("Cancelled.")
        on_progress(layer, fraction)

    def attempt() -> None:
        if cancelled():
            raise CancelledError("Cancelled.")
        run(loaded, inputs, parameters, [layer for layer in wanted if layer not in delivered], deliver, check)

    with limits(need.chunk_bytes, recompute=need.recompute):
        shortage = _shortage(attempt, loaded)
        if shortage is not None:
            log.warning("out of memory, trying again in smaller chunks: %s", shortage)
            with smaller_chunks():
                shortage = _shortage(attempt, loaded)
    if shortage is not None:
        raise OutOfMemoryError(shortage, "Use a smaller image, a shorter answer, half precision or another device.")


def plan_analysis(loaded: Loaded, inputs: Inputs, parameters: Parameters, layers: Sequence[int]) -> Need:
    """How an analysis of these layers, ascending and at least one, is run within what is free now."""
    return plan(_name(parameters), sizes_of(loaded, inputs), parameters, layers, free_beside(loaded))


def _name(parameters: Parameters) -> AnalysisName:
    return next(name for name in ANALYSES if type(parameters) is PARAMETERS[name])


def _run(
    loaded: Loaded,
    inputs: Inputs,
    parameters: Parameters,
    layers: list[int],
    on_layer: Callable[[LayerResult], None],
    check: Callable[[int, float], None],
) -> None:
    # By name: an analysis that is not asked for costs no import, and cannot stand in another's way.
    module = import_module(f".{_name(parameters)}", __package__)
    # Eager attention would hold, and keep for a backward pass, [head query key] of every layer.
    eager = loaded.decoder.config._attn_implementation == "eager"
    with implementation(loaded, NAME) if eager else nullcontext():
        module.run(loaded, inputs, parameters, layers, on_layer, check)


def _shortage(attempt: Callable[[], None], loaded: Loaded) -> str | None:
    """Runs an attempt; what lacked where memory did, else None.

    The exception holds every frame's tensors alive: it is gone, and the cache emptied, before this returns.
    """
    try:
        attempt()
        return None
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        text = str(error)
    gc.collect()
    if loaded.device.type == "cuda":
        torch.cuda.empty_cache()
    return describe_shortage(text, loaded.device)


def describe_shortage(text: str, device: torch.device) -> str:
    """One sentence with needed and free bytes.

    Args:
        text: What torch said.
        device: Where.
    """
    found = re.search(r"(?:[Tt]ried to allocate|allocate) ([\d.]+) ?(bytes|[KMGT]iB)", text)
    needed = f"{int(float(found[1]) * _UNITS[found[2]]):,} bytes more" if found else "more memory than there is"
    return f"The device {device} is out of memory: the analysis needs {needed}, {free_on(device):,} bytes are free."
