"""Project: migrations from files, memory, the catalog in the database and Python functions, read and checked."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Union
from weakref import WeakKeyDictionary

import bson
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.raw_bson import RawBSONDocument
from pymongo.database import Database

from eclose import _native
from eclose.collection import Collection
from eclose.errors import _not_of_pymongo
from eclose.leading import Lease, migrate

if TYPE_CHECKING:
    from pymongo import MongoClient
    from pymongo.collection import Collection as PymongoCollection
    from pymongo.client_session import ClientSession

Document = dict[str, Any]
Function = Callable[..., Union[Document, None]]
# What a function sees and gives back: no value changes because it was decoded.
FUNCTION_OPTIONS: CodecOptions[Document] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_AUTO)


class Context:
    """What a function may ask for while it runs."""

    def __init__(self, native: _native.Context) -> None:
        self._native = native

    @property
    def collection(self) -> str:
        """The collection whose document it is."""
        return self._native.collection

    @property
    def version(self) -> str:
        """The version that the step leads to."""
        return self._native.version

    def find(self, collection: str, field: str, value: Any) -> list[Document]:
        """The documents of another collection whose field equals the value, upgraded.

        What all documents of a batch look up is fetched with one query: the function is left here, and called again
        when the documents have come.
        """
        found = self._native.find(collection, field, bson.encode({'': value}, codec_options=FUNCTION_OPTIONS))
        return [bson.decode(document, FUNCTION_OPTIONS) for document in found]


def _takes_context(function: Function) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return len([p for p in positional if p.default is p.empty]) > 1 or any(p.kind == p.VAR_POSITIONAL
                                                                           for p in parameters)


def _on_bytes(function: Function) -> Callable[[bytes, _native.Context], bytes]:
    """A function on dicts as one on bytes."""
    takes_context = _takes_context(function)

    def call(raw: bytes, native: _native.Context) -> bytes:
        document = bson.decode(raw, FUNCTION_OPTIONS)
        result = function(document, Context(native)) if takes_context else function(document)
        if result is None:
            result = document  # changed in place
        elif not isinstance(result, Mapping):
            raise TypeError(f'{getattr(function, "__name__", "the function")} gave a {type(result).__name__}, '
                            'not a document')
        return bson.encode(result, codec_options=FUNCTION_OPTIONS)

    return call


class Upgraders:
    """Upgraders of one collection and target: each is used by one thread at a time, and used again."""

    def __init__(self, project: Project, collection: str, target: str | None) -> None:
        first = _native.Upgrader(project._native, collection, target)
        self._idle = [first]
        self.project = project
        self.collection = collection
        self._asked = target
        self.target: str = first.target
        self.loads: bool = first.loads
        self.field: str = project._native.version_field(collection)
        # Of stored collections, by client and name: see Collection._has_collation.
        self.collations: WeakKeyDictionary[MongoClient[Any], dict[str, bool]] = WeakKeyDictionary()

    @contextmanager
    def borrow(self) -> Iterator[_native.Upgrader]:
        try:
            upgrader = self._idle.pop()  # atomic
        except IndexError:
            upgrader = _native.Upgrader(self.project._native, self.collection, self._asked)
        try:
            yield upgrader
        finally:
            self._idle.append(upgrader)

    def run(self, batch: bytes, start: int, load: _native._Loader, keep: bool = False) -> tuple[
            bytes, int, list[bytes | None] | None, Exception | None]:
        with self.borrow() as upgrader:
            return upgrader.run(batch, start, load, keep)

    def one(self, raw: bytes, load: _native._Loader) -> bytes:
        """One document; raises."""
        out, _, _, error = self.run(raw, 0, load)
        if error:
            raise error
        return out

    def stamp(self, raw: bytes) -> bytes:
        with self.borrow() as upgrader:
            return upgrader.stamp(raw)


def _no_loader(collection: str, filter: bytes) -> bytes:
    raise LookupError(f'documents of {collection} are needed: pass database=')


class Project:
    """Migrations, read and checked. Never changes; any number of threads may use it.

    folder      where eclose.yaml is, with its migrations beside it; or a folder of migrations only
    files       path → text: the same from memory ('eclose.yaml', 'users/0002_split_name.yaml')
    documents   of the collection eclose_catalog: newer programs' ways down, so that this one reads their documents; what
                of them is of no use here is left out, and `problems` says so
    functions   collection → version → function, or (up, down): steps written in Python

    A function gets the document, as a dict, and a Context if it takes a second argument. It changes the document, or
    returns another, and always does the same to the same document; it may be called more than once for one. It does not
    touch _id or the version field.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None, *,
                 files: Mapping[str, str | bytes] | None = None,
                 documents: Iterable[Mapping[str, Any]] | None = None,
                 functions: Mapping[str, Mapping[int | str, Function | tuple[Function | None, Function | None]]]
                 | None = None) -> None:
        self._native = _native.Project()
        self._upgraders: dict[tuple[str, str | None], Upgraders] = {}
        if folder is not None:
            self._add_folder(os.fspath(folder))
        for path, text in (files or {}).items():
            self._native.add_text(path, text.encode() if isinstance(text, str) else text)
        if hasattr(documents, '__aiter__'):  # pymongo's cursor would pass for a sequence, an empty one
            raise TypeError('documents of an asynchronous cursor: await cursor.to_list() gives them')
        for document in documents or ():
            self._native.add_document(bson.encode(document))
        for collection, steps in (functions or {}).items():
            for version, ways in steps.items():
                up, down = ways if isinstance(ways, tuple) else (ways, None)
                for function, is_down in ((up, False), (down, True)):
                    if inspect.iscoroutinefunction(function) or not (function is None or callable(function)):
                        raise TypeError(f'{collection}, version {version}: a function that blocks is needed, not '
                                        f'{function!r}')
                    if function is not None:
                        self._native.add_function(collection, str(version), is_down, _on_bytes(function))
        self._native.load()

    def _add_folder(self, folder: str) -> None:
        if any(os.path.exists(os.path.join(folder, name)) for name in ('eclose.yaml', 'eclose.json')):
            self._native.add_folder(folder)
            return
        # A folder of migrations. Its project file, if there is one, is beside it and may be for this folder.
        parent, name = os.path.split(os.path.abspath(folder))
        if name == 'migrations' and os.path.isdir(folder) and any(
                os.path.exists(os.path.join(parent, file)) for file in ('eclose.yaml', 'eclose.json')):
            self._native.add_folder(parent)
            return
        if not os.path.isdir(folder):
            raise FileNotFoundError(f'{folder}: no folder with eclose.yaml, and no folder of migrations')
        for where, folders, names in os.walk(folder):
            folders.sort()
            for file in sorted(names):
                if file.endswith(('.yaml', '.yml', '.json')):
                    path = os.path.join(where, file)
                    with open(path, 'rb') as f:
                        self._native.add_text(os.path.relpath(path, folder).replace(os.sep, '/'), f.read())

    @property
    def problems(self) -> list[Document]:
        """Warnings: {level, file, line, column, path, message}."""
        return list(bson.decode(self._native.problems()).values())

    @property
    def collections(self) -> list[str]:
        """The collections that have settings or migrations."""
        return self._native.collections()

    @property
    def documents(self) -> list[Document]:
        """What stands for the project in an empty eclose_catalog, each to be stored by its _id; `migrate` and `eclose up`
        publish it, and leave there what later releases have published."""
        return [bson.decode(document) for document in self._native.documents()]

    def version_field(self, collection: str) -> str:
        """Where documents of the collection keep their version, dotted."""
        return self._native.version_field(collection)

    def upgraders(self, collection: str, target: int | str | None = None) -> Upgraders:
        """Those that collections and cursors share; a program needs upgrade(), or a Collection."""
        key = (collection, None if target is None else str(target))
        found = self._upgraders.get(key)
        if found is None:
            found = self._upgraders.setdefault(key, Upgraders(self, *key))
        return found

    def loader(self, database: Database[Any] | None, session: ClientSession | None = None) -> _native._Loader:
        """Finds what an upgrade looks up, as raw bytes."""
        if database is None:
            return _no_loader
        if not isinstance(database, Database):
            raise _not_of_pymongo('a database', database)

        def load(collection: str, filter: bytes) -> bytes:
            wanted = RawBSONDocument(filter)
            if '_id' in wanted or collection not in self.collections:
                return b''.join(database[collection].find_raw_batches(wanted, session=session))
            # Migrations may make the field: what is stored in another shape is found, too.
            with self.upgraders(collection).borrow() as upgrader:
                pipeline = list(RawBSONDocument(upgrader.query(filter, None)).values())
            return b''.join(database[collection].aggregate_raw_batches(pipeline, session=session))

        return load

    def upgrade(self, collection: str, document: Mapping[str, Any] | bytes, *, target: int | str | None = None,
                database: Database[Any] | None = None) -> Any:
        """One document, upgraded (or downgraded, to an earlier target). A current one is given back as it is.

        Raw bytes give raw bytes. database: where other collections are looked up, if the migrations do that.
        """
        upgraders = self.upgraders(collection, target)
        if isinstance(document, (bytes, bytearray)):
            return upgraders.one(bytes(document), self.loader(database))
        raw = bson.encode(document, codec_options=FUNCTION_OPTIONS)
        out = upgraders.one(raw, self.loader(database))
        return document if out is raw else bson.decode(out, FUNCTION_OPTIONS)

    def collection(self, collection: PymongoCollection[Any], *, name: str | None = None,
                   target: int | str | None = None) -> Collection:
        """The collection of pymongo, read and written through this project.

        target: the version that this program was written for, if it is not the last one. name: what the migrations
        call the collection, if that differs.
        """
        return Collection(self, collection, name=name, target=target)

    def migrate(self, where: Database[Any] | MongoClient[Any], *, wait: bool | float = False,
                **options: Any) -> Document:
        """Runs what is pending in a database, as `eclose up` does: for an application at its start.

        The database migrations, in order, once, by the one process that gets the lease; then every collection to the
        version that this program knows last. Other programs go on reading and writing. It may be killed at any time
        and run again. Gives {migrations: [{name, ms}], collections: [{collection, total, changed, …}]}; LeaseBusy
        where another process is at it, MigrateError where it fails, Quarantined where single documents cannot be
        migrated.

        where             a database of pymongo, or a client whose URI names one
        wait              for another process to end: seconds, or True, without end
        progress          called with eclose.Progress
        uri               for migrations that are programs of their own; they are refused without
        collections       False: database migrations only
        only, to_migration, steps    a part of the database migrations, and no collections
        strict_order      refuse a migration that one behind it has overtaken
        mode              'auto', 'pushdown' or 'client': who computes
        lease_time, max_clock_skew   in seconds
        release           what of the program it is, for the changelog
        """
        return migrate(self, where, wait=wait, **options)

    def leader(self, database: Database[Any], name: str = 'leader', *, wait: bool | float = False,
               **options: Any) -> Lease:
        """The lease of that name, for `with`: one process at a time holds it. See eclose.Lease.

            with project.leader(client.shop, 'nightly', wait=60) as lease:
                for report in reports:
                    lease.check()            # LeaseLost: somebody else may be at it
                    send(report, lease.token)

        wait: seconds, or True, without end; LeaseBusy where somebody else holds it then. time, max_clock_skew: of the
        lease, in seconds. release: what of the program it is, shown to others.
        """
        return Lease(database, name, wait=wait, **options)
