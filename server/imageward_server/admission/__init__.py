"""Which calls are let in, in which order, and which are refused at once.

    serving thread   door     a thread for the call? If not, refused without one
    call's thread    quotas   one caller holds at most half of the calls and bytes;
                     rates    at most so many calls a second each
                     gate     would it wait too long, or past its deadline? If not, it
                              is expected, and counts as if it waited
                     then the message is received, and the call's kind is known
    around the work  gate     so many compute at once; the others wait by priority and
                              fair share, in a short queue

Nothing here knows gRPC, a service or a message; `interceptor` brings the two together.
"""

from __future__ import annotations

from imageward_server.admission.admission import Admission, House, Visit
from imageward_server.admission.call import Call, Place, Priority, current_call
from imageward_server.admission.gate import Gate
from imageward_server.admission.quota import Quota
from imageward_server.admission.rates import Rates

__all__ = [
    "Admission",
    "Call",
    "Gate",
    "House",
    "Place",
    "Priority",
    "Quota",
    "Rates",
    "Visit",
    "current_call",
]
