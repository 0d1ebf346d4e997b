"""Loads a vision-language model, frozen and checked, ready to be taken apart."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    GenerationConfig,
    PreTrainedConfig,
    PreTrainedModel,
    ProcessorMixin,
)
from transformers.utils import is_peft_available
from transformers.utils import logging as transformers_logging
from transformers.utils.hub import cached_file

from flowtui.errors import ModelError, UnsupportedModelError, UsageError

from .families import FAMILIES
from .folder import check_folder, check_links
from .loaded import Loaded
from .place import fingerprint, resolve_model
from .processors import load_processor
from .repairs import mend
from .results import ModelInfo
from .selftest import self_test
from .structure import Decoder, find_decoder
from .unloaded import explaining
from .weights import check_weights, needed_bytes, stored_dtype

__all__ = ["DTYPES", "Loaded", "load_model", "silence"]

_PLACEHOLDER = re.compile(r"^(?!.*(start|begin|end|break|newline|row|col|sep))(image|img|media)_.*(id|idx|index)$")
"""Names of an image placeholder's id in configurations, apart from the usual two."""

MAX_LAYERS = 1000
"""The deepest known models have an eighth of it."""
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, slots=True)
class Opened:
    """A model before its weights.

    Attributes:
        name: As the user gave it.
        place: Its directory or Hugging Face id.
        common: Keyword arguments of every `from_pretrained`.
        device, dtype: Where it goes, and in what.
        config: What says what it is.
        processor: What makes its inputs.
    """

    name: str
    place: str
    common: dict[str, Any]
    device: torch.device
    dtype: torch.dtype
    config: PreTrainedConfig
    processor: ProcessorMixin

    @property
    def directory(self) -> Path | None:
        """Its directory, where it was given as one."""
        return Path(self.place) if Path(self.place).is_dir() else None


def open_model(
    name: str,
    *,
    revision: str | None = None,
    dtype: str = "auto",
    device: str = "auto",
    trust_remote_code: bool = False,
) -> Opened:
    """Reads all of a model but its weights. Arguments and errors are those of `load_model`."""
    place = resolve_model(name)
    target = _choose_device(device)
    silence()
    common: dict[str, Any] = {"revision": revision, "trust_remote_code": trust_remote_code}
    if Path(place).is_dir():
        check_folder(Path(place), trust_remote_code=trust_remote_code)
        common["revision"] = None
        common["local_files_only"] = True
    with explaining(name):
        if not Path(place).is_dir():
            # As much as a Hugging Face cache has of it by now; pickled weights there need not be the ones to be read.
            snapshot = Path(str(cached_file(place, "config.json", **common))).parent
            check_links(snapshot)
            # Whatever a branch points to by then: processor and weights are of the same commit, and the run names it.
            common["revision"] = snapshot.name
        config = AutoConfig.from_pretrained(place, **common)
        _check_family(name, config)
        _check_kernel(name, config)
        _check_layers(name, config.to_dict())
        _check_adapter(name, place)
        kind = _choose_dtype(dtype, target, config)
        return Opened(name, place, common, target, kind, config, mend(load_processor(place, **common)))


def load_model(
    name: str,
    *,
    revision: str | None = None,
    dtype: str = "auto",
    device: str = "auto",
    trust_remote_code: bool = False,
) -> Loaded:
    """Loads a model and its processor, and checks that what the engine reads off it can be trusted.

    Args:
        name: "demo", a directory or a Hugging Face id.
        revision: Branch, tag or commit of an id.
        dtype: "auto" is float32 on the CPU, and on a GPU bfloat16 where the checkpoint is in half precision.
        device: "auto" is the first GPU, or else the CPU.
        trust_remote_code: Whether code that comes with the model may run.

    Raises:
        UsageError: No such dtype or device.
        ModelError: Not found, not reachable, damaged, incomplete, or not a vision-language model.
        UnsupportedModelError: Loaded, but cannot be taken apart, or fails the self-test.
        OutOfMemoryError: The weights do not fit; said before any is read, with needed and free bytes.
    """
    opened = open_model(name, revision=revision, dtype=dtype, device=device, trust_remote_code=trust_remote_code)
    config, processor, place = opened.config, opened.processor, opened.place
    needed = needed_bytes(config, opened.dtype, opened.directory, trust_remote_code=trust_remote_code)
    check_weights(name, config, opened.dtype, opened.device, needed)
    with explaining(name):
        model, report = cast(Any, AutoModelForImageTextToText).from_pretrained(
            place,
            config=config,
            dtype=opened.dtype,
            output_loading_info=True,
            # Other files are pickles, which may run code.
            use_safetensors=None if trust_remote_code else True,
            **opened.common,
        )
        directory = opened.directory or Path(str(cached_file(place, "config.json", **opened.common))).parent
    if not hasattr(processor, "tokenizer") or not hasattr(processor, "image_processor"):
        raise ModelError(
            f"{name} has no processor for images and text (found {type(processor).__name__}).",
            "Its directory needs the processor's and the tokenizer's files.",
        )
    if report["missing_keys"]:
        some = ", ".join(sorted(report["missing_keys"])[:3])
        raise ModelError(
            f"The weights of {name} are incomplete: {len(report['missing_keys'])} tensors are missing ({some}, ...).",
            "They would be random numbers. Get the files again.",
        )
    model = cast(PreTrainedModel, model.to(opened.device).eval())
    model.requires_grad_(False)
    stop_ids = _keep_greedy(model, processor)
    decoder = find_decoder(model)
    loaded = Loaded(
        model,
        processor,
        describe(opened, model, decoder, directory, fingerprint(directory)),
        decoder.module,
        decoder.layers,
        decoder.attentions,
        decoder.final_norm,
        decoder.lm_head,
        image_token(name, model, processor),
        stop_ids,
    )
    return replace(loaded, info=replace(loaded.info, self_test_error=self_test(loaded)))


def _check_family(name: str, config: PreTrainedConfig) -> None:
    """Before the weights are read: what is known not to work is refused with the reason."""
    family = FAMILIES.get(config.model_type)
    if family is not None and family.refused:
        raise UnsupportedModelError(
            f"{name} is a {family.title} model, which cannot be taken apart: {family.refused}.",
            "flowtui models lists the families that are known to work.",
        )


def _check_kernel(name: str, config: PreTrainedConfig) -> None:
    """An attention function may be named that lies on the Hub: code, which the flag for code says nothing of."""
    asked = str(config._attn_implementation or "")
    if "/" in asked:
        raise ModelError(
            f"{name} asks for an attention function from elsewhere: {asked[:80]}.",
            "Take attn_implementation out of its config.json.",
        )


def _check_layers(name: str, config: Mapping[str, Any]) -> None:
    """Layers are built one by one before anything is known of their weights: a wrong number would take hours."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            _check_layers(name, value)
        elif type(value) is int and value > MAX_LAYERS and ("layers" in key or "depth" in key):
            raise ModelError(f"{name} claims {value:,} layers ({key} in its config.json).", "Get the file again.")


def _check_adapter(name: str, place: str) -> None:
    """Transformers leaves an adapter out, without a word, where it cannot load it."""
    if (Path(place) / "adapter_config.json").is_file() and not is_peft_available():
        raise ModelError(
            f"{name} has an adapter beside its weights, and the package peft, which loads it, is not installed.",
            "Install peft, or take adapter_config.json away to look at the model without it.",
        )


def silence() -> None:
    """Keeps transformers from writing progress bars and advice: a screen or a protocol owns the terminal."""
    quiet = cast(Any, transformers_logging)
    quiet.set_verbosity_error()
    quiet.disable_progress_bar()


def _choose_device(device: str) -> torch.device:
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UsageError(f"There is no device {device!r} here.", "Use auto, cpu, cuda or cuda:N.") from error
    return chosen


def _choose_dtype(dtype: str, device: torch.device, config: PreTrainedConfig) -> torch.dtype:
    if dtype in DTYPES:
        return DTYPES[dtype]
    if dtype != "auto":
        raise UsageError(f"Unknown dtype {dtype!r}.", f"Use auto, {', '.join(DTYPES)}.")
    stored = stored_dtype(config)
    # float16 checkpoints too: their summed logits' gradients overflow in float16.
    half = stored in (torch.float16, torch.bfloat16)
    return torch.bfloat16 if half and device.type == "cuda" else torch.float32


def _keep_greedy(model: PreTrainedModel, processor: ProcessorMixin) -> tuple[int, ...]:
    """Drops the checkpoint's decoding preferences: every answer here is plain greedy. Returns the ids that end it."""
    old = model.generation_config
    stop = old.eos_token_id if old.eos_token_id is not None else processor.tokenizer.eos_token_id
    stops = tuple(stop) if isinstance(stop, (list, tuple)) else (() if stop is None else (int(stop),))
    pad = old.pad_token_id if old.pad_token_id is not None else (stops[0] if stops else None)
    ids = {"bos_token_id": old.bos_token_id, "eos_token_id": list(stops) or None, "pad_token_id": pad}
    model.generation_config = cast(Any, GenerationConfig)(do_sample=False, num_beams=1, **ids)
    return stops


def image_token(name: str, model: PreTrainedModel, processor: ProcessorMixin) -> int:
    places = ((model.config, "image_token_id"), (model.config, "image_token_index"), (processor, "image_token_id"))
    for holder, attribute in places:
        if isinstance(found := getattr(holder, attribute, None), int):
            return found
    # Under another name, as code that comes with a model may have it: unless two could be meant.
    others = {value for key, value in vars(model.config).items() if _PLACEHOLDER.search(key) and type(value) is int}
    if len(others) == 1:
        return others.pop()
    tokenizer, token = processor.tokenizer, getattr(processor, "image_token", None)
    if isinstance(token, str) and (found := tokenizer.get_vocab().get(token)) is not None:
        return int(found)
    raise ModelError(f"{name} names no image token in its configuration.", "Is it a vision-language model?")


def describe(
    opened: Opened, model: PreTrainedModel, decoder: Decoder, directory: Path | None, files_hash: str
) -> ModelInfo:
    """What is found of a model, its self-test left out."""
    text = model.config.get_text_config(decoder=True)
    return ModelInfo(
        name=opened.name,
        directory=None if directory is None else str(directory),
        revision=opened.common["revision"],
        family=model.config.model_type,
        fingerprint=files_hash,
        layers=len(decoder.layers),
        heads=text.num_attention_heads,
        kv_heads=getattr(text, "num_key_value_heads", None) or text.num_attention_heads,
        d_model=text.hidden_size,
        dtype=str(decoder.module.dtype).removeprefix("torch."),
        device=str(model.device),
        self_test_error=0.0,
    )
