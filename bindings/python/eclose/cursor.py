"""Cursors over upgraded documents."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import bson
from pymongo.errors import InvalidOperation

from eclose import _native
from eclose._batches import lightened

if TYPE_CHECKING:
    from eclose.collection import Collection


class Read(dict):  # type: ignore[type-arg]
    """A document that was upgraded, with the bytes that are stored; see Cursor._keep."""

    __slots__ = ('stored',)

    def __init__(self, document: Mapping[str, Any], stored: bytes) -> None:
        super().__init__(document)
        self.stored = stored


class Cursor(_native.Documents):
    """A cursor of pymongo over upgraded documents: each batch goes through the library as the raw bytes that came, and
    each document is decoded when its turn comes.

    It has the methods of pymongo's cursor. A document that cannot be upgraded raises UpgradeError when its turn comes;
    the next call goes on behind it.
    """

    def __init__(self, collection: Collection, raw: Any, keep: bool = False) -> None:
        self._owner = collection
        self._raw = raw
        self._keep = keep
        self._batch, self._at = b'', 0
        self._error: Exception | None = None
        self._skip = self._limit = 0
        self._empty = self._started = False

    @property
    def collection(self) -> Any:
        return self._raw.collection

    @property
    def alive(self) -> bool:
        return bool(self._waiting or self._at < len(self._batch) or self._error or self._raw.alive)

    next = _native.Documents.__next__

    def _refill(self) -> None:
        """Called when no document is at hand."""
        self._started = True
        if self._empty:
            raise StopIteration
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        if self._at >= len(self._batch):
            self._batch, self._at = next(self._raw), 0
        owner = self._owner
        out, self._at, stored, self._error = owner._upgraders.run(self._batch, self._at, owner._load, self._keep)
        if stored is None:
            self._take(out)
        else:
            self._hand([document if raw is None else Read(document, raw)
                        for document, raw in zip(bson.decode_all(out, owner._collection.codec_options), stored)])

    def _take(self, raw: bytes) -> None:
        decoder = self._owner._decoder
        if decoder.native:
            self._give(raw, decoder)
        elif raw:
            self._hand(bson.decode_all(raw, self._owner._collection.codec_options))

    def to_list(self, length: int | None = None) -> list[Any]:
        if length is None:
            return list(self)
        return [document for _, document in zip(range(length), self)]

    def clone(self) -> Cursor:
        other = Cursor(self._owner, self._raw.clone(), self._keep)
        other._skip, other._limit, other._empty = self._skip, self._limit, self._empty
        return other

    def __copy__(self) -> Cursor:
        return self.clone()

    def __deepcopy__(self, memo: Any) -> Cursor:
        return self.clone()

    def rewind(self) -> Cursor:
        self._raw.rewind()
        self._forget()
        self._batch, self._at, self._error, self._started = b'', 0, None, False
        return self

    def skip(self, skip: int) -> Cursor:
        self._raw.skip(skip)
        self._skip = skip
        return self

    def limit(self, limit: int) -> Cursor:
        self._raw.limit(limit)
        self._limit = limit
        self._empty = False
        return self

    def __getitem__(self, index: int | slice) -> Any:
        if self._started:
            raise InvalidOperation('cannot set options after executing query')
        if isinstance(index, slice):
            if index.step is not None:
                raise IndexError('a cursor has no slices with steps')
            start = index.start or 0
            if start < 0 or (index.stop is not None and index.stop < start):
                raise IndexError(f'not a slice of a cursor: {index!r}')
            self.skip(start).limit(0 if index.stop is None else index.stop - start)
            self._empty = index.stop is not None and index.stop == start
            return self
        if index < 0:
            raise IndexError('a cursor has no negative indexes')
        with self.clone() as clone:
            for document in clone.skip(index + self._skip).limit(-1):
                return document
        raise IndexError('no such item')

    def close(self) -> None:
        self._raw.close()

    def __enter__(self) -> Cursor:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:
        if name.startswith('_'):
            raise AttributeError(name)
        value = getattr(self._raw, name)  # sort, hint, batch_size, explain, …
        if not callable(value):
            return value

        def call(*args: Any, **kwargs: Any) -> Any:
            result = value(*args, **kwargs)
            return self if result is self._raw else result

        return call


class Answer(Cursor):
    """A cursor over documents that the server migrated: they have the target's shape, and nothing is to be done (with a
    projection nothing could be). It asks when the first document is wanted, as cursors do."""

    def __init__(self, owner: Collection, pipeline: Callable[[int, int], list[Any]], skip: int, limit: int,
                 options: dict[str, Any]) -> None:
        super().__init__(owner, None)
        self._pipeline, self._options = pipeline, options
        self._skip, self._limit = skip, limit
        pipeline(skip, limit)  # what cannot be asked is refused here

    @property
    def collection(self) -> Any:
        return self._owner._collection

    @property
    def alive(self) -> bool:
        return bool(not self._started or self._waiting or self._raw.alive)

    def _refill(self) -> None:
        if self._empty:
            raise StopIteration
        self._ask()
        self._take(next(self._raw))

    def _ask(self) -> None:
        if not self._started:
            self._raw = lightened(self.collection.aggregate_raw_batches(self._pipeline(self._skip, self._limit),
                                                                        **self._options))
            self._started = True

    def clone(self) -> Cursor:
        other = Answer(self._owner, self._pipeline, self._skip, self._limit, self._options)
        other._empty = self._empty
        return other

    def rewind(self) -> Cursor:
        self.close()
        self._forget()
        self._started = False
        return self

    def skip(self, skip: int) -> Cursor:
        self._set_up()
        self._skip = skip
        return self

    def limit(self, limit: int) -> Cursor:
        self._set_up()
        self._limit, self._empty = limit, False
        return self

    def _set_up(self) -> None:
        if self._started:
            raise InvalidOperation('cannot set options after executing query')

    def close(self) -> None:
        if self._started:
            self._raw.close()

    def __getattr__(self, name: str) -> Any:
        if name in ('cursor_id', 'address', 'session') and self._started:
            return getattr(self._raw, name)
        raise AttributeError(f'an answer of query() or aggregate() has no {name}: sort, and the options of an '
                             'aggregate command, are arguments')
