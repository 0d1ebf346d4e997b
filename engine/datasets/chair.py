"""CHAIR on COCO: the official instances_val2014.json and captions_val2014.json. Torch-free.

What is in an image is what its instances' categories and its five people's captions name (Rohrbach et al. 2018).
Files of several splits can be given together (train2014 beside val2014), each split with both kinds of file.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flowtui.engine.metrics.coco import SYNONYMS
from flowtui.engine.metrics.objects import mentions
from flowtui.errors import UsageError

from .imagefiles import find_folder, with_images
from .items import Dataset, Item, draw
from .prompts import Prompt
from .reading import find_files, note, read_json

PATTERNS = ("instances_*.json", "captions_*.json")
FOLDERS = ("", "val2014", "images")


@dataclass(slots=True)
class _Coco:
    """The annotation files, put together.

    Attributes:
        images: File name by image id.
        objects: Categories by image id.
        captions: People's captions by image id.
    """

    images: dict[int, str] = field(default_factory=dict)
    objects: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))
    captions: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))


def open_chair(
    questions: Sequence[Path],
    images: Path | None,
    prompt: Prompt,
    limit: int | None = None,
    seed: int | None = None,
    only: Collection[str] | None = None,
) -> Dataset:
    """Opens the images that both kinds of file know.

    Args:
        questions: Files of instances and of captions, or their folder.
        images: Folder of the images.
        prompt: Has no fields.
        limit: How many images.
        seed: See `items.draw`.
        only: Ids of the images wanted, to score captions of some; None: all.

    Raises:
        UsageError: A file that is not COCO's, or one of the two kinds is missing.
    """
    coco, notes = _read(find_files(questions, PATTERNS, "annotation files of COCO"))
    # Items without their truth first: captions are looked through only for the images that are kept.
    rows = [
        Item(str(number), name, str(number), prompt.form.format(), {}, "caption")
        for number, name in sorted(coco.images.items())
        if only is None or str(number) in only
    ]
    found = None
    if images is not None:
        found = find_folder(images, FOLDERS, list(coco.images.values()))
        rows, missing = with_images(rows, lambda item: item.image, found)
        notes += missing
    kept = draw(rows, limit, seed)
    items = tuple(
        Item(item.id, item.image, item.cluster, item.prompt, {"objects": _objects(coco, int(item.id))}, item.kind)
        for item in kept
    )
    return Dataset("chair", items, found, prompt, {}, tuple(notes))


def _objects(coco: _Coco, image: int) -> list[str]:
    named = (name for caption in coco.captions[image] for name in mentions(caption))
    return sorted(coco.objects[image].union(named))


def _read(paths: Sequence[Path]) -> tuple[_Coco, list[str]]:
    coco, instances, captioned = _Coco(), dict[int, str](), dict[int, str]()
    for path in paths:
        content = read_json(path)
        if not isinstance(content, dict) or not isinstance(content.get("images"), list):
            raise UsageError(f"{path} is no annotation file of COCO's.", f"Expected are files like {PATTERNS[0]}.")
        try:
            names = {int(image["id"]): str(image["file_name"]) for image in content["images"]}
            if "categories" in content:
                instances |= names
                _add_instances(coco, content)
            else:
                captioned |= names
                for row in content["annotations"]:
                    coco.captions[int(row["image_id"])].append(str(row["caption"]))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise UsageError(f"{path} is no file of instances or captions: {error}.", "Is it COCO's own?") from error
    if not instances or not captioned:
        missing = PATTERNS[0] if not instances else PATTERNS[1]
        raise UsageError(f"No file like {missing} is given.", "CHAIR needs instances and captions of the same images.")
    coco.images = {image: name for image, name in instances.items() if image in captioned}
    one_sided = [instances.get(image) or captioned[image] for image in instances.keys() ^ captioned.keys()]
    text = "images are in the instances or the captions alone and are left out: two versions, or two splits"
    notes = [note(len(one_sided), len(instances | captioned), text, sorted(one_sided))] if one_sided else []
    return coco, notes


def _add_instances(coco: _Coco, content: dict[str, Any]) -> None:
    names = {row["id"]: str(row["name"]) for row in content["categories"]}
    unknown = sorted(set(names.values()) - SYNONYMS.keys())
    if unknown:
        raise UsageError(
            f"The category {unknown[0]!r} is none of COCO's 80.", "Expected are instances, not stuff or panoptic files."
        )
    for row in content["annotations"]:
        coco.objects[int(row["image_id"])].add(names[row["category_id"]])
