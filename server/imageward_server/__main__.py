"""`python -m imageward_server` is the command `imageward-server`."""

from imageward_server.cli import main

main()
