"""What an engine process computes with: the seam between the protocol and torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from .examination import Examination
from .fit import Fit, Wanted
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

    def examine(self) -> Examination:
        """Looks at what there is to work with. Never raises."""

    def fit(
        self, name: str, options: Mapping[str, Any], spec: RunSpec, wanted: Wanted, held: Any, is_held: bool
    ) -> Fit | None:
        """What a model, a prompt and analyses take, without loading it; None where it cannot be told.

        Args:
            name, options: As for `load`.
            spec: The prompt.
            wanted: Analyses.
            held: The model that is loaded now, which loading another one would drop; or None.
            is_held: Whether that is the model that is asked about.
        """

    def prepare(self, loaded: Any, spec: RunSpec, answer: Answer | None) -> HasPrepared:
        """Tokenises a spec and answers it, or takes the answer as it is pinned."""

    def seconds(self, loaded: Any, inputs: Any, parameters: Parameters, layers: Sequence[int]) -> float | None:
        """About how long an analysis takes; None where nobody knows."""

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

    def sweep(
        self,
        loaded: Any,
        payload: Mapping[str, Any],
        on_record: Callable[[dict[str, Any]], None],
        on_progress: Callable[[float], None],
        cancelled: Callable[[], bool],
    ) -> None:
        """Computes one group of a sweep."""


class TorchBackend:
    """The real analyses.

    Attributes:
        seconds_per_token: Of a forward pass of the model that is loaded, once one has been seen.
    """

    def __init__(self) -> None:
        self.seconds_per_token: float | None = None

    def load(self, name: str, *, revision: str | None, dtype: str, device: str, trust_remote_code: bool) -> HasInfo:
        """See `flowtui.engine.models.load_model`."""
        from .models import load_model

        self.seconds_per_token = None
        return load_model(name, revision=revision, dtype=dtype, device=device, trust_remote_code=trust_remote_code)

    def examine(self) -> Examination:
        """See `flowtui.engine.examine`."""
        from .examine import examine

        return examine()

    def fit(
        self, name: str, options: Mapping[str, Any], spec: RunSpec, wanted: Wanted, held: Any, is_held: bool
    ) -> Fit | None:
        """See `flowtui.engine.scout`."""
        from .scout import look, scout
        from .weights import weights_bytes

        if is_held:
            return look(held, spec, wanted, self.seconds_per_token)
        freed_bytes = 0 if held is None else weights_bytes(held.model)
        return scout(name, spec, wanted, freed_bytes=freed_bytes, **options)

    def prepare(self, loaded: Any, spec: RunSpec, answer: Answer | None) -> HasPrepared:
        """See `flowtui.engine.inputs.prepare`."""
        from .inputs import prepare

        with self._timed(loaded):
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

        with self._timed(loaded):
            run_analysis(loaded, inputs, parameters, layers, on_layer, on_progress, cancelled)

    def sweep(
        self,
        loaded: Any,
        payload: Mapping[str, Any],
        on_record: Callable[[dict[str, Any]], None],
        on_progress: Callable[[float], None],
        cancelled: Callable[[], bool],
    ) -> None:
        """See `flowtui.engine.sweeps.worker`."""
        from .sweeps.worker import run_group

        run_group(loaded, payload, on_record, on_progress, cancelled)

    def seconds(self, loaded: Any, inputs: Any, parameters: Parameters, layers: Sequence[int]) -> float | None:
        """See `flowtui.engine.analyses.plan_analysis`."""
        from .analyses import plan_analysis

        if self.seconds_per_token is None or not layers:
            return None
        passes = plan_analysis(loaded, inputs, parameters, sorted(set(layers))).passes
        return passes * self.seconds_per_token * int(inputs.length)

    @contextmanager
    def _timed(self, loaded: Any) -> Iterator[None]:
        """Times the first forward pass inside, if none has been timed yet."""
        if self.seconds_per_token is not None:
            yield
            return
        from .measure import Stopwatch

        with Stopwatch(loaded) as watch:
            yield
        self.seconds_per_token = watch.seconds_per_token
