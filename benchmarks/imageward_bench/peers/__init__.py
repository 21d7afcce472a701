"""The same lookups, served by what people would otherwise run, each in its own environment."""
