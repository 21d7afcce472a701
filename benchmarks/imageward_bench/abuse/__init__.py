"""Peers that misbehave on HTTP/2, and what good callers notice of them."""
