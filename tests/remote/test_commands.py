"""The installed commands with the shipped model on a far machine."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np

from flowtui.cache.runfile import read_plain
from flowtui.cache.store import LayerCache
from flowtui.engine.results import Run
from tests.e2e.terminal import COMMAND
from tests.remote.sshd import Sshd

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_a_question_travels_and_its_layers_come_back(sshd: Sshd, tmp_path: Path) -> None:
    shipped = Run.from_plain(read_plain(EXAMPLES / "shape.pkl"))
    (image,) = shipped.spec.images
    picture, path, near = tmp_path / "picture.png", tmp_path / "run.pkl", tmp_path / "near"
    picture.write_bytes(image)
    env = {**os.environ, "FLOWTUI_CACHE_DIR": str(near), "FLOWTUI_ENGINE": "", "HF_HUB_OFFLINE": "1"}
    where = ("--engine", f"ssh://far?command={COMMAND}", "--analysis", "attention", "--layers", "0-3", "-o", path)
    done = subprocess.run(
        [COMMAND, "run", picture, shipped.spec.question, *where],
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    made = Run.from_plain(read_plain(path))
    assert made.answer.text == shipped.answer.text
    assert made.spec.images == shipped.spec.images
    layers, expected = made.analyses["attention"].layers, shipped.analyses["attention"].layers
    assert sorted(layers) == [0, 1, 2, 3]
    for k, layer in layers.items():
        for name, array in layer.arrays.items():
            # The same weights in float32 on another processor: the order of sums is the only freedom.
            np.testing.assert_allclose(array, expected[k].arrays[name], atol=1e-4)
    for folder in (near, sshd.cache):
        with LayerCache.open(folder / "layers") as cache:
            assert cache.info().entries == 4
