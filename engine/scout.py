"""What a run will take, found before its model is loaded: sizes from a model without weights, and the prompt itself."""

from __future__ import annotations

import logging

import numpy as np
import torch

from flowtui.errors import FlowtuiError

from .fit import Fit, Need, Wanted, pass_bytes, plan
from .free import free_beside, free_on
from .images import decode_image
from .inputs import process_prompt
from .loaded import Loaded
from .measure import sizes_of_prompt
from .models import Opened, describe, image_token, open_model
from .prompts import prompt_text
from .results import GROUPS
from .sizes import Sizes
from .spans import find_groups
from .spec import PARAMETERS, RunSpec, TruncationParameters
from .structure import find_decoder
from .weights import build_empty, needed_bytes, weights_bytes

log = logging.getLogger(__name__)


class Empty(Loaded):
    """A model whose parameters have shapes and no storage: its prompts stay on the CPU."""

    @property
    def device(self) -> torch.device:
        """Where inputs belong, to be looked at."""
        return torch.device("cpu")


def scout(
    name: str,
    spec: RunSpec,
    wanted: Wanted,
    *,
    revision: str | None,
    dtype: str,
    device: str,
    trust_remote_code: bool,
    freed_bytes: int = 0,
) -> Fit | None:
    """What a model and a prompt will take; None where it cannot be told, for whoever loads it to say why.

    Args:
        name, revision, dtype, device, trust_remote_code: As for `load_model`.
        spec: The prompt.
        wanted: Analyses.
        freed_bytes: What will be free besides, once a model that is loaded now has made room.
    """
    try:
        opened = open_model(name, revision=revision, dtype=dtype, device=device, trust_remote_code=trust_remote_code)
        empty = _empty(opened)
        needed = needed_bytes(opened.config, opened.dtype, opened.directory, trust_remote_code=trust_remote_code)
        sizes = _prompt_sizes(empty, spec)
    except FlowtuiError as error:
        log.info("what %s takes cannot be told: %s", name, error)
        return None
    except Exception:
        # Code of any family: loading says what is wrong with it.
        log.info("what %s takes cannot be told", name, exc_info=True)
        return None
    free = free_on(opened.device) + freed_bytes
    return _fit(empty, sizes, wanted, str(opened.device), needed or 0, free, loaded_already=False, pass_s=None)


def look(loaded: Loaded, spec: RunSpec, wanted: Wanted, seconds_per_token: float | None) -> Fit:
    """What a prompt will take of a model that is there.

    Raises:
        FlowtuiError: What is wrong with the prompt.
    """
    sizes = _prompt_sizes(loaded, spec)
    pass_s = None if seconds_per_token is None else seconds_per_token * sizes.tokens
    device, weights, free = str(loaded.device), weights_bytes(loaded.model), free_beside(loaded)
    return _fit(loaded, sizes, wanted, device, weights, free, loaded_already=True, pass_s=pass_s)


def _empty(opened: Opened) -> Empty:
    model = build_empty(opened.config, opened.dtype, trust_remote_code=opened.common["trust_remote_code"])
    decoder = find_decoder(model)
    return Empty(
        model,
        opened.processor,
        describe(opened, model, decoder, opened.directory, ""),
        decoder.module,
        decoder.layers,
        decoder.attentions,
        decoder.final_norm,
        decoder.lm_head,
        image_token(opened.name, model, opened.processor),
        (),
    )


def _prompt_sizes(loaded: Loaded, spec: RunSpec) -> Sizes:
    """Sizes of a prompt whose answer is not known yet: as long as it may become."""
    text, _ = prompt_text(loaded, spec)
    prompt = process_prompt(loaded, text, [decode_image(data) for data in spec.images])
    answer = spec.max_new_tokens
    if spec.answer is not None:
        answer = len(loaded.processor.tokenizer(spec.answer, add_special_tokens=False)["input_ids"])
    ids = prompt["input_ids"][0].cpu().numpy()
    groups = find_groups(len(ids) + answer, np.flatnonzero(ids == loaded.image_token_id), len(ids), "paper", 0)
    if spec.grouping == "roles":
        # Where the user's turn starts does not matter for what is taken: at worst, before the image.
        groups = np.where(groups == GROUPS.index("system"), GROUPS.index("user"), groups)
    return sizes_of_prompt(loaded, prompt, groups.astype(np.uint8), answer, spec.max_new_tokens)


def _fit(
    loaded: Loaded,
    sizes: Sizes,
    wanted: Wanted,
    device: str,
    weights: int,
    free: int,
    *,
    loaded_already: bool,
    pass_s: float | None,
) -> Fit:
    left = free if loaded_already else free - weights
    needs: list[Need] = []
    for parameters, layers in wanted:
        name = next(name for name, kind in PARAMETERS.items() if type(parameters) is kind)
        every = range(sizes.layers + isinstance(parameters, TruncationParameters))
        chosen = every if layers is None else sorted(layer for layer in set(layers) if layer in every)
        if chosen:
            needs.append(plan(name, sizes, parameters, chosen, left))
    return Fit(
        model=loaded.info.name,
        dtype=loaded.info.dtype,
        device=device,
        weights_bytes=weights,
        loaded=loaded_already,
        free_bytes=free,
        tokens=sizes.tokens,
        image_tokens=sizes.image,
        answer_tokens=sizes.answer,
        pass_bytes=pass_bytes(sizes),
        pass_s=pass_s,
        needs=tuple(needs),
    )
