"""Every bound of the intake that is a promise or a defence, and not a setting."""

from __future__ import annotations

from typing import Final

HOUR_S: Final = 3600
DAY_S: Final = 24 * HOUR_S

# The law asks for removal within this time of a valid report.
REMOVAL_TARGET_S: Final = 48 * HOUR_S
# Hours after receipt at which an undecided picture raises an alarm.
ALARM_HOURS: Final = (24, 36, 44)
# No picture outlives this, reviewed or not.
KEPT_S_MAX: Final = 7 * DAY_S
# An unreviewed picture goes this long before the promise ends, so that a job that was
# stopped for up to an hour still keeps it.
RETENTION_S: Final = KEPT_S_MAX - HOUR_S
# A picture that did not arrive whole within this time is not coming any more.
ARRIVAL_S_MAX: Final = HOUR_S

CASE_PICTURES_MAX: Final = 20
REQUEST_PICTURES_MAX: Final = 10
# More than ten pictures of the largest size, with their frame; beyond it the connection ends.
REQUEST_BYTES_MAX: Final = 256_000_000

LINK_BYTES: Final = 32
PIN_DIGITS: Final = 8
CONTACT_CHARS_MAX: Final = 254
UPLOAD_ID_CHARS_MAX: Final = 128
DETAIL_CHARS_MAX: Final = 200

# Wrong secrets in a row until a name is locked, and for how long.
FAILURES_MAX: Final = 5
LOCK_S: Final = 15 * 60

PERSON_SESSION_S: Final = 2 * HOUR_S
STAFF_SESSION_S: Final = 8 * HOUR_S
STAFF_IDLE_S: Final = 15 * 60
STATUS_SESSION_S: Final = 15 * 60

MAIL_RETRY_S: Final = (60, 300, 900, 3600)
MAIL_TIMEOUT_S: Final = 20.0
MAIL_BATCH: Final = 100
