"""Tokenizers for tiny models: one token per word, any special tokens, saved and loaded like a real one's files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from flowtui.engine.demo.questions import VOCABULARY

TEMPLATE_WORDS = (
    "\n",
    "\n\n",
    ":",
    "USER",
    "ASSISTANT",
    "User",
    "Assistant",
    "System",
    "system",
    "user",
    "assistant",
    "model",
)
"""What chat templates write beside the special tokens. Line breaks are tokens, as real tokenizers have them."""


def build_tokenizer(
    special: Sequence[str],
    bos: str | None = "<s>",
    eos: str | None = "</s>",
    pad: str | None = "<pad>",
    *,
    named: Mapping[str, str] | None = None,
    words: Sequence[str] = (),
    adds_bos: bool = False,
) -> PreTrainedTokenizerFast:
    """A word-level tokenizer over the demo's vocabulary; unknown words become <unk>.

    Ids start with pad, bos, eos and <unk>, in this order, then come `special` and `named` in their own order.

    Args:
        special: The family's special tokens, image placeholder included. Never split, whatever stands around them.
        bos: Begin token, or None for a family without one.
        eos: End token.
        pad: Padding token.
        named: Attribute -> token, for processors that ask the tokenizer itself, such as image_token -> "<image>". They
            become special tokens too, and `tokenizer.image_token` and `tokenizer.image_token_id` exist.
        words: Ordinary words beside the demo's and `TEMPLATE_WORDS`.
        adds_bos: Whether the tokenizer writes the begin token itself, as Llama's does.
    """
    named = dict(named or {})
    marks = [*dict.fromkeys(t for t in (pad, bos, eos, "<unk>", *special, *named.values()) if t is not None)]
    vocabulary = {word: i for i, word in enumerate(dict.fromkeys((*marks, *TEMPLATE_WORDS, *words, *VOCABULARY)))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    # Words, single signs and line breaks; spaces vanish.
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"\n\n|\n|\w+|[^\w\s]"), behavior="removed", invert=True)
    tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=True)
    if adds_bos and bos is not None:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", pair=f"{bos} $A {bos} $B", special_tokens=[(bos, vocabulary[bos])]
        )
    # Here, not as an argument below: beside `extra_special_tokens` the wrapper forgets the additional ones.
    tokenizer.add_special_tokens(marks)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=bos,
        eos_token=eos,
        unk_token="<unk>",
        pad_token=pad,
        extra_special_tokens=named,
        model_max_length=100_000,
        clean_up_tokenization_spaces=False,
    )
