"""What a sweep found: every item's curve over K, as frozen dataclasses over numpy arrays. Torch-free.

A sweep is a pure function of model, data and options: it holds no times, no host names and no paths of images, and
equal sweeps are equal files, however they were computed.

L decoder layers, K = 0..L, items in the order of the data set. Scores are ratios of sums: an item's metric at K is a
numerator and a denominator that depend on the text at K alone, so they are kept once for each distinct text of an item.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowtui.cache.plain import shown
from flowtui.cache.tensors import pack, unpack
from flowtui.engine.results import MAX_SIZE, ModelInfo
from flowtui.engine.sequence import as_text, as_whole
from flowtui.errors import RunFileError, UsageError

from .kind import FORMAT, is_sweep

VERSION = 1

Floats = NDArray[np.float32]
Counts = Mapping[str, tuple[tuple[float, float], ...]]


@dataclass(frozen=True, slots=True)
class SweptModel:
    """The model that was swept, without what differs from machine to machine.

    Attributes:
        name: As the user gave it.
        revision: Resolved revision, or None.
        family: transformers' model_type.
        fingerprint: Hash over the weights, the configuration and the processor's files.
        layers, heads, kv_heads, d_model: Of the decoder.
        dtype: What it computed in.
    """

    name: str
    revision: str | None
    family: str
    fingerprint: str
    layers: int
    heads: int
    kv_heads: int
    d_model: int
    dtype: str

    @classmethod
    def of(cls, info: ModelInfo) -> SweptModel:
        """The part of what the engine found that belongs into a sweep."""
        return cls(**{f.name: getattr(info, f.name) for f in fields(cls)})


@dataclass(frozen=True, slots=True)
class SweptItem:
    """One question of the data set, and what the model said to it.

    Attributes:
        id: As the data set names it.
        image: Name of the image in the data set; None for a text-only item, which has nothing to cut.
        cluster: The image by which the bootstrap draws.
        kind: Category, for reports.
        prompt: The complete user text.
        truth: What the metric goes by.
        tokens: Length of the full model's greedy answer, in tokens.
        texts: Distinct answers over all K and curves, the full model's first.
        counts: Metric -> (numerator, denominator) of each text.
    """

    id: str
    image: str | None
    cluster: str
    kind: str
    prompt: str
    truth: Mapping[str, Any]
    tokens: int
    texts: tuple[str, ...]
    counts: Counts = field(default_factory=dict)

    @property
    def answer(self) -> str:
        """The full model's greedy answer."""
        return self.texts[0]


@dataclass(frozen=True, slots=True)
class CurveSet:
    """Every item's curve for one way of cutting the image.

    Attributes:
        strategy: What stays beyond K: nothing ("all"), the r most attended ("top-r"), or r random image tokens
            ("random-r").
        r: Image tokens kept, 0 for "all".
        text: [items L+1] uint16, index into the item's `texts`.
        logprob: [items L+1] float32, log-probability of the full model's answer, mean over its tokens, nats.
        kl: [items L+1] float32, KL(full || cut at K), mean over the answer's tokens, nats, >= 0.
        same: [items L+1] bool, greedy decoding gives the full model's answer, its end included.
    """

    strategy: str
    r: int
    text: NDArray[np.uint16]
    logprob: Floats
    kl: Floats
    same: NDArray[np.bool_]

    @property
    def label(self) -> str:
        """Short name: "all", "top-16", "random-16"."""
        return self.strategy.replace("-r", f"-{self.r}")


@dataclass(frozen=True, slots=True)
class Traits:
    """How the untouched model looks at the image, layer by layer, for some of the items.

    Attributes:
        items: [subset] int32, ascending indices of the items.
        values: Name -> [subset L] float32; NaN where there is none (`flowtui.engine.sweeps.traits`).
    """

    items: NDArray[np.int32]
    values: Mapping[str, Floats]


@dataclass(frozen=True, slots=True)
class Sweep:
    """A finished sweep.

    Attributes:
        dataset: Name of the data set.
        digest: Of its questions and truths, as the data set gives it; names of images are in it, pixels are not.
        notes: What the data set said about its files (images that are missing, versions that are mixed).
        model: What was swept.
        options: What else the numbers follow from, as plain data (`flowtui.engine.sweeps.plan`).
        metrics: Metric -> whether lower is better; the first is the data set's own.
        items: In the order of the data set.
        curves: One for each way of cutting, the paper's "all" first if it is among them.
        traits: What `--with` asked for, or None.
    """

    dataset: str
    digest: str
    notes: tuple[str, ...]
    model: SweptModel
    options: Mapping[str, Any]
    metrics: Mapping[str, bool]
    items: tuple[SweptItem, ...]
    curves: tuple[CurveSet, ...]
    traits: Traits | None = None

    def __post_init__(self) -> None:
        shape = (len(self.items), self.model.layers + 1)
        if not self.items or not self.curves or len({c.label for c in self.curves}) < len(self.curves):
            raise UsageError("A sweep needs items, and curves of different kinds.")
        for curve in self.curves:
            for name, dtype in _ARRAYS.items():
                array = getattr(curve, name)
                if array.shape != shape or array.dtype != dtype:
                    raise UsageError(f"The array {name} of the curve {curve.label} does not fit the sweep.")
            if (curve.text >= np.array([len(item.texts) for item in self.items])[:, None]).any():
                raise UsageError(f"The curve {curve.label} names a text that is not there.")
        for item in self.items:
            if item.counts.keys() != self.metrics.keys() or any(
                len(pairs) != len(item.texts) for pairs in item.counts.values()
            ):
                raise UsageError(f"The counts of item {item.id!r} do not fit the sweep's metrics.")
        if self.traits is not None:
            _check_traits(self.traits, *shape)

    @property
    def layers(self) -> int:
        """Decoder layers L."""
        return self.model.layers

    @property
    def with_image(self) -> NDArray[np.bool_]:
        """[items] bool: which items have an image that can be cut."""
        return np.array([item.image is not None for item in self.items])

    @property
    def clusters(self) -> NDArray[np.int64]:
        """[items] int64: number of each item's image."""
        return np.unique([item.cluster for item in self.items], return_inverse=True)[1].astype(np.int64)

    def counts(self, metric: str, curve: CurveSet) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """A metric's numerators and denominators at each K: [items L+1] each.

        Args:
            metric: One of `metrics`.
            curve: One of `curves`.
        """
        pairs = [
            np.array(item.counts[metric], np.float64)[row] for item, row in zip(self.items, curve.text, strict=True)
        ]
        both = np.stack(pairs)
        return both[..., 0], both[..., 1]

    def text(self, curve: CurveSet, item: int, k: int) -> str:
        """What the model says to an item when the image is cut at K."""
        return self.items[item].texts[int(curve.text[item, k])]

    def to_plain(self) -> dict[str, Any]:
        """The sweep as plain data."""
        # One block of JSON lines: a value for each field of each item would make large sweeps unreadable by the cap on
        # values that protects against hostile files.
        lines = "".join(json.dumps(asdict(item), sort_keys=True) + "\n" for item in self.items)
        traits = self.traits
        return {
            "format": FORMAT,
            "version": VERSION,
            "dataset": self.dataset,
            "digest": self.digest,
            "notes": list(self.notes),
            "model": asdict(self.model),
            "options": dict(self.options),
            "metrics": [[name, lower] for name, lower in self.metrics.items()],
            "items": lines.encode(),
            "curves": [
                {"strategy": c.strategy, "r": c.r, "arrays": pack({n: getattr(c, n) for n in _ARRAYS}, {})}
                for c in self.curves
            ],
            "traits": None if traits is None else pack({"items": traits.items, **_prefixed(traits.values)}, {}),
        }

    @classmethod
    def from_plain(cls, plain: object) -> Sweep:
        """Checks and rebuilds a sweep.

        Raises:
            RunFileError: Anything missing, of the wrong type or shape; the message names it.
        """
        if not is_sweep(plain):
            raise RunFileError("This is not a flowtui sweep.", "Make one with: flowtui sweep demo -o sweep.pkl")
        try:
            return _from_plain(plain)
        except RunFileError:
            raise
        except (
            *(UsageError, KeyError, TypeError, ValueError, OverflowError, AttributeError, IndexError),
            RecursionError,
        ) as error:
            reason = shown(str(error))[:200]
            raise RunFileError(f"The sweep's content is not valid: {type(error).__name__}: {reason}.") from error


_ARRAYS = {"text": np.uint16, "logprob": np.float32, "kl": np.float32, "same": np.bool_}
_PREFIX = "value."


def _prefixed(values: Mapping[str, Floats]) -> dict[str, Floats]:
    return {_PREFIX + name: array for name, array in values.items()}


def _check_traits(traits: Traits, items: int, ks: int) -> None:
    index = traits.items
    if index.dtype != np.int32 or index.ndim != 1 or (np.diff(index) <= 0).any():
        raise UsageError("The items of the traits are malformed.")
    if len(index) and not 0 <= index[0] <= index[-1] < items:
        raise UsageError("The traits name an item that is not there.")
    for name, array in traits.values.items():
        if array.shape != (len(index), ks - 1) or array.dtype != np.float32:
            raise UsageError(f"The trait {name} does not fit the sweep.")


def _from_plain(plain: Any) -> Sweep:
    if plain["version"] != VERSION:
        raise RunFileError(
            f"The sweep has format version {str(plain['version'])[:20]!r}; this flowtui reads version {VERSION}.",
            "Open it with the flowtui that wrote it, or make the sweep again.",
        )
    model = SweptModel(**plain["model"])
    for name in ("layers", "heads", "kv_heads", "d_model"):
        if not 1 <= as_whole(getattr(model, name)) <= MAX_SIZE:
            raise ValueError(f"model.{name} must be between 1 and {MAX_SIZE}")
    for name in ("name", "family", "fingerprint", "dtype"):
        as_text(getattr(model, name))
    if model.revision is not None:
        as_text(model.revision)
    if type(plain["options"]) is not dict:
        raise TypeError("the options are no table")
    # They are shown as JSON, which has no bytes and no NaN.
    json.dumps(plain["options"], allow_nan=False)
    metrics = {_as_name(name): lower is True for name, lower in plain["metrics"]}
    curves = []
    for curve in plain["curves"]:
        arrays, _ = unpack(curve["arrays"])
        found = {name: arrays[name] for name in _ARRAYS}
        if not (np.isfinite(found["logprob"]).all() and np.isfinite(found["kl"]).all() and (found["kl"] >= 0).all()):
            raise ValueError("a curve holds a value that is none")
        curves.append(CurveSet(_as_name(curve["strategy"]), as_whole(curve["r"]), **found))
    return Sweep(
        _as_name(plain["dataset"]),
        as_text(plain["digest"]),
        tuple(as_text(note) for note in plain["notes"]),
        model,
        plain["options"],
        metrics,
        tuple(_item(json.loads(line)) for line in plain["items"].decode("ascii").splitlines()),
        tuple(curves),
        _traits(plain["traits"]),
    )


def _item(plain: dict[str, Any]) -> SweptItem:
    for name in ("id", "cluster", "kind", "prompt"):
        as_text(plain[name])
    if plain["image"] is not None:
        as_text(plain["image"])
    if type(plain["truth"]) is not dict or not plain["texts"] or as_whole(plain["tokens"]) < 0:
        raise ValueError(f"the item {plain['id']!r} is malformed")
    counts = {
        as_text(name): tuple((_number(numerator), _number(denominator)) for numerator, denominator in pairs)
        for name, pairs in plain["counts"].items()
    }
    return SweptItem(**{**plain, "texts": tuple(as_text(text) for text in plain["texts"]), "counts": counts})


def _as_name(value: object) -> str:
    """A name of ours that came from outside: it stands in tables, in headings and in names of columns."""
    name = as_text(value)
    if not name.isprintable() or not 1 <= len(name) <= 60:
        raise ValueError(f"{name[:60]!r} is no name")
    return name


def _number(value: object) -> float:
    if type(value) not in (int, float) or not np.isfinite(value):  # type: ignore[call-overload]
        raise TypeError(f"expected a number, found {value!r}")
    return value  # type: ignore[return-value]


def _traits(data: bytes | None) -> Traits | None:
    if data is None:
        return None
    arrays, _ = unpack(data)
    return Traits(arrays.pop("items"), {_as_name(name.removeprefix(_PREFIX)): array for name, array in arrays.items()})
