"""Image files that are bombs, cut short, something else, or full of claims."""

from __future__ import annotations

import io
import struct
import zlib
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from PIL import Image

from tests.trust.attacks.attack import Attack, command
from tests.trust.attacks.pickles import SYSTEM


@lru_cache
def _picture(size: tuple[int, int] = (32, 24)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8))


def _saved(kind: str, image: Image.Image | None = None, **options: object) -> bytes:
    out = io.BytesIO()
    (image or _picture()).save(out, kind, **options)
    return out.getvalue()


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _png(width: int, height: int, *chunks: bytes, body: bytes = b"") -> bytes:
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    rest = _chunk(b"IDAT", zlib.compress(body)) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + rest


def _tiff(*entries: tuple[int, int, int, int]) -> bytes:
    body = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + body + b"\0\0\0\0"


def _scans(count: int) -> bytes:
    data = _saved("JPEG", progressive=True)
    return data[:-2] + data[data.rindex(b"\xff\xda") : -2] * count + b"\xff\xd9"


def _refused_files() -> dict[str, bytes]:
    page = (256, 4, 1, 32), (257, 4, 1, 24), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8)
    damaged = {f"{kind} cut short": _saved(kind)[:-150] for kind in ("PNG", "JPEG", "WEBP", "BMP", "PPM", "TIFF")}
    return damaged | {
        "nothing": b"",
        "a text": b"hello",
        "a script": b"#!/bin/sh\ntouch flowtui-canary\n",
        "a pickle": SYSTEM + b"(S'touch flowtui-canary'\ntR.",
        "a page of PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(flowtui-canary) (w) file\n",
        "a picture of lines": b'<svg xmlns="http://www.w3.org/2000/svg"><script>evil()</script></svg>',
        "a picture from elsewhere": b'<svg><image href="file:///etc/passwd"/></svg>',
        "a web page's picture": b"push graphic-context\nviewbox 0 0 9 9\nfill 'url(|touch flowtui-canary)'\n",
        "an icon": _saved("ICO"),
        "a document": b"%PDF-1.4\n",
        "a film": b"\0\0\0\x18ftypmp42",
        "a bomb of 10**10 pixels": _png(100_000, 100_000),
        "a bomb of 89 million pixels": _png(9_434, 9_434, body=bytes(1 << 20)),
        "a bomb of 2**62 pixels": _png(2**31 - 1, 2**31 - 1),
        "a GIF of 65535 x 65535": b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\2\2D\1\0;",
        "a BMP of 2**31 rows": b"BM" + bytes(8) + struct.pack("<IIiiHHI", 54, 40, 9, -(2**31), 1, 24, 0) + bytes(24),
        "a PPM of 10**18 pixels": b"P6 1000000000 1000000000 255\n",
        "a PPM of endless digits": b"P6 " + b"9" * 100_000,
        "a TIFF of 2**32 columns": _tiff((256, 4, 1, 2**32 - 1), *page[1:]),
        "a TIFF that leads into itself": b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHII", 330, 4, 1, 8) + b"\x08\0\0\0",
        "a TIFF of 2**31 values": _tiff(*page, (700, 7, 2**31, 8)),
        "a TIFF with a table beyond its end": b"II*\0\xff\xff\xff\x7f",
        "a compressed TIFF": _saved("TIFF", compression="tiff_lzw"),
        "a TIFF with a JPEG in it": _saved("TIFF", compression="jpeg"),
        "a WEBP of 2**24 columns": b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\xff" * 6,
        "a strip of 1 x 100000": _saved("PNG", _picture((100_000, 1))),
        "a strip of 100000 x 1": _saved("PNG", _picture((1, 100_000))),
        "a JPEG of 5000 scans": _scans(5000),
        "text that unpacks without end": _png(9, 9, _chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(1 << 26)))),
        "many texts that unpack": _png(9, 9, *[_chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(1 << 20)))] * 70),
        "colours that unpack without end": _png(9, 9, _chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(1 << 26)))),
        "32-bit numbers": _saved("TIFF", Image.fromarray(np.zeros((4, 4), np.float32))),
    }  # fmt: skip


def _accepted_files() -> dict[str, bytes]:
    """What has to be read, and right; by name: an image that is red on its left when it is upright."""
    red = np.zeros((24, 32, 3), np.uint8)
    red[:, :16, 0] = 255
    image = Image.fromarray(red)
    turned = {1: None, 3: 3, 6: 2, 8: 4}
    found = {}
    for orientation, turn in turned.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored = image if turn is None else image.transpose(Image.Transpose(turn))
        for kind in ("JPEG", "PNG", "WEBP", "TIFF"):
            found[f"{kind} turned by orientation {orientation}"] = _saved(kind, stored, exif=exif)
    alpha = np.dstack([red, np.full((24, 32), 255, np.uint8)])
    blue = Image.new("RGB", (32, 24), "blue")
    several = {"save_all": True, "append_images": [blue] * 50}
    return found | {
        "alpha": _saved("PNG", Image.fromarray(alpha)),
        "palette": _saved("PNG", image.convert("P")),
        "palette with a clear colour": _saved("PNG", image.convert("P"), transparency=200),
        "CMYK": _saved("JPEG", image.convert("CMYK")),
        "moving GIF": _saved("GIF", image, **several),
        "moving PNG": _saved("PNG", image, **several),
        "moving WEBP": _saved("WEBP", image, **several),
        "pages": _saved("TIFF", image, **several),
        "a film behind it": _saved("JPEG", image) + b"\xff\xda" * 10_000,
        "a picture that unpacks without end": _png(
            32, 24, body=b"".join(b"\0" + r.tobytes() for r in red) + bytes(1 << 26)
        ),
    }


def _refused(data: bytes) -> None:
    Path("evil.png").write_bytes(data)
    command("run", "evil.png", "What?", codes=(2,))
    command("show", "good.pkl", "--mask", "evil.png", codes=(2,))


def _accepted(data: bytes) -> None:
    from flowtui.engine.images import decode_image

    found = np.asarray(decode_image(data)).astype(int)
    assert found.shape == (24, 32, 3), found.shape
    left, right = found[4:-4, 3:12].mean((0, 1)), found[4:-4, 20:-3].mean((0, 1))
    assert left[0] > 180, left
    assert left[2] < 60, left
    assert right.max() < 60, right


def _with_run(data: bytes) -> None:
    from flowtui.cache.runfile import write_plain
    from tests.factories import random_run

    write_plain("good.pkl", random_run(layers=2, heads=1, grid=(2, 2), analyses=("cam",)).to_plain())
    _refused(data)


def attacks() -> list[Attack]:
    """All of them."""
    found = [Attack("images", name, partial(_with_run, data)) for name, data in _refused_files().items()]
    return found + [Attack("images", f"shown right: {n}", partial(_accepted, d)) for n, d in _accepted_files().items()]
