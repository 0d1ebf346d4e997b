"""A run as the plain, light content that `flowtui show --json` prints and the tables are drawn from.

Everything here is derived from the stored rows, in float64, at the moment it is asked for. Missing analyses are None,
and so is a missing layer inside an analysis that is there. What each analysis says is in `flowtui.tui.content`.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np

from flowtui.engine.place import resolve_model
from flowtui.engine.results import GROUPS, Projection, Run
from flowtui.errors import ModelError, UsageError

from .content import attention, cam, faithfulness, knockout, lens, saliency, truncation
from .content.attention import mean_share
from .content.grids import grid_heat, peak_cell
from .content.parts import Summary
from .content.truncation import mean_kl
from .masks import Mask, judge_run

__all__ = ["Summary", "grid_heat", "mean_kl", "mean_share", "peak_cell", "summarise"]


def summarise(run: Run, layer: int | None = None, mask: Mask | None = None) -> Summary:
    """The content of `show --json`.

    Args:
        run: The run.
        layer: Reduce the lists over layers (and over K) to this one, and add what one layer has beyond them: every
            head's and every answer token's shares, the heat map, each answer token's loss at a knockout, the
            curves of deletion and insertion, and the weights of projections.
        mask: Also judge the maps by it: `mask`, and `pointing` and `mass_in_box` of each map.

    Returns:
        Plain data, JSON-ready. `groups` are half-open ranges; `attention.share` is the mean over heads and answer
        tokens; `cam.peak` is the hottest cell of the map of all answer tokens together, in the grid of
        `tokens.spans[cam.peak_span[layer]]`; `truncation.logprob` is summed over the answer and `truncation.kl` its
        mean per answer token, in nats; `knockout` holds changes against the untouched model, negative for a loss;
        `lens.top` holds [text, probability] of the likeliest tokens, by layer and answer token;
        `faithfulness` holds areas under curves over the fraction of image tokens, 0 to 1. `tokens.projections` is
        empty, or for each span null or the grid that its query tokens come to through the Q-Former.

    Raises:
        UsageError: The run's model has no such layer.
    """
    if layer is not None and not 0 <= layer <= run.model.layers:
        raise UsageError(
            f"There is no layer {layer}; the model has layers 0 to {run.model.layers - 1}.",
            f"{run.model.layers} is allowed too: the untouched model of the truncation curve.",
        )
    content: Summary = {
        "model": run.model.name,
        "model_dir": _model_dir(run),
        "layers": run.model.layers,
        "image_tokens": len(run.tokens.image_positions),
        "tokens": {
            "ids": run.tokens.ids.tolist(),
            "text": list(run.tokens.text),
            "group": [GROUPS[g] for g in run.tokens.group],
            "spans": [asdict(span) | {"box_px": list(span.box_px)} for span in run.tokens.spans],
            "projections": [_projection(p, layer is not None) for p in run.tokens.projections],
        },
        "groups": {name: _range(run, i) for i, name in enumerate(GROUPS)},
        "answer": {"text": run.answer.text, "tokens": list(run.answer.tokens), "ids": list(run.answer.ids)},
        "attention": attention.content(run, layer),
        "cam": cam.content(run, layer),
        "saliency": saliency.content(run, layer),
        "truncation": truncation.content(run, layer),
        "cliff": truncation.cliff(run),
        "knockout": knockout.content(run, layer),
        "faithfulness": faithfulness.content(run, layer),
        "lens": lens.content(run, layer),
        "timings_s": dict(run.timings_s),
    }
    if mask is not None:
        # What a map of equal cells would have inside is about the mask's share of the image: the measure of the others.
        content["mask"] = {"image": mask.image, "share": float(mask.inside.mean())}
        for name, judged in judge_run(run, mask, layer).items():
            content[name] = (content[name] or {}) | judged
    return content if layer is None else {"layer": layer, **content}


def _projection(projection: Projection | None, whole: bool) -> Summary | None:
    """How query tokens come to a grid; the weights, [query row col], only as part of the `whole`."""
    if projection is None:
        return None
    rows, cols = projection.rows, projection.cols
    made: Summary = {"through": "Q-Former", "rows": rows, "cols": cols, "box_px": list(projection.box_px)}
    return made | {"weights": projection.weights.reshape(-1, rows, cols).tolist()} if whole else made


def _model_dir(run: Run) -> str | None:
    """The model's local directory: as loaded just now, or found again by its name; None where it is not here."""
    if run.model.directory is not None:
        return run.model.directory
    try:
        found = resolve_model(run.model.name)
        return found if Path(found).is_dir() else None
    except (ModelError, OSError, ValueError):
        # The name is the file's: it may be one that no folder can have.
        return None


def _range(run: Run, group: int) -> list[int] | None:
    positions = np.flatnonzero(run.tokens.group == group)
    return [int(positions[0]), int(positions[-1]) + 1] if len(positions) else None
