"""The raw batches of pymongo's cursors, without an object for each document in them.

pymongo's own way to a raw batch decodes the reply into RawBSONDocuments, one for each document, before it joins them
again: that costs as much as decoding them. Here the batch is cut out of the reply by the extension. It stands on one
private method that all versions have, and where a version does otherwise the method's own way is gone.
"""

from __future__ import annotations

from typing import Any

import bson
from pymongo.command_cursor import RawBatchCommandCursor
from pymongo.cursor import RawBatchCursor

from eclose import _native


def _unpacked(response: Any) -> list[dict[str, Any]] | None:
    payload = getattr(response, 'payload_document', None)
    parts = None if payload is None else _native.cut_batch(bytes(payload))
    if parts is None:
        return None  # an error, or not of a cursor
    rest, name, batch = parts
    reply = bson.decode(rest)
    reply['cursor'][name] = [batch] if batch else []
    return [reply]


class _Find(RawBatchCursor):  # type: ignore[type-arg]
    def _unpack_response(self, response: Any, *args: Any, **kwargs: Any) -> Any:
        return _unpacked(response) or super()._unpack_response(response, *args, **kwargs)


class _Command(RawBatchCommandCursor):  # type: ignore[type-arg]
    def _unpack_response(self, response: Any, *args: Any, **kwargs: Any) -> Any:
        return _unpacked(response) or super()._unpack_response(response, *args, **kwargs)


def lightened(cursor: Any) -> Any:
    """The raw cursor that find_raw_batches or aggregate_raw_batches gave, with the quicker way."""
    for plain, light in ((RawBatchCursor, _Find), (RawBatchCommandCursor, _Command)):
        if type(cursor) is plain and hasattr(plain, '_unpack_response'):
            cursor.__class__ = light
    return cursor
