"""What a sweep computes: its options, what makes two sweeps the same, and its units of work. Torch-free."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from flowtui.engine.datasets.items import Dataset, Item, groups
from flowtui.engine.results import ModelInfo
from flowtui.engine.sequence import as_text, as_whole
from flowtui.engine.spec import MAX_TOKENS, RunSpec, Strategy, TruncationParameters
from flowtui.errors import UsageError

from .result import SweptItem, SweptModel

TRAITS = ("attention", "cam")
"""What `--with` can ask for: analyses of the untouched model."""

DEFAULT_TRAITS_LIMIT = 200
_CUT = re.compile(r"(top|random)-(\d{1,8})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Cut:
    """One way of cutting the image.

    Attributes:
        strategy: What stays beyond K.
        r: Image tokens that stay, 0 for "all".
    """

    strategy: Strategy = "all"
    r: int = 0

    @property
    def label(self) -> str:
        """As a user writes it: all, top-16, random-16."""
        return self.strategy.replace("-r", f"-{self.r}")

    def parameters(self, seed: int, item: str) -> TruncationParameters:
        """An item's own parameters: every item has a random draw of its own, so that none stands for all."""
        if self.strategy != "random-r":
            return TruncationParameters(self.strategy, self.r)
        state = blake2b(f"{seed} {item}".encode(), digest_size=7)
        return TruncationParameters(self.strategy, self.r, int.from_bytes(state.digest(), "big"))


def read_cuts(texts: Sequence[str]) -> tuple[Cut, ...]:
    """Reads "all", "top-16", "random-16", several of them with commas between or one after the other.

    Raises:
        UsageError: One of them is none of these.
    """
    cuts: list[Cut] = []
    for text in (part.strip() for each in texts for part in each.split(",")):
        found = _CUT.fullmatch(text)
        if text != "all" and (found is None or not 0 < int(found[2]) <= MAX_TOKENS):
            raise UsageError(
                f"{text!r} is no way of cutting the image.",
                "Use all, top-R or random-R with R image tokens to stay, like: --strategy all,top-16,random-16",
            )
        cut = Cut() if found is None else Cut("top-r" if found[1] == "top" else "random-r", int(found[2]))
        if cut not in cuts:
            cuts.append(cut)
    # "all" first: it is the paper's, and what is shown where there is room for one.
    return tuple(sorted(cuts, key=lambda cut: cut.strategy != "all"))


def read_traits(text: str) -> tuple[str, ...]:
    """Reads "attention,cam".

    Raises:
        UsageError: One of them is not known.
    """
    names = [part.strip() for part in text.split(",") if part.strip()]
    for name in names:
        if name not in TRAITS:
            raise UsageError(f"--with knows no {name!r}.", f"Use {' or '.join(TRAITS)}, or both with a comma between.")
    return tuple(name for name in TRAITS if name in names)


@dataclass(frozen=True, slots=True)
class Options:
    """What the numbers follow from, beside model and data.

    Attributes:
        cuts: Ways of cutting, at least one.
        seed: Of the random tokens that stay.
        max_new_tokens: Longest answer, of the untouched model and at each K.
        traits: Analyses of the untouched model, some of `TRAITS`.
        traits_limit: For how many items those are computed, spread evenly.
    """

    cuts: tuple[Cut, ...] = (Cut(),)
    seed: int = 0
    max_new_tokens: int = 64
    traits: tuple[str, ...] = ()
    traits_limit: int = DEFAULT_TRAITS_LIMIT

    def __post_init__(self) -> None:
        if not self.cuts:
            raise UsageError("A sweep needs at least one way of cutting the image.")
        if self.max_new_tokens < 1:
            raise UsageError(f"max_new_tokens is {self.max_new_tokens}; it must be at least 1.")

    def to_plain(self) -> dict[str, Any]:
        """As plain data; what does not apply is left out."""
        plain: dict[str, Any] = {
            "strategy": [cut.label for cut in self.cuts],
            "seed": self.seed,
            "max_new_tokens": self.max_new_tokens,
        }
        if self.traits:
            plain |= {"with": list(self.traits), "with_limit": self.traits_limit}
        return plain

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Options:
        """Inverse of `to_plain`; other entries are left alone."""
        return cls(
            read_cuts([as_text(label) for label in plain["strategy"]]),
            as_whole(plain["seed"]),
            as_whole(plain["max_new_tokens"]),
            tuple(as_text(name) for name in plain.get("with", [])),
            as_whole(plain.get("with_limit", DEFAULT_TRAITS_LIMIT)),
        )


@dataclass(frozen=True, slots=True)
class Question:
    """One item, as much of it as is computed with.

    Attributes:
        index: Of the item in the data set.
        id: As the data set names it.
        prompt: The user's complete text.
        traits: Whether what `--with` asks for is computed for it.
        done: Ids of the answer that an earlier record holds, and whether it had an end: the curve is there already.
    """

    index: int
    id: str
    prompt: str
    traits: bool = False
    done: tuple[tuple[int, ...], bool] | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """The questions on one image: the unit of work that an executor hands out.

    Attributes:
        image: The image's name in the data set; None for a text-only item.
        questions: In the data set's order; some may be done already, and are passed over.
    """

    image: str | None
    questions: tuple[Question, ...]


@dataclass(frozen=True, slots=True)
class Job:
    """A sweep to be run: data, options and the model that was found.

    Attributes:
        dataset: Questions and images.
        options: What else the numbers follow from.
        model: The model, as far as a sweep names it.
        device: Kind of device, "cpu" or "cuda": their last bits differ.
    """

    dataset: Dataset
    options: Options
    model: SweptModel
    device: str

    @classmethod
    def of(cls, dataset: Dataset, options: Options, info: ModelInfo) -> Job:
        """A job for the model that an engine found."""
        return cls(dataset, options, SweptModel.of(info), info.device.partition(":")[0])

    @property
    def recorded(self) -> dict[str, Any]:
        """All options as plain data, the data set's own and the prompt's form among them."""
        prompt = self.dataset.prompt
        return {
            **self.options.to_plain(),
            "device": self.device,
            "dataset": dict(self.dataset.options or {}),
            "prompt": None if prompt is None else {"form": prompt.form, "source": prompt.source},
        }

    @property
    def identity(self) -> dict[str, Any]:
        """What two sweeps must have in common for one to go on with the other's records."""
        return {
            "data set": self.dataset.name,
            "model": self.model.fingerprint,
            "dtype": self.model.dtype,
            "options": self.recorded,
            "set of questions and images": self.dataset.digest,
        }

    def groups(self, done: Mapping[int, tuple[tuple[int, ...], bool]]) -> Iterator[Group]:
        """Yields the groups that hold something to do.

        Args:
            done: Item -> its answer's ids and end, for items whose records are there.
        """
        items = self.dataset.items
        traits = self._with_traits()
        for members in groups(items):
            if any(i not in done for i in members):
                questions = (Question(i, items[i].id, items[i].prompt, i in traits, done.get(i)) for i in members)
                yield Group(items[members[0]].image, tuple(questions))

    def payload(self, group: Group) -> dict[str, Any]:
        """A group with its image, as the plain data that `flowtui.engine.sweeps.worker` takes.

        Raises:
            UsageError: The image cannot be read.
        """
        item = self.dataset.items[group.questions[0].index]
        return {
            "image": self.dataset.image_bytes(item),
            "model": self.model.name,
            "options": self.options.to_plain(),
            "questions": [
                {
                    "index": q.index,
                    "id": q.id,
                    "prompt": q.prompt,
                    "traits": q.traits,
                    "done": None if q.done is None else {"ids": list(q.done[0]), "stopped": q.done[1]},
                }
                for q in group.questions
            ],
        }

    def _with_traits(self) -> frozenset[int]:
        """The items that `--with` is for: with an image, spread evenly over the data set."""
        if not self.options.traits:
            return frozenset()
        candidates = [i for i, item in enumerate(self.dataset.items) if item.image is not None]
        count = min(self.options.traits_limit, len(candidates))
        return frozenset(candidates[i * len(candidates) // count] for i in range(count))


def spec_of(model: str, image: bytes, prompt: str, max_new_tokens: int, **options: Any) -> RunSpec:
    """The run that an item of a sweep is.

    Args:
        model: As the user gave it.
        image: Encoded.
        prompt: The user's complete text.
        max_new_tokens: Longest answer.
        options: dtype, device, revision.
    """
    return RunSpec(model=model, images=(image,), question=prompt, max_new_tokens=max_new_tokens, **options)


def find_item(items: Sequence[Item | SweptItem], wanted: str) -> int:
    """An item by its id, or by its number from 0 where no id is that.

    Raises:
        UsageError: There is none.
    """
    for i, item in enumerate(items):
        if item.id == wanted:
            return i
    if wanted.isdecimal() and wanted.isascii() and int(wanted) < len(items):
        return int(wanted)
    raise UsageError(
        f"The sweep has no item {wanted!r}.", f"Give an item's id, or a number from 0 to {len(items) - 1}."
    )
