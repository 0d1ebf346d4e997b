"""Model folders that bring code, lead elsewhere, or never come to an end."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from flowtui.engine.models import load_model
from flowtui.engine.place import demo_directory
from flowtui.engine.prompts import prompt_text
from flowtui.engine.spec import RunSpec
from flowtui.errors import ModelError
from tests.factories import png
from tests.trust.attacks.attack import CANARY, TOUCH, Attack, refused
from tests.trust.attacks.pickles import Calls

OUTSIDE = Path("../outside/secret.val")
MODULE = f"import os\nos.system({TOUCH!r})\nopen({CANARY!r}, 'w')\n"
LOOPS = "".join(f"{{% for {name} in range(99999) %}}" for name in "abc") + "{% endfor %}" * 3
ESCAPE = "{{ ''.__class__.__mro__[1].__subclasses__() }}"
GLOBALS = "{{ cycler.__init__.__globals__.os.system('" + TOUCH + "') }}"


def _change(name: str, **values: Any) -> Callable[[], None]:
    def change() -> None:
        path = Path("model", name)
        table = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps({**table, **values}))

    return change


def _coded(name: str, **table: object) -> Callable[[], None]:
    def change() -> None:
        Path("model/evil.py").write_text(MODULE)
        _change(name, auto_map=table)()

    return change


def _write(name: str, data: bytes) -> Callable[[], None]:
    return lambda: _put(Path("model", name), data)


def _put(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)
    path.write_bytes(data)


def _link(name: str) -> Callable[[], None]:
    def change() -> None:
        path = Path("model", name)
        path.unlink(missing_ok=True)
        path.symlink_to(OUTSIDE.absolute())

    return change


def _pickled(name: str) -> Callable[[], None]:
    def change() -> None:
        Path("model/model.safetensors").unlink()
        _write(name, pickle.dumps(Calls(os.system, TOUCH), 2))()

    return change


def _index(target: str) -> Callable[[], None]:
    def change() -> None:
        Path("model/model.safetensors").unlink()
        _change("model.safetensors.index.json", metadata={}, weight_map={"x": target})()

    return change


def _folder_link() -> None:
    Path("model/chat_templates").symlink_to(OUTSIDE.parent.absolute())


def _adapter() -> None:
    _change("adapter_config.json", peft_type="LORA", base_model_name_or_path=str(OUTSIDE.absolute()))()
    _write("adapter_model.bin", pickle.dumps(Calls(os.system, TOUCH), 2))()


REFUSED: dict[str, Callable[[], None]] = {
    "an unknown kind with code": lambda: (_coded("config.json", AutoConfig="evil.Config")(),
                                          _change("config.json", model_type="evil")())[0],
    "an unknown kind": _change("config.json", model_type="\x1b]52;c;AA\x07"),
    "an attention function from elsewhere": _change("config.json", attn_implementation="someone/evil-kernel"),
    "a configuration that is a list": _write("config.json", b"[]"),
    "a configuration that nests": _write("config.json", b'{"a":' * 100_000),
    "a configuration that is a pickle": _write("config.json", pickle.dumps(Calls(os.system, TOUCH), 2)),
    "a configuration that leads out": _link("config.json"),
    "a template that leads out": _link("chat_template.jinja"),
    "a tokenizer that leads out": _link("tokenizer.json"),
    "a processor that leads out": _link("processor_config.json"),
    "a vocabulary that leads out": _link("vocab.txt"),
    "templates that lead out": _folder_link,
    "pickled weights": _pickled("pytorch_model.bin"),
    "pickled weights of an old name": _pickled("consolidated.00.pth"),
    "a pickle under a good name": _write("model.safetensors", pickle.dumps(Calls(os.system, TOUCH), 2)),
    "weights of 2**63 bytes of header": _write("model.safetensors", b"\xff" * 7 + b"\x7f" + b"{}"),
    "no weights in the file": _write("model.safetensors", b""),
    "an index that leads out": _index("../../outside/secret.val"),
    "an index that is absolute": _index("/etc/passwd"),
    "an index of numbers": _index(1),  # type: ignore[arg-type]
    "a pickled adapter": _adapter,
    "layers without end": _change("config.json", text_config={"model_type": "llama", "num_hidden_layers": 10**7}),
    "a vocabulary without end": _change("config.json", text_config={"model_type": "llama", "vocab_size": 10**14}),
}  # fmt: skip
"""What is done to a copy of the shipped model, which is then not loaded."""

IGNORED: dict[str, Callable[[], None]] = {
    "code for the configuration": _coded("config.json", AutoConfig="evil.Config"),
    "code for the model": _coded("config.json", AutoModelForImageTextToText="evil.Model"),
    "code for another model": _coded("config.json", AutoModelForImageTextToText="someone/else--evil.Model"),
}
"""The kind is one that transformers knows, so its own code may be taken: refused, or loaded without theirs."""

TEMPLATES = {
    "loops": LOOPS,
    "reaches for classes": ESCAPE,
    "reaches for modules": GLOBALS,
    "reads a file": "{% include '/etc/passwd' %}",
    "imports": "{% import 'os' as os %}",
    "a text of 10 GB": "{{ 'x' * 10000000000 }}",
    "a number of 10**9 digits": "{{ 9 ** 999999999 }}",
    "calls itself": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "grows": "{% set ns = namespace(x='x' * 1000) %}{% for i in range(99) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
    "divides by nothing": "{{ 1 // 0 }}",
    "no template": "{% for %}",
    "raises": "{{ raise_exception('\x1b]52;c;AA\x07') }}",
}


@lru_cache
def _shipped() -> Any:
    return load_model("demo", dtype="float32", device="cpu")


def _load(change: Callable[[], None]) -> None:
    shutil.copytree(demo_directory(), "model")
    change()
    refused(lambda: load_model(str(Path("model").absolute()), dtype="float32", device="cpu"), 5, 7)


def _load_without(change: Callable[[], None]) -> None:
    shutil.copytree(demo_directory(), "model")
    change()
    with suppress(ModelError):
        load_model(str(Path("model").absolute()), dtype="float32", device="cpu")


def _show(template: str) -> None:
    loaded = _shipped()
    before = loaded.processor.chat_template
    loaded.processor.chat_template = template
    try:
        refused(lambda: prompt_text(loaded, RunSpec("demo", (png(),), "What?")), 2, 5)
    finally:
        loaded.processor.chat_template = before


def attacks() -> list[Attack]:
    """All of them."""
    found = [Attack("models", name, partial(_load, change)) for name, change in REFUSED.items()]
    found += [Attack("models", name, partial(_load_without, change)) for name, change in IGNORED.items()]
    return found + [Attack("models", f"template: {n}", partial(_show, t)) for n, t in TEMPLATES.items()]
