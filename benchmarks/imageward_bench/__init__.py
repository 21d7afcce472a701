"""Measures imageward, and shows it at work: one question a file."""

# OpenCV reads its limits when it is loaded, so the decoder comes before any module here.
import imageward_index.decode  # noqa: F401 loaded for its effect
