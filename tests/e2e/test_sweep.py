"""`flowtui sweep`, cut short in two ways and gone on with: the file is that of a sweep that nobody disturbed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.e2e.terminal import COMMAND, Call

OPTIONS = ("--limit", "6", "--seed", "1", "--max-new-tokens", "4", "--strategy", "all,random-9")
DEADLINE_S = 240

# Five engines are started one after the other; on a machine that is busy with other things that takes its time.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def undisturbed(flowtui: Call, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sweep") / "a.pkl"
    flowtui("sweep", "demo", *OPTIONS, "-o", path)
    return path


def interrupted(env: dict[str, str], output: Path, items: int, number: signal.Signals) -> tuple[int, str]:
    """Starts the sweep, and ends it by a signal as soon as its journal holds so many items."""
    journal = output.with_name(output.name + ".journal")
    command = [str(COMMAND), "sweep", "demo", *OPTIONS, "-o", str(output)]
    with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        end = time.monotonic() + DEADLINE_S
        while not journal.exists() or journal.read_bytes().count(b"\n") <= items:
            assert process.poll() is None, process.stderr.read() if process.stderr else ""
            assert time.monotonic() < end
            time.sleep(0.02)
        os.kill(process.pid, number)
        _, said = process.communicate()
    return process.returncode, said


def test_cut_short_and_gone_on_with_it_is_the_same_file(
    flowtui: Call, env: dict[str, str], undisturbed: Path, tmp_path: Path
) -> None:
    output = tmp_path / "s.pkl"
    journal = tmp_path / "s.pkl.journal"
    code, said = interrupted(env, output, 1, signal.SIGINT)
    assert code == 130
    assert "Go on with the same command." in said
    there = journal.read_bytes()

    code, _ = interrupted(env, output, there.count(b"\n"), signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert not output.exists()
    # What was there is there still: nothing is written again.
    assert journal.read_bytes().startswith(there)
    there = journal.read_bytes()

    other = flowtui("sweep", "demo", *OPTIONS, "--seed", 2, "-o", output, code=2)
    assert "seed (was 1, is 2)" in other.stderr
    assert journal.read_bytes() == there

    done = flowtui("sweep", "demo", *OPTIONS, "-o", output)
    items = there[: there.rfind(b"\n") + 1].count(b"\n") - 1
    assert f"Going on after {items} of 6 items." in done.stderr
    assert output.read_bytes() == undisturbed.read_bytes()
    assert not journal.exists()


def test_a_complete_sweep_is_not_computed_again(flowtui: Call, undisturbed: Path) -> None:
    before = undisturbed.stat().st_mtime_ns
    assert "nothing was computed" in flowtui("sweep", "demo", *OPTIONS, "-o", undisturbed).stderr
    assert undisturbed.stat().st_mtime_ns == before


def test_show_has_figure_5_and_table_1(flowtui: Call, undisturbed: Path) -> None:
    content = json.loads(flowtui("show", undisturbed, "--json").stdout)
    assert (content["items"], content["layers"]) == (6, 12)
    assert [curve["cut"] for curve in content["curves"]] == ["all", "random-9"]
    row = content["rows"][0]
    assert (row["metric"], row["cut"], row["cliff"]) == ("accuracy", "all", None)
    assert "too few" in row["verdict"]
    text = flowtui("show", undisturbed).stdout
    assert "at the cliff" in text
    assert "No cliff" in text
    assert flowtui("show", undisturbed, "--csv").stdout.startswith("k,cut,metric,score")


def test_an_item_opens_as_a_run(flowtui: Call, undisturbed: Path, tmp_path: Path) -> None:
    swept = json.loads(flowtui("show", undisturbed, "--json").stdout)["curves"][0]
    output = tmp_path / "item.pkl"
    done = flowtui(
        "run", "--from", f"{undisturbed}#0", "--analysis", "truncation", "--layers", "0,12", "-o", output, "--json"
    )
    content = json.loads(done.stdout)
    assert [k for k, kl in enumerate(content["truncation"]["kl"]) if kl is not None] == [0, 12]
    assert len(swept["kl"]) == 13
    flowtui("run", "--from", f"{undisturbed}#99", code=2)
    flowtui("run", "--from", str(undisturbed), code=2)
