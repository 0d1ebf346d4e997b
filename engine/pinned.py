"""Brings an engine to exactly the model, tokens and answer that a run was made with, or refuses. Torch-free."""

from __future__ import annotations

from flowtui.errors import ModelError

from .client import EngineClient
from .fit import Wanted
from .results import Run


async def fit_pinned(client: EngineClient, run: Run, wanted: Wanted) -> None:
    """Asks whether a run's model and analyses fit, before anything is loaded.

    Raises:
        OutOfMemoryError: They do not; with needed and free bytes.
    """
    fit = await client.fit(run.spec, wanted, revision=run.model.revision, dtype=run.model.dtype)
    if fit is not None:
        fit.check()


async def load_pinned(client: EngineClient, run: Run) -> None:
    """Loads a run's model.

    Raises:
        ModelError: The engine has other weights, or another model, under that name.
    """
    spec, made_with = run.spec, run.model
    found = await client.load(
        spec.model,
        revision=made_with.revision or spec.revision,
        dtype=made_with.dtype,
        device=spec.device,
        trust_remote_code=spec.trust_remote_code,
    )
    if found.fingerprint != made_with.fingerprint:
        raise ModelError(
            f"The run was made with other weights of {spec.model} (fingerprint {made_with.fingerprint[:12]}) than the "
            f"engine has ({found.fingerprint[:12]}).",
            "Make a new run of the same image and question, or give the engine the weights the run was made with.",
        )
    if (found.dtype, found.layers, found.heads) != (made_with.dtype, made_with.layers, made_with.heads):
        raise ModelError(
            f"The engine loaded {spec.model} with {found.layers} layers of {found.heads} heads in {found.dtype}; the "
            f"run has {made_with.layers} of {made_with.heads} in {made_with.dtype}.",
            "Make a new run of the same image and question.",
        )


async def prepare_pinned(client: EngineClient, run: Run) -> None:
    """Prepares a run's spec with the run's own answer.

    Raises:
        ModelError: The engine makes other tokens of it.
    """
    prepared = await client.prepare(run.spec, answer=run.answer)
    mine, other = run.tokens, prepared.tokens
    if mine.ids.tolist() != other.ids.tolist() or mine.group.tolist() != other.group.tolist():
        raise ModelError(
            f"The engine reads the run's question as other tokens ({len(other.ids)}) than the run holds "
            f"({len(mine.ids)}).",
            "Its processor or chat template is another version: make a new run of the same image and question.",
        )
