"""Loads a model's processor, also where its video part cannot be loaded.

Many processors for images have a video part beside them, and transformers prepares videos with torchvision alone. No
analysis here takes a video, so the processor is put together without that part rather than not at all.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, cast

from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoImageProcessor,
    AutoProcessor,
    AutoTokenizer,
    ProcessorMixin,
)
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING, processor_class_from_name

_PARTS: dict[str, Any] = {
    "tokenizer": AutoTokenizer,
    "image_processor": AutoImageProcessor,
    "feature_extractor": AutoFeatureExtractor,
}

_TEMPLATE_ASKS_VIDEO = {"SmolVLMProcessor"}
"""These ask their video part about frames for every prompt; apart from that their templates are used as all others'."""


def load_processor(place: str, **common: Any) -> ProcessorMixin:
    """Loads the processor of a model.

    Args:
        place: A directory or a Hugging Face id.
        common: Keyword arguments of every `from_pretrained`.

    Raises:
        ImportError, OSError, ValueError: What transformers found, where it is not the video part alone.
    """
    try:
        return cast(ProcessorMixin, cast(Any, AutoProcessor).from_pretrained(place, **common))
    except (ImportError, OSError, ValueError):
        with suppress(ImportError, OSError, ValueError):
            processor = _without_video(place, common)
            if processor is not None:
                return processor
        raise


def images_only(kind: type[ProcessorMixin]) -> type[ProcessorMixin]:
    """The same processor, whose video part may be None; its name stays, for that is what its files carry."""

    def check(self: Any, name: str, part: object) -> object:
        if part is None and name == "video_processor":
            return None
        return cast(Any, kind).check_argument_for_proper_class(self, name, part)

    own: dict[str, Any] = {"check_argument_for_proper_class": check}
    if kind.__name__ in _TEMPLATE_ASKS_VIDEO:
        own["apply_chat_template"] = cast(Any, ProcessorMixin).apply_chat_template
    return cast(type[ProcessorMixin], type(kind.__name__, (kind,), own))


def _without_video(place: str, common: dict[str, Any]) -> ProcessorMixin | None:
    """The processor from its parts; None where it has no video part, so that this is not what failed."""
    settings, rest = cast(Any, ProcessorMixin).get_processor_dict(place, **common)
    kind: Any = processor_class_from_name(settings.get("processor_class") or "")
    if kind is None:
        kind = PROCESSOR_MAPPING.get(type(AutoConfig.from_pretrained(place, **common)), None)
    names = kind.get_attributes() if kind is not None else []
    if "video_processor" not in names or not _PARTS.keys() | {"video_processor"} >= set(names):
        return None
    parts = [None if name == "video_processor" else _PARTS[name].from_pretrained(place, **common) for name in names]
    made: ProcessorMixin = cast(Any, images_only(kind)).from_args_and_dict(parts, settings, **rest)
    return made
