"""Which role may call which method: the one table, by full names. What has no row is refused.

Names are written out, and not read from the contract, so that a new method is refused until
somebody has decided who may call it.
"""

from __future__ import annotations

from typing import Final

from imageward_server.access.identity import Role

# Row: the roles that may. None in it: so may a caller that does not say who it is.
Row = frozenset[Role | None]


def _row(*roles: Role | None) -> Row:
    return frozenset({*roles, Role.DEVELOPER})


_CHECKS: Final = _row(Role.FRONTEND, Role.REVIEWER)
_FRONTENDS: Final = _row(Role.FRONTEND)
_PARTNERS: Final = _row(Role.PARTNER)
_REVIEWERS: Final = _row(Role.REVIEWER)
_OPERATORS: Final = _row(Role.OPERATOR)
_STAFF: Final = _row(Role.REVIEWER, Role.OPERATOR, Role.AUDITOR)
_ANY_ROLE: Final = _row(*Role)
# Balancers and orchestrators ask for health, and have no credential.
_ANYBODY: Final = _row(None, *Role)

TABLE: Final[dict[str, Row]] = {
    # Verdict, opaque entry ids and revision: never a distance, a hash or a bank's contents.
    "/imageward.v1.MatchService/CheckImage": _CHECKS,
    "/imageward.v1.MatchService/CheckHashes": _CHECKS,
    "/imageward.v1.MatchService/CheckStream": _CHECKS,
    # What is banked, under which policy.
    "/imageward.v1.BankService/CreateBank": _OPERATORS,
    "/imageward.v1.BankService/UpdateBank": _OPERATORS,
    "/imageward.v1.BankService/GetBank": _STAFF,
    "/imageward.v1.BankService/ListBanks": _STAFF,
    "/imageward.v1.BankService/GetStats": _STAFF,
    # Entries, with their hashes.
    "/imageward.v1.BankService/AddEntries": _REVIEWERS,
    "/imageward.v1.BankService/WithdrawEntries": _REVIEWERS,
    "/imageward.v1.BankService/RestoreEntries": _REVIEWERS,
    "/imageward.v1.BankService/GetEntry": _REVIEWERS,
    "/imageward.v1.BankService/ListEntries": _REVIEWERS,
    "/imageward.v1.BankService/FindMatches": _REVIEWERS,
    # A partner's own cases, which each of these calls makes sure of.
    "/imageward.v1.CaseService/OpenCase": _PARTNERS,
    "/imageward.v1.CaseService/RenewLink": _PARTNERS,
    "/imageward.v1.CaseService/RevokeLink": _PARTNERS,
    "/imageward.v1.CaseService/GetCase": _PARTNERS,
    "/imageward.v1.CaseService/ListCases": _PARTNERS,
    "/imageward.v1.CaseService/ReportPosted": _FRONTENDS,
    "/imageward.v1.CaseService/ReportAction": _FRONTENDS,
    "/imageward.v1.CaseService/AppealEntry": _FRONTENDS,
    "/grpc.health.v1.Health/Check": _ANYBODY,
    "/grpc.health.v1.Health/Watch": _ANYBODY,
    "/grpc.health.v1.Health/List": _ANYBODY,
    # The contract alone, which is public.
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": _ANY_ROLE,
}
# Methods by their own names, as a credential names those that it is kept to.
METHODS: Final = frozenset(method.rpartition("/")[2] for method in TABLE)


def roles_of(method: str) -> Row:
    """Return who may call a method, by its full name; nobody if it has no row."""
    return TABLE.get(method, frozenset())
