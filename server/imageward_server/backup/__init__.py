"""Backups: one file each, made while the server serves, and a fresh data folder from one.

`archive` says what the file is, `make` how it comes to be, `restore` the way back, and
`command` what an operator calls. A backup is of the store alone. Pictures in the
quarantine are never in one: they are to be gone after seven days, and so is the key that
opens them. Segments are copies of the store. Keys are kept elsewhere, or a backup would
open itself.
"""
