"""How much a server takes before it keeps its callers waiting, and what that needs."""
