"""BankService: how reviewers and partner organisations keep banks and their entries."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import grpc

from imageward.v1 import bank_pb2, bank_pb2_grpc
from imageward_index.answer import Finding
from imageward_index.cascade import Watch
from imageward_index.errors import InvalidInput
from imageward_index.matcher import Completeness, Matcher
from imageward_index.policy import RADIUS_BITS_DEFAULT, BankSet, Policy, Selection
from imageward_server import __version__
from imageward_server.admission import Place
from imageward_server.errors import InvalidRequest
from imageward_server.hasher import Hasher
from imageward_server.replica import Replica
from imageward_server.services import deadline, messages, new_entry, validate
from imageward_server.services.actor import actor_of
from imageward_server.services.paging import make_token, read_token
from imageward_server.sight.meters import Meters
from imageward_server.store import EntryState, NewEntry, Store


class BankService(bank_pb2_grpc.BankServiceServicer):
    """Changes and shows banks and entries.

    A change is acknowledged once it is durable in the store and applied to the
    replica that answers checks.

    Args:
        store: where changes go.
        replica: where checks, and reviewers' searches, are answered from.
        hasher: what opens images.
        surfaces: the surfaces that policies may name.
        place: waits for a place to compute in, and holds it.
        meters: counts the pictures that are refused.
        watch: is there while each pass over an image runs.
    """

    def __init__(
        self,
        store: Store,
        replica: Replica,
        hasher: Hasher,
        surfaces: frozenset[str],
        place: Place,
        meters: Meters,
        watch: Watch,
    ) -> None:
        self._store = store
        self._replica = replica
        self._hasher = hasher
        self._surfaces = surfaces
        self._place = place
        self._meters = meters
        self._matcher = Matcher(replica.hashes, replica.codes, watch)
        self._started_us = time.time_ns() // 1000

    def CreateBank(
        self, request: bank_pb2.CreateBankRequest, context: grpc.ServicerContext
    ) -> bank_pb2.CreateBankResponse:
        """Make an empty bank."""
        name = validate.bank_name(request.name)
        policy = Policy(**self._policy_fields(request.policy))
        record = self._store.create_bank(name, policy, actor_of(context))
        self._replica.catch_up()
        return bank_pb2.CreateBankResponse(bank=messages.bank_message(record))

    def GetBank(
        self, request: bank_pb2.GetBankRequest, context: grpc.ServicerContext
    ) -> bank_pb2.GetBankResponse:
        """Return one bank."""
        del context
        record = self._store.get_bank(request.name)
        return bank_pb2.GetBankResponse(bank=messages.bank_message(record))

    def ListBanks(
        self, request: bank_pb2.ListBanksRequest, context: grpc.ServicerContext
    ) -> bank_pb2.ListBanksResponse:
        """Return a page of banks."""
        del context
        size = validate.page_size(request.page_size)
        listing = ("ListBanks",)
        after = read_token(listing, request.page_token) or ""
        records = self._store.list_banks(after, size + 1)
        return bank_pb2.ListBanksResponse(
            banks=[messages.bank_message(record) for record in records[:size]],
            next_page_token=(
                make_token(listing, records[size - 1].bank.name) if len(records) > size else ""
            ),
        )

    def UpdateBank(
        self, request: bank_pb2.UpdateBankRequest, context: grpc.ServicerContext
    ) -> bank_pb2.UpdateBankResponse:
        """Change the named parts of a bank's policy."""
        paths = request.update_mask.paths
        changed = self._policy_fields(request.policy)
        unknown = sorted(set(paths) - set(changed))
        if unknown or not paths:
            raise InvalidRequest(
                f"update_mask names {unknown[0][:64] if unknown else 'nothing'}; "
                f"name some of {', '.join(changed)}"
            )
        wanted = {path: changed[path] for path in paths}
        record = self._store.update_bank(
            request.name,
            lambda policy: dataclasses.replace(policy, **wanted),
            actor_of(context),
        )
        self._replica.catch_up()
        return bank_pb2.UpdateBankResponse(bank=messages.bank_message(record))

    def AddEntries(
        self, request: bank_pb2.AddEntriesRequest, context: grpc.ServicerContext
    ) -> bank_pb2.AddEntriesResponse:
        """Bank what is accepted in one transaction, and say why the rest is not."""
        actor = actor_of(context)
        new_entry.check_request(request)
        self._store.get_bank(request.bank)  # before any picture is decoded for nothing
        outcomes = [self._attempt(new) for new in request.entries]
        accepted = [outcome for outcome in outcomes if isinstance(outcome, NewEntry)]
        addition = self._store.add_entries(request.bank, request.request_id, accepted, actor)
        self._replica.catch_up()
        ids = iter(addition.entry_ids)
        return bank_pb2.AddEntriesResponse(
            results=[new_entry.result_message(outcome, ids) for outcome in outcomes],
            revision=addition.revision,
            replayed=addition.replayed,
        )

    def WithdrawEntries(
        self, request: bank_pb2.WithdrawEntriesRequest, context: grpc.ServicerContext
    ) -> bank_pb2.WithdrawEntriesResponse:
        """Take entries out of every answer."""
        revision, changed = self._set_state(request.entry_ids, EntryState.WITHDRAWN, context)
        return bank_pb2.WithdrawEntriesResponse(revision=revision, changed_count=changed)

    def RestoreEntries(
        self, request: bank_pb2.RestoreEntriesRequest, context: grpc.ServicerContext
    ) -> bank_pb2.RestoreEntriesResponse:
        """Put withdrawn entries back."""
        revision, changed = self._set_state(request.entry_ids, EntryState.ACTIVE, context)
        return bank_pb2.RestoreEntriesResponse(revision=revision, changed_count=changed)

    def GetEntry(
        self, request: bank_pb2.GetEntryRequest, context: grpc.ServicerContext
    ) -> bank_pb2.GetEntryResponse:
        """Return one entry."""
        actor = actor_of(context)
        entry_id = validate.entry_id(request.entry_id)
        record = self._store.get_entry(entry_id)
        response = bank_pb2.GetEntryResponse(
            entry=messages.entry_message(record, self._stored_banks())
        )
        if request.with_fingerprint:
            response.fingerprint = self._store.get_fingerprint(entry_id).to_bytes()
        action = "get fingerprint" if request.with_fingerprint else "get entry"
        self._store.audit(actor, action, entry_ids=[entry_id])
        return response

    def ListEntries(
        self, request: bank_pb2.ListEntriesRequest, context: grpc.ServicerContext
    ) -> bank_pb2.ListEntriesResponse:
        """Return a page of entries."""
        actor = actor_of(context)
        size = validate.page_size(request.page_size)
        banks = self._stored_banks()
        listing = ("ListEntries", request.bank, request.state)
        after = read_token(listing, request.page_token)
        records = self._store.list_entries(
            bank_number=banks.named(request.bank).number if request.bank else None,
            state=messages.state_filter_of(request.state),
            after_id=validate.entry_id(after) if after else 0,
            limit=size + 1,
        )
        self._store.audit(
            actor,
            "list entries",
            bank=request.bank,
            entry_ids=[record.id for record in records[:size]],
        )
        return bank_pb2.ListEntriesResponse(
            entries=[messages.entry_message(record, banks) for record in records[:size]],
            next_page_token=(
                make_token(listing, validate.format_entry_id(records[size - 1].id))
                if len(records) > size
                else ""
            ),
        )

    def FindMatches(
        self, request: bank_pb2.FindMatchesRequest, context: grpc.ServicerContext
    ) -> bank_pb2.FindMatchesResponse:
        """Show which entries are near, and how near."""
        actor = actor_of(context)
        revision, banks = self._replica.revision, self._replica.banks
        names = validate.bank_names(request.banks)
        radius = request.radius_bits if request.HasField("radius_bits") else None
        selection = Selection.of([banks.named(name) for name in names] or banks, radius)
        with self._place():
            found, quality, completeness = self._find(request, selection)
        self._store.audit(actor, "find matches", entry_ids=[one.entry_id for one in found])
        return bank_pb2.FindMatchesResponse(
            matches=[messages.match_message(finding, banks) for finding in found],
            revision=revision,
            quality=quality,
            completeness=messages.completeness_number(completeness),
        )

    def GetStats(
        self, request: bank_pb2.GetStatsRequest, context: grpc.ServicerContext
    ) -> bank_pb2.GetStatsResponse:
        """Return counts of the store and of the index."""
        del request, context
        return bank_pb2.GetStatsResponse(
            revision=self._replica.revision,
            store_revision=self._store.revision(),
            index_size=len(self._replica.hashes),
            regional_code_count=len(self._replica.codes),
            banks=[
                bank_pb2.BankStats(
                    bank=record.bank.name,
                    active_count=record.active_count,
                    withdrawn_count=record.withdrawn_count,
                )
                for record in self._store.all_banks()
            ],
            server_version=__version__,
            start_time=messages.timestamp(self._started_us),
        )

    def _attempt(self, new: bank_pb2.NewEntry) -> NewEntry | InvalidInput:
        # One at a time, so that a check need not wait for a whole batch of pictures.
        with self._place():
            outcome = new_entry.attempt(new, self._hasher)
        if isinstance(outcome, InvalidInput):
            self._meters.refused(outcome)
        return outcome

    def _set_state(
        self, written_ids: Sequence[str], state: EntryState, context: grpc.ServicerContext
    ) -> tuple[int, int]:
        entry_ids = validate.entry_ids(written_ids)
        revision, changed = self._store.set_state(entry_ids, state, actor_of(context))
        self._replica.catch_up()
        return revision, changed

    def _find(
        self, request: bank_pb2.FindMatchesRequest, selection: Selection
    ) -> tuple[list[Finding], int | None, Completeness]:
        match request.WhichOneof("query"):
            case "image":
                with self._hasher.look(request.image, deadline.end()) as picture:
                    found, completeness = self._matcher.find_image(
                        picture, selection, deadline.usable_s()
                    )
                    return found, picture.whole.quality, completeness
            case "hash":
                (code,) = validate.codes([request.hash])
                quality = validate.quality(request.hash)
                found = self._matcher.find_hash(code, quality, selection)
                return found, quality, Completeness.HASH_ONLY
            case _:
                raise InvalidRequest("neither an image nor a hash was sent; send one of them")

    def _stored_banks(self) -> BankSet:
        """Read the banks from the store: the replica may not have the newest yet."""
        return BankSet(record.bank for record in self._store.all_banks())

    def _policy_fields(self, policy: bank_pb2.Policy) -> dict[str, Any]:
        """Read each field of a policy under its name in the contract."""
        return {
            "action": messages.action_of(policy.action),
            "radius_bits": (
                policy.radius_bits if policy.HasField("radius_bits") else RADIUS_BITS_DEFAULT
            ),
            "surfaces": validate.surfaces(policy.surfaces, self._surfaces),
            "enabled": policy.enabled if policy.HasField("enabled") else True,
            "coverage_min": validate.share("coverage_min", policy.coverage_min),
            "review_doubtful": policy.review_doubtful,
        }
