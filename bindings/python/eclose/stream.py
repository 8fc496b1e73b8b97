"""A change stream whose events carry documents in the target's shape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bson
from bson.raw_bson import RawBSONDocument

if TYPE_CHECKING:
    from eclose.collection import Collection


class ChangeStream:
    """A change stream of pymongo: fullDocument and fullDocumentBeforeChange are upgraded, the rest is as it comes.

    updateDescription names the fields of the stored shape. A document that cannot be upgraded raises UpgradeError; the
    next call goes on behind it. A pipeline that changes these documents hides from the upgrades what they read.
    """

    def __init__(self, owner: Collection, stream: Any) -> None:
        self._owner = owner
        self._stream = stream

    def _upgraded(self, event: Any) -> Any:
        if event is None:
            return None
        change = dict(RawBSONDocument(event.raw))
        for name in ('fullDocument', 'fullDocumentBeforeChange'):
            document = change.get(name)
            if isinstance(document, RawBSONDocument):
                change[name] = RawBSONDocument(self._owner._upgraded(document))
        return bson.decode(bson.encode(change), self._owner._collection.codec_options)

    def __iter__(self) -> ChangeStream:
        return self

    def __next__(self) -> Any:
        return self._upgraded(next(self._stream))

    next = __next__

    def try_next(self) -> Any:
        return self._upgraded(self._stream.try_next())

    @property
    def resume_token(self) -> Any:
        token = self._stream.resume_token
        return bson.decode(token.raw) if isinstance(token, RawBSONDocument) else token

    @property
    def alive(self) -> bool:
        return bool(self._stream.alive)

    def close(self) -> None:
        self._stream.close()

    def __enter__(self) -> ChangeStream:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()
