"""The audit: every change and every reviewer's read as one row that cannot be edited unseen.

`row` says what a row is and how rows are chained, `keys` what they are sealed with,
`verify` how a chain is judged, `evidence` the form in which it leaves the server, and
`command` what an operator calls. The writing end is `store.ledger`, for a row is written
in the transaction of what it tells.
"""
