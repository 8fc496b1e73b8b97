"""A change stream whose events carry documents in the target's shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import bson
from bson.raw_bson import RawBSONDocument
from pymongo.errors import InvalidOperation

if TYPE_CHECKING:
    from eclose.collection import Collection


_DOCUMENTS = ('fullDocument', 'fullDocumentBeforeChange')


def _takes_apart(name: str, said: Any) -> bool:
    """Whether a stage leaves a document of the event in part, or makes another of it."""
    if name == '$match':
        return False
    if isinstance(said, Mapping):  # $project, $set and the like
        paths = list(said.items())
    elif isinstance(said, (str, list, tuple)):  # $unset
        paths = [(path, False) for path in ([said] if isinstance(said, str) else said) if isinstance(path, str)]
    else:
        paths = []
    for path, how in paths:
        document, dot, _ = path.partition('.')
        if document in _DOCUMENTS and (dot or not isinstance(how, (bool, int, float))):
            return True
    return False


def refuse_parts(pipeline: Any) -> None:
    """Of a part of a document, or what was made of it, an upgrade would make something else."""
    for stage in pipeline if isinstance(pipeline, (list, tuple)) else ():
        for name, said in stage.items() if isinstance(stage, Mapping) else ():
            if _takes_apart(name, said):
                raise InvalidOperation(f'{name} leaves parts of fullDocument: only whole documents, as they are stored, '
                                       'can be upgraded')


class ChangeStream:
    """A change stream of pymongo: fullDocument and fullDocumentBeforeChange are upgraded, the rest is as it comes.

    updateDescription names the fields of the stored shape. A document that cannot be upgraded raises UpgradeError; the
    next call goes on behind it.
    """

    def __init__(self, owner: Collection, stream: Any) -> None:
        self._owner = owner
        self._stream = stream

    def _upgraded(self, event: Any) -> Any:
        if event is None:
            return None
        change = dict(RawBSONDocument(event.raw))
        for name in _DOCUMENTS:
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
