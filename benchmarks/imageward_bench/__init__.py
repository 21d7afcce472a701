"""Measures imageward, and shows it at work: one question a file."""
