"""Hostile text in every field, through every view, dialog and command, on a real terminal whose bytes are looked at."""

from __future__ import annotations

import json
import sqlite3
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from flowtui.cache.runfile import write_plain
from flowtui.cache.store import LayerCache
from flowtui.engine.token_texts import read_texts, write_texts
from tests.e2e.terminal import COMMAND, Terminal
from tests.factories import random_run, random_sweep
from tests.trust.payloads import PAYLOADS, attacks_in
from tests.trust.promise import Promise, Trial
from tests.trust.sessions import environment

LOOKS = ("1", "2", "3", "4", "5", "6", "7", "8", "9")
DIALOGS = (
    ("1m", "", "m"),
    ("i", "", "\x1b"),
    ("?", "flowtui help", "\x1b"),
    ("a", "Enter asks", "\x1b"),
    ("a\t\t", "Enter asks", "\x1b"),
    ("b", "Enter opens", "\x1b"),
    ("bjj", "Enter opens", "\x1b"),
    ("e", "Export into", "\x1b"),
    ("r", "y yes", "n"),
    ("\x10", "Search", "\x1b"),
    ("\t", "", ""),
    ("y", "", ""),
    ("S", "", "2jj"),
    ("3", "", "4"),
)
"""Keys, what is then on the screen, and keys that lead back."""
SOON_S = 60.0
SEVERAL = "import json, sys; from flowtui.tui.cli.entry import run; [run(c) for c in json.load(open(sys.argv[1]))]"
"""Several commands in one process: most of each one's time is Python's start."""


def file_name(text: str) -> str:
    """The text as far as a file may be called so."""
    return text.replace("/", "").replace("\0", "").encode("utf-8", "replace").decode()[:60]


def hostile_run(path: Path, case: int) -> None:
    """A run with one payload in every field, and all of them among the answer's tokens."""
    text = PAYLOADS[case].text
    others = [PAYLOADS[(case + i) % len(PAYLOADS)].text for i in range(len(PAYLOADS))]
    run = random_run(layers=3, heads=2, grid=(3, 3), answer=tuple(others[:24]), cliff=1)
    analyses = {name: a for name, a in run.analyses.items() if name != "matrix"}
    for name, made in analyses.items():
        layers = {}
        for k, layer in made.layers.items():
            said = {"truncation": others[k], "lens": ""}.get(name, layer.text)
            if name == "lens":
                said = write_texts({i: others[i % len(others)] for i in read_texts(layer.text)})
            layers[k] = replace(layer, text=said)
        analyses[name] = replace(made, layers=layers)
    spec = replace(
        run.spec, question=f"{text} {others[1]}", system=text, model=text, revision=text, dtype=text, device=text
    )
    model = replace(run.model, name=text, family=text, revision=text, dtype=text, device=text, fingerprint=text)
    tokens = replace(run.tokens, text=tuple(others[i % len(others)] for i in range(len(run.tokens.text))))
    made_run = replace(run, spec=spec, model=model, tokens=tokens, analyses=analyses, timings_s={text: 1.0})
    write_plain(path, made_run.to_plain())


def hostile_sweep(path: Path, case: int) -> None:
    """A sweep with payloads in its items, its notes and its model."""
    text = PAYLOADS[case].text
    sweep = random_sweep(layers=3, items=12, cliff=1)
    items = tuple(
        replace(
            item, id=f"{i}{text}", image=item.image and text, cluster=f"{text}{i // 2}", kind=text, prompt=text,
            texts=tuple(f"{said}{text}" for said in item.texts),
        )
        for i, item in enumerate(sweep.items)
    )  # fmt: skip
    model = replace(sweep.model, name=text, revision=text, family=text, dtype=text)
    write_plain(path, replace(sweep, notes=(text,), digest=text, model=model, items=items).to_plain())


def hostile_cache(folder: Path, case: int) -> None:
    """A cache whose rows carry a payload as label, as key and as name of a file."""
    text = PAYLOADS[case].text
    with LayerCache.open(folder) as store:
        for i in range(3):
            store.put(f"{i:064x}", b"x" * 40_000 * i, analysis=text, layer=i, model=text)
    (folder / "00").mkdir(exist_ok=True)
    (folder / "00" / file_name(text)).write_bytes(b"x")
    with closing(sqlite3.connect(folder / "cache.db", isolation_level=None)) as database:
        database.execute("UPDATE Cache SET value = x'00' WHERE rowid = 1")
        database.execute("INSERT INTO Cache (key, raw, tag) VALUES (?, 1, ?)", (text, text))


def commands(folder: Path, case: int, *, engines: bool) -> list[list[str]]:
    """Every command, as it shows text of others and as it fails over it; some start an engine, which takes long."""
    text = PAYLOADS[case].text.replace("\0", "")
    run, sweep, name = folder / "run.pkl", folder / "sweep.pkl", file_name(text)
    plain: list[list[Any]] = [
        *([[c, run] for c in ("show", "export")]),
        *([["show", run, option] for option in ("--csv", "--json")]),
        ["show", run, "--layer", "1"],
        ["show", run, "--box", text],
        ["show", run, "--mask", name],
        ["show", sweep],
        ["show", sweep, "--csv"],
        ["show", sweep, "--json"],
        *([["export", run, "--format", f, "-o", folder / name] for f in ("svg", "csv", "json")]),
        ["export", run, "--what", text],
        ["export", sweep, "-o", folder / "sweep"],
        ["show", folder / f"{name}.pkl"],
        ["show", folder / f"{name} is not there.pkl"],
        ["explore", folder / f"{name}.pkl"],
        ["precompute", run, "--engine", text],
        ["precompute", run, "--analysis", text],
        ["precompute", run, "--set", text],
        ["run", text, text],
        ["run", folder / "picture.png", text, "--model", text, "--engine", f"ssh://{text}"],
        ["cache", "list"],
        ["cache", "verify"],
        ["cache", "info"],
        ["cache", "prune", "--max-size", text],
        ["config"],
        [text],
        [f"--{text}"],
        ["show", f"--{text}"],
        ["export", run, "--format", text],
        ["models", "--engine", text, "--check", text],
    ]
    plain += [["doctor"], ["doctor", "--engine", text], ["models", "--check", text]] if engines else []
    return [[str(word) for word in command] for command in plain]


def _prepare(folder: Path, case: int) -> dict[str, str]:
    text = PAYLOADS[case].text
    folder.mkdir(parents=True)
    hostile_run(folder / "run.pkl", case)
    hostile_sweep(folder / "sweep.pkl", case)
    (folder / f"{file_name(text)}.pkl").write_bytes(b"hello")
    hostile_run(folder / f"{file_name(text)} too.pkl", case)
    (folder / "picture.png").write_bytes(b"hello")
    hostile_cache(folder / "cache" / "layers", case)
    (folder / "config" / "flowtui").mkdir(parents=True)
    # As TOML wants it: control characters escaped, others as they are.
    keys = json.dumps(text.replace("\x7f", "\x01"), ensure_ascii=False)
    (folder / "config" / "flowtui" / "config.toml").write_text(f"theme = {keys}\n", encoding="utf-8", errors="replace")
    shown = text.replace("\0", "")
    return environment(folder, XDG_CONFIG_HOME=str(folder / "config"), TERM_PROGRAM=shown, FLOWTUI_ENGINE="local")


def _commands(folder: Path, env: dict[str, str], words: list[list[str]]) -> bytes:
    (folder / "commands.json").write_text(json.dumps(words))
    terminal = Terminal([sys.executable, "-c", SEVERAL, str(folder / "commands.json")], env, folder)
    try:
        # Should something ask, nobody is there to say yes.
        terminal.send("\n" * 9)
        terminal.wait_for_end(SOON_S * 4)
        return terminal.raw
    finally:
        terminal.close()


def _explorer(folder: Path, env: dict[str, str], case: int) -> bytes:
    name = file_name(PAYLOADS[case].text)
    paths = [folder / "run.pkl", folder / f"{name} too.pkl", folder / f"{name}.pkl", folder / "sweep.pkl"]
    terminal = Terminal([str(COMMAND), "explore", *map(str, paths)], env, folder, 120, 40)
    try:
        terminal.wait_for(lambda text: "q quit" in text or "▂" in text, SOON_S)
        for look in LOOKS:
            for keys in (look, "]]]]]]", "jj", "t", "s", "l"):
                terminal.send(keys)
            terminal.read_rest()
        for opens, words, closes in DIALOGS:
            terminal.send(opens)
            terminal.wait_for(lambda text, words=words: words in text, SOON_S)
            terminal.read_rest()
            terminal.send(closes)
            # An Esc with a key right behind it would be another key.
            terminal.wait_for(lambda text, words=words: not words or words not in text, SOON_S)
            terminal.read_rest()
        terminal.send("q")
        terminal.wait_for_end(SOON_S)
        return terminal.raw
    finally:
        terminal.close()


def _run(trial: Trial) -> None:
    """One payload after the other; all of them are among the texts of each."""
    for what in ("payloads", "screens", "commands", "attacker control bytes"):
        trial.add(what, 0)
    for case in trial.cases(len(PAYLOADS)):
        folder = trial.folder / str(case)
        env = _prepare(folder, case)
        trial.add("payloads")
        words = commands(folder, case, engines=trial.count is None)
        trial.add("commands", len(words))
        trial.add("screens", len(LOOKS) + len(DIALOGS))
        for where, raw in (("commands", _commands(folder, env, words)), ("the explorer", _explorer(folder, env, case))):
            found = attacks_in(raw)
            trial.add("attacker control bytes", len(found))
            if found:
                trial.fail(case, f"{PAYLOADS[case].name}: {where}: {'; '.join(sorted(set(found))[:6])}")


PROMISES = (
    Promise(
        "terminal-text",
        "fuzz",
        "Text of others, in any field and any name, never steers the terminal: not in a view, not in a dialog, "
        "not from a command",
        None,
        1,
        _run,
    ),
)
