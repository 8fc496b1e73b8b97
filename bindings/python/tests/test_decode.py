"""The decoder in the extension against bson.decode: the same values of the same types, or the same exception."""

import datetime
import random
import re
import uuid

import bson
import pytest
from bson.codec_options import CodecOptions, DatetimeConversion, TypeDecoder, TypeRegistry
from bson.raw_bson import RawBSONDocument
from bson.son import SON
from bson.tz_util import FixedOffset

from eclose import _native
from eclose.collection import _decoder

NAMES = ['', '_id', 'a', 'name', 'name', 'größe', '名前', '$ref', '$id', '$db', 'a.b', 'x' * 64, 'y' * 65, '0']


def value(dice, depth=0):
    kind = dice.randrange(26 if depth < 4 else 22)
    if kind < 2:
        return dice.choice([0.0, -0.0, 1.5, float('inf'), 1e300, dice.random()])
    if kind < 6:
        return dice.choice(['', 'text', 'größer', '名前', 'nul\0inside', '𝄞' * 9, 'long ' * 100])
    if kind < 8:
        return dice.choice([0, 1, -1, 2**31 - 1, -2**31, dice.randrange(1000)])
    if kind < 10:
        return dice.choice([2**31, -2**63, 2**63 - 1, bson.Int64(5)])
    if kind < 12:
        return bson.ObjectId()
    if kind < 14:
        return dice.choice([True, False, None])
    if kind < 17:
        ms = dice.choice([0, -1, 999, dice.randrange(-62135596800000, 253402300800000), dice.randrange(10**13),
                          -62135596800000, 253402300799999])
        return datetime.datetime(1970, 1, 1) + datetime.timedelta(milliseconds=ms)
    if kind < 18:
        return dice.randbytes(dice.randrange(20))
    if kind < 22:
        return dice.choice([
            bson.Binary(b'five', 5), bson.Binary(b'old', 2), bson.Binary.from_uuid(uuid.UUID(int=7)),
            bson.Regex('^a', 'i'), bson.Code('f()'), bson.Code('f(x)', {'x': 1}), bson.Timestamp(4, 2),
            bson.Decimal128('1.50'), bson.MinKey(), bson.MaxKey(), bson.DBRef('c', 1), bson.DBRef('c', 1, 'd', e=2),
            bson.DatetimeMS(2**60), bson.DatetimeMS(-2**60), re.compile('x', re.M),
        ])
    if kind < 24:
        return [value(dice, depth + 1) for _ in range(dice.randrange(5))]
    return document(dice, depth + 1)


def document(dice, depth=0):
    return {dice.choice(NAMES): value(dice, depth) for _ in range(dice.randrange(9))}


def shape(value):
    """Values with all of their types, in order."""
    if isinstance(value, dict):
        return [type(value), [(k, shape(v)) for k, v in value.items()]]
    if isinstance(value, list):
        return [type(value), [shape(v) for v in value]]
    if isinstance(value, bson.DBRef):
        return [type(value), shape(dict(value.as_doc()))]
    return [type(value), repr(value), getattr(value, 'tzinfo', None)]


def outcome(decode, raw):
    try:
        return shape(decode(raw))
    except Exception as error:
        return [type(error), str(error)]


@pytest.mark.parametrize('options', [CodecOptions(), CodecOptions(uuid_representation=4), CodecOptions(tz_aware=True)])
def test_documents_of_all_types(options):
    dice = random.Random(7)
    decoder = _decoder(options)
    assert decoder.native
    for _ in range(3000):
        raw = bson.encode(document(dice))
        assert outcome(decoder.decode, raw) == outcome(lambda raw: bson.decode(raw, options), raw), raw


def test_each_day_and_the_ends_of_years():
    decoder = _decoder(CodecOptions())
    first = datetime.datetime(1, 1, 1)
    days = (datetime.datetime(9999, 12, 31) - first).days
    for n in {*range(0, days, 29), *range(days - 800, days + 1), *range(0, 800), *range(729000, 731000)}:
        day = first + datetime.timedelta(days=n, milliseconds=n * 86399 % 86400000)
        made = decoder.decode(bson.encode({'at': day}))['at']
        assert made == day and type(made) is datetime.datetime
    for ms in (-62135596800001, 253402300800000):
        raw = bson.encode({'at': bson.DatetimeMS(ms)})
        assert outcome(decoder.decode, raw) == outcome(bson.decode, raw)


def test_bytes_that_are_no_document():
    dice = random.Random(8)
    decoder = _decoder(CodecOptions())
    refused = 0
    for _ in range(3000):
        raw = bytearray(bson.encode(document(dice)))
        for _ in range(dice.randrange(1, 4)):
            raw[dice.randrange(len(raw))] = dice.randrange(256)
        if dice.random() < 0.1:
            raw = raw[:dice.randrange(len(raw))]
        raw = bytes(raw)
        theirs = outcome(bson.decode, raw)
        assert outcome(decoder.decode, raw) == theirs, raw
        refused += isinstance(theirs[0], type) and issubclass(theirs[0], Exception)
    assert 500 < refused < 2900
    deep = b'\x00'
    for _ in range(50000):
        deep = b'\x03a\x00' + (len(deep) + 4).to_bytes(4, 'little') + deep + b'\x00'
        if len(deep) > 20000:
            break
    raw = (len(deep) + 4).to_bytes(4, 'little') + deep
    assert outcome(decoder.decode, raw)[0] is outcome(bson.decode, raw)[0]


@pytest.mark.parametrize('options', [
    CodecOptions(document_class=SON), CodecOptions(document_class=RawBSONDocument),
    CodecOptions(tz_aware=True, tzinfo=FixedOffset(60, 'x')),
    CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS),
    CodecOptions(unicode_decode_error_handler='ignore'),
])
def test_other_options_are_pymongos(options):
    decoder = _decoder(options)
    assert not decoder.native
    raw = bson.encode({'a': 1, 'at': datetime.datetime(2026, 11, 21), 'b': {'c': []}})
    assert decoder.decode(raw) == bson.decode(raw, options)
    assert type(decoder.decode(raw)) is type(bson.decode(raw, options))


def test_decoders_of_types_are_pymongos():
    class Upper(TypeDecoder):
        bson_type = str

        def transform_bson(self, value):
            return value.upper()

    options = CodecOptions(type_registry=TypeRegistry([Upper()]))
    assert not _decoder(options).native
    assert _decoder(options).decode(bson.encode({'a': 'x'})) == {'a': 'X'}


def test_batches_are_cut_out_of_replies():
    documents = [{'_id': i, 'x': 'y' * i} for i in range(30)]
    for name in ('firstBatch', 'nextBatch'):
        reply = {'cursor': {'id': bson.Int64(7), 'ns': 'a.b', name: documents, 'more': {'x': 1}}, 'ok': 1.0,
                 '$clusterTime': {'clusterTime': bson.Timestamp(1, 1)}}
        rest, key, batch = _native.cut_batch(bson.encode(reply))
        assert key == name and batch == b''.join(map(bson.encode, documents))
        reply['cursor'][name] = []
        assert rest == bson.encode(reply)
        assert _native.cut_batch(rest)[2] == b''
    for other in ({}, {'ok': 0.0, 'code': 1}, {'cursor': 1}, {'cursor': {'id': 1}}, {'cursor': {'firstBatch': [1]}},
                  {'cursor': {'firstBatch': {'a': {}}, 'x': 1}}):
        assert _native.cut_batch(bson.encode(other)) is None
    raw = bytearray(bson.encode({'cursor': {'firstBatch': documents}, 'ok': 1.0}))
    dice = random.Random(9)
    for _ in range(2000):  # nothing is read outside, whatever the bytes say
        broken = bytearray(raw)
        for _ in range(3):
            broken[dice.randrange(4, len(raw) - 1)] = dice.randrange(256)
        _native.cut_batch(bytes(broken))


def test_documents_are_given_one_after_another():
    class Source(_native.Documents):
        batches = [b'', bson.encode({'_id': 1}) + bson.encode({'_id': 2}), [{'_id': 3}], b'', [],
                   bson.encode({'_id': 4}) + b'\x0b\x00\x00\x00broken' + b'\x00']

        def _refill(self):
            if not self.batches:
                raise StopIteration
            batch = self.batches.pop(0)
            self._hand(batch) if isinstance(batch, list) else self._give(batch, _decoder(CodecOptions()))

    source = Source()
    assert iter(source) is source and not source._waiting
    assert [next(source)['_id'] for _ in range(4)] == [1, 2, 3, 4] and source._waiting
    with pytest.raises(bson.errors.InvalidBSON):
        next(source)
    assert list(source) == [] and not source._waiting
    with pytest.raises(TypeError):
        source._give(b'', None)
