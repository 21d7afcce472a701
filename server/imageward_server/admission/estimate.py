"""How long calls take, learnt from those that were answered."""

from __future__ import annotations

from imageward_server.admission.call import Call, Priority

# Weight of the newest call in the moving averages.
WEIGHT = 0.1
# A call is hopeless when even this part of the usual time is more than it has left.
HOPE = 0.5
# An estimate that refuses is lowered each time: else one slow spell would refuse for
# ever, as only calls that are let in correct it.
FORGET = 0.98


class Estimate:
    """Moving averages of service times and of the pace of a queue. Not locked.

    Attributes:
        pace_s: seconds between two calls that finish while others wait.
    """

    def __init__(self) -> None:
        self.pace_s = 0.0
        self._service_s: dict[tuple[str, Priority], float] = {}

    def served(self, call: Call, service_s: float) -> None:
        """Learn how long a call computed."""
        key = (call.method, call.priority)
        self._service_s[key] = _moved(self._service_s.get(key, service_s), service_s)

    def paced(self, interval_s: float) -> None:
        """Learn how long after the one before it a call finished, while others waited."""
        self.pace_s = _moved(self.pace_s or interval_s, interval_s)

    def service_s(self, call: Call) -> float:
        """Say how long calls of this kind compute; 0 where none has yet."""
        return self._service_s.get((call.method, call.priority), 0.0)

    def is_hopeless(self, call: Call, wait_s: float) -> bool:
        """Say whether the call would miss its deadline after waiting so long."""
        if wait_s + self.service_s(call) * HOPE <= call.left_s:
            return False
        key = (call.method, call.priority)
        if key in self._service_s:
            self._service_s[key] *= FORGET
        self.pace_s *= FORGET
        return True


def _moved(average: float, newest: float) -> float:
    return average + (newest - average) * WEIGHT
