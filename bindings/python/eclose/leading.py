"""One leader, and migrations run by one: leases, and what is pending run from inside an application at its start."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Union

import bson
from pymongo import MongoClient
from pymongo.database import Database

from eclose import _native
from eclose._driver import Driver
from eclose.errors import LeaseBusy, LeaseLost, MigrateError, Quarantined, _not_of_pymongo

if TYPE_CHECKING:
    from eclose.project import Project

Wait = Union[bool, float]
_BUSY, _QUARANTINED = 4, 5  # of eclose_migrated_t


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _options(**options: Any) -> bytes:
    return bson.encode({name: value for name, value in options.items() if value is not None})


class Lease:
    """The right to be the one who does something, as long as it lasts; `with` acquires and releases it.

    A thread renews it. It is lost when the process hangs, sleeps, or cannot reach the server for as long as it lasts;
    then somebody else may have it, and this one is never held again.
    """

    def __init__(self, database: Database[Any], name: str = 'leader', *, wait: Wait = False, time: float = 30.0,
                 max_clock_skew: float = 10.0, release: str | None = None) -> None:
        if not isinstance(database, Database):
            raise _not_of_pymongo('a database', database)
        self.name = name
        self._wait = wait
        self._token = 0
        self._native = _native.Lease(Driver(database.client), database.name, name, _options(
            time=_milliseconds(time), max_clock_skew=round(max_clock_skew * 1000), release=release))
        # Also where the program ends without: the thread must not meet an interpreter that is half gone.
        weakref.finalize(self, _release, self._native)

    def acquire(self, wait: Wait | None = None) -> Lease:
        """Waits so many seconds (True: without end; False: not at all); LeaseBusy where somebody else still has it."""
        wait = self._wait if wait is None else wait
        busy = self._native.acquire(-1 if wait is True else 0 if not wait else _milliseconds(wait))
        if busy is not None:
            raise LeaseBusy(str(busy), busy.reason)
        self._token = self._native.token
        return self

    def release(self) -> None:
        """Whoever waits for it gets it at once."""
        self._native.release()
        self._token = 0

    def cancel(self) -> None:
        """Ends the wait of acquire() in another thread."""
        self._native.cancel()

    @property
    def held(self) -> bool:
        """Whether it is held, now."""
        return self._native.held

    @property
    def left(self) -> float:
        """Seconds that are left of it unless it is renewed: a good time limit of what is done under it."""
        return self._native.left / 1000

    @property
    def token(self) -> int:
        """Each grant has a larger one. Write it with what is written, and let no smaller one pass. LeaseLost, too."""
        self.check()
        return self._token

    def check(self) -> None:
        """LeaseLost where it is not held any more."""
        if not self._native.held:
            raise LeaseLost(f'the lease "{self.name}" was lost' if self._token else
                            f'the lease "{self.name}" is not held', 'lease')

    def holder(self) -> dict[str, Any]:
        """Who has it, as the server knows: {held, token, host, pid, user, release, granted, renewed, expires}."""
        return bson.decode(self._native.holder())

    def __enter__(self) -> Lease:
        return self.acquire()

    def __exit__(self, kind: Any, *_: Any) -> None:
        lost = self._native.lost
        self.release()
        if lost and kind is None:
            raise LeaseLost(f'the lease "{self.name}" was lost while it was needed', 'lease')


def _release(native: _native.Lease) -> None:
    if native.held or native.lost:
        native.release()


@dataclass(frozen=True)
class Progress:
    """What a migration does; what an event does not name is 0 or ''.

    event: waiting (text: who holds the lease), late, begins (text: its description), step (step of steps, done rows),
    output (text: of a program), ends, collection (done of total documents), carried (a collection; text: why not)
    """

    event: str
    name: str
    text: str
    step: int
    steps: int
    done: int
    total: int
    seconds: float


_EVENTS = ('', 'waiting', 'late', 'begins', 'step', 'output', 'ends', 'collection', 'carried')


def migrate(project: Project, where: Database[Any] | MongoClient[Any], *, wait: Wait = False,
            progress: Callable[[Progress], Any] | None = None, uri: str | None = None, mode: str = 'auto',
            collections: bool = True, only: str | None = None, to_migration: str | None = None,
            steps: int | None = None, strict_order: bool = False, lease_time: float = 30.0,
            max_clock_skew: float = 10.0, release: str | None = None) -> dict[str, Any]:
    """See Project.migrate."""
    if isinstance(where, MongoClient):
        where = where.get_default_database()
    if not isinstance(where, Database):
        raise _not_of_pymongo('a database', where)
    options = _options(wait=wait if isinstance(wait, bool) else _milliseconds(wait), mode=mode, only=only,
                       collections=collections, to_migration=to_migration, steps=steps, strict_order=strict_order,
                       lease_time=_milliseconds(lease_time), max_clock_skew=round(max_clock_skew * 1000),
                       release=release)

    def tell(event: int, name: str, text: str, step: int, n_steps: int, done: int, total: int, ms: int) -> None:
        assert progress is not None
        if event < len(_EVENTS):
            progress(Progress(_EVENTS[event], name, text, step, n_steps, done, total, ms / 1000))

    outcome, raw, failure = _native.migrate(project._native, Driver(where.client), uri, where.name, options,
                                            tell if progress else None)
    result = bson.decode(raw)
    if failure is not None:
        if outcome == _BUSY:
            raise LeaseBusy(str(failure), failure.reason)
        raise MigrateError(str(failure), failure.reason, result)
    if outcome == _QUARANTINED:
        bad = ', '.join(c['collection'] for c in result['collections'] if c['quarantined'])
        raise Quarantined(f'all is done but for documents of {bad}: eclose_quarantine says which, and why',
                          'quarantined', result)
    return result
