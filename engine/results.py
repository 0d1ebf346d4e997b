"""What was computed: frozen dataclasses over numpy arrays, torch-free, and their plain-data form for run files.

A `LayerResult` is the unit of everything: the engine streams it, the cache stores it, the run file holds it and the
explorer draws it, always as the same bytes (`flowtui.cache.tensors`).

Arrays of one layer, by analysis (T answer tokens, H heads, n image tokens, N tokens, groups in the order of `GROUPS`):

attention   share        [T H 4] float32   attention from the answer row to each group, sums to 1 over groups
            value_share  [T H 4] float32   the same with every weight times its value vector's norm, sums to 1
            sink         [T H]   float32   the part of `share` that goes to token 0
            image_rows   [T n]   float32   head-mean weights on the image tokens
            weights      [T H N] float32   every head's whole row (heavy, only on request)
cam         heat         [M n]   float32   heat before division by its maximum, >= 0; row 0: all answer tokens together,
                                           rows 1..T: one answer token each (M is 1 or 1 + T)
truncation  logprob      [T]     float32   natural log-probability of each answer token, image cut at K
            kl           [T]     float32   KL(full || truncated) at each answer row, nats, >= 0
            same         []      bool      greedy decoding gives the full model's answer
            ids          [any]   int32     the greedy answer at this K, end token left out
            (`layer` is K, 0..L; `text` is the greedy answer)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowtui.cache.tensors import pack, unpack
from flowtui.errors import RunFileError, UsageError

from .spec import PARAMETERS, RunSpec, parameters_from_plain, parameters_to_plain

GROUPS = ("system", "image", "user", "answer")
HEAVY = frozenset({"weights"})
FORMAT = "flowtui-run"
VERSION = 1
MAX_SIZE = 1 << 17
"""Of a model's layers, heads and width: a file that claims more would only fill the memory."""

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Span:
    """One grid of image tokens: a whole image, or one tile of it.

    Attributes:
        image: Index of the image in the prompt.
        start: First token position.
        end: One past the last token position.
        rows: Grid rows, 0 where the tokens have no grid.
        cols: Grid columns.
        row_stride: Tokens from one row's start to the next (larger than `cols` where a separator ends each row).
        box_px: The rectangle it covers in the original image: (left, top, right, bottom) pixels.
    """

    image: int
    start: int
    end: int
    rows: int
    cols: int
    row_stride: int
    box_px: tuple[float, float, float, float]

    def positions(self) -> NDArray[np.int64]:
        """Token positions of the grid's cells: [rows cols] int64."""
        return self.start + np.arange(self.rows)[:, None] * self.row_stride + np.arange(self.cols)[None, :]


@dataclass(frozen=True, slots=True)
class Tokens:
    """The whole sequence, prompt and answer.

    Attributes:
        ids: [N] int64.
        text: N pieces of text, as the tokenizer decodes each token on its own.
        group: [N] uint8, index into `GROUPS`.
        spans: Grids of the image tokens.
        answer_start: Position of the first answer token; everything before is the prompt.
    """

    ids: NDArray[np.int64]
    text: tuple[str, ...]
    group: NDArray[np.uint8]
    spans: tuple[Span, ...]
    answer_start: int

    def __post_init__(self) -> None:
        n = len(self.ids)
        if self.ids.ndim != 1 or self.group.shape != (n,) or len(self.text) != n:
            raise UsageError("Token ids, texts and groups differ in length.")
        if not 0 < self.answer_start <= n or (self.group[self.answer_start :] != GROUPS.index("answer")).any():
            raise UsageError("The answer does not start where the tokens say.")
        for span in self.spans:
            last = span.start + max(0, span.rows - 1) * span.row_stride + span.cols
            whole = span.rows == span.cols == 0 or (min(span.rows, span.cols) > 0 and span.row_stride >= span.cols)
            if not 0 <= span.start < span.end <= n or last > span.end or not whole:
                raise UsageError(f"The image span {span.start}:{span.end} does not fit the {n} tokens.")
            if (self.group[span.positions()] != GROUPS.index("image")).any():
                raise UsageError(f"The image span {span.start}:{span.end} holds a token that is none of the image's.")

    @property
    def image_positions(self) -> NDArray[np.int64]:
        """Positions of the image tokens, in order: [n] int64."""
        return np.flatnonzero(self.group == GROUPS.index("image"))

    def on_grid(self, values: Array, span: Span) -> Array:
        """Takes values over image tokens [... n] to a span's grid [... rows cols]."""
        index = np.full(len(self.ids), -1, dtype=np.int64)
        index[self.image_positions] = np.arange(len(self.image_positions))
        return np.asarray(values[..., index[span.positions()]])


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer under analysis.

    Attributes:
        ids: Token ids, end token left out.
        text: The answer as text.
        tokens: Text of each token.
        given: True where the user gave it, False where the model decoded it greedily.
        stopped: Whether the end token followed (greedy), so that "same answer" includes stopping there.
    """

    ids: tuple[int, ...]
    text: str
    tokens: tuple[str, ...]
    given: bool
    stopped: bool


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
        text: Greedy answer at K for truncation, else "".
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
            raise RunFileError(f"The run's content is not valid: {type(error).__name__}: {error}.") from error


def tokens_to_plain(tokens: Tokens) -> dict[str, Any]:
    """Tokens as plain data."""
    return {
        "ids": tokens.ids.tolist(),
        "text": list(tokens.text),
        "group": tokens.group.tolist(),
        "spans": [asdict(s) | {"box_px": list(s.box_px)} for s in tokens.spans],
        "answer_start": tokens.answer_start,
    }


def tokens_from_plain(plain: dict[str, Any]) -> Tokens:
    """Inverse of `tokens_to_plain`."""
    spans = tuple(Span(**{**s, "box_px": tuple(float(v) for v in s["box_px"])}) for s in plain["spans"])
    for span in spans:
        wholes = (span.image, span.start, span.end, span.rows, span.cols, span.row_stride)
        if len(span.box_px) != 4 or not np.isfinite(span.box_px).all() or not all(type(v) is int for v in wholes):
            raise ValueError("an image span is malformed")
    group = np.array([_whole(g) for g in plain["group"]], dtype=np.uint8)
    if group.size and group.max() >= len(GROUPS):
        raise ValueError("a token belongs to no known group")
    text = tuple(_text(t) for t in plain["text"])
    return Tokens(
        np.array([_whole(i) for i in plain["ids"]], dtype=np.int64), text, group, spans, _whole(plain["answer_start"])
    )


def answer_to_plain(answer: Answer) -> dict[str, Any]:
    """Answer as plain data."""
    return asdict(answer) | {"ids": list(answer.ids), "tokens": list(answer.tokens)}


def answer_from_plain(plain: dict[str, Any]) -> Answer:
    """Inverse of `answer_to_plain`."""
    return Answer(
        tuple(_whole(i) for i in plain["ids"]),
        _text(plain["text"]),
        tuple(_text(t) for t in plain["tokens"]),
        plain["given"] is True,
        plain["stopped"] is True,
    )


def model_from_plain(plain: dict[str, Any]) -> ModelInfo:
    """Inverse of `dataclasses.asdict` for a model info."""
    info = ModelInfo(**plain)
    for name in ("layers", "heads", "kv_heads", "d_model"):
        if not 1 <= _whole(getattr(info, name)) <= MAX_SIZE:
            raise ValueError(f"model.{name} must be between 1 and {MAX_SIZE}")
    for name in ("name", "family", "fingerprint", "dtype", "device"):
        _text(getattr(info, name))
    for name in ("directory", "revision"):
        if getattr(info, name) is not None:
            _text(getattr(info, name))
    return replace(info, self_test_error=float(info.self_test_error))


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
        tuple((_whole(w), _whole(h)) for w, h in plain["image_sizes"]),
    )


def check_layer(run: Run, result: LayerResult) -> None:
    """Checks one layer's arrays against the run's shapes.

    Raises:
        ValueError: An array is missing, of the wrong shape or holds a value that is not finite.
    """
    t, h, n = len(run.answer.ids), run.model.heads, len(run.tokens.image_positions)
    ids = int(np.size(result.arrays.get("ids", ())))  # of any length
    shapes: dict[str, dict[str, tuple[tuple[int, ...], ...]]] = {
        "attention": {
            "share": ((t, h, 4),),
            "value_share": ((t, h, 4),),
            "sink": ((t, h),),
            "image_rows": ((t, n),),
        },
        "cam": {"heat": ((1, n), (1 + t, n))},
        "truncation": {"logprob": ((t,),), "kl": ((t,),), "same": ((),), "ids": ((ids,),)},
    }
    kinds = {"same": "b", "ids": "i"}
    where = f"{result.analysis} layer {result.layer}"
    expected = shapes[result.analysis]
    if result.analysis == "attention" and "weights" in result.arrays:
        expected["weights"] = ((t, h, len(run.tokens.ids)),)
    if result.layer not in run.expected(result.analysis):
        raise ValueError(f"{where} is out of range")
    if unknown := result.arrays.keys() - expected.keys():
        raise ValueError(f"{where}: an array {min(unknown)[:40]!r} is not expected")
    for name, allowed in expected.items():
        array = result.arrays[name]
        if array.shape not in allowed:
            raise ValueError(f"{where}: {name} has shape {array.shape}, expected {' or '.join(map(str, allowed))}")
        if array.dtype.kind != kinds.get(name, "f"):
            raise ValueError(f"{where}: {name} is of type {array.dtype}")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(f"{where}: {name} holds a value that is not finite")


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
            _whole(value)
        elif name != "images" and not (value is None and name in ("system", "answer", "revision")):
            _text(value)
    run = Run(
        RunSpec(**{**plain["spec"], "images": tuple(images)}),
        model_from_plain(plain["model"]),
        tokens_from_plain(plain["tokens"]),
        answer_from_plain(plain["answer"]),
        tuple((_whole(w), _whole(h)) for w, h in plain["image_sizes"]),
        timings_s={_text(k): float(v) for k, v in plain["timings_s"].items()},
    )
    if list(run.answer.ids) != run.tokens.ids[run.tokens.answer_start :].tolist():
        raise ValueError("the answer differs from the tokens")
    if len(run.answer.tokens) != len(run.answer.ids):
        raise ValueError("the answer's length differs from its texts'")
    if len(run.image_sizes) != len(images) or min(map(min, run.image_sizes)) < 1:
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
        run = run.with_analysis(Analysis(name, parameters, layers, float(item["seconds"])))
    return run


def _whole(value: object) -> int:
    if type(value) is not int:
        raise TypeError(f"expected a whole number, found {value!r}")
    return value


def _text(value: object) -> str:
    if type(value) is not str:
        raise TypeError(f"expected text, found {type(value).__name__}")
    return value
