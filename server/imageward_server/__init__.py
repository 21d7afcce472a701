"""The service around the index: store, replica, gRPC services, configuration, process.

An upload's way: `services.match` -> `imageward_index`, from memory. A change's way:
`services.bank` -> `store`, one transaction -> `replica`, which applies the change to
the index before the caller is told that it happened.
"""

from importlib.metadata import version

__version__ = version("imageward")
