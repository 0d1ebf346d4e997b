"""What was computed: frozen dataclasses over numpy arrays, torch-free, and their plain-data form for run files.

A `LayerResult` is the unit of everything: the engine streams it, the cache stores it, the run file holds it and the
explorer draws it, always as the same bytes (`flowtui.cache.tensors`).

The arrays of each analysis are listed in `flowtui.engine.shapes`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from flowtui.cache.plain import shown
from flowtui.cache.tensors import pack, unpack
from flowtui.errors import RunFileError, UsageError

from .sequence import (
    GROUPS,
    Answer,
    Array,
    Projection,
    Span,
    Tokens,
    answer_from_plain,
    answer_to_plain,
    as_finite,
    as_text,
    as_whole,
    tokens_from_plain,
    tokens_to_plain,
)
from .shapes import HEAVY, check_layer
from .spec import PARAMETERS, RunSpec, parameters_from_plain, parameters_to_plain

__all__ = [
    "GROUPS",
    "Analysis",
    "Answer",
    "LayerResult",
    "ModelInfo",
    "Prepared",
    "Projection",
    "Run",
    "Span",
    "Tokens",
    "answer_from_plain",
    "answer_to_plain",
    "prepared_from_plain",
    "prepared_to_plain",
]

FORMAT = "flowtui-run"
VERSION = 1
MAX_PX = 1 << 28
"""Of an image: more than can be decoded."""
MAX_SIZE = 1 << 17
"""Of a model's layers, heads and width: a file that claims more would only fill the memory."""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What the engine found when it loaded the model.

    Attributes:
        name: As the user gave it.
        directory: Local directory of the weights, or None; never written to a run file.
        revision: Resolved revision, or None.
        family: transformers' model_type.
        fingerprint: Hash over the weights, the configuration and the processor's files.
        layers, heads, kv_heads, d_model: Of the decoder.
        dtype, device: As loaded.
        self_test_error: Largest absolute difference to eager attention in the load-time self-test.
    """

    name: str
    directory: str | None
    revision: str | None
    family: str
    fingerprint: str
    layers: int
    heads: int
    kv_heads: int
    d_model: int
    dtype: str
    device: str
    self_test_error: float


@dataclass(frozen=True, slots=True)
class Prepared:
    """A spec that has met its model: everything known before the first analysis."""

    model: ModelInfo
    tokens: Tokens
    answer: Answer
    image_sizes: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class LayerResult:
    """One layer of one analysis; arrays as in this module's docstring.

    Attributes:
        analysis: Name of the analysis.
        layer: 0-based layer, or K for truncation.
        arrays: Name -> array.
        text: What belongs to it beside arrays (`flowtui.engine.shapes`), or "".
    """

    analysis: str
    layer: int
    arrays: Mapping[str, Array]
    text: str = ""

    def to_bytes(self, *, heavy: bool = True) -> bytes:
        """The entry as safetensors bytes; without `heavy` arrays for run files."""
        kept = {k: v for k, v in self.arrays.items() if heavy or k not in HEAVY}
        return pack(kept, {"analysis": self.analysis, "layer": str(self.layer), "text": self.text})

    @classmethod
    def from_bytes(cls, data: bytes) -> LayerResult:
        """Reads what `to_bytes` wrote.

        Raises:
            RunFileError: The bytes are not such an entry.
        """
        arrays, meta = unpack(data)
        try:
            return cls(meta["analysis"], int(meta["layer"]), arrays, meta["text"])
        except (KeyError, ValueError) as error:
            raise RunFileError("A layer entry lacks its analysis, layer or text.") from error


@dataclass(frozen=True, slots=True)
class Analysis:
    """All layers of one analysis that are there.

    Attributes:
        name: Name of the analysis.
        parameters: As plain data, complete (defaults filled in).
        layers: Layer (or K) -> result.
        seconds: Engine time spent on them.
    """

    name: str
    parameters: Mapping[str, Any]
    layers: Mapping[int, LayerResult] = field(default_factory=dict)
    seconds: float = 0.0

    def stack(self, array: str) -> Array:
        """One array over all layers present, in order: [layer ...]."""
        return np.stack([self.layers[k].arrays[array] for k in sorted(self.layers)])


@dataclass(frozen=True, slots=True)
class Run:
    """Everything a run file holds. Immutable: `with_layer` and `with_analysis` return a new run."""

    spec: RunSpec
    model: ModelInfo
    tokens: Tokens
    answer: Answer
    image_sizes: tuple[tuple[int, int], ...]
    analyses: Mapping[str, Analysis] = field(default_factory=dict)
    timings_s: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def from_prepared(cls, spec: RunSpec, prepared: Prepared) -> Run:
        """A run without any analysis yet."""
        return cls(spec, prepared.model, prepared.tokens, prepared.answer, prepared.image_sizes)

    def expected(self, analysis: str) -> range:
        """The layers an analysis has when it is complete: 0..L-1, or K = 0..L for truncation."""
        return range(self.model.layers + (analysis == "truncation"))

    def missing(self, analysis: str) -> tuple[int, ...]:
        """Layers (or K) not there yet."""
        there = self.analyses[analysis].layers if analysis in self.analyses else {}
        return tuple(k for k in self.expected(analysis) if k not in there)

    def with_analysis(self, analysis: Analysis) -> Run:
        """A new run with this analysis in place of any of the same name."""
        return replace(self, analyses={**self.analyses, analysis.name: analysis})

    def with_layer(self, parameters: Mapping[str, Any], result: LayerResult) -> Run:
        """A new run with one more layer; other parameters than before start the analysis afresh."""
        old = self.analyses.get(result.analysis)
        if old is None or dict(old.parameters) != dict(parameters):
            old = Analysis(result.analysis, dict(parameters))
        return self.with_analysis(replace(old, layers={**old.layers, result.layer: result}))

    def to_plain(self) -> dict[str, Any]:
        """The run as plain data (None, bool, int, float, str, bytes, list, tuple, dict)."""
        spec = {**asdict(self.spec), "images": list(self.spec.images)}
        del spec["trust_remote_code"]
        return {
            "format": FORMAT,
            "version": VERSION,
            "spec": spec,
            # Where the weights lie here is nobody else's business: a run file is made to be shared.
            "model": asdict(self.model) | {"directory": None},
            "tokens": tokens_to_plain(self.tokens),
            "answer": answer_to_plain(self.answer),
            "image_sizes": [list(size) for size in self.image_sizes],
            "analyses": {
                name: {
                    "parameters": dict(a.parameters),
                    "seconds": float(a.seconds),
                    "layers": [a.layers[k].to_bytes(heavy=False) for k in sorted(a.layers)],
                }
                for name, a in self.analyses.items()
            },
            "timings_s": {k: float(v) for k, v in self.timings_s.items()},
        }

    @classmethod
    def from_plain(cls, plain: object) -> Run:
        """Checks and rebuilds a run.

        Raises:
            RunFileError: Anything missing, of the wrong type or shape; the message names it.
        """
        try:
            return _run_from_plain(plain)
        except RunFileError:
            raise
        except (UsageError, KeyError, TypeError, ValueError, OverflowError, AttributeError, IndexError) as error:
            # What is wrong may name a part of the file, which is anything and of any length.
            reason = shown(str(error))[:200]
            raise RunFileError(f"The run's content is not valid: {type(error).__name__}: {reason}.") from error


def model_from_plain(plain: dict[str, Any]) -> ModelInfo:
    """Inverse of `dataclasses.asdict` for a model info."""
    info = ModelInfo(**plain)
    for name in ("layers", "heads", "kv_heads", "d_model"):
        if not 1 <= as_whole(getattr(info, name)) <= MAX_SIZE:
            raise ValueError(f"model.{name} must be between 1 and {MAX_SIZE}")
    for name in ("name", "family", "fingerprint", "dtype", "device"):
        as_text(getattr(info, name))
    for name in ("directory", "revision"):
        if getattr(info, name) is not None:
            as_text(getattr(info, name))
    return replace(info, self_test_error=as_finite(info.self_test_error))


def prepared_to_plain(prepared: Prepared) -> dict[str, Any]:
    """Prepared as plain data, for the engine protocol."""
    return {
        "model": asdict(prepared.model),
        "tokens": tokens_to_plain(prepared.tokens),
        "answer": answer_to_plain(prepared.answer),
        "image_sizes": [list(size) for size in prepared.image_sizes],
    }


def prepared_from_plain(plain: dict[str, Any]) -> Prepared:
    """Inverse of `prepared_to_plain`."""
    return Prepared(
        model_from_plain(plain["model"]),
        tokens_from_plain(plain["tokens"]),
        answer_from_plain(plain["answer"]),
        tuple((as_whole(w), as_whole(h)) for w, h in plain["image_sizes"]),
    )


def _run_from_plain(plain: object) -> Run:
    if not isinstance(plain, dict) or plain.get("format") != FORMAT:
        raise RunFileError("This is not a flowtui run.", "Make one with: flowtui run IMAGE QUESTION -o run.pkl")
    if plain["version"] != VERSION:
        raise RunFileError(
            f"The run has format version {str(plain['version'])[:20]!r}; this flowtui reads version {VERSION}.",
            "Open it with the flowtui that wrote it, or make the run again.",
        )
    if "trust_remote_code" in plain["spec"]:
        raise ValueError("a run file may not ask for remote code")
    images = plain["spec"]["images"]
    if not images or not all(isinstance(data, bytes) for data in images):
        raise ValueError("the images are not bytes")
    for name, value in plain["spec"].items():
        if name == "max_new_tokens":
            as_whole(value)
        elif name != "images" and not (value is None and name in ("system", "answer", "revision")):
            as_text(value)
    run = Run(
        RunSpec(**{**plain["spec"], "images": tuple(images)}),
        model_from_plain(plain["model"]),
        tokens_from_plain(plain["tokens"]),
        answer_from_plain(plain["answer"]),
        tuple((as_whole(w), as_whole(h)) for w, h in plain["image_sizes"]),
        timings_s={as_text(k): as_finite(v) for k, v in plain["timings_s"].items()},
    )
    if list(run.answer.ids) != run.tokens.ids[run.tokens.answer_start :].tolist():
        raise ValueError("the answer differs from the tokens")
    if len(run.answer.tokens) != len(run.answer.ids):
        raise ValueError("the answer's length differs from its texts'")
    if len(run.image_sizes) != len(images) or not all(w > 0 and h > 0 and w * h <= MAX_PX for w, h in run.image_sizes):
        raise ValueError("the images' sizes are malformed")
    for name, item in plain["analyses"].items():
        if name not in PARAMETERS:
            raise ValueError(f"unknown analysis {name!r}")
        parameters = parameters_to_plain(parameters_from_plain(name, item["parameters"]))
        layers: dict[int, LayerResult] = {}
        for data in item["layers"]:
            result = LayerResult.from_bytes(data)
            if result.analysis != name:
                raise ValueError(f"an entry of {result.analysis!r} stands under {name!r}")
            check_layer(run, result)
            if result.layer in layers:
                raise ValueError(f"{name} layer {result.layer} appears twice")
            layers[result.layer] = result
        run = run.with_analysis(Analysis(name, parameters, layers, as_finite(item["seconds"])))
    return run
