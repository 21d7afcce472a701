"""Version 1 of the contract: `match`, `bank`, `hash` and `error`."""
