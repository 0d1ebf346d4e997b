"""ScienceQA's official files: problems.json and pid_splits.json; images as test/<pid>/image.png. Torch-free.

Questions without an image have nothing to truncate: they are items of their own kind of score, and a sweep leaves
them out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from flowtui.engine.metrics.scienceqa import LETTERS
from flowtui.errors import UsageError

from .imagefiles import find_folder, with_images
from .items import Dataset, Item, draw
from .prompts import Prompt
from .reading import Row, field, find_files, note, read_json

PATTERNS = ("problems.json", "pid_splits.json")
FOLDERS = ("", "images")
SIZES = {"train": 12_726, "val": 4_241, "test": 4_241}
"""Questions of each official split."""

Which = Literal["all", "image", "text"]


def open_scienceqa(
    questions: Sequence[Path],
    images: Path | None,
    prompt: Prompt,
    limit: int | None = None,
    seed: int | None = None,
    split: str = "test",
    which: Which | None = None,
) -> Dataset:
    """Opens one split.

    Args:
        questions: problems.json and pid_splits.json, or their folder.
        images: The folder with the folder of the split in it, or that one itself.
        prompt: Fields {question}, {hint}, {context}, {options}.
        limit: How many items.
        seed: See `items.draw`.
        split: One that pid_splits.json has.
        which: Questions with an image, without, or both; None: those with one where `images` are given, else both.

    Raises:
        UsageError: A file that is not ScienceQA's, or no such split.
    """
    problems_path, problems, splits = _sort(find_files(questions, PATTERNS, "question files of ScienceQA"))
    if split not in splits or not isinstance(splits[split], list):
        names = ", ".join(map(str, splits))
        raise UsageError(f"There is no split {split!r} in pid_splits.json.", f"Use one of {names}.")
    wanted = [str(pid) for pid in splits[split]]
    absent = [pid for pid in wanted if not isinstance(problems.get(pid), dict)]
    notes = _notes(split, wanted, absent, problems)
    which = which or ("all" if images is None else "image")
    items = [
        item
        for pid in wanted
        if isinstance(problems.get(pid), dict)
        for item in [_item(pid, problems[pid], split, prompt, problems_path)]
        if which == "all" or (item.image is not None) == (which == "image")
    ]
    if not items:
        raise UsageError(
            f"The split {split!r} has no such questions in {problems_path}.", "Are both files of one version?"
        )
    options = {"split": split, "which": which}
    if images is None:
        return Dataset("scienceqa", draw(items, limit, seed), None, prompt, options, tuple(notes))
    folder = images.parent if images.name == split else images
    found = find_folder(folder, FOLDERS, [item.image for item in items if item.image])
    items, missing = with_images(items, lambda item: item.image, found)
    return Dataset("scienceqa", draw(items, limit, seed), found, prompt, options, (*notes, *missing))


def _sort(paths: Sequence[Path]) -> tuple[Path, Mapping[str, Any], Mapping[str, Any]]:
    """Tells the two files apart by what is in them."""
    problems: tuple[Path, Mapping[str, Any]] | None = None
    splits: Mapping[str, Any] | None = None
    for path in paths:
        content = read_json(path)
        first = next(iter(content.values()), None) if isinstance(content, dict) else None
        if isinstance(first, dict) and "choices" in first:
            problems = (path, content)
        elif isinstance(first, list):
            splits = content
        else:
            raise UsageError(f"{path} is no file of ScienceQA's.", "Expected are problems.json and pid_splits.json.")
    if problems is None or splits is None:
        missing = PATTERNS[0] if problems is None else PATTERNS[1]
        raise UsageError(f"ScienceQA's {missing} is not given.", "Give both files, or their folder, with --questions.")
    return *problems, splits


def _notes(split: str, wanted: Sequence[str], absent: Sequence[str], problems: Mapping[str, Any]) -> list[str]:
    """Where the two files do not fit each other, or are not the official ones."""
    notes = []
    if split in SIZES and len(wanted) != SIZES[split]:
        notes.append(f"The split {split!r} has {len(wanted):,} questions; the official one has {SIZES[split]:,}.")
    if absent:
        notes.append(note(len(absent), len(wanted), "questions are not in problems.json and are left out", absent))
    moved = [
        pid for pid in wanted if isinstance(problems.get(pid), dict) and problems[pid].get("split", split) != split
    ]
    if moved and split in SIZES:
        notes.append(note(len(moved), len(wanted), "questions are of another split by problems.json", moved))
    return notes


def _item(pid: str, problem: Row, split: str, prompt: Prompt, path: Path) -> Item:
    question = field(problem, "question", str, path, int(pid) if pid.isdigit() else 0)
    choices = problem.get("choices")
    answer = problem.get("answer")
    if not isinstance(choices, list) or not 2 <= len(choices) <= len(LETTERS):
        raise UsageError(f"{path}: question {pid} has no two to five choices.", "Is it ScienceQA's problems.json?")
    if not isinstance(answer, int) or not 0 <= answer < len(choices):
        raise UsageError(f"{path}: question {pid} has no answer among its choices.", "Is it ScienceQA's problems.json?")
    hint = str(problem.get("hint") or "")
    # Every split's images lie under the name of the question's own, also those of minitest and trainval.
    home = str(problem.get("split") or split)
    image = f"{home}/{pid}/{problem['image']}" if problem.get("image") else None
    text = prompt.form.format(
        question=question,
        hint=hint,
        context=f"Context: {hint}\n" if hint else "",
        hint_line=f"Hint: {hint}\n" if hint else "",
        hint_first=f"{hint}\n" if hint else "",
        options="\n".join(f"{letter}. {choice}" for letter, choice in zip(LETTERS, choices, strict=False)),
    )
    truth = {"choices": [str(choice) for choice in choices], "answer": answer, "question": question}
    return Item(pid, image, pid, text, truth, str(problem.get("subject") or "unknown"))
