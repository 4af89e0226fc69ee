"""Small pictures with known pixels, for the tests of reading."""

import zlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

PIXELS = np.random.default_rng(0).integers(0, 256, (18, 24, 3), dtype=np.uint8)
PHOTO = Image.fromarray(PIXELS)


def as_tensor(pixels: np.ndarray) -> Tensor:
    """uint8 (H, W, C) as float (C, H, W) in [0, 1]."""
    return torch.tensor(pixels).permute(2, 0, 1) / 255


def save(path: Path, image: Image.Image, **options: object) -> Path:
    """Write ``image`` and return where."""
    image.save(path, **options)
    return path


def png_header(width: int, height: int) -> bytes:
    """A PNG that says how large it is and holds nothing else."""
    chunk = b"IHDR" + width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
    end = b"\0\0\0\0IDAT" + zlib.crc32(b"IDAT").to_bytes(4, "big")
    return b"\x89PNG\r\n\x1a\n" + b"\0\0\0\x0d" + chunk + zlib.crc32(chunk).to_bytes(4, "big") + end
