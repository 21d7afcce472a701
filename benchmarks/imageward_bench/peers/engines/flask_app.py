"""The web service of `flask_faiss`: each worker reads the index file, again when it is new.

Run by gunicorn with the file's name in PEER_INDEX and the radius in PEER_RADIUS.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from flask import Flask, Response, jsonify, request

app = Flask(__name__)
faiss.omp_set_num_threads(1)

_FILE, _RADIUS = Path(os.environ["PEER_INDEX"]), int(os.environ["PEER_RADIUS"])
_held: dict[str, Any] = {"read_ns": 0, "index": None}


@app.get("/lookup")  # type: ignore[untyped-decorator]  # Flask is elsewhere
def lookup() -> Response:
    """Answer the ids within the radius of the hash in the query."""
    code = np.frombuffer(bytes.fromhex(request.args["hash"]), np.uint8)[np.newaxis]
    # FAISS leaves the radius out.
    _, _, ids = _index().range_search(code, _RADIUS + 1)
    return jsonify([int(one) for one in ids])


def _index() -> Any:  # noqa: ANN401 - FAISS has no types
    written_ns = _FILE.stat().st_mtime_ns
    if written_ns != _held["read_ns"]:
        index: Any = faiss.read_index_binary(str(_FILE))
        index.nflip = 1
        _held.update(read_ns=written_ns, index=index)
    return _held["index"]
