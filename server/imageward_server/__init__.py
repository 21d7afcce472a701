"""The service around the index: store, replica, gRPC services, configuration, process.

An upload's way: `services.match` -> `imageward_index`, from memory. A change's way:
`services.bank` -> `store`, one transaction -> `replica`, which applies the change to
the index before the caller is told that it happened.
"""

import os
from importlib.metadata import version

# The server's threads are its parallelism: a pool of BLAS's own in each would only
# fight them. NumPy reads this when it is loaded, so it is said before.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

__version__ = version("imageward")
