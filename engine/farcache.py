"""The cache of the machine that a far engine runs on: its client cannot see it, so the engine looks into it itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from logging import getLogger
from typing import TYPE_CHECKING, Any

from flowtui.errors import CacheError, CancelledError, RunFileError

from .backend import Backend, HasInfo, HasPrepared
from .examination import Examination
from .fit import Fit, Wanted
from .layername import WHOLE_FAR, layer_name
from .results import Answer, LayerResult, Prepared
from .spec import Parameters, RunSpec, analysis_name, parameters_to_plain

if TYPE_CHECKING:
    from flowtui.cache.store import LayerCache

log = getLogger(__name__)

LOOK_AGAIN_S = 0.2
"""How often an engine that waits for another looks for the layers it has made so far."""


@dataclass(frozen=True, slots=True)
class _Inputs:
    """What was prepared, and of what: both name its layers."""

    inner: HasPrepared
    spec: RunSpec

    @property
    def prepared(self) -> Prepared:
        return self.inner.prepared


class CachingBackend:
    """Another backend, whose layers come from this machine's cache where they can, and go into it.

    Without a usable cache it is the other backend alone.
    """

    def __init__(self, inner: Backend) -> None:
        self._inner = inner
        self._store: LayerCache | None = None
        self._opened = False

    def load(self, name: str, *, revision: str | None, dtype: str, device: str, trust_remote_code: bool) -> HasInfo:
        """Loads a model."""
        return self._inner.load(
            name, revision=revision, dtype=dtype, device=device, trust_remote_code=trust_remote_code
        )

    def examine(self) -> Examination:
        """Looks at what there is to work with."""
        return self._inner.examine()

    def fit(
        self, name: str, options: Mapping[str, Any], spec: RunSpec, wanted: Wanted, held: Any, is_held: bool
    ) -> Fit | None:
        """What a model and analyses take."""
        return self._inner.fit(name, options, spec, wanted, held, is_held)

    def prepare(self, loaded: Any, spec: RunSpec, answer: Answer | None) -> HasPrepared:
        """Tokenises and answers a spec."""
        return _Inputs(self._inner.prepare(loaded, spec, answer), spec)

    def seconds(self, loaded: Any, inputs: _Inputs, parameters: Parameters, layers: Sequence[int]) -> float | None:
        """About how long an analysis takes."""
        return self._inner.seconds(loaded, inputs.inner, parameters, layers)

    def analyse(
        self,
        loaded: HasInfo,
        inputs: _Inputs,
        parameters: Parameters,
        layers: Sequence[int],
        on_layer: Callable[[LayerResult], None],
        on_progress: Callable[[int, float], None],
        cancelled: Callable[[], bool],
    ) -> None:
        """Hands over the layers that the cache has, then computes the others, once among all far engines here."""
        store, missing = self._open(), list(layers)
        if store is None:
            self._inner.analyse(loaded, inputs.inner, parameters, missing, on_layer, on_progress, cancelled)
            return
        analysis, plain = analysis_name(parameters), parameters_to_plain(parameters)
        prepared = inputs.prepared

        def name(layer: int) -> str:
            return layer_name(inputs.spec, loaded.info, prepared.tokens, prepared.answer, analysis, plain, layer)

        def keep(result: LayerResult) -> None:
            # First into the cache: the line may be lost while the layer is on its way.
            store.put(
                name(result.layer), result.to_bytes(), analysis=analysis, layer=result.layer, model=loaded.info.name
            )
            on_layer(result)

        while missing:
            with store.lock(name(WHOLE_FAR), wait_s=LOOK_AGAIN_S) as mine:
                for layer in list(missing):
                    if (found := _look_up(store, name(layer), analysis, layer)) is not None:
                        on_layer(found)
                        missing.remove(layer)
                if mine and missing:
                    self._inner.analyse(loaded, inputs.inner, parameters, missing, keep, on_progress, cancelled)
                    missing = []
            if missing and cancelled():
                raise CancelledError("Cancelled.")
        for notice in store.take_notices():
            log.warning("%s", notice)

    def sweep(
        self,
        loaded: Any,
        payload: Mapping[str, Any],
        on_record: Callable[[dict[str, Any]], None],
        on_progress: Callable[[float], None],
        cancelled: Callable[[], bool],
    ) -> None:
        """Computes one group of a sweep, which its client's journal keeps."""
        self._inner.sweep(loaded, payload, on_record, on_progress, cancelled)

    def _open(self) -> LayerCache | None:
        """The cache, opened when it is first needed; None where it cannot be used."""
        if not self._opened:
            from flowtui.cache.store import LayerCache

            self._opened = True
            try:
                self._store = LayerCache.open()
            except CacheError as error:
                log.warning("going on without the cache: %s", error)
        return self._store


def _look_up(store: LayerCache, name: str, analysis: str, layer: int) -> LayerResult | None:
    data = store.get(name)
    if data is None:
        return None
    try:
        found = LayerResult.from_bytes(data)
    except (RunFileError, ValueError, KeyError) as error:
        log.warning("a cached layer of %s is not valid: %s", analysis, error)
        return None
    return found if (found.analysis, found.layer) == (analysis, layer) else None
