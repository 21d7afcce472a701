"""How fast an image becomes a fingerprint, and where the time goes."""
