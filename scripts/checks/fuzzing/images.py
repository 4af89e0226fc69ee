"""Images: every format and mode that Pillow writes, damaged, disguised, and in odd places."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Mapping
from functools import cache
from random import Random

import numpy as np
from PIL import Image

from fuzzing.case import Case, Files, Special
from fuzzing.damage import TOUCH, damaged_bytes

MODES = ("RGB", "L", "1", "P", "RGBA", "LA", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "I;16")
NAMES = (
    "plain", "a b", "-", "--help", "$\\foo$", "=1+1", "|x", "%d&_#", "new\nline", "esc\x1b[31m",
    "bell\x07", "\udcff\udcfe", "é", "ﬀ", "a" * 240, "..", ".hidden", "a.b.c", "​", "CON", "<b>",
    "[red]x[/red]", "[/]", "{}", "%s", "*", "~",
)  # fmt: skip
_PROGRAM = (
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n"
    b"(%pipe%" + TOUCH.encode() + b") (w) file closefile showpage\n%%EOF\n"
)
_SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"><script>1</script></svg>'


@cache
def written() -> Mapping[str, bytes]:
    """A small picture in each format and mode that Pillow can write: "PNG-I;16.png" -> bytes."""
    ramp = np.linspace(0, 1, 40 * 36).reshape(36, 40)
    found: dict[str, bytes] = {}
    Image.init()
    suffixes = {name: suffix for suffix, name in sorted(Image.EXTENSION.items())}
    for mode in MODES:
        if mode == "I;16":
            image = Image.fromarray((ramp * 65535).astype(np.uint16))
        elif mode in ("I", "F"):
            image = Image.fromarray((ramp * 255).astype({"I": np.int32, "F": np.float32}[mode]))
        else:
            image = Image.fromarray((ramp * 255).astype(np.uint8)).convert("RGB")
            image = image if mode in ("LAB",) else image.convert(mode)
        for name in sorted(Image.SAVE):
            out = io.BytesIO()
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    image.save(out, name)
            except (OSError, ValueError, KeyError, NotImplementedError, AttributeError):
                continue  # the format has no such mode
            if name != "PDF":  # holds the time of day, and nothing reads it
                found[f"{name}-{mode}{suffixes.get(name, '.img')}"] = out.getvalue()
    frames = [Image.new("L", (40, 36), level) for level in (0, 100, 200)]
    for name in ("GIF", "TIFF", "WEBP", "PNG"):
        out = io.BytesIO()
        frames[0].save(out, name, save_all=True, append_images=frames[1:])
        found[f"{name}-frames.{name.lower()}"] = out.getvalue()
    return found


def images(rng: Random, name: str, material: Mapping[str, Files]) -> Case:
    """An image or a folder of images, and a command that reads it."""
    content, suffix, about = _content(rng)
    stem = rng.choice(NAMES) if rng.random() < 0.3 else "picture"
    files: dict[str, bytes | Special] = {}
    reader = rng.choice(["stylize", "folder", "classes", "classes", "skip", "style", "train"])
    if reader in ("classes", "skip") and rng.random() < 0.6:  # others are no images to these
        suffix = rng.choice([".png", ".jpg", ".tif", ".webp"])
    file = f"{stem}{suffix}"
    file = file.swapcase() if rng.random() < 0.1 else file
    size = ("--size", str(rng.choice([16, 16, 16, 1, 33])))
    network = ("--checkpoint", "style.safetensors", "--out", "out")
    files |= material["style"] if reader in ("stylize", "folder") else {}
    if reader == "stylize":
        files[f"in/{file}"] = content
        line = ("stylize", f"in/{file}", *network, *size)
    elif reader == "folder":
        places, beside = _places(rng, "in")
        files |= {f"in/{file}": content, "in/good.png": _good(0), **places}
        about += beside
        line = ("stylize", "in", *network, *size)
    elif reader in ("classes", "skip"):
        good = {f"data/{c}/{i}.png": _good(i) for c in "ab" for i in range(5)}
        # Of each class some are in the test split: whichever they are, one is of the damaged ones.
        bad = {f"data/b/{i}{file}": content for i in range(5)}
        places, beside = _places(rng, "data")
        files |= {**good, **bad, **places, **material["model"]}
        about += beside
        line = ("evaluate", "net.safetensors", "--data", "data", "--batch-size", "4")
        if reader == "skip":
            line = (
                *(
                    "train",
                    "--recipe",
                    "resnet34-imagenet",
                    "--mode",
                    "plain",
                    "--data-folder",
                    "data",
                ),
                *("--skip-unreadable", "--workers", "0", "--batch-size", "2", "--out", "out"),
            )
            files = {k.replace("data/", "data/train/"): v for k, v in files.items()} | {
                k.replace("data/", "data/val/"): v for k, v in files.items() if "data/" in k
            }
    else:
        files[f"in/{file}"] = content
        own = ("--style", f"in/{file}") if reader == "style" else ("--images", f"in/{file}")
        rest = () if reader == "style" else ("--style", "mosaic")
        line = ("train", "style", *own, *rest, "--steps", "1", "--size", "64", "--out", "out")
    return Case(name, about, files, line)


def _good(index: int) -> bytes:
    return list(written().values())[index % 3]


def _places(rng: Random, folder: str) -> tuple[Files, str]:
    """Links, folders and pipes among the images, in a third of the cases; and what they are."""
    if rng.random() < 0.7:
        return {}, ""
    odd = {
        "loop": {f"{folder}/b/loop": Special("link", "..")},
        "self": {f"{folder}/self.png": Special("link", "self.png")},
        "out": {f"{folder}/b/out": Special("link", "/usr/share")},
        "gone": {f"{folder}/b/gone.png": Special("link", "nowhere")},
        "pipe": {f"{folder}/b/pipe.png": Special("fifo")},
        "folder": {f"{folder}/b/folder.png": Special("folder")},
        "class": {f"{folder}/pipe": Special("fifo"), f"{folder}/c": Special("folder")},
        "deep": {f"{folder}/{'d/' * 200}x.png": _good(0)},
        "device": {f"{folder}/b/zero.png": Special("link", "/dev/zero")},
    }
    about = rng.choice(sorted(odd))
    return odd[about], f"; beside it: {about}"


def _content(rng: Random) -> tuple[bytes | Special, str, str]:
    """A file's content, its suffix, and what it is."""
    name = rng.choice(sorted(written()))
    data, suffix = written()[name], "." + name.rpartition(".")[2]
    way = rng.choice(["whole", "damaged", "damaged", "damaged", "disguised", "made", "made"])
    if way == "whole":
        return data, suffix, name
    if way == "damaged":
        data, about = damaged_bytes(rng, data)
        return data, suffix, f"{name}: {about}"
    if way == "disguised":
        other = rng.choice(sorted(written()))
        if rng.random() < 0.5:
            return written()[other], suffix, f"{other} as {suffix}"
        return written()[other][:12] + data[12:], suffix, f"{name} with the start of {other}"
    made = _made(rng)
    about = rng.choice(sorted(made))
    return made[about], rng.choice([".png", ".png", ".jpg", ".tif", ".eps", ""]), about


def _made(rng: Random) -> dict[str, bytes | Special]:
    """What no picture's damage would give."""
    side = rng.choice([10_000, 30_000, 100_000, 2**31 - 1])
    comments = rng.choice([30, 146, 5000])
    return {
        "program in EPS": _PROGRAM,
        "program after a preview": struct.pack("<IIIIIIIH", 0xC6D3D0C5, 32, 999, 0, 0, 0, 0, 0)
        + b"\0\0" + _PROGRAM,
        "SVG": _SVG,
        "PDF": b"%PDF-1.4\n%%EOF",
        "empty": b"",
        "page": b"<!DOCTYPE html><html><body>404</body></html>",
        "comments": b"<!---->" * comments + b"x",
        "open comments": b"<!--" * comments + b"x",
        "blank": b" \n" * 5000 + b"<html",
        "zeros": bytes(5000),
        "noise": rng.randbytes(5000),
        "text": b"P3 40 40 255\n" + b"1 2 x " * 100,
        "PNG of no end": _png(side, side, b""),
        "PNG bomb": _png(side, 40, b"\0" * 10**6),
        "PNG of text": _png(40, 36, b"\0" * 5000, b"zTXta\0\0" + _bomb()),
        "BMP of no end": b"BM" + struct.pack("<IIIIiiHHIIIIII", 99, 0, 54, 40, side % 2**31,
                                             side % 2**31, 1, 24, 0, 0, 0, 0, 0, 0),
        "GIF of no end": b"GIF89a" + struct.pack("<HHBBB", side % 65536, side % 65536, 0, 0, 0),
        "PPM of no end": f"P6 {side} {side} 255\n".encode(),
        "narrow": _png(1, 10**6, b""),
        "pipe": Special("fifo"),
        "folder": Special("folder"),
        "link to itself": Special("link", "picture.png"),
        "link to a device": Special("link", "/dev/zero"),
        "link to a process": Special("link", "/proc/self/environ"),
        "gone": Special("link", "nowhere"),
        "sparse": Special("sparse", str(2**36)),
    }  # fmt: skip


@cache
def _bomb() -> bytes:
    return zlib.compress(bytes(10**8))


def _png(width: int, height: int, data: bytes, *chunks: bytes) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [header, *chunks, b"IDAT" + zlib.compress(data), b"IEND"]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part))
        for part in parts
    )
