"""TextVQA's official file: TextVQA_0.5.1_val.json; the prompt's OCR tokens from a second one. Torch-free.

{dataset_name, dataset_version, data: [{question_id, question, image_id, answers: [10], ...}]}. The OCR tokens stand
either in TextVQA_Rosetta_OCR_v0.2_val.json ({data: [{image_id, ocr_tokens}]}) or in LLaVA's
llava_textvqa_val_v051_ocr.jsonl, whose prompts hold them on a line of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flowtui.errors import UsageError

from .imagefiles import find_folder, with_images
from .items import Dataset, Item, draw
from .prompts import Prompt
from .reading import Row, field, find_files, note, read_json

PATTERNS = ("TextVQA_0.5.1_val.json", "TextVQA_Rosetta_OCR_*_val.json", "llava_textvqa_val_v051_ocr.jsonl")
FOLDERS = ("", "train_images", "train_val_images/train_images", "images")
VERSION = "0.5.1"
ANSWERS = 10
OCR_LINE = "\nReference OCR token: "


def open_textvqa(
    questions: Sequence[Path],
    images: Path | None,
    prompt: Prompt,
    limit: int | None = None,
    seed: int | None = None,
    ocr: bool = False,
) -> Dataset:
    """Opens the validation questions.

    Args:
        questions: The official file and, for `ocr`, one with the tokens.
        images: Folder of <image_id>.jpg.
        prompt: Has a field {ocr} where `ocr`.
        limit: How many items.
        seed: See `items.draw`.
        ocr: Whether the prompt gives the reference OCR tokens.

    Raises:
        UsageError: A file that is not TextVQA's, or no tokens where they are wanted.
    """
    main, tokens = _sort(find_files(questions, PATTERNS, "question files of TextVQA"))
    if ocr and tokens is None:
        raise UsageError(
            "No file with OCR tokens is given.",
            "Add TextVQA_Rosetta_OCR_v0.2_val.json or llava_textvqa_val_v051_ocr.jsonl with --questions.",
        )
    items, notes = list[Item](), list[str]()
    for path, content in main:
        notes += _strangeness(path, content)
        rows = content["data"]
        items += [_item(row, prompt, tokens if ocr else None, path, number) for number, row in enumerate(rows, 1)]
    few = [item.id for item in items if len(item.truth["answers"]) != ANSWERS]
    if few:
        notes.append(note(len(few), len(items), f"questions do not have {ANSWERS} answers", few))
    if len({item.id for item in items}) < len(items):
        names = ", ".join(str(path) for path, _ in main)
        raise UsageError(f"A question is there twice, in {names}.", "Give one version of one split.")
    if ocr and tokens is not None:
        blank = [item.id for item in items if not any(key in tokens for key in _keys(item.cluster, item.truth))]
        if blank:
            notes.append(note(len(blank), len(items), "questions have no OCR tokens in the file given", blank))
    options = {"ocr": ocr}
    if images is None:
        return Dataset("textvqa", draw(items, limit, seed), None, prompt, options, tuple(notes))
    found = find_folder(images, FOLDERS, [item.image or "" for item in items])
    items, missing = with_images(items, lambda item: item.image, found)
    return Dataset("textvqa", draw(items, limit, seed), found, prompt, options, (*notes, *missing))


def question_of(text: str) -> str:
    """The question in one of the prompts that LLaVA's files have, in lower case."""
    if text.startswith("OCR tokens: ") and " Question: " in text:
        return text.partition(" Question: ")[2].removesuffix(" ").removesuffix(" Short answer:").lower()
    lines = text.split("\n")
    return lines[1 if text.startswith(OCR_LINE.strip()) and len(lines) > 1 else 0].lower()


Tokens = Mapping[tuple[str, str], Sequence[str]]
"""OCR tokens by (image id, question in lower case), or by (image id, "") where they are the image's."""


def _sort(paths: Sequence[Path]) -> tuple[list[tuple[Path, dict[str, Any]]], Tokens | None]:
    """Tells the files apart by what is in them."""
    main: list[tuple[Path, dict[str, Any]]] = []
    tokens: dict[tuple[str, str], Sequence[str]] | None = None
    for path in paths:
        content = read_json(path)
        rows = content.get("data") if isinstance(content, dict) else content
        if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
            raise UsageError(f"{path} is no file of TextVQA's.", f"Expected is {PATTERNS[0]}.")
        first = rows[0]
        if "ocr_tokens" in first and "question" not in first:
            tokens = (tokens or {}) | {(str(row.get("image_id")), ""): _strings(row.get("ocr_tokens")) for row in rows}
        elif isinstance(content, list) and OCR_LINE in str(first.get("text")):
            tokens = (tokens or {}) | dict(map(_from_llava, rows))
        elif isinstance(content, dict) and "question" in first:
            main.append((path, content))
        else:
            raise UsageError(f"{path} is no file of TextVQA's.", f"Expected is {PATTERNS[0]}.")
    if not main:
        raise UsageError("No file with questions is given, only OCR tokens.", f"Add {PATTERNS[0]} with --questions.")
    return main, tokens


def _from_llava(row: Row) -> tuple[tuple[str, str], Sequence[str]]:
    text = str(row.get("text"))
    listed = text.partition(OCR_LINE)[2].partition("\n")[0]
    return (str(row.get("question_id")), question_of(text)), listed.split(", ") if listed else ()


def _strings(value: object) -> Sequence[str]:
    return [str(token) for token in value] if isinstance(value, list) else ()


def _strangeness(path: Path, content: Mapping[str, Any]) -> list[str]:
    """What is unexpected about a file: another data set is an error, another version a note."""
    name, version = str(content.get("dataset_name", "")), str(content.get("dataset_version", ""))
    if name and name.lower() != "textvqa":
        raise UsageError(f"{path} is of the data set {name!r}, not TextVQA.", f"Expected is {PATTERNS[0]}.")
    return [] if version == VERSION else [f"{path.name} is version {version or 'unknown'}; scores are of {VERSION}."]


def _keys(image: str, truth: Mapping[str, Any]) -> tuple[tuple[str, str], tuple[str, str]]:
    return (image, str(truth["question"]).lower()), (image, "")


def _item(row: Row, prompt: Prompt, tokens: Tokens | None, path: Path, number: int) -> Item:
    identity = field(row, "question_id", (int, str), path, number)
    question = field(row, "question", str, path, number)
    image = str(field(row, "image_id", (str, int), path, number))
    if "answers" not in row:
        raise UsageError(f"{path}: row {number} has no answers.", f"The test split has none; use {PATTERNS[0]}.")
    truth = {"answers": _strings(field(row, "answers", list, path, number)), "question": question}
    if not truth["answers"]:
        raise UsageError(f"{path}: row {number} has no answers.", f"The test split has none; use {PATTERNS[0]}.")
    known = next((tokens[key] for key in _keys(image, truth) if key in tokens), ()) if tokens else ()
    text = prompt.form.format(question=question, Question=question[:1].upper() + question[1:], ocr=", ".join(known))
    return Item(str(identity), f"{image}.jpg", image, text, truth, str(row.get("set_name") or "val"))
