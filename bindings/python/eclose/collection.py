"""A collection of pymongo that reads through upgrades, and writes with the right version."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Union

import bson
from bson.codec_options import CodecOptions
from bson.objectid import ObjectId
from bson.raw_bson import RawBSONDocument
from bson.tz_util import utc
from pymongo import InsertOne, ReadPreference, ReplaceOne, ReturnDocument, UpdateMany, UpdateOne
from pymongo.collection import Collection as PymongoCollection
from pymongo.errors import DuplicateKeyError, InvalidOperation, WriteError
from pymongo.read_concern import ReadConcern
from pymongo.results import InsertManyResult, InsertOneResult

from eclose import _native
from eclose._batches import lightened
from eclose.cursor import Answer, Cursor
from eclose.errors import ConflictError, UpgradeError, _not_of_pymongo
from eclose.stream import ChangeStream, refuse_parts

if TYPE_CHECKING:
    from eclose.project import Project, Upgraders

Document = dict[str, Any]
_NOTHING, _STATEMENT = 0, 1  # of eclose_save_t; else a transaction

_USUAL: CodecOptions[Document] = CodecOptions()
_TRIES = 20
_EMPTY = bson.encode({})
_NOW: dict[str, Any] = {'read_preference': ReadPreference.PRIMARY, 'read_concern': ReadConcern('local')}


def raw_bytes(document: RawBSONDocument) -> bytes:
    """Newer drivers give a view of a large document."""
    raw = document.raw
    return raw if isinstance(raw, bytes) else bytes(raw)


def _decoder(options: CodecOptions[Any]) -> _native.Decoder:
    """Decodes as bson.decode does with these options; in the extension where they ask for nothing special."""
    # Not with_options(), which checks them all again: a program may make a Collection for each request.
    usual = options._replace(tz_aware=_USUAL.tz_aware, uuid_representation=_USUAL.uuid_representation)
    return _native.Decoder(options, usual == _USUAL, utc if options.tz_aware else None)


class Collection:
    """A collection of pymongo, read and written through a project. Everything else of it is the original's.

    Filters, sorts and update operators go to the server as they are written, and so meet the documents in the shape in
    which they are stored; query() is for filters on the target's shape.
    """

    def __init__(self, project: Project, collection: PymongoCollection[Any], *, name: str | None = None,
                 target: int | str | None = None) -> None:
        if not isinstance(collection, PymongoCollection):
            raise _not_of_pymongo('a collection', collection)
        self._project = project
        self._collection = collection
        self._name = name or collection.name
        self._target = target
        self._upgraders: Upgraders = project.upgraders(self._name, target)
        self._load = project.loader(collection.database)
        self._decoder = _decoder(collection.codec_options)

    def __repr__(self) -> str:
        return f'eclose.Collection({self._collection!r}, target={self.target!r})'

    @property
    def stored(self) -> PymongoCollection[Any]:
        """The original: documents as they are stored."""
        return self._collection

    @property
    def target(self) -> str:
        """The version in which documents are read."""
        return self._upgraders.target

    def with_options(self, *args: Any, **kwargs: Any) -> Collection:
        """As the original's, with the same project and target."""
        return Collection(self._project, self._collection.with_options(*args, **kwargs), name=self._name,
                          target=self._target)

    def __getattr__(self, name: str) -> Any:
        if name.startswith('_'):
            raise AttributeError(name)
        if name in ('find_raw_batches', 'aggregate_raw_batches'):
            raise AttributeError(f'{name} does not upgrade documents: use .stored.{name}, and project.upgrade')
        return getattr(self._collection, name)

    # ---- reading

    def find(self, filter: Any = None, projection: Any = None, *args: Any, **kwargs: Any) -> Cursor:
        """As the original's. A projection would hide what upgrades read: use query()."""
        return self._find(False, filter, projection, *args, **kwargs)

    def _find(self, keep: bool, filter: Any, projection: Any, *args: Any, **kwargs: Any) -> Cursor:
        self._refuse_projection(projection)
        for name in ('return_key', 'show_record_id'):
            if kwargs.get(name):
                raise InvalidOperation(f'{name} gives what is no document of the collection: use .stored.find')
        raw = lightened(self._collection.find_raw_batches(filter, None, *args, **kwargs))
        cursor = Cursor(self._with_session(kwargs.get('session')), raw, keep)
        cursor._skip, cursor._limit = kwargs.get('skip', args[0] if args else 0), kwargs.get('limit', 0)
        return cursor

    def find_one(self, filter: Any = None, *args: Any, **kwargs: Any) -> Any:
        """As the original's: the first document that find() gives, or None. What is no mapping is taken for an _id."""
        if filter is not None and not isinstance(filter, Mapping):
            filter = {'_id': filter}
        with self.find(filter, *args, **kwargs).limit(-1) as cursor:
            for document in cursor:
                return document
        return None

    def query(self, filter: Mapping[str, Any] | None = None, projection: Mapping[str, Any] | None = None, *,
              sort: Any = None, skip: int = 0, limit: int = 0, session: Any = None, **kwargs: Any) -> Cursor:
        """What matches a filter on the target's shape, whatever shape it is stored in.

        One aggregation: current documents straight by the filter, with its indexes; and one branch for each other
        version that migrates on the server. Refused where a step on the way is a Python function.
        """
        def pipeline(skip: int, limit: int) -> list[Any]:
            return self._pipeline(filter, projection, sort, skip, limit)

        return Answer(self._with_session(session), pipeline, skip, limit, {'session': session, **kwargs})

    def aggregate(self, pipeline: Sequence[Mapping[str, Any]], session: Any = None, **kwargs: Any) -> Cursor:
        """A pipeline that sees the target's shape: its first $match is what query() would do, the rest follows it."""
        pipeline = list(pipeline)
        first: Mapping[str, Any] = {}
        if pipeline and list(pipeline[0]) == ['$match']:
            first = pipeline.pop(0)['$match']
        for stage in pipeline[:1]:
            for name in stage:
                if name in ('$geoNear', '$search', '$vectorSearch', '$collStats', '$indexStats', '$changeStream'):
                    raise InvalidOperation(f'{name} does not see upgraded documents: use .stored.aggregate')
        whole = [*self._pipeline(first), *pipeline]
        answer = Answer(self._with_session(session), lambda skip, limit: whole, 0, 0, {'session': session, **kwargs})
        answer._ask()  # now, as the original: it may be one that writes, whose answer nobody reads
        return answer

    def watch(self, pipeline: Any = None, *args: Any, **kwargs: Any) -> ChangeStream:
        """As the original's; the documents in its events are upgraded. A pipeline that leaves parts of them is refused:
        an upgrade must see the whole document."""
        refuse_parts(pipeline)
        return ChangeStream(self, self._raw().watch(pipeline, *args, **kwargs))

    def _pipeline(self, filter: Mapping[str, Any] | None, projection: Any = None, sort: Any = None, skip: int = 0,
                  limit: int = 0) -> list[Any]:
        options: Document = {}
        if sort:
            options['sort'] = dict([(sort, 1)] if isinstance(sort, str) else
                                   sort.items() if isinstance(sort, Mapping) else
                                   [(s, 1) if isinstance(s, str) else s for s in sort])
        if projection:
            options['projection'] = projection if isinstance(projection, Mapping) else dict.fromkeys(projection, 1)
        if skip:
            options['skip'] = skip
        if limit:
            options['limit'] = abs(limit)
        codec = self._collection.codec_options
        with self._upgraders.borrow() as upgrader:
            pipeline = upgrader.query(bson.encode(filter or {}, codec_options=codec),
                                      bson.encode(options, codec_options=codec) if options else None)
        # The other versions are in the same collection, whatever the migrations call it.
        stages = RawBSONDocument(pipeline).values()
        return [{'$unionWith': {**s['$unionWith'], 'coll': self._collection.name}} if '$unionWith' in s else s
                for s in stages]

    def find_one_and_update(self, filter: Any, update: Any, projection: Any = None, sort: Any = None,
                            upsert: bool = False, return_document: bool = ReturnDocument.BEFORE,
                            array_filters: Any = None, hint: Any = None, session: Any = None, let: Any = None,
                            **kwargs: Any) -> Any:
        """As the original's, on the target's shape: what is stored in another is saved in it first, then updated."""
        self._refuse_projection(projection)
        return self._modify('find_one_and_update', filter, (update,), sort, upsert, session, dict(
            kwargs, return_document=return_document, array_filters=array_filters, hint=hint, let=let))

    def find_one_and_replace(self, filter: Any, replacement: Any, projection: Any = None, sort: Any = None,
                             upsert: bool = False, return_document: bool = ReturnDocument.BEFORE, hint: Any = None,
                             session: Any = None, let: Any = None, **kwargs: Any) -> Any:
        """The same; the replacement is stamped."""
        self._refuse_projection(projection)
        return self._modify('find_one_and_replace', filter, (self._stamped(replacement),), sort, upsert, session, dict(
            kwargs, return_document=return_document, hint=hint, let=let))

    def find_one_and_delete(self, filter: Any, projection: Any = None, sort: Any = None, hint: Any = None,
                            session: Any = None, let: Any = None, **kwargs: Any) -> Any:
        """The same; what it gives was stored in whatever shape."""
        self._refuse_projection(projection)
        return self._modify('find_one_and_delete', filter, (), sort, False, session, dict(kwargs, hint=hint, let=let))

    def _modify(self, operation: str, filter: Mapping[str, Any], args: tuple[Any, ...], sort: Any, upsert: bool,
                session: Any, options: Document) -> Any:
        """The command meets only documents at the target: its filter says so. Where it meets none, the filter is asked
        of all versions; what it finds is saved in the target's shape, and then modified by its _id. Whoever comes
        between makes it start again."""
        raw = self._primary()
        options = {name: value for name, value in options.items() if value is not None}
        asking: Document = {name: options[name] for name in ('collation', 'let', 'comment') if name in options}
        with self._upgraders.borrow() as upgrader:
            current = RawBSONDocument(upgrader.current_filter())

        def call(*filters: Mapping[str, Any], **more: Any) -> Any:
            return getattr(raw, operation)({'$and': list(filters)}, *args, session=session, **options, **more)

        # What is inserted may have come meanwhile; for filters without a version the server would look again. An error
        # ends a transaction, though.
        again = session is None or not session.in_transaction
        for _ in range(_TRIES):
            # With a sort the first one may be of any version: it has to be looked for.
            found = None if sort else call(filter, current)
            if found is not None:
                return self._decode(found, session)
            identity = self._look(filter, sort, session, asking)
            if identity is None:
                if not upsert:
                    return None
                # An equality in the filter makes the new document say its version.
                try:
                    return self._decode(call(filter, self._version(), upsert=True), session)
                except DuplicateKeyError:
                    if not again:
                        raise
                    again = False
                    continue
            try:
                stored = raw.find_one(identity, session=session)
                if stored is not None:
                    before = raw_bytes(stored)
                    upgraded = self._upgraders.one(before, self._with_session(session)._load)
                    if upgraded is not before:
                        self._save(before, upgraded, session)
            except ConflictError:
                continue
            found = call(identity, filter, current)
            if found is not None:
                return self._decode(found, session)
        raise ConflictError(f'the document of {self._collection.name} changed {_TRIES} times while it was upgraded')

    def _look(self, filter: Mapping[str, Any], sort: Any, session: Any, options: Document) -> Document | None:
        """{_id} of what the filter finds first, in whatever version."""
        if list(filter) == ['_id']:
            raw = self._primary().find_one(filter, sort=sort, session=session, **options)
            found = None if raw is None else RawBSONDocument(raw_bytes(raw))
        else:
            found = next(self.with_options(**_NOW).query(filter, sort=sort, limit=1, session=session, **options), None)
        return None if found is None else {'_id': found['_id']}

    # ---- writing

    def insert_one(self, document: Any, *args: Any, **kwargs: Any) -> Any:
        """As the original's, stamped with the target's version; the program's document gets an _id, but no version."""
        new, identity = self._new(document)
        return InsertOneResult(identity, self._collection.insert_one(new, *args, **kwargs).acknowledged)

    def insert_many(self, documents: Iterable[Any], *args: Any, **kwargs: Any) -> Any:
        """The same."""
        new = [self._new(document) for document in documents]
        result = self._collection.insert_many([document for document, _ in new], *args, **kwargs)
        return InsertManyResult([identity for _, identity in new], result.acknowledged)

    def replace_one(self, filter: Any, replacement: Any, *args: Any, **kwargs: Any) -> Any:
        """As the original's, stamped: it replaces whatever is stored. edit() minds other writers."""
        return self._collection.replace_one(filter, self._stamped(replacement), *args, **kwargs)

    def bulk_write(self, requests: Sequence[Any], *args: Any, **kwargs: Any) -> Any:
        """As the original's; what is inserted or replaced is stamped."""
        return self._collection.bulk_write([self._stamped_request(r) for r in requests], *args, **kwargs)

    def update_one(self, filter: Any, update: Any, upsert: bool = False, *args: Any, **kwargs: Any) -> Any:
        """As the original's, on documents as they are stored; what an upsert inserts gets its version."""
        return self._collection.update_one(filter, self._inserting(update, upsert), upsert, *args, **kwargs)

    def update_many(self, filter: Any, update: Any, upsert: bool = False, *args: Any, **kwargs: Any) -> Any:
        """The same."""
        return self._collection.update_many(filter, self._inserting(update, upsert), upsert, *args, **kwargs)

    @contextmanager
    def edit(self, filter: Any, *, session: Any = None) -> Iterator[MutableMapping[str, Any]]:
        """Reads one document, lets the program change it, and saves it if it is still what was read.

            with users.edit({'_id': 1}) as user:
                user['login'] = 'ariel'

        LookupError where there is none; ConflictError where somebody else changed it meanwhile; LossyError where it is
        stored in a later version and holds what this program would lose. Saves nothing if the block raises.
        """
        if not isinstance(filter, Mapping):
            filter = {'_id': filter}
        raw = self._raw().find_one(filter, session=session)
        if raw is None:
            raise LookupError(f'no document of {self._collection.name} matches the filter')
        document = self._decode(raw, session)
        yield document
        self._save(raw_bytes(raw), bson.encode(document, codec_options=self._collection.codec_options), session)

    def _save(self, stored: bytes, document: bytes, session: Any = None) -> bool:
        """Saves over the stored bytes; ConflictError where they are not stored any more. False if nothing is new."""
        owner = self._with_session(session)
        collection = self._primary()
        with self._upgraders.borrow() as upgrader:
            how, filter, update, replacement = upgrader.save(stored, document, owner._load)
        if how == _NOTHING:
            return False
        if not collection.write_concern.acknowledged:
            raise InvalidOperation('nobody would say whether it was saved: a write that is acknowledged is needed')
        if how == _STATEMENT and not self._has_collation():
            assert filter is not None and update is not None
            stages = list(RawBSONDocument(update).values())
            if collection.update_one(RawBSONDocument(filter), stages, session=session).modified_count:
                return True
        elif self._save_in_transaction(collection, stored, replacement, session):
            return True
        identity = RawBSONDocument(stored)['_id']
        current = collection.find_one({'_id': identity}, session=session)
        raise ConflictError(f'the document {identity!r} of {self._collection.name} changed since it was read',
                            None if current is None else self._decode(current, session))

    def _has_collation(self) -> bool:
        """Whether strings are compared by a collation, for which equal is not the same. Asked once."""
        known = self._upgraders.collations.setdefault(self._collection.database.client, {})
        name = self._collection.full_name
        if name not in known:
            known[name] = bool(self._collection.options().get('collation'))
        return known[name]

    def _save_in_transaction(self, collection: Any, stored: bytes, replacement: bytes, session: Any) -> bool:
        """For documents that no single statement can compare exactly."""
        identity = {'_id': RawBSONDocument(stored)['_id']}

        def replace(session: Any) -> bool:
            now = collection.find_one(identity, session=session)
            if now is None or raw_bytes(now) != stored:
                return False
            collection.replace_one(identity, RawBSONDocument(replacement), session=session)
            return True

        if session is not None and session.in_transaction:
            return replace(session)
        with collection.database.client.start_session() as own:
            return bool(own.with_transaction(replace, write_concern=collection.write_concern,
                                             read_preference=ReadPreference.PRIMARY))

    # ---- parts

    def _raw(self) -> PymongoCollection[RawBSONDocument]:
        """Its documents as raw bytes; filters and updates are encoded as the program wants them."""
        options = self._collection.codec_options.with_options(document_class=RawBSONDocument)
        return self._collection.with_options(codec_options=options)

    def _primary(self) -> PymongoCollection[RawBSONDocument]:
        """The same as the primary has them now, wherever the program reads: for what a write depends on."""
        return self._raw().with_options(**_NOW)

    def _with_session(self, session: Any) -> Collection:
        """What upgrades look up is read in the session, too."""
        if session is None:
            return self
        other = copy.copy(self)
        other._load = self._project.loader(self._collection.database, session)
        return other

    def _upgraded(self, raw: RawBSONDocument, session: Any = None) -> bytes:
        return self._upgraders.one(raw_bytes(raw), self._with_session(session)._load)

    def _decode(self, raw: RawBSONDocument | None, session: Any = None) -> Any:
        return None if raw is None else self._decoder.decode(self._upgraded(raw, session))

    def _refuse_projection(self, projection: Any) -> None:
        if projection:
            raise InvalidOperation('a projection would hide from the upgrades what they read: use query() with a '
                                   'projection, or find whole documents')

    def _stamped(self, document: Any) -> RawBSONDocument:
        return RawBSONDocument(self._upgraders.stamp(
            raw_bytes(document) if isinstance(document, RawBSONDocument) else
            bson.encode(document, codec_options=self._collection.codec_options)))

    def _new(self, document: Any) -> tuple[RawBSONDocument, Any]:
        if not isinstance(document, RawBSONDocument) and '_id' not in document:
            document['_id'] = ObjectId()  # as the original does
        return self._stamped(document), document.get('_id')

    def _inserting(self, update: Any, upsert: Any) -> Any:
        """An update whose upsert inserts a document with its version, unless it says one itself."""
        field = self._upgraders.field
        if not upsert or (isinstance(update, Mapping) and any(
                isinstance(fields, Mapping) and field in fields for fields in update.values())):
            return update
        if not isinstance(update, Mapping):
            raise InvalidOperation('what a pipeline inserts would have no version: find_one_and_update() gives it one')
        return {**update, '$setOnInsert': {**update.get('$setOnInsert', {}), **self._version()}}

    def _version(self) -> Document:
        """The target under the version field, which may be dotted: beside others of the same parent it must be."""
        version: Any = bson.decode(self._upgraders.stamp(_EMPTY))
        for part in self._upgraders.field.split('.'):
            version = version[part]
        return {self._upgraders.field: version}

    def _stamped_request(self, request: Any) -> Any:
        request = copy.copy(request)
        if isinstance(request, InsertOne):
            request._doc = self._new(request._doc)[0]
        elif isinstance(request, ReplaceOne):
            request._doc = self._stamped(request._doc)
        elif isinstance(request, (UpdateOne, UpdateMany)):
            request._doc = self._inserting(request._doc, request._upsert)
        return request


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split('.'))


def drain(collection: Union[Collection, Any], *, delay: float = 0.0, limit: int | None = None,
          batch: int = 100) -> int:
    """Upgrades stored documents in the background, and returns how many are left.

    collection: a Collection, or a class of eclose.mongoengine.EvolvingDocument. delay: seconds to wait after each batch
    of documents. limit: how many documents to upgrade at most. Each is written only if it is still what was read: one
    that changed meanwhile is left for the next time, as is one that cannot be upgraded. Documents of later versions are
    not touched.
    """
    if not isinstance(collection, Collection):
        collection = collection._eclose_collection()
    upgraders, raw = collection._upgraders, collection._raw()
    target = _order(upgraders.target)
    with upgraders.borrow() as upgrader:
        other = {'$nor': [RawBSONDocument(upgrader.current_filter())]}
    done = seen = ahead = 0
    cursor = raw.find(other).batch_size(batch)
    with cursor:
        for document in cursor:
            if limit is not None and done >= limit:
                break
            seen += 1
            stored = raw_bytes(document)
            try:
                with upgraders.borrow() as upgrader:
                    version = upgrader.version(stored)
                if _order(version) >= target:
                    ahead += 1
                    continue
                upgraded = upgraders.one(stored, collection._load)
                done += collection._save(stored, upgraded)
            except (ConflictError, UpgradeError, WriteError):
                pass  # it is counted as left
            if delay and seen % batch == 0:
                time.sleep(delay)
    return max(0, raw.count_documents(other) - ahead)
