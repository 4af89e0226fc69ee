"""asr_core.data.images: strangers' files, right or refused; the same through class folders."""

import os
import socket
import stat
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import EpsImagePlugin, Image

from asr_core.data import images
from asr_core.data.folder.decode import Sample, check, square
from asr_core.data.images import ImageError, decode, opened

DEEP = np.random.default_rng(0).integers(0, 65536, (16, 24), dtype=np.uint16)
RGB16 = np.random.default_rng(1).integers(0, 65536, (16, 24, 3), dtype=np.uint16)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(values: np.ndarray, colour_type: int, *extra: bytes, width: int | None = None) -> bytes:
    """A PNG by hand, of 8 or 16 bits."""
    height, bits = len(values), 8 * values.itemsize
    rows = b"".join(b"\0" + row.astype(f">u{values.itemsize}").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width or values.shape[1], height, bits, colour_type, 0, 0, 0)
    parts = [
        chunk(b"IHDR", header),
        *extra,
        chunk(b"IDAT", zlib.compress(rows)),
        chunk(b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def grey_tiff(bits: int, values: np.ndarray, *, photometric: int = 1) -> bytes:
    """A TIFF by hand, of any number of bits, packed without gaps."""
    height, width = values.shape
    text = "".join(format(value, f"0{bits}b") for value in values.flat)
    data = int(text + "0" * (-len(text) % 8), 2).to_bytes(-(-len(text) // 8), "big")
    data += b"\0" * (len(data) % 2)
    tags = [
        (256, 3, width), (257, 3, height), (258, 3, bits), (259, 3, 1), (262, 3, photometric),
        (273, 4, 8), (277, 3, 1), (278, 3, height), (279, 4, len(data)),
    ]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    head = b"II*\0" + struct.pack("<I", 8 + len(data))
    return head + data + struct.pack("<H", len(tags)) + entries + bytes(4)


def written(folder: Path, content: bytes) -> Path:
    path = folder / "x.png"
    path.write_bytes(content)
    return path


def tiff(folder: Path, values: np.ndarray, **options: object) -> Path:
    path = folder / "x.tif"
    tifffile.imwrite(path, values, **options)  # type: ignore[arg-type]
    return path


def unit(path: Path) -> np.ndarray:
    """The pixels as float in [0, 1], one channel of grey."""
    found = decode(path)
    return found[..., 0] / 255 if found.dtype == np.uint8 else found


# --- grey of any depth ----------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_deep_grey_keeps_its_tones(tmp_path: Path, order: str, compression: str | None) -> None:
    for values, top in ((DEEP, 65535), (DEEP.astype(np.float32) / 65535, 1)):
        if values.dtype == np.float32 and (order, compression) == (">", "zlib"):
            continue  # refused below
        path = tiff(tmp_path, values, byteorder=order, compression=compression)
        assert np.abs(decode(path) - values / top).max() < 1e-6


@pytest.mark.parametrize(
    ("bits", "photometric"),
    [(bits, 1) for bits in (1, 2, 4, 8, 12, 16)] + [(bits, 0) for bits in (1, 2, 4, 8, 16)],
)
def test_any_number_of_bits_goes_from_black_to_white(
    tmp_path: Path, bits: int, photometric: int
) -> None:
    steps = np.arange(16 * 16).reshape(16, 16) * (2**bits - 1) // 255
    wanted = steps / (2**bits - 1)
    path = written(tmp_path, grey_tiff(bits, steps, photometric=photometric))
    assert np.abs(unit(path) - (wanted if photometric else 1 - wanted)).max() < 1e-6


def kinds(folder: Path) -> dict[str, tuple[Path, float]]:
    """Files that are half grey, in every kind, and the mean that a viewer would show of 255."""
    found = {}
    half = np.full((20, 30), 32768, dtype=np.uint16)
    cases: dict[str, tuple[np.ndarray, dict[str, object], float]] = {
        "grey 16": (half, {}, 128),
        "grey 16, white is zero": (half // 2, {"photometric": "miniswhite"}, 191),
        "colour 16": (np.stack([half] * 3, -1), {"photometric": "rgb"}, 128),
        "integers 32": (half.astype(np.int32), {}, 128),
        "unsigned 32": (half.astype(np.uint32), {}, 128),
        "float": (np.full((20, 30), 0.5, np.float32), {}, 128),
        "bits": (np.indices((20, 30)).sum(0) % 2 == 0, {}, 127.5),
    }
    for name, (values, options, mean) in cases.items():
        path = folder / f"{name}.tif"
        tifffile.imwrite(path, values, **options)  # type: ignore[arg-type]
        found[name] = path, mean
    grey = np.full((20, 30), 100, np.uint8)
    by_hand = {
        "PNG 16": (png(half, 0), 128),
        "PNG 16, one tone transparent": (png(half, 0, chunk(b"tRNS", b"\x80\0")), 255),
        "PNG 16 with alpha": (png(np.stack([half, half], -1), 4), 191),
        "colours transparent": (
            png(np.stack([half] * 3, -1), 2, chunk(b"tRNS", b"\x80\0" * 3)), 255
        ),
        "grey with alpha": (png(np.stack([grey, grey], -1), 4), 194.2),
        "palette": (png(grey, 3, chunk(b"PLTE", bytes([9, 9, 9] * 100 + [50, 50, 50]))), 50),
        "palette, transparent": (
            png(grey, 3, chunk(b"PLTE", bytes([50, 50, 50] * 101)), chunk(b"tRNS", b"\x64" * 101)),
            174.6,
        ),
    }  # fmt: skip
    for name, (content, mean) in by_hand.items():
        path = folder / f"{name}.png"
        path.write_bytes(content)
        found[name] = path, mean
    cyan = folder / "ink.tif"
    tifffile.imwrite(cyan, np.full((20, 30, 4), [0, 0, 0, 127], np.uint8), photometric="separated")
    found["ink"] = cyan, 128
    return found


def test_every_kind_has_its_tone_in_both_readers(tmp_path: Path) -> None:
    found = kinds(tmp_path)
    assert len(found) == 15
    for name, (path, mean) in found.items():
        assert 255 * unit(path).mean() == pytest.approx(mean, abs=1), name
        for draw in (None, 3):
            seen = square(Sample(str(path), draw), 16)
            assert seen.mean() == pytest.approx(mean, abs=6 if name == "bits" else 1), name
        check(str(path))


@pytest.mark.parametrize("order", ["<", ">"])
def test_deep_colour_is_its_high_bytes(tmp_path: Path, order: str) -> None:
    path = tiff(tmp_path, RGB16, photometric="rgb", byteorder=order)
    assert np.array_equal(decode(path), RGB16 >> 8)
    assert np.array_equal(decode(written(tmp_path, png(RGB16, 2))), RGB16 >> 8)


MISREAD = {
    "signed 8": (DEEP.astype(np.int8), {}),
    "signed 16": (DEEP.astype(np.int16), {}),
    "planes": (np.moveaxis(RGB16, -1, 0), {"photometric": "rgb", "planarconfig": "separate"}),
    "float": ((DEEP > 9).astype(np.float32), {"compression": "zlib", "byteorder": ">"}),
    "range": (DEEP.astype(np.uint32) * 9, {}),
    "unit": (DEEP.astype(np.float32), {}),
    "nan": (np.full((16, 24), np.nan, np.float32), {}),
    "half": (DEEP.astype(np.float16), {}),
    "double": (DEEP / 65535, {}),
    "colour of floats": (RGB16 / np.float32(65535), {"photometric": "rgb"}),
}


@pytest.mark.parametrize("kind", MISREAD)
def test_what_cannot_be_read_right_is_refused(tmp_path: Path, kind: str) -> None:
    values, options = MISREAD[kind]
    path = tiff(tmp_path, values, **options)
    for read in (decode, check, lambda path: square(Sample(str(path)), 8)):
        with pytest.raises(ImageError) as caught:
            read(str(path))
        assert caught.value.path == path


# --- upright --------------------------------------------------------------------------------------


TURNS = {
    1: lambda x: x, 2: lambda x: x[:, ::-1], 3: lambda x: x[::-1, ::-1], 4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1), 6: lambda x: np.rot90(x, -1),
    7: lambda x: np.rot90(x, 2).swapaxes(0, 1), 8: lambda x: np.rot90(x),
}  # fmt: skip


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", "-deflated.tif", ".webp", "-16.png"])
def test_pictures_stand_upright(tmp_path: Path, suffix: str, orientation: int) -> None:
    """A large one, so that a JPEG is decoded small; each quarter has its grey."""
    quarters = np.array([[0, 80], [160, 240]], np.uint8)
    lying = np.kron(quarters, np.ones((240, 400), np.uint8))
    path, exif = tmp_path / f"x{suffix}", Image.Exif()
    exif[274] = orientation
    if suffix.endswith(".tif"):
        options = {"compression": "zlib"} if "deflated" in suffix else {}
        tifffile.imwrite(path, lying, extratags=[(274, 3, 1, orientation, True)], **options)
    else:
        deep = "16" in suffix
        image = Image.fromarray(lying.astype(np.uint16) * 257 if deep else lying)
        image.save(path, exif=exif, **({"lossless": True} if suffix == ".webp" else {}))
    upright = TURNS[orientation](lying)
    assert np.abs(unit(path) * 255 - upright).max() <= 3
    seen = square(Sample(str(path)), 32)[..., 0]
    wanted = TURNS[orientation](quarters)
    assert np.abs(seen[8:24:15, 8:24:15].astype(int) - wanted).max() <= 3


def test_damaged_exif_data_says_nothing_against_the_pixels(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    Image.new("RGB", (40, 30), "red").save(path, exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert decode(path).shape == (30, 40, 3)
    path.write_bytes(path.read_bytes().replace(b"MM\0*", b"XXXX"))
    assert decode(path).shape == (30, 40, 3)
    check(str(path))


# --- what may be opened ---------------------------------------------------------------------------


def test_no_interpreter_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostScript under the name of a JPEG; with the whole of Pillow loaded it would be taken."""

    def run(*_: object, **__: object) -> None:
        raise AssertionError("an interpreter was started")

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", run)
    path = tmp_path / "x.jpg"
    Image.new("RGB", (30, 20), "red").save(path, "EPS")
    with pytest.raises(AssertionError), Image.open(path) as image:
        image.load()
    for text in (path.read_bytes(), b"\xc5\xd0\xd3\xc6" + struct.pack("<6I", 30, 999, 0, 0, 0, 0)):
        path.write_bytes(text + bytes(40))
        for read in (decode, check):
            with pytest.raises(ImageError, match="PostScript"):
                read(str(path))


@pytest.mark.parametrize("name", ["TGA", "PCX", "SGI", "DDS", "MSP", "ICNS", "IM"])
def test_other_formats_are_not_opened(tmp_path: Path, name: str) -> None:
    path = tmp_path / "x.png"
    Image.new("1" if name == "MSP" else "RGB", (32, 32)).save(path, name)
    with pytest.raises(ImageError, match="not an image of a known format"):
        decode(path)


def special(folder: Path) -> dict[str, Path]:
    os.mkfifo(folder / "pipe.png")
    server = socket.socket(socket.AF_UNIX)
    os.chdir(folder)  # a socket's path must be short
    server.bind("socket.png")
    server.close()
    return {
        "pipe": folder / "pipe.png",
        "socket": folder / "socket.png",
        "device": Path("/dev/zero"),
        "terminal": Path("/dev/tty"),
        "folder": folder,
    }


def test_only_regular_files_are_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for kind, path in special(tmp_path).items():
        for read in (decode, check, lambda path: square(Sample(str(path)), 8)):
            with pytest.raises(ImageError, match=r"is a folder|is not a regular file") as caught:
                read(str(path))
            assert caught.value.path == path, kind


def test_a_pipe_that_takes_the_place_of_a_file_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look and the opening; the writer never comes."""
    os.mkfifo(tmp_path / "x.png")
    look = Path.stat

    def file(path: Path, **options: bool) -> os.stat_result:
        if path.name != "x.png":
            return look(path, **options)
        return os.stat_result([stat.S_IFREG, *look(path)[1:]])

    monkeypatch.setattr(Path, "stat", file)
    with pytest.raises(ImageError, match="is not a regular file"):
        decode(tmp_path / "x.png")


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    bad = written(tmp_path, b"no image")
    for _ in range(5):
        with pytest.raises(ImageError):
            decode(bad)
        decode(tiff(tmp_path, DEEP))
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_file_that_is_larger_than_any_image(tmp_path: Path) -> None:
    """Some formats are read whole: a file with a hole stands for a terabyte."""
    path = written(tmp_path, b"RIFF\xff\xff\xff\xffWEBPVP8 ")
    os.truncate(path, 2**40)
    with pytest.raises(
        ImageError, match=r"1,099,511,627,776 bytes, over the limit of 1,073,741,824"
    ):
        decode(path)


# --- hostile content ------------------------------------------------------------------------------


@pytest.mark.parametrize("comments", [1, 146, 1000])
@pytest.mark.parametrize("end", [b"", b"<html>", b"<p>", b"<!-", b"<!--"])
def test_a_page_of_comments_is_known_in_one_pass(tmp_path: Path, comments: int, end: bytes) -> None:
    """1 KB of comments took longer than anyone waited: each could match in two ways."""
    path = written(tmp_path, b"<!---->" * comments + end)
    is_page = end == b"<html>" and comments * 7 + 6 <= 1024
    with pytest.raises(ImageError, match="HTML" if is_page else "not an image of a known format"):
        decode(path)


def test_pages_are_known_behind_anything_that_may_come_first(tmp_path: Path) -> None:
    for text in (b"<HTML>", b"\xef\xbb\xbf <!DOCTYPE  Html>", b"<!-- > -- <html> -->\n<body x>"):
        with pytest.raises(ImageError, match="looks like an HTML page"):
            decode(written(tmp_path, text))
    for text in (b"<htmlx>", b"<!-- <html> ", b"a <html>", b"<!doctypehtml>"):
        with pytest.raises(ImageError, match="not an image of a known format"):
            decode(written(tmp_path, text))


def test_a_bomb_is_refused_with_its_number_in_both_readers(tmp_path: Path) -> None:
    bomb = written(tmp_path, png(np.zeros((65500, 1), np.uint8), 0, width=65500))
    assert bomb.stat().st_size < 1000
    for read in (decode, check, lambda path: square(Sample(str(path)), 8)):
        with pytest.raises(ImageError, match=r"has 4,290,250,000 pixels, over the .* 178,956,970"):
            read(str(bomb))
    with pytest.raises(ImageError, match=r"over the limit of 9; .*max_pixels"):
        decode(tiff(tmp_path, DEEP), max_pixels=9)


def test_an_open_image_is_not_decoded(tmp_path: Path) -> None:
    with opened(written(tmp_path, png(DEEP, 0)[:60])) as image:
        assert image.size == (24, 16)


def test_formats_that_are_named_are_known_to_pillow() -> None:
    assert set(images._formats()) >= set(images.FORMATS) - {"AVIF"}
