"""mongoengine documents that are upgraded when they are loaded.

    class IoTDevice(EvolvingDocument):
        name = StringField()
        tags = ListField(StringField())
        schema_updates = {
            2: add_tags_from_product,        # a function on the raw document
            3: [{'$unset': 'legacy'}],       # a pipeline of MongoDB's update stages
        }

The updates run in order on the raw document, before mongoengine looks at it. Nothing is written unless the application
saves; then the document gets its version, and is written only if what is stored is still what was read.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import bson
import mongoengine
from bson import json_util
from mongoengine.context_managers import set_write_concern
from mongoengine.errors import InvalidQueryError, OperationError, SaveConditionError
from mongoengine.queryset import QuerySet, QuerySetNoCache
from pymongo.errors import InvalidOperation

from eclose.collection import Collection, drain, raw_bytes
from eclose.cursor import Cursor, Read
from eclose.errors import ConflictError, EcloseError
from eclose.project import FUNCTION_OPTIONS, Project

__all__ = ['Conflict', 'EvolvingDocument', 'EvolvingQuerySet', 'drain']


class Conflict(SaveConditionError):  # type: ignore[misc]
    """Somebody else changed the document since it was loaded; nothing was saved."""


def _project(collection: str, field: str, updates: Mapping[int, Any]) -> Project:
    """The updates of a class as a project of one collection."""
    for version in updates:
        if not isinstance(version, int) or isinstance(version, bool):
            raise TypeError(f'schema_updates of {collection}: a version is an integer, not {version!r}')
    settings = {'version_field': field, 'unversioned': min(updates) - 1}
    files = {'eclose.json': json_util.dumps({'collections': {collection: settings}})}
    functions: dict[int | str, Any] = {}
    for version, update in updates.items():
        if callable(update):
            functions[version] = update
        else:
            stages = [update] if isinstance(update, Mapping) else list(update)
            files[f'{collection}/{version:04}_schema_update.json'] = json_util.dumps(
                {'to': version, 'up': stages}, json_options=json_util.CANONICAL_JSON_OPTIONS)
    return Project(files=files, functions={collection: functions})


# What would meet documents as they are stored, where evolved() asks for another shape.
_ON_STORED = ('aggregate', 'average', 'delete', 'distinct', 'exec_js', 'explain', 'item_frequencies', 'map_reduce',
              'sum')


# What the two kinds of query sets have in common comes before mongoengine's classes, whose types nobody knows.
_Base: Any = object


class _Evolution:
    """What a class of documents needs to be upgraded: made once, when it is first used."""

    def __init__(self, name: str, field: str, updates: Mapping[int, Any]) -> None:
        self.project = _project(name, field, updates)
        self.name = name
        self.field = field
        self.upgraders = self.project.upgraders(name)
        self.target = int(self.upgraders.target)

    def read(self, son: dict[str, Any], collection: Any) -> tuple[dict[str, Any], bytes | None]:
        """A document of a pymongo collection, upgraded, with the stored bytes if it was not current."""
        if type(son) is Read:
            return son, son.stored
        if son.get(self.field) == self.target:
            return son, None
        options = collection.codec_options
        raw = bson.encode(son, codec_options=options)
        out = self.upgraders.one(raw, self.project.loader(collection.database))
        return (son, None) if out is raw else (bson.decode(out, options), raw)


class _Reader:
    """Stands for the pymongo collection while a query set makes its cursor."""

    def __init__(self, evolution: _Evolution, collection: Any) -> None:
        self._evolution = evolution
        self._collection = collection

    def with_options(self, **options: Any) -> _Reader:
        return _Reader(self._evolution, self._collection.with_options(**options))

    def find(self, query: Any, projection: Any = None, **options: Any) -> Cursor:
        evolution = self._evolution
        collection = Collection(evolution.project, self._collection, name=evolution.name)
        cursor = collection._find(True, query, None, **options)
        if not projection:
            return cursor
        for path, how in projection.items():
            if how not in (0, 1):
                raise InvalidQueryError(f'{path}: {how!r} cannot be asked of documents that are upgraded; '
                                        'only() and exclude() of whole fields can')
        return _Projected(collection, cursor._raw, projection)


class _Projected(Cursor):
    """only() and exclude(): upgrades must see whole documents, so fields are left out here."""

    def __init__(self, owner: Collection, raw: Any, projection: Mapping[str, int]) -> None:
        super().__init__(owner, raw)
        self._projection = projection
        self._only = any(how for path, how in projection.items() if path != '_id')
        self._tree: dict[str, Any] = {}
        version = owner._upgraders.field
        for path, how in [*projection.items(), *([(version, 1)] if self._only else [('_id', 1)])]:
            if bool(how) == self._only:
                node = self._tree
                for part in path.split('.'):
                    node = node.setdefault(part, {})
        if self._only and projection.get('_id', 1):
            self._tree['_id'] = {}

    def clone(self) -> Cursor:
        other = _Projected(self._owner, self._raw.clone(), self._projection)
        other._skip, other._limit, other._empty = self._skip, self._limit, self._empty
        return other

    def _cut(self, value: Any, tree: dict[str, Any]) -> Any:
        if isinstance(value, list):
            return [self._cut(item, tree) for item in value]
        if not tree or not isinstance(value, Mapping):
            return value
        if self._only:
            return {k: self._cut(v, tree[k]) for k, v in value.items() if k in tree}
        return {k: self._cut(v, tree.get(k, {})) for k, v in value.items() if tree.get(k) != {}}

    def _take(self, raw: bytes) -> None:
        self._hand(self._cut(document, self._tree)
                   for document in bson.decode_all(raw, self._owner._collection.codec_options))


class _Evolving(_Base):  # type: ignore[misc]
    """A query set whose documents go through the library a batch at a time, as the raw bytes that came.

    Its filters go to the server as they are written, and so meet the documents in the shape in which they are stored;
    evolved() asks in the shape of the class.
    """

    _evolved = False
    _loaded_fields: Any
    _cls_query: Any
    _cursor_obj: Any
    _collection_obj: Any

    def __init__(self, document: Any, collection: Any) -> None:
        super().__init__(document, collection)
        if document._eclose_evolution() is not None and document._eclose_owner() is document:
            # All that is in the collection; the names of classes that were there before may still be stored.
            self._cls_query = {}

    def evolved(self) -> Any:
        """The same query on the target's shape, answered on the server by one aggregation (see Collection.query).

        To read, and count(); what would meet what is stored is refused.
        """
        queryset = self.clone()
        queryset._evolved = True
        queryset._cursor_obj = None
        return queryset

    def _clone_into(self, queryset: Any) -> Any:
        queryset = super()._clone_into(queryset)
        queryset._evolved = self._evolved
        if self._evolved:
            queryset._cursor_obj = None  # what is set up later are arguments of the next one
        return queryset

    @property
    def _cursor(self) -> Any:
        evolution = self._document._eclose_evolution()
        if self._cursor_obj is not None or evolution is None:
            return super()._cursor
        if self._evolved:
            return self._evolved_cursor(evolution)
        with self._reading(evolution):
            return super()._cursor

    @contextmanager
    def _reading(self, evolution: _Evolution) -> Iterator[None]:
        plain = self._collection_obj
        self._collection_obj = _Reader(evolution, plain)
        try:
            yield
        finally:
            self._collection_obj = plain

    def _must_not_be_evolved(self, method: str) -> None:
        if self._evolved:
            raise InvalidQueryError(f'{method}() meets documents as they are stored, not in the shape of evolved()')

    def in_bulk(self, object_ids: Any) -> Any:
        self._must_not_be_evolved('in_bulk')
        evolution = self._document._eclose_evolution()
        if evolution is None:
            return super().in_bulk(object_ids)
        with self._reading(evolution):
            return super().in_bulk(object_ids)

    # ---- writing: what an upsert inserts is in the shape of the class

    def update(self, upsert: bool = False, *args: Any, **update: Any) -> Any:
        self._must_not_be_evolved('update')
        return super().update(upsert, *args, **self._inserting(upsert, update))

    def modify(self, upsert: bool = False, *args: Any, **update: Any) -> Any:
        self._must_not_be_evolved('modify')
        if self._loaded_fields and self._document._eclose_evolution() is not None:
            raise InvalidQueryError('modify() gives whole documents: upgrades need what only() and exclude() leave out')
        return super().modify(upsert, *args, **self._inserting(upsert, update))

    def _inserting(self, upsert: bool, update: dict[str, Any]) -> dict[str, Any]:
        evolution = self._document._eclose_evolution()
        if not upsert or evolution is None:
            return update
        raw = update.get('__raw__', {})
        if not isinstance(raw, Mapping):
            raise InvalidQueryError('what a pipeline inserts would have no version: upsert with operators')
        stamp = {**raw.get('$setOnInsert', {}), evolution.field: evolution.target}
        return {**update, '__raw__': {**raw, '$setOnInsert': stamp}}

    def count(self, with_limit_and_skip: bool = False) -> Any:
        if not self._evolved or self._none:
            return super().count(with_limit_and_skip)
        if with_limit_and_skip and self._limit == 0 and self._empty:
            return 0
        stages = [{'$match': self._query}]
        if with_limit_and_skip:
            stages += [{'$skip': self._skip}] if self._skip else []
            stages += [{'$limit': self._limit}] if self._limit else []
        collection, options = self._asked(self._document._eclose_evolution())
        return next((counted['n'] for counted in collection.aggregate([*stages, {'$count': 'n'}], **options)), 0)

    def _asked(self, evolution: _Evolution) -> tuple[Collection, dict[str, Any]]:
        """What a query on the target's shape is asked of, and the options of it that were set."""
        plain = self._collection_obj
        if self._read_preference is not None or self._read_concern is not None:
            plain = plain.with_options(read_preference=self._read_preference, read_concern=self._read_concern)
        options = {'hint': None if self._hint == -1 else self._hint, 'collation': self._collation,
                   'comment': self._comment, 'batchSize': self._batch_size, 'allowDiskUse': self._allow_disk_use or None}
        return (Collection(evolution.project, plain, name=evolution.name),
                {name: value for name, value in options.items() if value is not None})

    def _evolved_cursor(self, evolution: _Evolution) -> Any:
        if self._where_clause or self._search_text or self._loaded_fields:
            raise InvalidQueryError('evolved() has no where(), search_text(), only() or exclude()')
        ordering = self._ordering
        if ordering is None and self._document._meta['ordering']:
            ordering = self._get_order_by(self._document._meta['ordering'])
        if self._limit == 0 and self._empty:
            raise InvalidOperation('an empty slice')
        collection, options = self._asked(evolution)
        self._cursor_obj = collection.query(self._query, sort=ordering, skip=self._skip or 0, limit=self._limit or 0,
                                            **options)
        return self._cursor_obj


def _on_stored(name: str) -> Callable[..., Any]:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        self._must_not_be_evolved(name)
        return getattr(super(_Evolving, self), name)(*args, **kwargs)

    return method


for _name in _ON_STORED:
    setattr(_Evolving, _name, _on_stored(_name))


class EvolvingQuerySet(_Evolving, QuerySet):  # type: ignore[misc]
    __doc__ = _Evolving.__doc__

    def no_cache(self) -> Any:
        if self._result_cache is not None:
            raise OperationError('this query set has kept documents already')
        return self._clone_into(EvolvingQuerySetNoCache(self._document, self._collection))


class EvolvingQuerySetNoCache(_Evolving, QuerySetNoCache):  # type: ignore[misc]
    """The same without keeping its documents."""

    def cache(self) -> Any:
        return self._clone_into(EvolvingQuerySet(self._document, self._collection))


def _at(document: Any, path: str) -> tuple[Any, Any]:
    """The container of a dotted path, made where it is missing, and the last part of it."""
    *parts, last = path.split('.')
    for part in parts:
        if isinstance(document, list):
            document = document[int(part)]
        else:
            if not isinstance(document.get(part), (dict, list)):
                document[part] = {}
            document = document[part]
    return document, int(last) if isinstance(document, list) else last


class EvolvingDocument(mongoengine.Document):  # type: ignore[misc]
    """A document with schema_updates: version → function or pipeline, without gaps.

    A function gets the raw document (a dict) and changes it, or returns another; it may load other documents. One with
    two arguments also gets an eclose.Context, whose find() costs one query for a whole batch. Documents without a
    version are at the version before the first update. The version is kept in `schema_version`, or what
    meta = {'version_field': …} says; it is not a field of the class.

    Classes that inherit share the collection and so its versions: schema_updates belongs to the topmost of them. Its
    updates see `_cls`, and may change it.
    """

    meta = {'abstract': True, 'queryset_class': EvolvingQuerySet}
    schema_updates: ClassVar[Mapping[int, Callable[..., Any] | list[Any] | dict[str, Any]]] = {}

    _eclose_stored: bytes | None = None  # what is stored, if it was not current when it was loaded
    _eclose_lock: ClassVar[Any] = threading.RLock()

    @classmethod
    def _eclose_evolution(cls) -> _Evolution | None:
        """None where there are no updates."""
        try:
            found: _Evolution | None = cls.__dict__['_eclose_evolution_made']
        except KeyError:
            with EvolvingDocument._eclose_lock:
                found = cls._eclose_make()
                cls._eclose_evolution_made = found
        return found

    @classmethod
    def _eclose_owner(cls) -> type[EvolvingDocument]:
        """The topmost class of the collection."""
        name = cls._get_collection_name()
        return [base for base in cls.__mro__ if issubclass(base, EvolvingDocument)
                and not base._meta.get('abstract') and base._get_collection_name() == name][-1]

    @classmethod
    def _eclose_make(cls) -> _Evolution | None:
        name = cls._get_collection_name()
        owner = cls._eclose_owner()
        if owner is not cls:
            if cls.schema_updates is not owner.schema_updates:
                raise TypeError(f'{cls.__name__}: schema_updates belongs to {owner.__name__}, whose collection '
                                f'{name} it shares')
            return owner._eclose_evolution()
        if not cls.schema_updates or not name:
            return None
        field = cls._meta.get('version_field', 'schema_version')
        if '.' in field or field in cls._db_field_map.values():
            raise TypeError(f'{cls.__name__}: the version field {field} must be a field at the top level, and none of '
                            'the class')
        return _Evolution(name, field, cls.schema_updates)

    @classmethod
    def _eclose_collection(cls) -> Collection:
        evolution = cls._eclose_evolution()
        if evolution is None:
            raise TypeError(f'{cls.__name__} has no schema_updates')
        return Collection(evolution.project, cls._get_collection(), name=evolution.name)

    # ---- loading

    @classmethod
    def _from_son(cls, son: Any, _auto_dereference: bool = True, created: bool = False) -> Any:
        evolution = cls._eclose_evolution()
        if evolution is None or not isinstance(son, dict):
            return super()._from_son(son, _auto_dereference=_auto_dereference, created=created)
        stored = None
        if not created:  # else it is the application's
            son, stored = evolution.read(son, cls._get_collection())
        if evolution.field in son:
            son = dict(son)
            del son[evolution.field]
        document = super()._from_son(son, _auto_dereference=_auto_dereference, created=created)
        if stored is not None:
            document._eclose_stored = stored
        return document

    # ---- saving

    def to_mongo(self, *args: Any, **kwargs: Any) -> Any:
        data = super().to_mongo(*args, **kwargs)
        evolution = self._eclose_evolution()
        if evolution is not None and not (args and args[0]) and not kwargs.get('fields'):
            data[evolution.field] = evolution.target
        return data

    def _get_update_doc(self) -> Any:
        update = super()._get_update_doc()
        evolution = self._eclose_evolution()
        if update and evolution is not None:  # mongoengine inserts what is gone, with what has changed
            update['$setOnInsert'] = {evolution.field: evolution.target}
        return update

    def _save_create(self, doc: Any, force_insert: bool, write_concern: Any) -> Any:
        identity = super()._save_create(doc, force_insert, write_concern)
        self._eclose_stored = None
        return identity

    def _save_update(self, doc: Any, save_condition: Any, write_concern: Any) -> Any:
        evolution = self._eclose_evolution()
        if evolution is None:
            return super()._save_update(doc, save_condition, write_concern)
        if self._eclose_stored is not None:
            self._eclose_save(evolution, write_concern, with_changes=save_condition is None)
            if save_condition is None:
                return doc['_id'], False
        # Only over a document of our own version: what a newer program saved meanwhile has another shape.
        condition = dict(save_condition or {})
        condition['__raw__'] = {**condition.get('__raw__', {}), evolution.field: evolution.target}
        try:
            return super()._save_update(doc, condition, write_concern)
        except SaveConditionError as error:
            if save_condition is not None:
                raise
            if self._get_collection().find_one({'_id': doc['_id']}, {'_id': 1}) is None:
                return super()._save_update(doc, None, write_concern)  # as mongoengine does
            raise Conflict(f'the document {doc["_id"]!r} is not of version {evolution.target} any more') from error

    def _eclose_save(self, evolution: _Evolution, write_concern: Any, *, with_changes: bool) -> None:
        """The upgraded document with the application's changes, over the stored one."""
        stored = self._eclose_stored
        assert stored is not None
        load = evolution.project.loader(self._get_db())
        upgraded = bson.decode(evolution.upgraders.one(stored, load), FUNCTION_OPTIONS)
        if with_changes:
            changed, removed = self._delta()
            for path, value in changed.items():
                container, last = _at(upgraded, path)
                container[last] = value
            for path in removed:
                container, last = _at(upgraded, path)
                if isinstance(container, dict):
                    container.pop(last, None)
        with set_write_concern(self._get_collection(), write_concern) as plain:
            collection = Collection(evolution.project, plain, name=evolution.name)
            try:
                collection._save(stored, bson.encode(upgraded, codec_options=plain.codec_options))
            except ConflictError as error:
                raise Conflict(str(error)) from error
        self._eclose_stored = None

    def _eclose_must_be_current(self, what: str) -> None:
        if self._eclose_stored is not None:
            raise EcloseError(f'{what} would meet the document in the shape in which it is stored: save() it first',
                              'version')

    def update(self, **kwargs: Any) -> Any:
        self._eclose_must_be_current('update()')
        return super().update(**kwargs)

    def modify(self, query: Any = None, **update: Any) -> Any:
        self._eclose_must_be_current('modify()')
        return super().modify(query, **update)

    def reload(self, *fields: Any, **kwargs: Any) -> Any:
        found = super().reload(*fields, **kwargs)
        if not fields and self._eclose_stored is not None:
            raw = self._eclose_collection()._raw().find_one({'_id': self.pk})
            evolution = self._eclose_evolution()
            if raw is not None and evolution is not None:
                stored = raw_bytes(raw)
                current = evolution.upgraders.one(stored, evolution.project.loader(self._get_db())) is stored
                self._eclose_stored = None if current else stored
        return found

    def __getstate__(self) -> Any:
        return {**super().__getstate__(), '_eclose_stored': self._eclose_stored}

    def __setstate__(self, data: Any) -> None:
        stored = data.pop('_eclose_stored', None)
        super().__setstate__(data)
        self._eclose_stored = stored
