"""The prompt's text: chat template, system prompt, image placeholders, and where the user's turn starts."""

from __future__ import annotations

from typing import Any

from jinja2 import TemplateError

from flowtui.errors import ModelError, UsageError

from .bounded import bounded, check_template
from .failures import first_line
from .loaded import Loaded
from .spec import RunSpec

VICUNA = "{bos}{system}USER: {images}\n{question} ASSISTANT:"
PLAIN = {
    "blip-2": "{system}Question: {question} Answer:",
    "fuyu": "{system}{question}\n",
    "instructblip": "{system}{question}",
    "paligemma": "{images}{system}{question}",
}
"""The prompt of families whose processors have no chat template, as their authors give it; `VICUNA` (LLaVA-1.5) for all
others. Where {images} is missing the processor puts the image in front of the text by itself; where {bos} is missing it
or the tokenizer writes the begin token."""

TEMPLATE_S = 10.0
TEMPLATE_BYTES = 1 << 30

Messages = list[dict[str, Any]]


def prompt_text(loaded: Loaded, spec: RunSpec) -> tuple[str, str]:
    """Writes the prompt, one placeholder per image.

    Returns:
        The prompt, and the part of it that comes before the user's turn.

    Raises:
        UsageError: A text holds the image placeholder, or the chat template has no place for a system prompt.
        ModelError: The chat template fails.
    """
    tokenizer = loaded.processor.tokenizer
    placeholders = {
        str(tokenizer.convert_ids_to_tokens(loaded.image_token_id)),
        str(getattr(loaded.processor, "image_token", "")),
    } - {""}
    for what, text in (("question", spec.question), ("system prompt", spec.system), ("answer", spec.answer)):
        for placeholder in placeholders:
            if text and placeholder in text:
                raise UsageError(
                    f"The {what} holds {placeholder!r}, which stands for an image in this model's prompts.",
                    "Leave it out.",
                )
    if not getattr(loaded.processor, "chat_template", None):
        form = PLAIN.get(loaded.info.family, VICUNA)
        marker = str(getattr(loaded.processor, "image_token", None) or min(placeholders))
        parts = {
            "bos": tokenizer.bos_token or "",
            "system": f"{spec.system} " if spec.system else "",
            "images": ("\n" if "{images}\n" in form else "").join([marker] * len(spec.images)),
        }
        before = form[: form.index("{system}") + len("{system}")]
        return form.format(**parts, question=spec.question), before.format(**parts)
    user = [*({"type": "image"} for _ in spec.images), {"type": "text", "text": spec.question}]
    system = [] if spec.system is None else [_turn("system", [{"type": "text", "text": spec.system}])]
    prompt = _with_system(loaded, system, user)
    if spec.system and (spec.system not in prompt or str(system[0]["content"]) in prompt):
        # Some templates take a system prompt as plain text only: others are left out, fail or are written as a list.
        system = [_turn("system", spec.system)]
        prompt = _render(loaded, [*system, _turn("user", user)])
        if spec.system not in prompt:
            raise UsageError("This model's chat template has no place for a system prompt.", "Leave --system out.")
    return prompt, _before_user(loaded, prompt, system, user)


def text_prompt(loaded: Loaded, question: str) -> str:
    """The prompt of a question without any image.

    Raises:
        UsageError: The question holds the image placeholder.
        ModelError: The chat template fails.
    """
    tokenizer = loaded.processor.tokenizer
    placeholder = str(tokenizer.convert_ids_to_tokens(loaded.image_token_id))
    if placeholder in question:
        raise UsageError(f"The question holds {placeholder!r}, which stands for an image.", "Leave it out.")
    if getattr(loaded.processor, "chat_template", None):
        return _render(loaded, [_turn("user", [{"type": "text", "text": question}])])
    form = PLAIN.get(loaded.info.family, VICUNA).replace("{images}\n", "{images}")
    return form.format(bos=tokenizer.bos_token or "", system="", images="", question=question)


def _with_system(loaded: Loaded, system: Messages, user: list[dict[str, Any]]) -> str:
    """The prompt with the system prompt in parts; empty where the template fails at them."""
    try:
        return _render(loaded, [*system, _turn("user", user)])
    except ModelError:
        if not system:
            raise
        return ""


def has_bos(loaded: Loaded, text: str) -> bool:
    """Whether a text starts with the begin token already, so that the tokenizer must not add a second one."""
    bos = loaded.processor.tokenizer.bos_token
    return bool(bos) and text.startswith(bos)


def _turn(role: str, content: object) -> dict[str, Any]:
    return {"role": role, "content": content}


def _render(loaded: Loaded, messages: Messages, *, answer_next: bool = True) -> str:
    check_template(loaded.processor.chat_template)
    try:
        with bounded("The model's chat template", TEMPLATE_S, TEMPLATE_BYTES):
            return str(
                loaded.processor.apply_chat_template(messages, add_generation_prompt=answer_next, tokenize=False)
            )
    except (TemplateError, ValueError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError) as error:
        raise ModelError(f"The model's chat template cannot show this prompt: {first_line(error)}") from error


def _before_user(loaded: Loaded, prompt: str, system: Messages, user: Messages) -> str:
    """The prompt up to the user's turn: what it shares with the same messages told by another role."""
    try:
        other = _render(loaded, [*system, _turn("assistant", user)], answer_next=False)
    except ModelError:
        # The template insists on whose turn it is. Then another content: the role's own marker counts as system.
        other = _render(loaded, [*system, _turn("user", [{"type": "text", "text": "\0"}])])
    differ = (i for i, (a, b) in enumerate(zip(prompt, other, strict=False)) if a != b)
    before = prompt[: next(differ, min(len(prompt), len(other)))]
    # A turn's opening token belongs to the turn, even where it is the same for every role.
    tokenizer = loaded.processor.tokenizer
    for special in tokenizer.get_added_vocab():
        if before.endswith(special) and special != tokenizer.bos_token:
            return before.removesuffix(special)
    return before
