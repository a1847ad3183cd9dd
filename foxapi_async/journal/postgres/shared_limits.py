"""Exchanges limits with the other sessions of the journal, one session at a time, on the server's clock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from foxapi_async.journal.entry import COLUMNS, JournalStatus, entry_from_row
from foxapi_async.journal.postgres.connection import Connection
from foxapi_async.journal.postgres.hashing import hash_of
from foxapi_async.journal.postgres.owners import living
from foxapi_async.journal.shared_limits import (
    LONGEST_TASK,
    LONGEST_WAIT,
    STALLED,
    AdoptOrphans,
    ExchangeLimits,
    SharedRefusal,
    Waiting,
    grant,
    next_tester,
)
from foxapi_async.journal.tables import Tables
from foxapi_async.journal.transitions import BILLED, PERHAPS_BILLED, REPLACED

_ORPHANED: Final = 60.0
"""Seconds after the submission from which this session's own tasks count as left alone if it does not track
them."""
_REFUSALS: Final = 900.0
"""Seconds for which a refusal is kept for the other sessions."""
_BUSY: Final = 5.0
"""Seconds since the last exchange within which a session counts as one that shares the rates."""

# The statements contain names of columns and placeholders only, no values.
# ruff: noqa: S608


class LimitTables:
    """The tables ``limits``, ``places``, ``refusals`` and ``sharers``, for one owner."""

    def __init__(self, tables: Tables, connection: Connection, owner: str) -> None:
        self._tables: Final = tables
        self._connection: Final = connection
        self._owner: Final = owner

    def exchange(self, asked: ExchangeLimits) -> None:
        """Make an exchange; call it inside a transaction."""
        # The lock of this row lets one session after the other do what follows.
        rows = self._tables.query(
            "SELECT spent, circuit_owner, extract(epoch FROM clock_timestamp())::double precision"
            " FROM limits FOR UPDATE"
        )
        spent, circuit_owner, now = rows[0]
        alive = [*living(self._connection)]
        self._count_sessions(asked, alive, now)
        self._exchange_refusals(asked, now)
        self._exchange_circuit(asked, circuit_owner, alive)
        self.give_back(asked.given_back)
        if asked.wanted:
            self._grant_places(asked, alive, now, spent)

    def give_back(self, keys: Sequence[bytes]) -> None:
        """Free the places of submissions that have ended, or that do not wait any more."""
        if keys:
            self._tables.execute(
                "DELETE FROM places WHERE key = ANY(?::bytea[]) AND owner = ?",
                [[hash_of(key) for key in keys], self._owner],
            )

    def without_place(self, keys: Sequence[bytes]) -> set[bytes]:
        """Return the keys that have no place, because this owner was taken for dead."""
        rows = self._tables.query(
            "SELECT key FROM places WHERE key = ANY(?::bytea[]) AND owner = ? AND is_granted",
            [[hash_of(key) for key in keys], self._owner],
        )
        found = {row[0] for row in rows}
        return {key for key in keys if hash_of(key) not in found}

    def adopt(self, asked: AdoptOrphans) -> None:
        """Take over tasks in flight that no living session tracks."""
        alive = [*living(self._connection)]
        rows = self._tables.query(
            "UPDATE entries SET owner = ? WHERE id IN (SELECT id FROM entries WHERE status = ?"
            " AND (owner IS NULL OR owner <> ALL(?::text[]) OR (owner = ? AND task_id <> ALL(?::text[])"
            " AND updated < extract(epoch FROM clock_timestamp()) - ?))"
            " AND task_id <> ALL(?::text[])"
            " ORDER BY id LIMIT ? FOR UPDATE SKIP LOCKED)"
            f" RETURNING {COLUMNS}",
            [
                *(self._owner, JournalStatus.ACCEPTED, alive, self._owner, list(asked.tracked)),
                *(_ORPHANED, list(asked.tracked), asked.most),
            ],
        )
        asked.found = [entry_from_row(row) for row in rows]

    def _count_sessions(self, asked: ExchangeLimits, alive: list[str], now: float) -> None:
        self._tables.execute(
            "INSERT INTO sharers (owner, seen) VALUES (?, ?)"
            " ON CONFLICT (owner) DO UPDATE SET seen = excluded.seen",
            [self._owner, now],
        )
        self._tables.execute("DELETE FROM sharers WHERE owner <> ALL(?::text[])", [alive])
        rows = self._tables.query("SELECT count(*) FROM sharers WHERE seen > ?", [now - _BUSY])
        asked.sessions = rows[0][0]

    def _exchange_refusals(self, asked: ExchangeLimits, now: float) -> None:
        for refusal in asked.refusals:
            until = None if refusal.wait is None else now + refusal.wait
            self._tables.execute(
                "INSERT INTO refusals (owner, lane, at, until) VALUES (?, ?, ?, ?)",
                [self._owner, refusal.lane, now - refusal.age, until],
            )
        if asked.last_refusal is None:
            # A new session obeys the pauses that are not over.
            query = "SELECT id, lane, at, until, owner FROM refusals WHERE until > ? ORDER BY id"
            rows = self._tables.query(query, [now])
            last = self._tables.query("SELECT coalesce(max(id), 0) FROM refusals")[0][0]
        else:
            query = "SELECT id, lane, at, until, owner FROM refusals WHERE id > ? ORDER BY id"
            rows = self._tables.query(query, [asked.last_refusal])
            last = rows[-1][0] if rows else asked.last_refusal
        asked.heard_until = last
        asked.heard = [
            SharedRefusal(
                lane, max(now - at, 0.0), None if until is None else max(until - now, 0.0)
            )
            for _, lane, at, until, owner in rows
            if owner != self._owner
        ]
        if asked.refusals:
            self._tables.execute("DELETE FROM refusals WHERE at < ?", [now - _REFUSALS])

    def _exchange_circuit(
        self, asked: ExchangeLimits, circuit_owner: str | None, alive: Sequence[str]
    ) -> None:
        is_alive = circuit_owner in alive
        tester = next_tester(asked, self._owner, circuit_owner, is_alive=is_alive)
        asked.is_held = tester not in {None, self._owner}
        asked.is_heir = tester == self._owner and circuit_owner not in {None, self._owner}
        if tester != circuit_owner:
            self._tables.execute("UPDATE limits SET circuit_owner = ?", [tester])

    def _grant_places(
        self, asked: ExchangeLimits, alive: list[str], now: float, spent: int | None
    ) -> None:
        self._settle_places_of_the_dead(alive, now)
        keys = {hash_of(key): key for key, _ in asked.wanted}
        self._tables.execute(
            "INSERT INTO places (key, owner, outputs, is_granted, asked)"
            " SELECT key, ?, outputs, false, ? FROM unnest(?::bytea[], ?::bigint[]) WITH ORDINALITY"
            " AS new(key, outputs, number) ORDER BY number"
            " ON CONFLICT (key) DO UPDATE SET asked = excluded.asked, owner = excluded.owner,"
            " is_granted = places.is_granted AND places.owner = excluded.owner",
            [
                *(self._owner, now, list(keys)),
                [outputs for _, outputs in asked.wanted],
            ],
        )
        rows = self._tables.query(
            "SELECT id, key, owner, outputs FROM places WHERE NOT is_granted AND asked > ?",
            [now - STALLED],
        )
        waiting = [Waiting(*row) for row in rows]
        room = asked.outputs - self._in_flight(alive, now)
        mine = [each for each in grant(waiting, room) if each.owner == self._owner]
        if asked.total is not None:
            mine = self._within_total(asked, asked.total, mine, spent)
        self._tables.execute(
            "UPDATE places SET is_granted = true WHERE id = ANY(?::bigint[])",
            [[each.number for each in mine]],
        )
        asked.granted = frozenset(keys[each.key] for each in mine if each.key in keys)

    def _within_total(
        self, asked: ExchangeLimits, total: int, granted: list[Waiting], spent: int | None
    ) -> list[Waiting]:
        """Return those of the granted submissions that the total allows, and count their images."""
        needed = sum(each.outputs for each in granted)
        if spent is None or spent + needed > total:
            # The count includes what was refused since; the entries tell exactly.
            spent = self._billed()
        allowed: list[Waiting] = []
        for each in granted:
            if spent + each.outputs > total:
                asked.spent = spent
                asked.refused = frozenset(
                    key for key, outputs in asked.wanted if spent + outputs > total
                )
                self.give_back([*asked.refused])
                break
            spent += each.outputs
            allowed.append(each)
        self._tables.execute("UPDATE limits SET spent = ?", [spent])
        return allowed

    def _settle_places_of_the_dead(self, alive: list[str], now: float) -> None:
        """Free the places of what was not sent; the others when their tasks have certainly ended."""
        self._tables.execute(
            "UPDATE places SET orphaned = CASE WHEN orphaned IS NULL THEN ? END"
            " WHERE (orphaned IS NULL) = (owner <> ALL(?::text[]))",
            [now, alive],
        )
        self._tables.execute(
            "DELETE FROM places WHERE owner <> ALL(?::text[]) AND (orphaned < ? OR NOT is_granted OR NOT"
            " EXISTS (SELECT 1 FROM entries WHERE sha256(entries.key) = places.key AND status IN (?, ?)))",
            [alive, now - LONGEST_TASK, JournalStatus.SENDING, JournalStatus.UNKNOWN],
        )

    def _in_flight(self, alive: list[str], now: float) -> int:
        """Return the images in flight of all sessions."""
        # One statement, so that it sees each submission in one state only, as a place or as an entry.
        rows = self._tables.query(
            "SELECT (SELECT coalesce(sum(num_outputs), 0) FROM entries WHERE"
            " (status = ? AND submitted > ?) OR (status = ? AND owner = ANY(?::text[])))"
            " + (SELECT coalesce(sum(outputs), 0) FROM places WHERE is_granted AND NOT EXISTS"
            " (SELECT 1 FROM entries WHERE sha256(entries.key) = places.key"
            " AND (status = ? OR (status = ? AND owner = ANY(?::text[])))))",
            [
                *(JournalStatus.ACCEPTED, now - LONGEST_WAIT, JournalStatus.SENDING, alive),
                *(JournalStatus.ACCEPTED, JournalStatus.SENDING, alive),
            ],
        )
        return int(rows[0][0])

    def _billed(self) -> int:
        """Return the images of all submissions, and of the places that are granted for more."""
        rows = self._tables.query(
            "SELECT (SELECT coalesce(sum(num_outputs), 0) FROM entries WHERE status = ANY(?::text[]))"
            " + (SELECT coalesce(sum(value::bigint), 0) FROM memory WHERE name = ANY(?::text[]))"
            " + (SELECT coalesce(sum(outputs), 0) FROM places WHERE is_granted AND orphaned IS NULL"
            " AND NOT EXISTS (SELECT 1 FROM entries WHERE sha256(entries.key) = places.key"
            " AND status IN (?, ?)))",
            [
                *([*BILLED, *PERHAPS_BILLED], [*REPLACED.values()]),
                *(JournalStatus.SENDING, JournalStatus.ACCEPTED),
            ],
        )
        return int(rows[0][0])
