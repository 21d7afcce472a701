"""Who calls, as what, and whether that may: identities, credentials, the table of roles.

Nothing here knows gRPC's server, the store or the intake. The supervisor reads credentials
too, so nothing here may load gRPC at its import; `tls`, which does, is imported by name.
"""

from imageward_server.access.access import Access, Rules
from imageward_server.access.credential import Credential, hash_secret, new_secret
from imageward_server.access.identity import Identity, Role, identity_of

__all__ = [
    "Access",
    "Credential",
    "Identity",
    "Role",
    "Rules",
    "hash_secret",
    "identity_of",
    "new_secret",
]
