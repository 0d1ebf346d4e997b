"""Answers made elsewhere, found by the question they belong to: official answer files and LLaVA's. Torch-free.

all         JSON Lines or a list of {question_id, text} (LLaVA's answer files), or with answer, caption, pred for text
pope        {question, answer} in the questions' order (POPE's own); LLaVA's answers to llava_pope_test.jsonl
textvqa     [{question_id, answer}] (the challenge's submission); LLaVA's, with image ids as question ids, and prompts
scienceqa   {results: {pid: index}, outputs: ...} (ScienceQA's own and LLaVA's result file); LLaVA's answer file
chair       [{image_id, caption}] (COCO's results); {imgToEval: {id: {image_id, caption}}}; {sentences: [...]}
demo        {question_id, text} with the items' ids
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flowtui.engine.metrics.scienceqa import LETTERS
from flowtui.errors import UsageError

from .items import Dataset, Item
from .reading import Row, note, read_json
from .textvqa import question_of

TEXTS = ("text", "answer", "caption", "pred", "prediction", "output")
"""Names that the answer's text has, the first that is there counts."""
IDS = ("question_id", "questionId", "image_id", "id")


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers by question.

    Attributes:
        texts: One per item of the data set, in its order; None where there is none.
        notes: Questions without an answer, answers without a question.
    """

    texts: tuple[str | None, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Answer:
    """One answer as its file has it: what it belongs to, its text, and where it stands."""

    id: str | None
    text: str
    row: Row
    where: str


def read_answers(dataset: Dataset, paths: Sequence[Path]) -> Answers:
    """Reads answers to a data set's questions.

    Raises:
        UsageError: A file that holds no answers, a question that is answered twice, answers in another order than the
            questions where only the order says which is which, or not one answer that fits.
    """
    if not paths:
        raise UsageError("No answers are given.", "Give their files with --answers.")
    answers = [answer for path in paths for answer in _answers(dataset.name, path)]
    if not answers:
        raise UsageError(f"{paths[0]} holds no answers.")
    if not dataset.items:
        raise UsageError("The files hold no questions that could be answered.", "Are they of the right split?")
    if any(answer.id is None for answer in answers):
        return _in_order(dataset.items, answers)
    find = _finder(dataset)
    texts: list[str | None] = [None] * len(dataset.items)
    strangers: list[str] = []
    for answer in answers:
        at = find(answer)
        if at is None:
            strangers.append(str(answer.id))
        elif texts[at] is not None:
            raise UsageError(
                f"{answer.where}: question {answer.id} is answered twice.", "Give one answer per question."
            )
        else:
            texts[at] = answer.text
    if len(strangers) == len(answers):
        raise UsageError(
            f"{paths[0]} answers none of the questions: it has {strangers[0]!r}, they have {dataset.items[0].id!r}.",
            "Are answers and questions of the same data set, split and version?",
        )
    return Answers(tuple(texts), tuple(_notes(dataset.items, texts, strangers, len(answers))))


def ids_in(name: str, paths: Sequence[Path]) -> set[str]:
    """The ids that answer files hold: which images have a caption, before their annotations are looked through."""
    return {answer.id for path in paths for answer in _answers(name, path) if answer.id is not None}


def _notes(items: Sequence[Item], texts: Sequence[str | None], strangers: Sequence[str], count: int) -> list[str]:
    notes = []
    silent = [item.id for item, text in zip(items, texts, strict=True) if text is None]
    if silent:
        notes.append(note(len(silent), len(items), "questions have no answer", silent))
    if strangers:
        notes.append(note(len(strangers), count, "answers belong to no question and are left out", strangers))
    return notes


def _answers(name: str, path: Path) -> list[_Answer]:
    """What a file holds, whatever its form."""
    content = read_json(path)
    if isinstance(content, dict):
        if name == "scienceqa" and isinstance(content.get("results"), dict):
            return [_Answer(str(pid), _letter(index), {}, f"{path}") for pid, index in content["results"].items()]
        for key in ("imgToEval", "sentences", "annotations", "answers"):
            if key in content:
                content = list(content[key].values()) if isinstance(content[key], dict) else content[key]
                break
        else:
            content = [content]
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
        raise UsageError(f"{path} is no list of answers.", "Expected is JSON Lines: one object on each line.")
    return [_answer(row, path, number) for number, row in enumerate(content, 1)]


def _answer(row: Row, path: Path, number: int) -> _Answer:
    where = f"{path}, row {number}"
    name = next((name for name in TEXTS if isinstance(row.get(name), str)), None)
    if name is None:
        raise UsageError(f"{where}: there is no answer in it.", f"The answer is called {', '.join(TEXTS)}.")
    identity = next((row[name] for name in IDS if isinstance(row.get(name), (int, str))), None)
    return _Answer(None if identity is None else str(identity), row[name], row, where)


def _letter(index: object) -> str:
    """The letter of a parsed choice; nothing for -1, which stands for an answer that could not be parsed."""
    try:
        number = int(str(index))
    except ValueError:
        return ""
    return LETTERS[number] if 0 <= number < len(LETTERS) else ""


def _in_order(items: Sequence[Item], answers: Sequence[_Answer]) -> Answers:
    """Answers without ids, in the questions' order: as many as these, and to the same where they say to which."""
    if len(answers) != len(items):
        raise UsageError(
            f"There are {len(answers):,} answers without question ids to {len(items):,} questions.",
            "Without ids the order says which is which: give the one file of questions that they answer.",
        )
    for item, answer in zip(items, answers, strict=True):
        asked = answer.row.get("question")
        known = item.truth.get("question", item.prompt)
        if isinstance(asked, str) and asked.partition("\n")[0].strip().lower() != str(known).strip().lower():
            raise UsageError(
                f"{answer.where} answers {asked.partition(chr(10))[0]!r}, where the question is {known!r}.",
                "Answers without question ids have to stand in the questions' order.",
            )
    return Answers(tuple(answer.text for answer in answers))


def _finder(dataset: Dataset) -> Callable[[_Answer], int | None]:
    """How an answer's question is found in this data set."""
    at = {item.id: i for i, item in enumerate(dataset.items)}
    if dataset.name == "pope":
        return _pope_finder(dataset.items, at)
    if dataset.name == "textvqa":
        by_image = {(item.cluster, str(item.truth["question"]).lower()): i for i, item in enumerate(dataset.items)}

        def find(answer: _Answer) -> int | None:
            prompt = answer.row.get("prompt")
            if isinstance(prompt, str) and (found := by_image.get((str(answer.id), question_of(prompt)))) is not None:
                return found
            return at.get(str(answer.id))

        return find
    return lambda answer: at.get(str(answer.id))


def _pope_finder(items: Sequence[Item], at: Mapping[str, int]) -> Callable[[_Answer], int | None]:
    """POPE numbers the questions of each split from the same number on, so the split has to be known."""
    by_number: dict[str, list[int]] = {}
    for i, item in enumerate(items):
        by_number.setdefault(item.id.partition("/")[2], []).append(i)

    def find(answer: _Answer) -> int | None:
        if str(answer.id) in at:
            return at[str(answer.id)]
        category: Any = answer.row.get("category")
        if isinstance(category, str) and f"{category}/{answer.id}" in at:
            return at[f"{category}/{answer.id}"]
        fitting = by_number.get(str(answer.id), [])
        if len(fitting) > 1:
            raise UsageError(
                f"{answer.where}: question {answer.id} is in {len(fitting)} splits, and the answer names none.",
                "Give one split's questions, or llava_pope_test.jsonl as well where it numbers them through.",
            )
        return fitting[0] if fitting else None

    return find
