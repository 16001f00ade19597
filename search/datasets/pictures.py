"""One image file: what its header says of it, and its pixels.

The first picture of an animation is read, turned as its EXIF orientation says; what is transparent
lies on white.
"""

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from search.datasets.resize import fit
from search.errors import InputError
from search.untrusted import opened

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff"})
# Only these: Pillow would hand a file that is PostScript, whatever its name, to another program.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")
_GREY = frozenset({"1", "L", "LA", "La"})
# What Pillow raises on a file that is cut short or not what its first bytes say.
_UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    SyntaxError,
    IndexError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


class Header(NamedTuple):
    """What can be told of an image without decoding it."""

    n_pixels: int
    grey: bool
    """Stored with one channel, beside transparency. A palette counts as colour."""
    deep: bool = False
    """Grey of 16 bits. Pillow reads colours of 16 bits as those of 8."""


def header(path: Path) -> Header:
    """Look at an image. Raises InputError, without the path, when it can't be read."""
    with _opened(path) as image:
        deep = _is_deep(image)
        return Header(image.width * image.height, deep or image.mode in _GREY, deep)


def pixels(
    path: Path, *, grey: bool, deep: bool = False, size: tuple[int, int] | None = None
) -> NDArray[Any]:
    """Decode an image: uint8 (height, width, 1) if `grey`, else (height, width, 3); uint16 (height,
    width, 1) if `deep`. Raises InputError as `header`, and for 16 bits where 8 are asked for.

    With a `size` (width, height) it is brought to that, its proportions kept: what is too long is
    cut at both ends.
    """
    with _opened(path) as image:
        if _is_deep(image) is not deep:
            rule = "16 bits a pixel" if not deep else "8 bits a pixel, where others have 16"
            raise InputError(f"{rule}; save all with 8, or all with 16 in grey")
        if deep:
            whole = np.asarray(ImageOps.exif_transpose(image), dtype=np.uint16)
            return (fit(whole, size) if size else whole)[:, :, np.newaxis]
        flat = _flat(image, grey=grey)
        array = np.asarray(ImageOps.fit(flat, size) if size else flat)
    return array[:, :, np.newaxis] if grey else array


def _is_deep(image: Image.Image) -> bool:
    return image.mode.startswith("I;16")


def _flat(image: Image.Image, *, grey: bool) -> Image.Image:
    """Turn upright, put on white and convert to mode L or RGB."""
    upright = ImageOps.exif_transpose(image)
    if upright.has_transparency_data:
        white = Image.new("RGBA", upright.size, "white")
        upright = Image.alpha_composite(white, upright.convert("RGBA"))
    return upright.convert("L" if grey else "RGB")


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        with opened(path) as file, Image.open(file, formats=_FORMATS) as image:
            if image.mode in {"I", "F"}:
                raise InputError(f"32 bits a pixel, mode {image.mode}; save it with 8 or 16")
            yield image
    except UnidentifiedImageError as error:
        raise InputError("not an image") from error
    except _UNREADABLE as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise InputError(reason or str(error) or type(error).__name__) from error
