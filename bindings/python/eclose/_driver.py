"""pymongo as the driver of libeclose, for leases and migrations: see eclose/driver.h.

Each connection is a client of its own, made as the program's was: a lease must be renewed also while all connections of
the program's pool are busy, and commands need time limits that the program's client need not have.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import Any

import bson
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient, ReadPreference
from pymongo.errors import ConnectionFailure, DocumentTooLarge, OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from eclose.errors import _not_of_pymongo

_RAW: CodecOptions[RawBSONDocument] = CodecOptions(RawBSONDocument)
_OK, _REFUSED, _LOST = 0, 1, 2  # of eclose_reply_t
_NONE, _BEGIN, _CONTINUE, _COMMIT, _ABORT = range(5)  # of eclose_txn_t
_WITHOUT_LIMIT = ('getMore', 'killCursors', 'hello', 'ping')
_TIMES = {'socketTimeoutMS': 90000, 'connectTimeoutMS': 10000, 'serverSelectionTimeoutMS': 15000}
_MAJORITY = WriteConcern('majority', wtimeout=60000)

Answer = tuple[int, 'bytes | None', int, str]


class _Router:
    """Of several routers of a sharded cluster the same one for all commands, as long as it is there: a cursor is known to
    the one alone that opened it. What the program's own selector leaves is chosen from."""

    def __init__(self, selector: Callable[..., Sequence[Any]] | None) -> None:
        self._selector = selector
        self._address: Any = None

    def __call__(self, servers: Sequence[Any]) -> Sequence[Any]:
        if self._selector:
            servers = self._selector(servers)
        routers = [s for s in servers if s.server_type_name == 'Mongos']
        if routers and self._address not in [s.address for s in routers]:
            self._address = random.choice(routers).address
        return [s for s in routers if s.address == self._address] or servers


class Driver:
    """Of a client that the program made."""

    def __init__(self, client: MongoClient[Any]) -> None:
        if not isinstance(client, MongoClient):
            raise _not_of_pymongo('a client', client)
        self._client = client

    def connect(self, timeout: int) -> Connection:
        """A new connection; timeout: milliseconds to wait for a server and for an answer, 0: as it is set up."""
        times = dict.fromkeys(_TIMES, timeout) if timeout else _TIMES
        options = self._client.options
        if not timeout:  # what the program says goes before what is usual here
            pool = options.pool_options
            if pool.socket_timeout:
                times = {**times, 'socketTimeoutMS': int(pool.socket_timeout * 1000)}
            times = {**times, 'serverSelectionTimeoutMS': int(options.server_selection_timeout * 1000)}
        return Connection(self._client._duplicate(**times, timeoutMS=None, maxPoolSize=1, event_listeners=[],
                                                  server_selector=_Router(options.server_selector)))


class Connection:
    """Used by one thread at a time. All commands share a session, so that a getMore comes in that of its find;
    transactions have a second one."""

    def __init__(self, client: MongoClient[Any]) -> None:
        self._client = client
        self._session: Any = None
        self._transaction: Any = None
        self._connected = False  # as far as is known

    def close(self) -> None:
        try:
            for session in (self._session, self._transaction):
                if session is not None:
                    session.end_session()
        finally:
            self._client.close()

    def run(self, database: str, command: bytes, txn: int, limit: int) -> Answer:
        """Sends one command to the primary, once."""
        try:
            return _OK, self._run(database, command, txn, limit), 0, ''
        except OperationFailure as error:
            return _REFUSED, _encoded(error.details), error.code or 0, _said(error)
        except ConnectionFailure as error:
            self._connected = False
            details = getattr(error, 'details', None)  # of NotPrimaryError: the server did answer
            code = details.get('code') if isinstance(details, dict) or isinstance(details, RawBSONDocument) else None
            return (_REFUSED, _encoded(details), code, _said(error)) if code else (_LOST, None, 14, str(error))
        except DocumentTooLarge as error:
            return _REFUSED, None, 10334, str(error)  # BSONObjectTooLarge, which the server would have said
        except PyMongoError as error:
            return _REFUSED, None, 1, str(error)

    def _connect(self, limit: int) -> int:
        """To find a server, and to connect to it, may take long: what is left of the time is known only then."""
        if self._connected:
            return limit
        began = time.monotonic()
        self._client.admin.command('ping')
        self._connected = True
        limit -= int((time.monotonic() - began) * 1000)
        if limit <= 0:
            raise ConnectionFailure('its time was over before there was a connection')
        return limit

    def _run(self, name: str, command: bytes, txn: int, limit: int) -> bytes:
        if txn == _ABORT:
            if self._transaction is not None and self._transaction.in_transaction:
                self._transaction.abort_transaction()
            return _EMPTY
        if txn == _COMMIT:
            self._transaction_session().commit_transaction()
            return _EMPTY
        limit = self._connect(limit)
        if txn == _NONE:
            session = self._usual_session()
        else:
            session = self._transaction_session()
            if txn == _BEGIN:
                if session.in_transaction:
                    session.abort_transaction()
                session.start_transaction(read_concern=ReadConcern('snapshot'), write_concern=_MAJORITY,
                                          read_preference=ReadPreference.PRIMARY)
        # Documents within it stay the bytes that they are.
        whole = dict(RawBSONDocument(command))
        if 'maxTimeMS' not in whole and next(iter(whole)) not in _WITHOUT_LIMIT:
            whole['maxTimeMS'] = max(1, min(limit, 2**31 - 1))
        reply = self._client[name].command(whole, codec_options=_RAW, session=session)
        raw = reply.raw
        return raw if isinstance(raw, bytes) else bytes(raw)

    def _usual_session(self) -> Any:
        if self._session is None:
            # All reads are of the primary; the driver would add a read concern of its own.
            self._session = self._client.start_session(causal_consistency=False)
        return self._session

    def _transaction_session(self) -> Any:
        if self._transaction is None:
            self._transaction = self._client.start_session(causal_consistency=False)
        return self._transaction

    def sessions(self) -> bytes:
        """The ids of the sessions, for whoever must end what was left running in them."""
        return b''.join(bytes(session.session_id['id']) for session in (
            self._usual_session(), self._transaction_session()))


_EMPTY = bson.encode({})


def _encoded(details: Any) -> bytes | None:
    if isinstance(details, RawBSONDocument):
        return bytes(details.raw)
    return bson.encode(details) if isinstance(details, dict) else None


def _said(error: PyMongoError) -> str:
    """What the server said, without what pymongo adds."""
    details = getattr(error, 'details', None)
    said = details.get('errmsg') if details else None
    return said if isinstance(said, str) else str(error)
