"""Many questions about one image in one sequence: the image tokens are paid for once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import LlavaForConditionalGeneration

from .model import SPECIAL, SYSTEM_PROMPT, build_tokenizer
from .questions import VOCABULARY, Question
from .world import GRID

IDS = {word: i for i, word in enumerate((*SPECIAL, *VOCABULARY))}
IGNORE = -100


def pixels_of(images: list[NDArray[np.uint8]]) -> Tensor:
    """What the processor makes of 96x96 images: [image 3 96 96] float32 in [-1, 1]."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 127.5 - 1


def image_features(model: LlavaForConditionalGeneration, pixels: Tensor) -> Tensor:
    """Projected image tokens: [image 144 d_model]."""
    hidden = model.model.vision_tower(pixels, output_hidden_states=True).hidden_states[-1][:, 1:]
    projected: Tensor = model.model.multi_modal_projector(hidden)
    return projected


@dataclass(frozen=True, slots=True)
class Batch:
    """Several questions per image in one sequence.

    Attributes:
        ids: [image token] int64, the prefix (system, image) first, then one segment per question.
        positions: [image token] int64, restarting after the prefix for every segment.
        mask: [image 1 token token] bool, True where a query row may look at a key column.
        targets: [image token] int64, the next token where it belongs to an answer, else IGNORE.
        segments: [image token] int64, 0 in the prefix, i + 1 in question i, -1 in padding.
        questions: Per image, its questions.
        image_tokens: [start, end) of the image tokens, the same in every row.
    """

    ids: Tensor
    positions: Tensor
    mask: Tensor
    targets: Tensor
    segments: Tensor
    questions: list[list[Question]]
    image_tokens: tuple[int, int]


class Packer:
    """Turns scenes' questions into batches; tokenises exactly as the processor does."""

    def __init__(self) -> None:
        tokenizer = build_tokenizer()
        self._encode: Callable[[str], list[int]] = lambda text: tokenizer(text, add_special_tokens=False)["input_ids"]
        head = self._encode(f"<s><system> {SYSTEM_PROMPT} <user>")
        self.image_tokens = (len(head), len(head) + GRID * GRID)
        self.prefix = head + [IDS["<image>"]] * (GRID * GRID)
        self._cache: dict[str, list[int]] = {}

    def encode(self, text: str) -> list[int]:
        """Token ids of a text, cached: the world has few different ones."""
        if text not in self._cache:
            self._cache[text] = self._encode(text)
        return self._cache[text]

    def pack(self, questions: list[list[Question]]) -> Batch:
        """Builds a batch from each image's questions."""
        rows, start = [], len(self.prefix)
        for asked in questions:
            ids, positions = list(self.prefix), list(range(start))
            targets, segments = [IGNORE] * start, [0] * start
            for i, q in enumerate(asked):
                head = [*self.encode(q.text), IDS["<assistant>"]]
                answer = [*self.encode(q.answer), IDS["</s>"]]
                ids += head + answer[:-1]
                targets += [IGNORE] * (len(head) - 1) + answer
                positions += range(start, start + len(head) + len(answer) - 1)
                segments += [i + 1] * (len(head) + len(answer) - 1)
            rows.append((ids, positions, targets, segments))
        longest = max(len(row[0]) for row in rows)

        def stack(column: int, fill: int) -> Tensor:
            return torch.tensor([row[column] + [fill] * (longest - len(row[column])) for row in rows])

        segment = stack(3, -1)
        same = (segment[:, :, None] == segment[:, None, :]) | (segment[:, None, :] == 0)
        mask = same & torch.ones(longest, longest, dtype=torch.bool).tril()
        return Batch(
            stack(0, IDS["<pad>"]), stack(1, 0), mask[:, None], stack(2, IGNORE), segment, questions, self.image_tokens
        )


def answer_logits(model: LlavaForConditionalGeneration, batch: Batch, features: Tensor) -> tuple[Tensor, Tensor]:
    """Logits at the answer rows only: ([row vocabulary] float32, targets [row])."""
    embedding = model.get_input_embeddings()
    first, last = batch.image_tokens
    text = embedding(batch.ids)
    x = torch.cat([text[:, :first], features, text[:, last:]], 1)
    hidden = model.model.language_model(
        inputs_embeds=x, attention_mask=batch.mask, position_ids=batch.positions, use_cache=False
    ).last_hidden_state
    rows = batch.targets != IGNORE
    return hidden[rows] @ embedding.weight.T, batch.targets[rows]


def answers_right(batch: Batch, logits: Tensor) -> Iterator[tuple[int, int, bool]]:
    """Yields (image, question, whether every answer token is the argmax) for each question of the batch."""
    rows = batch.targets != IGNORE
    wrong = torch.zeros_like(batch.targets, dtype=torch.bool)
    wrong[rows] = logits.argmax(-1) != batch.targets[rows]
    for image, asked in enumerate(batch.questions):
        bad = set(batch.segments[image][wrong[image]].tolist())
        for i in range(len(asked)):
            yield image, i, i + 1 not in bad
