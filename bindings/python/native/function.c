/* Python functions as steps of a chain, and the context that they get. */
#include "module.h"

/* Lives for one call of a function: afterwards context is NULL, and using it raises. */
typedef struct {
   PyObject_HEAD
   eclose_context_t *context;
   py_state_t *state;
} py_context_t;

static bool
context_alive (const py_context_t *self)
{
   if (!self->context) {
      PyErr_SetString (PyExc_RuntimeError, "the context of a function that has returned");
   }
   return self->context != NULL;
}

static PyObject *
context_collection (PyObject *self, void *unused)
{
   (void) unused;
   return context_alive ((py_context_t *) self)
             ? PyUnicode_FromString (eclose_context_collection (((py_context_t *) self)->context))
             : NULL;
}

static PyObject *
context_version (PyObject *self, void *unused)
{
   (void) unused;
   return context_alive ((py_context_t *) self)
             ? PyUnicode_FromString (eclose_context_version (((py_context_t *) self)->context))
             : NULL;
}

/* find (collection, field, {"": value}) → list of documents */
static PyObject *
context_find (PyObject *object, PyObject *args)
{
   py_context_t *self = (py_context_t *) object;
   const char *collection, *field;
   PyObject *bytes, *list;
   bson_t holder;
   bson_iter_t iter;
   const bson_t *documents;
   size_t n;
   bson_error_t error = {0};

   if (!context_alive (self) || !PyArg_ParseTuple (args, "ssS:find", &collection, &field, &bytes) ||
       !py_document (bytes, &holder)) {
      return NULL;
   }
   if (!bson_iter_init (&iter, &holder) || !bson_iter_next (&iter)) {
      PyErr_SetString (PyExc_ValueError, "no value to look up");
      return NULL;
   }
   if (!eclose_context_find (self->context, collection, field, bson_iter_value (&iter), &documents, &n, &error)) {
      if (error.domain == ECLOSE_ERROR_UPGRADE && error.code == ECLOSE_CODE_NEEDS) {
         PyErr_SetNone (self->state->pending_error);
      } else {
         py_raise (self->state, &error, NULL, NULL);
      }
      return NULL;
   }
   list = PyList_New ((Py_ssize_t) n);
   for (size_t i = 0; list && i < n; i++) {
      PyObject *document = py_bytes (&documents[i]);

      if (!document) {
         Py_CLEAR (list);
      } else {
         PyList_SetItem (list, (Py_ssize_t) i, document);
      }
   }
   return list;
}

static void
context_dealloc (PyObject *self)
{
   PyTypeObject *type = Py_TYPE (self);

   ((freefunc) PyType_GetSlot (type, Py_tp_free)) (self);
   Py_DECREF (type);
}

static PyMethodDef context_methods[] = {
   {"find", context_find, METH_VARARGS, "Documents of another collection whose field equals the value."},
   {NULL, NULL, 0, NULL},
};

static PyGetSetDef context_getters[] = {
   {"collection", context_collection, NULL, "The collection whose document it is.", NULL},
   {"version", context_version, NULL, "The version that the step leads to.", NULL},
   {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot context_slots[] = {
   {Py_tp_dealloc, context_dealloc},
   {Py_tp_methods, context_methods},
   {Py_tp_getset, context_getters},
   {0, NULL},
};

PyType_Spec py_context_spec = {
   .name = "eclose._native.Context",
   .basicsize = sizeof (py_context_t),
   .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
   .slots = context_slots,
};

/* What the callable gave, as the output document. */
static bool
take_result (PyObject *result, bson_t *out)
{
   bson_t document;

   if (!py_document (result, &document)) {
      return false;
   }
   return bson_concat (out, &document);
}

bool
py_function_call (const bson_t *in, bson_t *out, eclose_context_t *context, bson_error_t *error)
{
   py_function_t *function = eclose_context_user_data (context);
   py_upgrader_t *upgrader = py_upgrader_of (eclose_context_loader (context));
   PyGILState_STATE gil = PyGILState_Ensure ();
   PyTypeObject *type = (PyTypeObject *) function->state->context_type;
   py_context_t *self = (py_context_t *) PyType_GenericAlloc (type, 0);
   PyObject *bytes = NULL, *result = NULL;
   bool good = false;

   if (self) {
      self->context = context;
      self->state = function->state;
      bytes = py_bytes (in);
   }
   if (bytes) {
      result = PyObject_CallFunctionObjArgs (function->callable, bytes, (PyObject *) self, NULL);
   }
   good = result && take_result (result, out);
   if (!good && PyErr_ExceptionMatches (function->state->pending_error)) {
      PyErr_Clear (); /* no error: it is called again when the documents are here */
   } else if (!good) {
      py_upgrader_keep_cause (upgrader, error);
   }
   if (self) {
      self->context = NULL;
   }
   Py_XDECREF (self);
   Py_XDECREF (bytes);
   Py_XDECREF (result);
   PyGILState_Release (gil);
   return good;
}
