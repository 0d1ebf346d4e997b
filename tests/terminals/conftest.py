"""The explorer in real terminals, looked at."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flowtui.cache.runfile import write_plain
from tests.factories import random_run
from tests.terminals.screens import Screen, missing_for

Open = Callable[..., Screen]


def detailed_photo() -> bytes:
    """Rings and stripes finer than any cell: only pixels can show them."""
    y, x = np.mgrid[0:480, 0:480]
    rings = np.where(np.hypot(x - 330, y - 300) % 20 < 10, 230, 25)
    stripes = np.where((x + y) % 16 < 8, 200, 40)
    rgb = np.stack([rings, stripes, np.where(x < 240, rings, stripes)], axis=2).astype(np.uint8)
    with BytesIO() as out:
        Image.fromarray(rgb).save(out, "PNG")
        return out.getvalue()


@pytest.fixture(scope="session")
def run_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that needs no model to look at."""
    path = tmp_path_factory.mktemp("runs") / "run.pkl"
    run = random_run()
    run = replace(run, spec=replace(run.spec, images=(detailed_photo(),)))
    write_plain(path, run.to_plain())
    return path


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Open]:
    """Opens a command in a terminal; skips where a program for that is missing."""
    opened: list[Screen] = []

    def start(name: str, *command: object, **changed: str) -> Screen:
        if missing := missing_for(name):
            pytest.skip(f"not installed here: {', '.join(missing)}")
        folder = tmp_path / f"{name}-{len(opened)}"
        folder.mkdir()
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("FLOWTUI_", "XDG_", "PYTHON", "COV_"))}
        env = {**kept, "HOME": str(folder), "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", **changed}
        opened.append(Screen(name, [*map(str, command)], env, folder))
        return opened[-1]

    yield start
    for one in opened:
        one.close()
