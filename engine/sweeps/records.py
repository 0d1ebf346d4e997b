"""From records to a finished sweep, and what a record is. Torch-free.

One record holds one item:
    item     index in the data set
    ids      token ids of the full model's greedy answer, its end left out
    stopped  whether the end followed
    answer   it as text
    curves   one for each way of cutting, in the order of the options, each with K = 0..L:
             texts (distinct), text (index into them), logprob, kl (means over the answer's tokens, nats), same
    traits   name -> one number or None for each layer (`flowtui.engine.sweeps.traits`), or None
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from flowtui.engine.datasets.items import Item
from flowtui.engine.metrics.metric import Metric
from flowtui.engine.sequence import as_text, as_whole

from .journal import Record
from .plan import Job
from .result import CurveSet, Sweep, SweptItem, Traits
from .traits import NAMES

_FIELDS = {"item", "ids", "stopped", "answer", "curves", "traits"}


def check_record(record: Mapping[str, Any], job: Job) -> None:
    """Checks that a record is one of a job's.

    Raises:
        ValueError, TypeError, KeyError: It is not; the message is the reason.
    """
    if set(record) != _FIELDS or not 0 <= as_whole(record["item"]) < len(job.dataset.items):
        raise ValueError("the record's fields or its item are none of this sweep's")
    for token in record["ids"]:
        as_whole(token)
    as_text(record["answer"])
    if type(record["stopped"]) is not bool or len(record["curves"]) != len(job.options.cuts):
        raise ValueError(f"the record of item {record['item']} lacks a curve")
    count = job.model.layers + 1
    for curve in record["curves"]:
        texts = [as_text(text) for text in curve["texts"]]
        if any(len(curve[name]) != count for name in ("text", "logprob", "kl", "same")):
            raise ValueError(f"a curve of item {record['item']} has not {count} points")
        if not all(0 <= as_whole(index) < len(texts) for index in curve["text"]):
            raise ValueError(f"a curve of item {record['item']} names a text that is not there")
        if not all(math.isfinite(value) for name in ("logprob", "kl") for value in curve[name]) or min(curve["kl"]) < 0:
            raise ValueError(f"a curve of item {record['item']} holds a number that is none")
        if not all(type(same) is bool for same in curve["same"]):
            raise TypeError(f"a curve of item {record['item']} is malformed")
    for name, values in (record["traits"] or {}).items():
        if not any(name in names for names in NAMES.values()) or len(values) != job.model.layers:
            raise ValueError(f"the trait {name} of item {record['item']} is malformed")


def to_sweep(job: Job, records: Mapping[int, Record], metric: Metric) -> Sweep:
    """The finished sweep: the same for the same records, in whatever order they came.

    Args:
        job: The job.
        records: Item -> its record, every item's.
        metric: Judges the answers.
    """
    items, indices = [], []
    for i, item in enumerate(job.dataset.items):
        swept, index = _item(item, records[i], metric)
        items.append(swept)
        indices.append(index)
    curves = tuple(
        CurveSet(
            cut.strategy,
            cut.r,
            np.array([index[c] for index in indices], np.uint16),
            _stack(records, len(items), c, "logprob", np.float32),
            _stack(records, len(items), c, "kl", np.float32),
            _stack(records, len(items), c, "same", np.bool_),
        )
        for c, cut in enumerate(job.options.cuts)
    )
    return Sweep(
        job.dataset.name,
        job.dataset.digest,
        job.dataset.notes,
        job.model,
        job.recorded,
        {name: metric.lower_is_better(name) for name in metric.names},
        tuple(items),
        curves,
        _traits(records, job.model.layers),
    )


def _item(item: Item, record: Record, metric: Metric) -> tuple[SweptItem, list[list[int]]]:
    """An item with the texts of all its curves, and each curve's indices into them."""
    texts = list(dict.fromkeys([record["answer"], *(t for curve in record["curves"] for t in curve["texts"])]))
    index = [[texts.index(curve["texts"][k]) for k in curve["text"]] for curve in record["curves"]]
    counted = [metric.counts(item, text) for text in texts]
    counts = {name: tuple((float(c[name][0]), float(c[name][1])) for c in counted) for name in metric.names}
    swept = SweptItem(
        item.id,
        item.image,
        item.cluster,
        item.kind,
        item.prompt,
        dict(item.truth),
        len(record["ids"]),
        tuple(texts),
        counts,
    )
    return swept, index


def _stack(records: Mapping[int, Record], count: int, curve: int, name: str, dtype: type) -> Any:
    return np.array([records[i]["curves"][curve][name] for i in range(count)], dtype)


def _traits(records: Mapping[int, Record], layers: int) -> Traits | None:
    chosen = [i for i in sorted(records) if records[i]["traits"]]
    if not chosen:
        return None
    names: Sequence[str] = sorted(records[chosen[0]]["traits"])
    # None becomes NaN.
    values = {
        name: np.array([records[i]["traits"][name] for i in chosen], np.float32).reshape(-1, layers) for name in names
    }
    return Traits(np.array(chosen, np.int32), values)
