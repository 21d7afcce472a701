"""The upload that the runs under overload and abuse check: a photograph of 2 megapixels."""

from __future__ import annotations

from pathlib import Path

import cv2
import skimage.data

# Before cv2, whose limits it sets.
import imageward_index.decode  # noqa: F401 - imported for its effect
from imageward.v1 import match_pb2

WIDTH, HEIGHT = 1732, 1155


def upload() -> bytes:
    """Return the message of its check."""
    path = Path(skimage.data.__file__).parent / "rocket.jpg"
    photograph = cv2.imread(str(path))
    assert photograph is not None
    photograph = cv2.resize(photograph, (WIDTH, HEIGHT))
    encoded = cv2.imencode(".jpg", photograph)[1]
    return match_pb2.CheckImageRequest(image=encoded.tobytes()).SerializeToString()
