"""What to compute: plain frozen dataclasses, torch-free, shared by the command line, the explorer and the engine."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args, get_type_hints

from flowtui.errors import UsageError

AnalysisName = Literal["attention", "cam", "saliency", "truncation", "lens", "knockout", "faithfulness", "matrix"]
ANALYSES: tuple[AnalysisName, ...] = get_args(AnalysisName)
"""Each is a module of the engine by the same name, with one entry point `run`."""

Grouping = Literal["paper", "roles"]
AnswerRows = Literal["predict", "own"]
CamVariant = Literal["paper", "code", "smooth"]
CamSite = Literal["post_attention", "input", "output", "value"]
Strategy = Literal["all", "top-r", "random-r"]

DEMO_MODEL = "demo"

MAX_SEED = (1 << 63) - 1
MAX_TOKENS = 1 << 24


@dataclass(frozen=True, slots=True)
class RunSpec:
    """One question about one prompt's images, put to one model.

    Attributes:
        model: "demo", a model directory or a Hugging Face id.
        images: Encoded image files (PNG, JPEG, ...), in prompt order; at least one.
        question: The user's text.
        system: System prompt; None leaves the chat template's own.
        answer: Answer to analyse; None lets the model answer greedily.
        max_new_tokens: Limit of a greedy answer, and of the greedy text at each K.
        revision: Pinned revision of a Hugging Face id.
        grouping: How tokens are grouped (method.md).
        dtype: "auto", "float32", "bfloat16" or "float16".
        device: "auto", "cpu", "cuda", "cuda:1", ...
        trust_remote_code: Only ever set by a command-line flag, never taken from a run file.
    """

    model: str
    images: tuple[bytes, ...]
    question: str
    system: str | None = None
    answer: str | None = None
    max_new_tokens: int = 64
    revision: str | None = None
    grouping: Grouping = "paper"
    dtype: str = "auto"
    device: str = "auto"
    trust_remote_code: bool = False

    def __post_init__(self) -> None:
        if not self.images:
            raise UsageError("A run needs at least one image.")
        if not self.question.strip():
            raise UsageError("The question is empty.", "Give the question after the image, in quotes.")
        if self.max_new_tokens < 1:
            raise UsageError(f"max_new_tokens is {self.max_new_tokens}; it must be at least 1.")
        if self.grouping not in get_args(Grouping):
            raise UsageError(f"Unknown grouping {self.grouping!r}.", "Use paper or roles.")


@dataclass(frozen=True, slots=True)
class AttentionParameters:
    """Parameters of the attention analysis.

    Attributes:
        rows: Which query row belongs to an answer token: the one that predicts it, or its own.
        weights: Also deliver every head's full rows (heavy: cached, never in a run file).
    """

    rows: AnswerRows = "predict"
    weights: bool = False


@dataclass(frozen=True, slots=True)
class CamParameters:
    """Parameters of LLaVA-CAM.

    Attributes:
        variant: "paper" (Eq. 1-3), "smooth" (Eq. 4-5) or "code" (the released script).
        site: Where the feature map is taken.
        per_token: Also one map per answer token (one backward pass each).
        copies: Noisy copies of the smooth variant.
        noise: Standard deviation of the noise, in units of the processor's normalised pixels.
        seed: Seed of the noise.
    """

    variant: CamVariant = "paper"
    site: CamSite = "post_attention"
    per_token: bool = True
    copies: int = 8
    noise: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        _check_range("cam.copies", self.copies, 1, 1024)
        _check_range("cam.noise", self.noise, 0, 100)
        _check_range("cam.seed", self.seed, 0, MAX_SEED)


@dataclass(frozen=True, slots=True)
class SaliencyParameters:
    """Parameters of the saliency flow: none yet."""


@dataclass(frozen=True, slots=True)
class TruncationParameters:
    """Parameters of the truncation curve.

    Attributes:
        strategy: What stays beyond K: nothing ("all"), the r most attended, or r random image tokens.
        r: Image tokens kept by top-r and random-r.
        seed: Seed of random-r.
    """

    strategy: Strategy = "all"
    r: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        _check_range("truncation.r", self.r, 0, MAX_TOKENS)
        _check_range("truncation.seed", self.seed, 0, MAX_SEED)


@dataclass(frozen=True, slots=True)
class LensParameters:
    """Parameters of the logit lens.

    Attributes:
        top: How many of the likeliest tokens to keep at each answer row.
        image: Also the likeliest token at every image token.
    """

    top: int = 5
    image: bool = True

    def __post_init__(self) -> None:
        _check_range("lens.top", self.top, 1, 100)


@dataclass(frozen=True, slots=True)
class KnockoutParameters:
    """Parameters of attention knockout.

    Attributes:
        window: Layers in which the connections are cut at once, centred on each layer and shorter at both ends.
    """

    window: int = 5

    def __post_init__(self) -> None:
        _check_range("knockout.window", self.window, 1, MAX_TOKENS)


@dataclass(frozen=True, slots=True)
class FaithfulnessParameters:
    """Parameters of the insertion and deletion curves.

    Attributes:
        steps: Points of a curve after its first: image tokens are removed or added in this many equal parts.
        orders: Random orders that the maps are measured against.
        seed: Seed of the random orders.
        site: Where the CAM that is judged takes its feature map.
    """

    steps: int = 8
    orders: int = 4
    seed: int = 0
    site: CamSite = "post_attention"

    def __post_init__(self) -> None:
        _check_range("faithfulness.steps", self.steps, 1, 1024)
        _check_range("faithfulness.orders", self.orders, 1, 1024)
        _check_range("faithfulness.seed", self.seed, 0, MAX_SEED)


@dataclass(frozen=True, slots=True)
class MatrixParameters:
    """Parameters of the attention matrix.

    Attributes:
        cells: Rows and columns of the matrix, about: every group has at least one, and whole ones.
    """

    cells: int = 64

    def __post_init__(self) -> None:
        _check_range("matrix.cells", self.cells, 4, 1024)


Parameters = (
    AttentionParameters
    | CamParameters
    | SaliencyParameters
    | TruncationParameters
    | LensParameters
    | KnockoutParameters
    | FaithfulnessParameters
    | MatrixParameters
)

PARAMETERS: dict[str, type[Parameters]] = {
    "attention": AttentionParameters,
    "cam": CamParameters,
    "saliency": SaliencyParameters,
    "truncation": TruncationParameters,
    "lens": LensParameters,
    "knockout": KnockoutParameters,
    "faithfulness": FaithfulnessParameters,
    "matrix": MatrixParameters,
}


def analysis_name(parameters: Parameters) -> AnalysisName:
    """The analysis that parameters belong to."""
    return next(name for name in ANALYSES if type(parameters) is PARAMETERS[name])


def parameters_from_plain(analysis: str, values: dict[str, Any]) -> Parameters:
    """Checks plain values against the analysis' parameters.

    Raises:
        UsageError: Unknown analysis or parameter, a value of the wrong type or out of its choices.
    """
    if analysis not in PARAMETERS:
        raise UsageError(f"Unknown analysis {analysis!r}.", f"Use one of {', '.join(ANALYSES)}.")
    cls = PARAMETERS[analysis]
    hints = get_type_hints(cls)
    known = {f.name for f in fields(cls)}
    for name, value in values.items():
        if name not in known:
            raise UsageError(
                f"The analysis {analysis} has no parameter {name!r}.", f"It has {', '.join(sorted(known))}."
            )
        choices = get_args(hints[name])
        if choices and value not in choices:
            raise UsageError(f"{analysis}.{name} cannot be {value!r}.", f"Use one of {', '.join(map(str, choices))}.")
        if not choices and type(value) is not hints[name] and not (hints[name] is float and type(value) is int):
            raise UsageError(f"{analysis}.{name} must be a {hints[name].__name__}, not {value!r}.")
    return cls(**values)


def _check_range(name: str, value: float, lowest: float, highest: float) -> None:
    # Written so that NaN fails too.
    if not lowest <= value <= highest:
        raise UsageError(f"{name} cannot be {value!r}.", f"Use a number from {lowest} to {highest}.")


def parameters_to_plain(parameters: Parameters) -> dict[str, Any]:
    """The parameters as plain data."""
    return asdict(parameters)
