"""Keys that move through a run: layer, answer token, map, view, and what is chosen in a view."""

from __future__ import annotations

from dataclasses import replace

from textual.timer import Timer

from .look import View
from .scrubberview import LayerPicked
from .shell import Shell
from .view import LookPicked

PLAY_S = 0.25
"""Seconds per layer while playing."""


class Moving(Shell):
    """Every change of the look."""

    playing = False
    """Whether the layers are being played."""
    _player: Timer | None = None

    def on_mount(self) -> None:
        """The clock of playing."""
        self._player = self.set_interval(PLAY_S, self.play_on, pause=True)

    # Layers

    def action_step(self, layers: int) -> None:
        """Some layers on or back, to the end at most."""
        self.look_at(self.look.at_layer(self.look.layer + layers, self.facts.layers))

    def action_go(self, layer: int) -> None:
        """To a layer; -1 is the last."""
        self.look_at(self.look.at_layer(layer % self.facts.layers, self.facts.layers))

    def action_cliff(self) -> None:
        """To the first layer that needs no image."""
        layer = self.facts.cliff_layer
        if layer is not None:
            self.look_at(self.look.at_layer(layer, self.facts.layers))
        elif self.facts.cliff is not None:
            self.notify(f"No cliff in this run. {self.facts.cliff.rule}")
        else:
            self.notify(f"The cliff needs the whole truncation curve. {self.facts.gap('truncation')} Press r.")

    def action_row(self, rows: int) -> None:
        """Down in the view, or up."""
        if self._view is not None:
            self.look_at(self._view.move(self.look, self.facts, rows))

    def on_layer_picked(self, event: LayerPicked) -> None:
        """A click on a layer."""
        self.look_at(self.look.at_layer(event.layer, self.facts.layers))

    def on_look_picked(self, event: LookPicked) -> None:
        """A click on something in a view."""
        self.look_at(event.look)

    def action_play(self) -> None:
        """Starts or stops playing."""
        if self._player is None:
            return
        if self.playing:
            self._player.pause()
        else:
            self._player.resume()
        self.playing = not self.playing

    def play_on(self) -> None:
        """One layer on; after the last comes the first."""
        on = self.look.at_layer(self.look.layer + 1, self.facts.layers)
        # Tied to a pinned layer, the last one that can be reached may not be the model's last.
        self.look_at(on if on.layer != self.look.layer else self.look.at_layer(0, self.facts.layers))

    # Map, shares, view

    def action_token(self, step: int) -> None:
        """The next or previous answer token."""
        self.look_at(self.look.at_token(step, self.facts.tokens))

    def action_kind(self) -> None:
        """The other map."""
        self.look_at(self.look.next_kind())

    def action_opacity(self) -> None:
        """The next opacity."""
        self.look_at(self.look.next_opacity())

    def action_norm(self) -> None:
        """The next normalisation."""
        self.look_at(self.look.next_norm() if self._view is None else self._view.norm(self.look))

    def action_palette(self) -> None:
        """The next colour map."""
        self.look_at(self.look.next_palette())

    def action_view(self, step: int) -> None:
        """The next view, or the one before."""
        self.look_at(self.look.next_view(step))

    def action_show(self, view: View) -> None:
        """A view by name."""
        self.look_at(replace(self.look, view=view))

    def action_zoom(self) -> None:
        """Opens what is chosen in the view."""
        if self._view is not None:
            self.look_at(self._view.zoom(self.look, self.facts))

    def action_turn(self) -> None:
        """Turns to the other side of the view."""
        if self._view is not None:
            self.look_at(self._view.turn(self.look, self.facts))

    def action_strongest(self) -> None:
        """To the strongest in the view, or the next after it."""
        if self._view is not None:
            self.look_at(self._view.strongest(self.look, self.facts))

    def action_mean(self) -> None:
        """The attention map is the mean over heads again."""
        self.look_at(replace(self.look, head=None))

    def action_pin(self) -> None:
        """Pins the current layer for the compare view, or lets it go."""
        if self.look.pinned == self.look.layer and self.look.against is None:
            self.look_at(replace(self.look, pinned=None))
            self.notify(f"Layer {self.look.layer} is no longer pinned.")
        else:
            self.look_at(replace(self.look, pinned=self.look.layer, against=None, beside=None))
            self.notify(f"Layer {self.look.layer} is pinned: the compare view shows it beside the current one.")

    def action_tie(self) -> None:
        """The pinned layer moves along, or stays."""
        self.look_at(replace(self.look, tied=not self.look.tied))
        self.notify("The pinned layer moves along." if self.look.tied else "The pinned layer stays where it is.")
