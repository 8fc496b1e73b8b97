/* Decoder: raw documents as dicts, exactly as pymongo's bson.decode makes them.
 *
 * What nearly all documents are made of is made here: doubles, strings, documents, arrays, bytes, ObjectIds, booleans,
 * dates, null and integers. Where a document has anything else (a DBRef, a regular expression, a date outside of what
 * datetime holds, bytes that are no BSON), bson.decode gets all of it: it knows, or refuses in its own words.
 *
 * Names of fields come again in each document, so one string of each is kept: making, hashing and freeing them is a
 * good part of what decoding costs.
 */
#include "module.h"

#include <string.h>

/* Names that are kept; each has one place. */
#define NAMES 1024
#define NAME_MAX_LEN 64

typedef struct {
   PyObject *text;
   const char *bytes; /* of text */
   size_t len;
} name_t;

struct py_names_t {
   name_t names[NAMES];
};

struct _py_decoder_t {
   PyObject_HEAD
   py_state_t *state;
   PyObject *options;
   PyObject *timezone; /* of dates; None: they have none */
   bool native;
};

/* ---- names ---- */

py_names_t *
py_names_new (void)
{
   return PyMem_Calloc (1, sizeof (py_names_t));
}

void
py_names_free (py_names_t *self)
{
   for (size_t i = 0; self && i < NAMES; i++) {
      Py_XDECREF (self->names[i].text);
   }
   PyMem_Free (self);
}

/* The name at bytes, which ends before limit; NULL without an exception where it is no UTF-8 or has no end. */
static PyObject *
name_at (py_names_t *self, const char *bytes, const char *limit, size_t *len)
{
   uint32_t hash = 2166136261u;
   const char *end = bytes;
   name_t *place;
   PyObject *text;
   Py_ssize_t kept_len;

   for (; end < limit && *end; end++) {
      hash = (hash ^ (uint8_t) *end) * 16777619u;
   }
   if (end == limit) {
      return NULL;
   }
   *len = (size_t) (end - bytes);
   place = &self->names[(hash ^ hash >> 16) % NAMES];
   if (place->text && place->len == *len && memcmp (place->bytes, bytes, *len) == 0) {
      return Py_NewRef (place->text);
   }
   text = PyUnicode_DecodeUTF8 (bytes, (Py_ssize_t) *len, NULL);
   if (text && *len <= NAME_MAX_LEN) {
      const char *kept = PyUnicode_AsUTF8AndSize (text, &kept_len);

      if (!kept) {
         Py_DECREF (text);
         return NULL;
      }
      Py_XDECREF (place->text);
      *place = (name_t){.text = Py_NewRef (text), .bytes = kept, .len = (size_t) kept_len};
   }
   return text;
}

/* ---- values ---- */

static PyObject *
decode_document (py_decoder_t *self, const uint8_t *data, size_t len, bool nested);

static PyObject *
decode_array (py_decoder_t *self, const uint8_t *data, size_t len);

static uint32_t
read_uint32 (const uint8_t *at)
{
   uint32_t value;

   memcpy (&value, at, sizeof value);
   return BSON_UINT32_FROM_LE (value);
}

static int64_t
read_int64 (const uint8_t *at)
{
   uint64_t value;

   memcpy (&value, at, sizeof value);
   return (int64_t) BSON_UINT64_FROM_LE (value);
}

static double
read_double (const uint8_t *at)
{
   double value;

   memcpy (&value, at, sizeof value);
   return BSON_DOUBLE_FROM_LE (value);
}

/* datetime is asked with the ten bytes under which pickles have one: year (2), month, day, hour, minute, second,
 * microsecond (3). That is the only quick way that is the same in all versions, as pickles outlive them;
 * py_decoder_makes_dates makes sure of it. */
static PyObject *
make_date (PyObject *type, const uint8_t state[10], PyObject *timezone)
{
   PyObject *bytes = PyBytes_FromStringAndSize ((const char *) state, 10), *made = NULL;

   if (bytes) {
      made = PyObject_CallFunctionObjArgs (type, bytes, timezone == Py_None ? NULL : timezone, NULL);
      Py_DECREF (bytes);
   }
   return made;
}

/* Milliseconds since 1970 as a datetime. */
static PyObject *
decode_date (py_decoder_t *self, int64_t ms)
{
   const int64_t day_ms = 86400000, first = -62135596800000, last = 253402300799999;
   int64_t days, era, day, year_of_era, year;
   uint32_t rest, micros;
   uint8_t month;

   if (ms < first || ms > last) {
      return NULL;
   }
   /* Days are counted from the first of March of the year 0, so that the day that some years have more comes last. */
   days = ms / day_ms - (ms % day_ms < 0);
   rest = (uint32_t) (ms - days * day_ms);
   micros = rest % 1000 * 1000;
   days += 719468;
   era = days / 146097;
   day = days - era * 146097;
   year_of_era = (day - day / 1460 + day / 36524 - day / 146096) / 365;
   day -= 365 * year_of_era + year_of_era / 4 - year_of_era / 100;
   month = (uint8_t) ((5 * day + 2) / 153);
   day -= (153 * month + 2) / 5;
   year = year_of_era + era * 400 + (month >= 10);
   month = (uint8_t) (month < 10 ? month + 3 : month - 9);
   return make_date (self->state->datetime,
                     (const uint8_t[10]){(uint8_t) (year >> 8), (uint8_t) year, month, (uint8_t) (day + 1),
                                         (uint8_t) (rest / 3600000), (uint8_t) (rest / 60000 % 60),
                                         (uint8_t) (rest / 1000 % 60), (uint8_t) (micros >> 16),
                                         (uint8_t) (micros >> 8), (uint8_t) micros},
                     self->timezone);
}

bool
py_decoder_makes_dates (const py_state_t *state)
{
   PyObject *expected = PyObject_CallFunction (state->datetime, "iiiiiii", 2026, 11, 21, 13, 14, 15, 16789);
   PyObject *made = make_date (state->datetime, (const uint8_t[10]){7, 234, 11, 21, 13, 14, 15, 0, 65, 149}, Py_None);
   bool same = expected && made && PyObject_RichCompareBool (expected, made, Py_EQ) == 1;

   Py_XDECREF (expected);
   Py_XDECREF (made);
   PyErr_Clear ();
   return same;
}

static PyObject *
decode_object_id (py_decoder_t *self, const uint8_t *data)
{
   PyObject *bytes = PyBytes_FromStringAndSize ((const char *) data, 12), *made = NULL;

   if (bytes) {
      made = PyObject_CallFunctionObjArgs (self->state->object_id, bytes, NULL);
      Py_DECREF (bytes);
   }
   return made;
}

static PyObject *
decode_int64 (py_decoder_t *self, int64_t value)
{
   PyObject *plain = PyLong_FromLongLong (value), *made = NULL;

   if (plain) {
      made = PyObject_CallFunctionObjArgs (self->state->int64, plain, NULL);
      Py_DECREF (plain);
   }
   return made;
}

static PyObject *
decode_container (py_decoder_t *self, uint8_t type, const uint8_t *data, size_t len)
{
   PyObject *made;

   if (Py_EnterRecursiveCall (" while decoding a document")) {
      return NULL;
   }
   made = type == BSON_TYPE_ARRAY ? decode_array (self, data, len) : decode_document (self, data, len, true);
   Py_LeaveRecursiveCall ();
   return made;
}

/* One value of at most len bytes; *size gets how many it takes. NULL, maybe without an exception, where it is not for
 * this decoder. */
static PyObject *
decode_value (py_decoder_t *self, uint8_t type, const uint8_t *data, size_t len, size_t *size)
{
   static const uint8_t fixed[] = {
      [BSON_TYPE_DOUBLE] = 8, [BSON_TYPE_UTF8] = 4, [BSON_TYPE_DOCUMENT] = 4, [BSON_TYPE_ARRAY] = 4,
      [BSON_TYPE_BINARY] = 5, [BSON_TYPE_OID] = 12, [BSON_TYPE_BOOL] = 1,     [BSON_TYPE_DATE_TIME] = 8,
      [BSON_TYPE_INT32] = 4,  [BSON_TYPE_INT64] = 8};
   uint32_t inner;

   if (type >= sizeof fixed || len < fixed[type]) {
      return NULL;
   }
   *size = fixed[type];
   switch (type) {
   case BSON_TYPE_DOUBLE:
      return PyFloat_FromDouble (read_double (data));
   case BSON_TYPE_UTF8:
      inner = read_uint32 (data);
      if (!inner || inner > len - 4 || data[3 + inner]) {
         return NULL;
      }
      *size += inner;
      return PyUnicode_DecodeUTF8 ((const char *) data + 4, (Py_ssize_t) inner - 1, NULL);
   case BSON_TYPE_DOCUMENT:
   case BSON_TYPE_ARRAY:
      inner = read_uint32 (data);
      if (inner < 5 || inner > len || data[inner - 1]) {
         return NULL;
      }
      *size = inner;
      return decode_container (self, type, data, inner);
   case BSON_TYPE_BINARY:
      inner = read_uint32 (data);
      if (inner > len - 5 || data[4] != BSON_SUBTYPE_BINARY) {
         return NULL;
      }
      *size += inner;
      return PyBytes_FromStringAndSize ((const char *) data + 5, (Py_ssize_t) inner);
   case BSON_TYPE_OID:
      return decode_object_id (self, data);
   case BSON_TYPE_BOOL:
      return data[0] > 1 ? NULL : PyBool_FromLong (data[0]);
   case BSON_TYPE_DATE_TIME:
      return decode_date (self, read_int64 (data));
   case BSON_TYPE_NULL:
      return Py_NewRef (Py_None);
   case BSON_TYPE_INT32:
      return PyLong_FromLong ((int32_t) read_uint32 (data));
   case BSON_TYPE_INT64:
      return decode_int64 (self, read_int64 (data));
   default:
      return NULL;
   }
}

/* data has a length that was checked, and ends with 0. */
static PyObject *
decode_array (py_decoder_t *self, const uint8_t *data, size_t len)
{
   PyObject *list = PyList_New (0), *value;
   const uint8_t *at = data + 4, *end = data + len - 1;

   while (list && at < end) {
      uint8_t type = *at++;
      const uint8_t *key_end = memchr (at, 0, (size_t) (end - at));
      size_t size = 0;

      value = key_end ? decode_value (self, type, key_end + 1, (size_t) (end - key_end - 1), &size) : NULL;
      if (!value || PyList_Append (list, value) < 0) {
         Py_CLEAR (list);
      } else {
         at = key_end + 1 + size;
      }
      Py_XDECREF (value);
   }
   return list;
}

static PyObject *
decode_document (py_decoder_t *self, const uint8_t *data, size_t len, bool nested)
{
   PyObject *dict = PyDict_New (), *name, *value;
   const uint8_t *at = data + 4, *end = data + len - 1;

   while (dict && at < end) {
      uint8_t type = *at++;
      size_t name_len = 0, size = 0;

      name = name_at (self->state->names, (const char *) at, (const char *) end, &name_len);
      /* A document with $ref may be a DBRef. */
      if (!name || (nested && name_len == 4 && memcmp (at, "$ref", 4) == 0)) {
         Py_XDECREF (name);
         Py_CLEAR (dict);
         break;
      }
      at += name_len + 1;
      value = decode_value (self, type, at, (size_t) (end - at), &size);
      if (!value || PyDict_SetItem (dict, name, value) < 0) {
         Py_CLEAR (dict);
      }
      at += size;
      Py_DECREF (name);
      Py_XDECREF (value);
   }
   return dict;
}

PyObject *
py_decoder_run (py_decoder_t *self, const uint8_t *data, size_t len)
{
   PyObject *bytes, *made = NULL;

   if (self->native && len >= 5 && read_uint32 (data) == len && !data[len - 1]) {
      made = decode_document (self, data, len, false);
      /* What bson.decode says of the same, too. Anything else comes from what was called: Ctrl-C, no memory. */
      if (!made && PyErr_Occurred () && !PyErr_ExceptionMatches (PyExc_UnicodeDecodeError) &&
          !PyErr_ExceptionMatches (PyExc_RecursionError)) {
         return NULL;
      }
   }
   if (!made) {
      PyErr_Clear ();
      bytes = PyBytes_FromStringAndSize ((const char *) data, (Py_ssize_t) len);
      made = bytes ? PyObject_CallFunctionObjArgs (self->state->decode, bytes, self->options, NULL) : NULL;
      Py_XDECREF (bytes);
   }
   return made;
}

/* ---- the type ---- */

/* Decoder (options, native, timezone or None): native says that the options ask for nothing but what is made here. */
static PyObject *
decoder_new (PyTypeObject *type, PyObject *args, PyObject *keywords)
{
   py_state_t *state = py_state_of_type (type);
   PyObject *options, *timezone;
   py_decoder_t *self;
   int native;

   if (!PyArg_ParseTuple (args, "OpO:Decoder", &options, &native, &timezone) || (keywords && PyDict_Size (keywords))) {
      return NULL;
   }
   self = (py_decoder_t *) PyType_GenericAlloc (type, 0);
   if (self) {
      self->state = state;
      self->options = Py_NewRef (options);
      self->timezone = Py_NewRef (timezone);
      self->native = native && state->makes_dates;
   }
   return (PyObject *) self;
}

static int
decoder_traverse (PyObject *object, visitproc visit, void *arg)
{
   py_decoder_t *self = (py_decoder_t *) object;

   Py_VISIT (Py_TYPE (object));
   Py_VISIT (self->options);
   Py_VISIT (self->timezone);
   return 0;
}

static void
decoder_dealloc (PyObject *object)
{
   py_decoder_t *self = (py_decoder_t *) object;
   PyTypeObject *type = Py_TYPE (object);

   PyObject_GC_UnTrack (object);
   Py_XDECREF (self->options);
   Py_XDECREF (self->timezone);
   ((freefunc) PyType_GetSlot (type, Py_tp_free)) (object);
   Py_DECREF (type);
}

static PyObject *
decoder_decode (PyObject *object, PyObject *bytes)
{
   char *data;
   Py_ssize_t len;

   return PyBytes_AsStringAndSize (bytes, &data, &len) < 0
             ? NULL
             : py_decoder_run ((py_decoder_t *) object, (const uint8_t *) data, (size_t) len);
}

static PyMethodDef decoder_methods[] = {
   {"decode", decoder_decode, METH_O, "One document."},
   {NULL, NULL, 0, NULL},
};

static PyObject *
decoder_native (PyObject *object, void *unused)
{
   (void) unused;
   return PyBool_FromLong (((py_decoder_t *) object)->native);
}

static PyGetSetDef decoder_getters[] = {
   {"native", decoder_native, NULL, "Whether documents are decoded here.", NULL},
   {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot decoder_slots[] = {
   {Py_tp_new, decoder_new},         {Py_tp_dealloc, decoder_dealloc}, {Py_tp_traverse, decoder_traverse},
   {Py_tp_methods, decoder_methods}, {Py_tp_getset, decoder_getters},  {0, NULL},
};

py_decoder_t *
py_decoder_of (PyObject *object)
{
   if (PyType_GetSlot (Py_TYPE (object), Py_tp_dealloc) != (void *) decoder_dealloc) {
      PyErr_SetString (PyExc_TypeError, "a Decoder is needed");
      return NULL;
   }
   return (py_decoder_t *) object;
}

PyType_Spec py_decoder_spec = {
   .name = "eclose._native.Decoder",
   .basicsize = sizeof (py_decoder_t),
   .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
   .slots = decoder_slots,
};
