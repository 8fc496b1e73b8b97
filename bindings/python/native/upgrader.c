/* Upgrader: whole batches of raw documents, without the GIL. */
#include "module.h"

#include <stdlib.h>
#include <string.h>

/* Documents are announced to the library so many at a time: what they look up is loaded at once. */
#define ANNOUNCED_MAX 4096
/* Bytes of what an exception says that go into the error's message; the exception itself goes with it. */
#define SAID_MAX 400

static bool
load (void *user_data, const char *collection, const char *field, const bson_t *values, eclose_found_t *found,
      bson_error_t *error);

static PyObject *
upgrader_new (PyTypeObject *type, PyObject *args, PyObject *keywords)
{
   py_state_t *state = py_state_of_type (type);
   py_upgrader_t *self;
   PyObject *project;
   const char *collection, *target = NULL;
   eclose_upgrader_t *upgrader;
   bson_error_t error;

   if (!PyArg_ParseTuple (args, "O!s|z:Upgrader", (PyTypeObject *) state->project_type, &project, &collection,
                          &target) ||
       (keywords && PyDict_Size (keywords))) {
      return NULL;
   }
   upgrader = eclose_upgrader_new (((py_project_t *) project)->project, collection, target, &error);
   if (!upgrader) {
      py_raise (state, &error, NULL, NULL);
      return NULL;
   }
   self = (py_upgrader_t *) PyType_GenericAlloc (type, 0);
   if (!self) {
      eclose_upgrader_destroy (upgrader);
      return NULL;
   }
   self->project = (py_project_t *) Py_NewRef (project);
   self->upgrader = upgrader;
   self->state = state;
   /* There is always one: it is also how functions find this object. What it calls is given with each call. */
   eclose_upgrader_set_loader (upgrader, &(eclose_loader_t){.load = load, .user_data = self});
   return (PyObject *) self;
}

static int
upgrader_traverse (PyObject *object, visitproc visit, void *arg)
{
   py_upgrader_t *self = (py_upgrader_t *) object;

   Py_VISIT (Py_TYPE (object));
   Py_VISIT (self->project);
   Py_VISIT (self->cause);
   return 0;
}

static void
upgrader_dealloc (PyObject *object)
{
   py_upgrader_t *self = (py_upgrader_t *) object;
   PyTypeObject *type = Py_TYPE (object);

   PyObject_GC_UnTrack (object);
   eclose_upgrader_destroy (self->upgrader); /* before what it was made from */
   Py_XDECREF (self->project);
   Py_XDECREF (self->cause);
   ((freefunc) PyType_GetSlot (type, Py_tp_free)) (object);
   Py_DECREF (type);
}

void
py_upgrader_keep_cause (py_upgrader_t *self, bson_error_t *error)
{
   PyObject *type, *value, *trace, *name, *said;
   const char *text = NULL, *what = NULL;
   Py_ssize_t shown = 0;

   PyErr_Fetch (&type, &value, &trace);
   PyErr_NormalizeException (&type, &value, &trace);
   if (trace) {
      PyException_SetTraceback (value, trace);
   }
   name = PyObject_GetAttrString (type, "__name__");
   said = PyObject_Str (value);
   what = name ? PyUnicode_AsUTF8AndSize (name, NULL) : NULL;
   text = said ? PyUnicode_AsUTF8AndSize (said, &shown) : NULL;
   if (shown > SAID_MAX) {
      for (shown = SAID_MAX; (text[shown] & 0xC0) == 0x80;) {
         shown--; /* no character is cut */
      }
   }
   bson_set_error (error, ECLOSE_ERROR_UPGRADE, ECLOSE_CODE_INVALID, "%s: %.*s", what ? what : "an exception",
                   (int) shown, text ? text : "");
   PyErr_Clear (); /* of str () */
   if (self) {
      Py_XDECREF (self->cause);
      self->cause = Py_NewRef (value);
   } else if (PyErr_GivenExceptionMatches (value, PyExc_KeyboardInterrupt)) {
      PyErr_SetInterrupt (); /* a run of migrations sees it when it next looks */
   }
   Py_XDECREF (name);
   Py_XDECREF (said);
   Py_XDECREF (type);
   Py_XDECREF (value);
   Py_XDECREF (trace);
}

/* ---- the loader ---- */

/* Gives each of the documents that lie one after another. */
static bool
add_found (PyObject *result, eclose_found_t *found)
{
   char *data;
   Py_ssize_t len;

   if (PyBytes_AsStringAndSize (result, &data, &len) < 0) {
      return false;
   }
   while (len > 0) {
      uint32_t size = 0;
      bson_t document;

      if (len >= 5) {
         memcpy (&size, data, sizeof size);
         size = BSON_UINT32_FROM_LE (size);
      }
      if ((uint64_t) size > (uint64_t) len || !bson_init_static (&document, (const uint8_t *) data, size)) {
         PyErr_SetString (PyExc_ValueError, "the loader gave what is no sequence of documents");
         return false;
      }
      eclose_found_add (found, &document);
      data += size;
      len -= (Py_ssize_t) size;
   }
   return true;
}

/* Calls the program's loader with the collection and a filter: {field: {$in: values}}. */
static bool
load (void *user_data, const char *collection, const char *field, const bson_t *values, eclose_found_t *found,
      bson_error_t *error)
{
   py_upgrader_t *self = user_data;
   PyGILState_STATE gil;
   PyObject *result = NULL;
   bson_t filter = BSON_INITIALIZER, in;
   bool good;

   BSON_APPEND_DOCUMENT_BEGIN (&filter, field, &in);
   BSON_APPEND_ARRAY (&in, "$in", values);
   bson_append_document_end (&filter, &in);
   gil = PyGILState_Ensure ();
   result = PyObject_CallFunction (self->loader, "sy#", collection, (const char *) bson_get_data (&filter),
                                   (Py_ssize_t) filter.len);
   good = result && add_found (result, found);
   if (!good) {
      py_upgrader_keep_cause (self, error);
   }
   Py_XDECREF (result);
   PyGILState_Release (gil);
   bson_destroy (&filter);
   return good;
}

py_upgrader_t *
py_upgrader_of (const eclose_loader_t *loader)
{
   return loader && loader->load == load ? loader->user_data : NULL;
}

/* ---- one call at a time ---- */

static bool
begin (py_upgrader_t *self, PyObject *loader)
{
   if (self->busy) {
      PyErr_SetString (PyExc_RuntimeError, "an upgrader does one thing at a time");
      return false;
   }
   self->busy = true;
   self->loader = loader;
   return true;
}

static void
end (py_upgrader_t *self)
{
   self->busy = false;
   self->loader = NULL;
   Py_CLEAR (self->cause); /* with all that its traceback holds */
}

/* ---- batches ---- */

/* A document that was not current: which one it is, and where its stored bytes lie. */
typedef struct {
   size_t index, offset, len;
} changed_t;

typedef struct {
   const uint8_t *data; /* the batch */
   size_t len, at;      /* at: what comes next */
   size_t same;         /* from here to at all documents are current, and not in out yet */
   size_t n;            /* documents done */
   uint8_t *out;
   size_t out_len, out_size;
   changed_t *changed;
   size_t n_changed, changed_size;
   bool failed;
   bson_t failure; /* the whole error of the document that failed */
   bson_error_t error;
} batch_t;

static void
batch_append (batch_t *b, const uint8_t *data, size_t len)
{
   if (b->out_size - b->out_len < len) {
      size_t size = b->out_size ? b->out_size * 2 : b->len + b->len / 4 + 1024;

      b->out_size = size < b->out_len + len ? b->out_len + len : size;
      b->out = bson_realloc (b->out, b->out_size);
   }
   memcpy (b->out + b->out_len, data, len);
   b->out_len += len;
}

static void
batch_note_changed (batch_t *b, size_t offset, size_t len)
{
   if (b->n_changed == b->changed_size) {
      b->changed_size = b->changed_size ? b->changed_size * 2 : 64;
      b->changed = bson_realloc (b->changed, b->changed_size * sizeof *b->changed);
   }
   b->changed[b->n_changed++] = (changed_t){.index = b->n, .offset = offset, .len = len};
}

static void
batch_flush_same (batch_t *b)
{
   if (b->at > b->same) {
      batch_append (b, b->data + b->same, b->at - b->same);
   }
}

/* The document at an offset; false where the bytes are none. */
static bool
batch_document (const batch_t *b, size_t at, bson_t *document, bson_error_t *error)
{
   uint32_t size = 0;

   if (b->len - at >= 5) {
      memcpy (&size, b->data + at, sizeof size);
      size = BSON_UINT32_FROM_LE (size);
   }
   if (size <= b->len - at && bson_init_static (document, b->data + at, size)) {
      return true;
   }
   bson_set_error (error, ECLOSE_ERROR_BSON, ECLOSE_CODE_INVALID, "the bytes at offset %zu are no document", at);
   return false;
}

/* Announces the documents from at on; returns where those end that were. */
static bool
batch_announce (py_upgrader_t *self, batch_t *b, size_t *until)
{
   bson_t *documents, document;
   const bson_t **pointers;
   size_t n = 0, at = b->at;
   bool good = true;

   /* One that is none is refused when its turn comes. */
   while (at < b->len && n < ANNOUNCED_MAX && batch_document (b, at, &document, &b->error)) {
      at += document.len;
      n++;
   }
   *until = at;
   if (n) {
      /* A bson_t points into itself: it stays where it was made. */
      documents = bson_aligned_alloc0 (BSON_ALIGNOF (bson_t), n * sizeof *documents);
      pointers = bson_malloc (n * sizeof *pointers);
      at = b->at;
      for (size_t i = 0; i < n; i++) {
         good = good && batch_document (b, at, &documents[i], &b->error);
         at += documents[i].len;
         pointers[i] = &documents[i];
      }
      good = good && eclose_upgrader_batch_begin (self->upgrader, pointers, n, &b->error);
      bson_free (pointers);
      bson_free (documents);
   }
   return good;
}

/* Runs without the GIL. Stops at the first document that fails, behind it. */
static void
batch_run (py_upgrader_t *self, batch_t *b)
{
   bool loads = eclose_upgrader_loads (self->upgrader);
   size_t announced = b->at;

   while (b->at < b->len) {
      bson_t in;
      const bson_t *out;

      if (loads && b->at >= announced) {
         eclose_upgrader_batch_end (self->upgrader);
         if (!batch_announce (self, b, &announced)) {
            b->failed = true;
            break;
         }
      }
      if (!batch_document (b, b->at, &in, &b->error)) {
         b->failed = true;
         batch_flush_same (b);
         b->at = b->same = b->len; /* where the next one begins nobody knows */
         break;
      }
      if (!eclose_upgrader_run (self->upgrader, &in, &out, &b->error)) {
         b->failed = true;
         bson_destroy (&b->failure);
         bson_copy_to (eclose_upgrader_error_document (self->upgrader), &b->failure);
         batch_flush_same (b);
         b->at += in.len;
         b->same = b->at;
         break;
      }
      if (out != &in) {
         batch_flush_same (b);
         batch_append (b, bson_get_data (out), out->len);
         batch_note_changed (b, b->at, in.len);
         b->same = b->at + in.len;
      }
      b->at += in.len;
      b->n++;
   }
   if (loads) {
      eclose_upgrader_batch_end (self->upgrader);
   }
}

/* [None, stored bytes, …], one for each document that was done; None where all were current. */
static PyObject *
batch_stored (const batch_t *b)
{
   PyObject *list;

   if (!b->n_changed) {
      return Py_NewRef (Py_None);
   }
   list = PyList_New ((Py_ssize_t) b->n);
   for (size_t i = 0; list && i < b->n; i++) {
      PyList_SetItem (list, (Py_ssize_t) i, Py_NewRef (Py_None));
   }
   for (size_t i = 0; list && i < b->n_changed; i++) {
      const changed_t *c = &b->changed[i];
      PyObject *bytes = PyBytes_FromStringAndSize ((const char *) b->data + c->offset, (Py_ssize_t) c->len);

      if (!bytes) {
         Py_CLEAR (list);
      } else {
         PyList_SetItem (list, (Py_ssize_t) c->index, bytes);
      }
   }
   return list;
}

/* (documents, end, stored, error) */
static PyObject *
batch_result (py_upgrader_t *self, const batch_t *b, PyObject *data, size_t start, bool keep)
{
   PyObject *documents = NULL, *stored = NULL, *failure = NULL, *result = NULL;

   if (b->failed && self->cause && !PyObject_IsInstance (self->cause, PyExc_Exception)) {
      py_raise (self->state, &b->error, NULL, self->cause);
      return NULL;
   }
   if (!b->n_changed && start == 0 && b->same == 0) {
      documents = Py_NewRef (data); /* its own bytes back, untouched */
   } else {
      documents = PyBytes_FromStringAndSize ((const char *) b->out, (Py_ssize_t) b->out_len);
   }
   stored = keep ? batch_stored (b) : Py_NewRef (Py_None);
   failure = b->failed ? py_error_new (self->state, &b->error, b->failure.len > 5 ? &b->failure : NULL, self->cause)
                       : Py_NewRef (Py_None);
   if (documents && stored && failure) {
      result = Py_BuildValue ("(OnOO)", documents, (Py_ssize_t) b->at, stored, failure);
   }
   Py_XDECREF (documents);
   Py_XDECREF (stored);
   Py_XDECREF (failure);
   return result;
}

static PyObject *
upgrader_run (PyObject *object, PyObject *args)
{
   py_upgrader_t *self = (py_upgrader_t *) object;
   PyObject *data, *loader, *result;
   char *bytes;
   Py_ssize_t start, len;
   int keep;
   batch_t b;

   if (!PyArg_ParseTuple (args, "SnOp:run", &data, &start, &loader, &keep) ||
       PyBytes_AsStringAndSize (data, &bytes, &len) < 0) {
      return NULL;
   }
   if (start < 0 || start > len) {
      PyErr_SetString (PyExc_ValueError, "start lies outside of the batch");
      return NULL;
   }
   if (!begin (self, loader)) {
      return NULL;
   }
   b = (batch_t){.data = (const uint8_t *) bytes, .len = (size_t) len, .at = (size_t) start, .same = (size_t) start};
   bson_init (&b.failure);
   Py_BEGIN_ALLOW_THREADS
   batch_run (self, &b);
   if (b.n_changed || start > 0 || b.same > 0) {
      batch_flush_same (&b);
   }
   Py_END_ALLOW_THREADS
   result = batch_result (self, &b, data, (size_t) start, keep);
   end (self);
   bson_free (b.out);
   bson_free (b.changed);
   bson_destroy (&b.failure);
   return result;
}

/* ---- one document ---- */

/* Raises the failure of the last call. */
static void
raise_failure (py_upgrader_t *self, const bson_error_t *error)
{
   py_raise (self->state, error, eclose_upgrader_error_document (self->upgrader), self->cause);
}

static PyObject *
upgrader_stamp (PyObject *object, PyObject *bytes)
{
   py_upgrader_t *self = (py_upgrader_t *) object;
   PyObject *result = NULL;
   bson_t in;
   const bson_t *out;
   bson_error_t error;

   if (!py_document (bytes, &in) || !begin (self, Py_None)) {
      return NULL;
   }
   if (eclose_upgrader_stamp (self->upgrader, &in, &out, &error)) {
      result = out == &in ? Py_NewRef (bytes) : py_bytes (out);
   } else {
      raise_failure (self, &error);
   }
   end (self);
   return result;
}

static PyObject *
upgrader_version (PyObject *object, PyObject *bytes)
{
   py_upgrader_t *self = (py_upgrader_t *) object;
   PyObject *result = NULL;
   const char *version;
   bson_t in;
   bson_error_t error;

   if (!py_document (bytes, &in) || !begin (self, Py_None)) {
      return NULL;
   }
   version = eclose_upgrader_version (self->upgrader, &in, &error);
   if (version) {
      result = PyUnicode_FromString (version);
   } else {
      raise_failure (self, &error);
   }
   end (self);
   return result;
}

static PyObject *
maybe_bytes (const bson_t *document)
{
   return document ? py_bytes (document) : Py_NewRef (Py_None);
}

/* save (stored, document, loader) → (how, filter, update, replacement) */
static PyObject *
upgrader_save (PyObject *object, PyObject *args)
{
   py_upgrader_t *self = (py_upgrader_t *) object;
   PyObject *stored_bytes, *document_bytes, *loader, *result = NULL;
   bson_t stored, document;
   eclose_save_t how;
   const bson_t *filter = NULL, *update = NULL, *replacement = NULL;
   bson_error_t error;

   if (!PyArg_ParseTuple (args, "SSO:save", &stored_bytes, &document_bytes, &loader) ||
       !py_document (stored_bytes, &stored) || !py_document (document_bytes, &document) || !begin (self, loader)) {
      return NULL;
   }
   if (eclose_upgrader_save (self->upgrader, &stored, &document, &how, &filter, &update, &replacement, &error)) {
      bool statement = how == ECLOSE_SAVE_STATEMENT;

      result = Py_BuildValue ("(iNNN)", (int) how, maybe_bytes (statement ? filter : NULL),
                              maybe_bytes (statement ? update : NULL), maybe_bytes (replacement));
   } else {
      raise_failure (self, &error);
   }
   end (self);
   return result;
}

/* query (filter, options or None) → the pipeline, as an array's bytes */
static PyObject *
upgrader_query (PyObject *object, PyObject *args)
{
   py_upgrader_t *self = (py_upgrader_t *) object;
   PyObject *filter_bytes, *options_bytes, *result = NULL;
   bson_t filter, options, pipeline;
   bson_error_t error;

   if (!PyArg_ParseTuple (args, "SO:query", &filter_bytes, &options_bytes) || !py_document (filter_bytes, &filter) ||
       (options_bytes != Py_None && !py_document (options_bytes, &options)) || !begin (self, Py_None)) {
      return NULL;
   }
   if (eclose_upgrader_query (self->upgrader, &filter, options_bytes == Py_None ? NULL : &options, &pipeline, &error)) {
      result = py_bytes (&pipeline);
   } else {
      py_raise (self->state, &error, NULL, NULL);
   }
   bson_destroy (&pipeline);
   end (self);
   return result;
}

/* The filter for documents at the target. */
static PyObject *
upgrader_current_filter (PyObject *object, PyObject *unused)
{
   PyObject *result;
   bson_t filter;

   (void) unused;
   eclose_upgrader_current_filter (((py_upgrader_t *) object)->upgrader, &filter);
   result = py_bytes (&filter);
   bson_destroy (&filter);
   return result;
}

static PyObject *
upgrader_target (PyObject *object, void *unused)
{
   (void) unused;
   return PyUnicode_FromString (eclose_upgrader_target (((py_upgrader_t *) object)->upgrader));
}

static PyObject *
upgrader_loads (PyObject *object, void *unused)
{
   (void) unused;
   return PyBool_FromLong (eclose_upgrader_loads (((py_upgrader_t *) object)->upgrader));
}

static PyMethodDef upgrader_methods[] = {
   {"run", upgrader_run, METH_VARARGS, NULL},
   {"stamp", upgrader_stamp, METH_O, NULL},
   {"version", upgrader_version, METH_O, NULL},
   {"save", upgrader_save, METH_VARARGS, NULL},
   {"query", upgrader_query, METH_VARARGS, NULL},
   {"current_filter", upgrader_current_filter, METH_NOARGS, NULL},
   {NULL, NULL, 0, NULL},
};

static PyGetSetDef upgrader_getters[] = {
   {"target", upgrader_target, NULL, NULL, NULL},
   {"loads", upgrader_loads, NULL, NULL, NULL},
   {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot upgrader_slots[] = {
   {Py_tp_new, upgrader_new},         {Py_tp_dealloc, upgrader_dealloc}, {Py_tp_traverse, upgrader_traverse},
   {Py_tp_methods, upgrader_methods}, {Py_tp_getset, upgrader_getters},  {0, NULL},
};

PyType_Spec py_upgrader_spec = {
   .name = "eclose._native.Upgrader",
   .basicsize = sizeof (py_upgrader_t),
   .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
   .slots = upgrader_slots,
};
