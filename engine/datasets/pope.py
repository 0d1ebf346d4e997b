"""POPE's official files: coco_pope_random.json, coco_pope_popular.json, coco_pope_adversarial.json. Torch-free.

JSON Lines {question_id, image, text, label}. Files of other image collections (aokvqa_pope_..., gqa_pope_...) have
the same form. LLaVA's llava_pope_test.jsonl holds the same questions, numbered through and without labels: beside the
official files it gives the items its numbers, so that answers to it can be scored.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from flowtui.errors import UsageError

from .imagefiles import find_folder, with_images
from .items import Dataset, Item, draw
from .prompts import Prompt
from .reading import Row, field, find_files, note, read_rows

PATTERNS = ("*_pope_*.json", "llava_pope_test.jsonl")
ROWS = {"random": (3000, 2910), "popular": (3000,), "adversarial": (3000,)}
"""Rows of the official files; an older random split has 2,910."""
FOLDERS = ("", "val2014", "images")
LABELS = ("yes", "no")


def open_pope(
    questions: Sequence[Path],
    images: Path | None,
    prompt: Prompt,
    limit: int | None = None,
    seed: int | None = None,
) -> Dataset:
    """Opens any of the three splits together, or one.

    Raises:
        UsageError: A file that is not POPE's, or two versions of one split.
    """
    files = [(path, read_rows(path)) for path in find_files(questions, PATTERNS, "question files of POPE")]
    labelled = [(path, rows) for path, rows in files if rows and "label" in rows[0]]
    numbered = [(path, rows) for path, rows in files if not (rows and "label" in rows[0])]
    if not labelled:
        raise UsageError(
            f"{files[0][0]} has no labels.", "Give the official coco_pope_random.json, ... (as well, for LLaVA's file)."
        )
    items, notes = list[Item](), list[str]()
    for path, rows in labelled:
        kind = kind_of(path)
        items += [_item(row, kind, prompt, path, i) for i, row in enumerate(rows, 1)]
        if kind in ROWS and len(rows) not in ROWS[kind]:
            usual = " or ".join(f"{count:,}" for count in ROWS[kind])
            notes.append(f"{path.name} has {len(rows):,} rows; the official file has {usual}.")
    _refuse_twins(items, labelled)
    for path, rows in numbered:
        items, without = _renumber(items, rows, path)
        notes += without
    if images is None:
        return Dataset("pope", draw(items, limit, seed), None, prompt, {}, tuple(notes))
    found = find_folder(images, FOLDERS, [item.image or "" for item in items])
    items, missing = with_images(items, lambda item: item.image, found)
    return Dataset("pope", draw(items, limit, seed), found, prompt, {}, (*notes, *missing))


def kind_of(path: Path) -> str:
    """The split by the file's name; the name itself where it says none."""
    match = re.search(r"(random|popular|adversarial)", path.stem)
    return match[1] if match else path.stem


def _item(row: Row, kind: str, prompt: Prompt, path: Path, number: int) -> Item:
    identity = field(row, "question_id", (int, str), path, number)
    image = field(row, "image", str, path, number)
    # LLaVA's copies of these files have its instruction on a second line.
    question = field(row, "text", str, path, number).partition("\n")[0]
    label = field(row, "label", str, path, number).strip().lower()
    if label not in LABELS:
        raise UsageError(f"{path}: row {number} has the label {label!r}.", "POPE's labels are yes and no.")
    text = prompt.form.format(question=question)
    return Item(f"{kind}/{identity}", image, image, text, {"label": label, "question": question}, kind)


def _refuse_twins(items: Sequence[Item], files: Sequence[tuple[Path, object]]) -> None:
    seen: set[str] = set()
    for item in items:
        if item.id in seen:
            names = ", ".join(str(path) for path, _ in files)
            raise UsageError(
                f"Question {item.id} is there twice, in {names}.",
                "Give one version of each split: 3,000 rows or 2,910.",
            )
        seen.add(item.id)


def _renumber(items: Sequence[Item], rows: Sequence[Row], path: Path) -> tuple[list[Item], list[str]]:
    """The items that LLaVA's file asks for, in its order and with its numbers; a note about those without a label."""
    known = {(item.kind, item.image, item.truth["question"]): item for item in items}
    found, without = list[Item](), list[str]()
    for number, row in enumerate(rows, 1):
        kind = field(row, "category", str, path, number)
        question = field(row, "text", str, path, number).partition("\n")[0]
        item = known.get((kind, field(row, "image", str, path, number), question))
        identity = f"{kind}/{field(row, 'question_id', (int, str), path, number)}"
        if item is None:
            without.append(identity)
        else:
            found.append(Item(identity, item.image, item.cluster, item.prompt, item.truth, kind))
    if not found:
        raise UsageError(f"{path} asks nothing that the official files have a label for.", "Give all three of them.")
    text = f"questions of {path.name} have no label in the official files that were given and are left out"
    return found, [note(len(without), len(rows), text, without)] if without else []
