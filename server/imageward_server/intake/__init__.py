"""The intake: from a person at risk to a hash, and nothing left of the picture.

1. A partner organisation opens a case and gets a one-time link (`cases`, `links`).
2. The person hands over pictures, which are encrypted as they come (`reception`,
   `quarantine`).
3. Reviewers decide; what they approve is banked in the same transaction (`review`).
4. The picture's key and file are destroyed, at once or within seven days (`disposal`).
5. The person is told by mail (`outbox`, `mail`), sees the state and may withdraw
   (`withdrawal`).
6. Clocks are watched by a job that repeats (`steward`).

`Intake` holds what all of these work with. The web pages are in `web` and run in a
process of their own; nothing here outside `web` knows HTTP.
"""
