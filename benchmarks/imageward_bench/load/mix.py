"""What is sent: the parts of a mix, from options or from a TOML file.

A mix file has a table `[[call]]` for each part, with the fields of `Part`:

    [[call]]
    kind = "hash"
    share = 0.8
    matches = 0.05

    [[call]]
    kind = "image"
    share = 0.2
    megapixels = [0.3, 1.0, 12.0]
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

Kind = Literal["hash", "batch", "image", "hash-stream", "image-stream", "echo"]
Format = Literal["jpeg", "png", "webp"]

BATCH_MAX = 1024
MEGAPIXELS_MAX = 50.0
PARTS_MAX = 32


class InvalidMix(Exception):
    """A mix cannot be used; the message says which field and why."""


class Part(BaseModel):
    """One kind of call in a mix.

    Attributes:
        kind: a unary call with one hash, with a batch, with an image; a message with a
            hash or an image on a stream that stays open; an echo of the reference server.
        share: of all calls, in any unit: shares are divided by their sum.
        matches: share of the hashes or images that the bank holds, 0..1.
        items: hashes of a batch, 1..1,024.
        megapixels: sizes of images, each as often as the others.
        format: of images.
        quality: of JPEG and WebP, 1..100.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    share: float = Field(default=1.0, gt=0)
    matches: float = Field(default=0.05, ge=0, le=1)
    items: int = Field(default=100, ge=1, le=BATCH_MAX)
    megapixels: tuple[Annotated[float, Field(gt=0, le=MEGAPIXELS_MAX)], ...] = (1.0,)
    format: Format = "jpeg"
    quality: int = Field(default=85, ge=1, le=100)

    def __str__(self) -> str:
        what: str = self.kind
        if self.kind == "batch":
            what = f"batch of {self.items}"
        elif self.carries_images:
            sizes = "/".join(f"{size:g}" for size in self.megapixels)
            what = f"{self.kind} of {sizes} MP {self.format}"
        return what if self.kind == "echo" else f"{what}, {self.matches:.0%} banked"

    @property
    def carries_images(self) -> bool:
        """Whether images are sent, or hashes."""
        return self.kind in ("image", "image-stream")

    @property
    def items_per_call(self) -> int:
        """Hashes or images that one call carries."""
        return self.items if self.kind == "batch" else 1


class Mix(BaseModel):
    """All that is sent in one run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    call: tuple[Part, ...] = Field(min_length=1, max_length=PARTS_MAX)

    @model_validator(mode="after")
    def _check_megapixels(self) -> Mix:
        if not all(part.megapixels for part in self.call):
            raise ValueError("megapixels is empty; give at least one size")
        return self

    def __str__(self) -> str:
        told = (f"{share:.0%} {part}" for share, part in zip(self.shares, self.call, strict=True))
        return " + ".join(told)

    @property
    def shares(self) -> tuple[float, ...]:
        """The parts' shares, which sum to 1."""
        total = sum(part.share for part in self.call)
        return tuple(part.share / total for part in self.call)


def read_mix(file: Path) -> Mix:
    """Read a mix file.

    Raises:
        InvalidMix: it cannot be read, or a field is unknown or out of its range.
    """
    try:
        return Mix.model_validate(tomllib.loads(file.read_text()))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidMix(f"the mix cannot be read: {error}") from error
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise InvalidMix(f"{place or 'the mix'}: {problem['msg']}") from error
