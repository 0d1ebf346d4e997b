"""Checks the demo model on fresh questions: `python -m flowtui.engine.demo.check`.

Every kind of question is asked `--count` times about evaluation scenes that training never saw, once with the image and
once with it cut at K = 0. An answer counts when greedy decoding gives it word for word (for captions: when it names
exactly the right set of things). A greedy answer equals a reference exactly when the argmax at every answer row,
reference fed back, is the reference's next token, so one pass per scene decides all its questions.

The prior is what a guesser who knows the world but not the image gets: for each question text, the answer most often
right in 20,000 other scenes (multiple choice: the offered option most often right).
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor, LlavaForConditionalGeneration, LlavaProcessor

from flowtui.engine.models import silence
from flowtui.engine.place import resolve_model

from .packing import Batch, Packer, answer_logits, answers_right
from .questions import KINDS, LETTERS, Kind, Question, ask, phrases
from .world import Scene, render, scenes

FLOORS: dict[Kind, float] = {
    "presence": 0.95,
    "colour": 0.95,
    "shape": 0.90,
    "position": 0.90,
    "letter": 0.85,
    "choice": 0.90,
    "caption": 0.60,
}
EVALUATION_SEED = 20_260
SCENES_PER_BATCH = 16
PRIOR_SCENES = 20_000


@dataclass(frozen=True, slots=True)
class Row:
    """One kind's result.

    Attributes:
        count: Questions asked.
        accuracy: Part answered right with the image.
        cut: Part answered right with the image cut at K = 0.
        prior: Part a guesser without the image gets right.
        floor: Accuracy asked for.
    """

    count: int
    accuracy: float
    cut: float
    prior: float
    floor: float

    @property
    def passed(self) -> bool:
        """Accurate with the image, and no better than the prior (within three standard errors) without it."""
        error = 3 * float(np.sqrt(max(self.prior * (1 - self.prior), 0.25 / self.count) / self.count))
        return self.accuracy >= self.floor and self.cut <= self.prior + error


def asked(seed: int, count: int) -> Iterator[tuple[Scene, list[Question]]]:
    """Evaluation scenes with at most one question of each kind, until every kind has been asked `count` times."""
    rng = np.random.default_rng((seed, 3))
    left = dict.fromkeys(KINDS, count)
    for scene in scenes(seed, "evaluation"):
        drawn = [ask(scene, kind, rng) for kind in KINDS if left[kind]]
        found = [q for q in drawn if q is not None]
        for question in found:
            left[question.kind] -= 1
        if found:
            yield scene, found
        if not any(left.values()):
            return


def without_image(batch: Batch) -> Batch:
    """The same batch with the image cut at K = 0: its tokens do not exist, the others keep their positions."""
    first, last = batch.image_tokens

    def cut(x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x[:, :first], x[:, last:]], 1)

    mask = torch.cat([batch.mask[..., :first], batch.mask[..., last:]], -1)
    mask = torch.cat([mask[:, :, :first], mask[:, :, last:]], 2)
    return replace(
        batch,
        ids=cut(batch.ids),
        positions=cut(batch.positions),
        mask=mask,
        targets=cut(batch.targets),
        segments=cut(batch.segments),
        image_tokens=(first, first),
    )


class Examiner:
    """The model under examination, loaded like any other model directory."""

    def __init__(self, name: str) -> None:
        silence()
        directory = resolve_model(name)
        self.processor: LlavaProcessor = AutoProcessor.from_pretrained(directory)
        self.model: LlavaForConditionalGeneration = AutoModelForImageTextToText.from_pretrained(directory).eval()
        self.packer = Packer()

    @torch.inference_mode()
    def grade(self, drawn: list[tuple[Scene, list[Question]]]) -> Iterator[tuple[Question, bool, bool]]:
        """Yields (question, right with the image, right with the image cut at K = 0)."""
        images = [render(scene)[0] for scene, _ in drawn]
        batch = self.packer.pack([questions for _, questions in drawn])
        pixels = self.processor.image_processor(images=images, return_tensors="pt")["pixel_values"]
        features = torch.stack(list(self.model.model.get_image_features(pixels).pooler_output))
        logits, _ = answer_logits(self.model, batch, features)
        blind = without_image(batch)
        blind_logits, _ = answer_logits(self.model, blind, features[:, :0])
        cuts = {(image, i): right for image, i, right in answers_right(blind, blind_logits)}
        for image, i, right in answers_right(batch, logits):
            question = batch.questions[image][i]
            if not right and question.kind == "caption":
                right = phrases(self.answer(images[image], question.text)) == phrases(question.answer)
            yield question, right, cuts[image, i]

    def answer(self, image: np.ndarray, question: str) -> str:
        """The model's own greedy answer."""
        content = [{"type": "image"}, {"type": "text", "text": question}]
        prompt = self.processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
        inputs = self.processor(images=image, text=prompt, return_tensors="pt")
        output = self.model.generate(**inputs, max_new_tokens=32, do_sample=False)
        return str(self.processor.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))


def guesses(seed: int) -> dict[str, Counter[str]]:
    """How often each answer was right for each question text, multiple choice left out."""
    rng, counts = np.random.default_rng((seed, 5)), defaultdict[str, Counter[str]](Counter)
    stream = scenes(seed + 1, "evaluation")
    for _ in range(PRIOR_SCENES):
        scene = next(stream)
        for kind in KINDS:
            question = None if kind == "choice" else ask(scene, kind, rng)
            if question is not None:
                counts[question.text][question.answer] += 1
    return counts


def guess(question: Question, counts: dict[str, Counter[str]]) -> str:
    """The best answer to a question whose image is not seen."""
    if question.kind != "choice":
        return max(counts[question.text].items(), key=lambda item: item[1], default=("", 0))[0]
    inner, *options = question.text.removesuffix(" Answer with the letter.").split(" (")
    seen = counts[inner]
    return max(zip(LETTERS, options, strict=False), key=lambda option: seen[option[1][3:]])[0]


def examine(name: str = "demo", count: int = 2000, seed: int = EVALUATION_SEED) -> dict[Kind, Row]:
    """Grades a model on every kind of question."""
    examiner, counts = Examiner(name), guesses(seed)
    right, cut, prior, total = (Counter[Kind]() for _ in range(4))
    drawn: list[tuple[Scene, list[Question]]] = []
    stream = asked(seed, count)
    while True:
        item = next(stream, None)
        if item is not None:
            drawn.append(item)
        if drawn and (item is None or len(drawn) == SCENES_PER_BATCH):
            for question, fine, blind in examiner.grade(drawn):
                total[question.kind] += 1
                right[question.kind] += fine
                cut[question.kind] += blind
                prior[question.kind] += guess(question, counts) == question.answer
            drawn = []
        if item is None:
            break
    return {k: Row(total[k], right[k] / total[k], cut[k] / total[k], prior[k] / total[k], FLOORS[k]) for k in KINDS}


def table(rows: dict[Kind, Row]) -> str:
    """The result as text, one line a kind."""
    lines = [f"{'kind':<10}{'asked':>7}{'accuracy':>10}{'floor':>8}{'K=0':>8}{'prior':>8}"]
    for kind, r in rows.items():
        verdict = "ok" if r.passed else "FAILED"
        lines.append(f"{kind:<10}{r.count:>7}{r.accuracy:>10.1%}{r.floor:>8.0%}{r.cut:>8.1%}{r.prior:>8.1%}  {verdict}")
    return "\n".join(lines)


def main() -> int:
    """Prints the table; 0 when every kind passed, else 8 (the exit code of a failed check)."""
    parser = argparse.ArgumentParser(description="Check the flowtui demo model on fresh questions.")
    parser.add_argument("--model", default="demo")
    parser.add_argument("--count", type=int, default=2000, help="questions per kind")
    parser.add_argument("--seed", type=int, default=EVALUATION_SEED)
    options = parser.parse_args()
    rows = examine(options.model, options.count, options.seed)
    print(table(rows))
    return 0 if all(r.passed for r in rows.values()) else 8


if __name__ == "__main__":
    sys.exit(main())
