"""What an engine process computes with: the seam between the protocol and torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from .results import Answer, LayerResult, ModelInfo, Prepared
from .spec import Parameters, RunSpec


class HasInfo(Protocol):
    """A loaded model, as far as this module looks into it."""

    @property
    def info(self) -> ModelInfo:
        """What was found."""


class HasPrepared(Protocol):
    """Prepared inputs, as far as this module looks into them."""

    @property
    def prepared(self) -> Prepared:
        """What leaves the engine of them."""


class Backend(Protocol):
    """What computes."""

    def load(self, name: str, *, revision: str | None, dtype: str, device: str, trust_remote_code: bool) -> HasInfo:
        """Loads a model."""

    def prepare(self, loaded: Any, spec: RunSpec, answer: Answer | None) -> HasPrepared:
        """Tokenises a spec and answers it, or takes the answer as it is pinned."""

    def analyse(
        self,
        loaded: Any,
        inputs: Any,
        parameters: Parameters,
        layers: Sequence[int],
        on_layer: Callable[[LayerResult], None],
        on_progress: Callable[[int, float], None],
        cancelled: Callable[[], bool],
    ) -> None:
        """Runs one analysis."""


class TorchBackend:
    """The real analyses."""

    def load(self, name: str, *, revision: str | None, dtype: str, device: str, trust_remote_code: bool) -> HasInfo:
        """See `flowtui.engine.models.load_model`."""
        from .models import load_model

        return load_model(name, revision=revision, dtype=dtype, device=device, trust_remote_code=trust_remote_code)

    def prepare(self, loaded: Any, spec: RunSpec, answer: Answer | None) -> HasPrepared:
        """See `flowtui.engine.inputs.prepare`."""
        from .inputs import prepare

        return prepare(loaded, spec, answer)

    def analyse(
        self,
        loaded: Any,
        inputs: Any,
        parameters: Parameters,
        layers: Sequence[int],
        on_layer: Callable[[LayerResult], None],
        on_progress: Callable[[int, float], None],
        cancelled: Callable[[], bool],
    ) -> None:
        """See `flowtui.engine.analyses.run_analysis`."""
        from .analyses import run_analysis

        run_analysis(loaded, inputs, parameters, layers, on_layer, on_progress, cancelled)
