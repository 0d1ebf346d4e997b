"""The application: the panels, and what is done with a run as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult, SystemCommand
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.notifications import SeverityLevel
from textual.screen import Screen

from flowtui.engine.results import Run
from flowtui.tui.config import Config
from flowtui.tui.draw.graphics import Graphics, HalfBlock

from . import commands
from .bindings import BINDINGS
from .browsing import Browsing
from .computing import Engine
from .copying import layer_text
from .curveview import CurvePanel
from .exporting import EXPORTS, Export, export_choice, export_folder
from .groups import GroupsPanel
from .header import HeaderPanel
from .inspecting import Inspecting
from .itemasking import ItemAsking
from .mapview import MapPanel
from .scrubberview import ScrubberPanel
from .statusbar import StatusPanel
from .tabbar import TabBar

if TYPE_CHECKING:
    from flowtui.engine.sweeps.result import Sweep


class ExplorerApp(Inspecting, ItemAsking, Browsing):
    """Shows runs and sweeps.

    Args:
        run: The first run, or a sweep.
        path: Its file: named in the header, and written when something was computed. None for a run without a file.
        others: Files of further runs, opened behind the first.
        engine: Computes what is missing and answers questions; None refuses to.
        graphics: The renderer of maps; half blocks by default.
        state_file: Where the views are remembered; None for nowhere.
        config: The user's settings: theme, colour map and keys are taken from them.
        images: Folder of a data set's images, to open items of a sweep; the demo needs none.
    """

    CSS_PATH = "explorer.tcss"
    BINDINGS: ClassVar[list[BindingType]] = BINDINGS
    ENABLE_COMMAND_PALETTE = True
    ALLOW_SELECT = False
    TITLE = "flowtui"

    def __init__(
        self,
        run: Run | Sweep,
        *,
        path: Path | None = None,
        others: Sequence[Path] = (),
        engine: Engine | None = None,
        graphics: Graphics | None = None,
        state_file: Path | None = None,
        config: Config | None = None,
        images: Path | None = None,
    ) -> None:
        super().__init__(run, path, graphics or HalfBlock(), state_file, config or Config(), engine)
        self.others = tuple(others)
        self.images = images

    def compose(self) -> ComposeResult:
        """Header, map, groups, curve (or the grid), scrubber, status."""
        yield HeaderPanel(id="header")
        yield TabBar(id="tabs")
        with Horizontal(id="body"):
            yield MapPanel(id="map")
            with Vertical(id="side"):
                yield GroupsPanel(id="groups")
                yield CurvePanel(id="curve")
        yield ScrubberPanel(id="scrubber")
        yield StatusPanel(id="status")

    def action_cancel(self) -> None:
        """Cancels the computation, or takes the cursor off the map."""
        if self.busy is not None or not self.leave_cell():
            super().action_cancel()

    def action_copy(self) -> None:
        """The layer's numbers into the clipboard of the terminal (OSC 52)."""
        self.copy_to_clipboard(layer_text(self.facts, self.look))
        self.notify(f"Layer {self.look.layer} copied, if your terminal allows it (OSC 52).")

    def action_export(self) -> None:
        """Asks what to write, and writes it."""
        from .dialogs import ExportScreen

        folder = export_folder(self._path)
        screen = ExportScreen(str(folder), [choice.title for choice in EXPORTS])
        self.push_screen(screen, partial(self.export, EXPORTS, folder, self._write_run))

    def _write_run(self, choice: Export, folder: Path) -> tuple[str, SeverityLevel]:
        return export_choice(self.facts.run, self._path, choice, folder)

    def action_help(self) -> None:
        """Keys and how to read the panels."""
        from .dialogs import HelpScreen, help_text

        self.push_screen(HelpScreen(help_text(self.facts.run, self.keys(), self._view)))

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Every action by name, and every layer."""
        over = self.sweep_screen
        yield from commands.commands(self) if over is None else commands.sweep_commands(self, over)
        yield from commands.inherited(super().get_system_commands(screen))
