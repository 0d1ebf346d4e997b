"""How each data set's questions are put to each model family: data, with its source. Torch-free.

Scores move by several points with the prompt, so the one that was used is recorded beside them.
"""

from __future__ import annotations

import string
from dataclasses import dataclass

from flowtui.errors import UsageError


@dataclass(frozen=True, slots=True)
class Prompt:
    """One way to ask.

    Attributes:
        dataset: Name of the data set; with "+ocr" where the prompt gives the image's text.
        family: Model type as transformers names it; "" for every family that has no row of its own.
        form: The user's text with {fields} of the data set in it.
        source: Where it is published.
    """

    dataset: str
    family: str
    form: str
    source: str


FIELDS: dict[str, frozenset[str]] = {
    "demo": frozenset({"question"}),
    "pope": frozenset({"question"}),
    "textvqa": frozenset({"question", "Question"}),
    "textvqa+ocr": frozenset({"question", "Question", "ocr"}),
    "scienceqa": frozenset({"question", "options", "hint", "context", "hint_line", "hint_first"}),
    "chair": frozenset(),
}
"""What a form may hold. {Question} starts with a capital; {context}, {hint_line} and {hint_first} are the hint on a
line of its own after "Context: ", after "Hint: " and bare, and nothing where there is no hint."""

_SHORT = "\nAnswer the question using a single word or phrase."
_LETTER = "\nAnswer with the option's letter from the given choices directly."
_LLAVA = "LLaVA-1.5, docs/Evaluation.md and its question files"
_LMMS = "lmms-eval, tasks/scienceqa, format default; LLaVA-1.5's --single-pred-prompt"
_INTERNVL = "InternVL, internvl_chat/eval"
_QWEN = "VLMEvalKit, vlmeval/vlm/qwen2_vl/prompt.py"

PROMPTS: tuple[Prompt, ...] = (
    Prompt("demo", "", "{question}", "docs/demo-model.md: the questions the demo model was trained on"),
    Prompt("pope", "", "{question}", "POPE, README.md: the question itself"),
    *(Prompt("pope", family, "{question}" + _SHORT, _LLAVA) for family in ("llava", "llava_next", "vipllava")),
    Prompt("pope", "internvl", "{question}" + _SHORT, _INTERNVL + "/pope: LLaVA's question file"),
    *(Prompt("pope", family, "{question} Please answer yes or no.", _QWEN) for family in ("qwen2_vl", "qwen2_5_vl")),
    Prompt("textvqa", "", "{Question}" + _SHORT, _LLAVA + ", without the OCR line"),
    *(
        Prompt(
            "textvqa",
            family,
            "{question}\nPlease try to answer the question with short words or phrases if possible.",
            _QWEN,
        )
        for family in ("qwen2_vl", "qwen2_5_vl")
    ),
    Prompt("textvqa+ocr", "", "{Question}\nReference OCR token: {ocr}" + _SHORT, _LLAVA),
    Prompt(
        "textvqa+ocr",
        "instructblip",
        "OCR tokens: {ocr}. Question: {question} Short answer:",
        "InstructBLIP (Dai et al. 2023), appendix: instruction templates for evaluation",
    ),
    Prompt("scienceqa", "", "{context}{question}\n{options}" + _LETTER, _LMMS),
    Prompt("scienceqa", "internvl", "{hint_first}{question}\n{options}" + _LETTER, _INTERNVL + "/scienceqa"),
    *(
        Prompt(
            "scienceqa",
            family,
            "{hint_line}Question: {question}\nOptions:\n{options}\n"
            "Please select the correct answer from the options above.",
            _QWEN,
        )
        for family in ("qwen2_vl", "qwen2_5_vl")
    ),
    Prompt("chair", "", "Please describe this image in detail.", "Zhang et al. 2025 (the paper)"),
)


def prompt_for(dataset: str, family: str = "", form: str | None = None) -> Prompt:
    """The family's own prompt, or the data set's general one.

    Args:
        dataset: A key of `FIELDS`.
        family: Model type.
        form: The user's own, in place of the table's.

    Raises:
        UsageError: The form is none, or asks for a field that the data set lacks.
    """
    if form is None:
        rows = {row.family: row for row in PROMPTS if row.dataset == dataset}
        return rows.get(family, rows[""])
    try:
        parts = list(string.Formatter().parse(form))
    except ValueError as error:
        raise UsageError(f"{form!r} is no form of a prompt: {error}.", "Write a brace itself as two.") from error
    if any(spec or conversion for _, _, spec, conversion in parts):
        raise UsageError(
            f"{form!r} is no form of a prompt: its fields can only be names.", "Write them like {question}."
        )
    strange = [name for _, name, _, _ in parts if name is not None and name not in FIELDS[dataset]]
    if strange:
        known = ", ".join(f"{{{name}}}" for name in sorted(FIELDS[dataset])) or "no fields at all"
        raise UsageError(f"A prompt of {dataset} has no field {{{strange[0]}}}.", f"It can have {known}.")
    return Prompt(dataset, family, form, "given by the user")
