"""How soon a change is seen, through every worker, while others ask."""
