"""What is measured: a random model shaped like LLaVA-1.5 and a prompt shaped like its prompts, for every side."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers import (
    AutoModelForImageTextToText,
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from flowtui.engine.inputs import Inputs, prepare
from flowtui.engine.loaded import Loaded
from flowtui.engine.models import load_model, silence
from flowtui.engine.spec import RunSpec

SYSTEM = (
    "A chat between a cur ious user and an art ificial intelligence assistant . The assistant gives help ful , "
    "detailed , and pol ite answers to the user 's questions . USER :"
)
QUESTION = "Is there a red bus to the left of the person in the image ? Answer in one sentence ."
ANSWER = "Yes , there is a bus ."
TEMPLATE = (
    "<s>{% if messages[0]['role'] == 'system' %}{{ messages[0]['content'][0]['text'] }} {% endif %}"
    "{% for part in messages[-1]['content'] %}{% if part['type'] == 'text' %} {{ part['text'] }}{% else %}<image>"
    "{% endif %}{% endfor %} ASSISTANT :"
)
SPECIAL = ("<pad>", "<s>", "</s>", "<unk>", "<image>")
PATCH_PX = 14
SPREAD = 0.05
"""Standard deviation of the random weights: large enough that every layer and the image move the answer."""


@dataclass(frozen=True, slots=True)
class Size:
    """How large the model and its prompt are.

    Attributes:
        layers: L, decoder layers.
        grid: Rows and columns of the image tokens: 24 makes 576, as LLaVA-1.5.
        hidden: Width of the decoder.
        heads: Heads of the decoder.
        intermediate: Width of its feed-forward blocks.
        vocabulary: Tokens.
    """

    layers: int = 16
    grid: int = 24
    hidden: int = 512
    heads: int = 8
    intermediate: int = 1376
    vocabulary: int = 32000


class Scene:
    """A model directory, and what every side takes from it.

    Attributes:
        folder: Model and processor in Hugging Face layout.
        size: What was built.
        device: "cpu", "cuda", ...
    """

    def __init__(self, folder: Path, size: Size, device: str = "cpu") -> None:
        self.folder, self.size, self.device = folder, size, device

    @cached_property
    def loaded(self) -> Loaded:
        """The model as the engine loads it."""
        return load_model(str(self.folder), dtype="float32", device=self.device)

    @cached_property
    def inputs(self) -> Inputs:
        """Prompt and answer; greedy text is cut after one token, so that it costs nothing."""
        return self.prepare(max_new_tokens=1)

    def prepare(self, max_new_tokens: int) -> Inputs:
        """The prompt with its answer; greedy text up to so many tokens."""
        spec = RunSpec(
            str(self.folder), (picture(),), QUESTION, system=SYSTEM, answer=ANSWER, max_new_tokens=max_new_tokens
        )
        return prepare(self.loaded, spec)

    def plain(self, attention: str) -> PreTrainedModel:
        """The same weights as a model of their own, for a side that changes its model or needs another attention."""
        silence()
        model = AutoModelForImageTextToText.from_pretrained(
            self.folder, dtype=torch.float32, attn_implementation=attention
        )
        return model.to(self.device).eval()

    def plain_data(self) -> dict[str, Any]:
        """What another process needs to have the same scene."""
        return {"folder": str(self.folder), "size": asdict(self.size), "device": self.device}

    @property
    def model_inputs(self) -> dict[str, Tensor]:
        """Keyword arguments of the model: prompt and answer."""
        return self.inputs.model_inputs


@contextmanager
def build_scene(size: Size, device: str = "cpu") -> Iterator[Scene]:
    """Builds the model in a temporary directory, which is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="flowtui-bench-") as folder:
        silence()
        build_model(size).save_pretrained(folder)
        build_processor(size).save_pretrained(folder)
        yield Scene(Path(folder), size, device)


def picture(side_px: int = 336, seed: int = 0) -> bytes:
    """A PNG of random blocks."""
    blocks = np.random.default_rng(seed).integers(0, 255, (6, 6, 3), dtype=np.uint8)
    png = io.BytesIO()
    Image.fromarray(blocks).resize((side_px, side_px), Image.Resampling.NEAREST).save(png, "PNG")
    return png.getvalue()


def build_model(size: Size, dtype: torch.dtype = torch.float32) -> LlavaForConditionalGeneration:
    """A LLaVA with random weights: CLIP tower of 14-pixel patches, projector, Llama decoder."""
    torch.manual_seed(0)
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=256,
            intermediate_size=1024,
            num_hidden_layers=4,
            num_attention_heads=4,
            image_size=PATCH_PX * size.grid,
            patch_size=PATCH_PX,
        ),
        text_config=LlamaConfig(
            vocab_size=size.vocabulary,
            hidden_size=size.hidden,
            intermediate_size=size.intermediate,
            num_hidden_layers=size.layers,
            num_attention_heads=size.heads,
            num_key_value_heads=size.heads,
            max_position_embeddings=8192,
            initializer_range=SPREAD,
            bos_token_id=SPECIAL.index("<s>"),
            eos_token_id=SPECIAL.index("</s>"),
            pad_token_id=SPECIAL.index("<pad>"),
        ),
        image_token_id=SPECIAL.index("<image>"),
        image_seq_length=size.grid**2,
        vision_feature_select_strategy="default",
        vision_feature_layer=-2,
        initializer_range=SPREAD,
        dtype=dtype,
    )
    model = LlavaForConditionalGeneration(config)
    model.generation_config.eos_token_id = SPECIAL.index("</s>")
    model.generation_config.pad_token_id = SPECIAL.index("<pad>")
    return model


def build_processor(size: Size) -> LlavaProcessor:
    """CLIP's image processor, a tokenizer, and a template without line breaks."""
    side = PATCH_PX * size.grid
    return LlavaProcessor(
        image_processor=CLIPImageProcessorPil(
            size={"shortest_edge": side}, crop_size={"height": side, "width": side}, do_convert_rgb=True
        ),
        tokenizer=build_tokenizer(SPECIAL, size.vocabulary),
        patch_size=PATCH_PX,
        vision_feature_select_strategy="default",
        chat_template=TEMPLATE,
        image_token="<image>",
        num_additional_image_tokens=1,
    )


def build_tokenizer(special: tuple[str, ...], vocabulary: int, words: tuple[str, ...] = ()) -> PreTrainedTokenizerFast:
    """A word-level tokenizer that knows the prompt's words and as many others as the model has ids for.

    Args:
        special: Its first tokens: padding, begin, end, unknown, then the family's own.
        vocabulary: Ids of the model.
        words: Further words of the template.
    """
    known = [*special, *dict.fromkeys((*SYSTEM.split(), *QUESTION.split(), *ANSWER.split(), "ASSISTANT", *words))]
    ids = {word: i for i, word in enumerate([*known, *(f"w{i}" for i in range(len(known), vocabulary))])}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token=special[3]))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=True)
    tokenizer.add_special_tokens(list(special))
    pad, bos, eos, unknown = special[:4]
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=bos, eos_token=eos, unk_token=unknown, pad_token=pad
    )
