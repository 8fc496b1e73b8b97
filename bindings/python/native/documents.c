/* Documents: the iterator under a cursor. It holds a batch and decodes one document of it each time that it is asked,
 * so that a document is made where the one before it has just been, and no more of them live than the program keeps.
 *
 * When it has no more it calls self._refill (), of the class that is made from it in Python, which gives it the next
 * batch, or raises StopIteration. Besides raw bytes it takes an iterator of what was made elsewhere.
 */
#include "module.h"

#include <string.h>

typedef struct {
   PyObject_HEAD
   py_decoder_t *decoder; /* with data */
   PyObject *data;        /* bytes, one document after another; NULL: none */
   Py_ssize_t at;
   PyObject *ready; /* an iterator; NULL: none */
} py_documents_t;

static int
documents_clear (PyObject *object)
{
   py_documents_t *self = (py_documents_t *) object;

   Py_CLEAR (self->decoder);
   Py_CLEAR (self->data);
   Py_CLEAR (self->ready);
   return 0;
}

static int
documents_traverse (PyObject *object, visitproc visit, void *arg)
{
   py_documents_t *self = (py_documents_t *) object;

   Py_VISIT (Py_TYPE (object));
   Py_VISIT (self->decoder);
   Py_VISIT (self->data);
   Py_VISIT (self->ready);
   return 0;
}

static void
documents_dealloc (PyObject *object)
{
   PyTypeObject *type = Py_TYPE (object);

   PyObject_GC_UnTrack (object);
   documents_clear (object);
   ((freefunc) PyType_GetSlot (type, Py_tp_free)) (object);
   Py_DECREF (type);
}

/* The next document of the batch; NULL without an exception at its end. */
static PyObject *
from_data (py_documents_t *self)
{
   PyObject *data = self->data, *document;
   py_decoder_t *decoder = self->decoder;
   const uint8_t *bytes = (const uint8_t *) PyBytes_AsString (data);
   size_t left = (size_t) (PyBytes_Size (data) - self->at);
   uint32_t size = 0;

   if (!left) {
      Py_CLEAR (self->data);
      return NULL;
   }
   bytes += self->at;
   if (left >= 5) {
      memcpy (&size, bytes, sizeof size);
      size = BSON_UINT32_FROM_LE (size);
   }
   if (size < 5 || size > left) {
      size = (uint32_t) left; /* bson.decode says what is wrong with it */
   }
   /* Both may go from this object while the document is made: classes of the program may be called. */
   Py_INCREF (data);
   Py_INCREF ((PyObject *) decoder);
   self->at += (Py_ssize_t) size;
   document = py_decoder_run (decoder, bytes, size);
   Py_DECREF ((PyObject *) decoder);
   Py_DECREF (data);
   return document;
}

static PyObject *
documents_next (PyObject *object)
{
   py_documents_t *self = (py_documents_t *) object;
   PyObject *document, *filled;

   for (;;) {
      if (self->data) {
         document = from_data (self);
         if (document || PyErr_Occurred ()) {
            return document;
         }
      }
      if (self->ready) {
         PyObject *ready = Py_NewRef (self->ready);

         document = PyIter_Next (ready);
         Py_DECREF (ready);
         if (document || PyErr_Occurred ()) {
            return document;
         }
         Py_CLEAR (self->ready);
      }
      filled = PyObject_CallMethod (object, "_refill", NULL);
      if (!filled) {
         return NULL;
      }
      Py_DECREF (filled);
   }
}

/* _give (bytes, decoder) */
static PyObject *
documents_give (PyObject *object, PyObject *args)
{
   py_documents_t *self = (py_documents_t *) object;
   PyObject *data, *decoder, *before = self->data, *decoder_before = (PyObject *) self->decoder;

   if (!PyArg_ParseTuple (args, "SO:_give", &data, &decoder) || !py_decoder_of (decoder)) {
      return NULL;
   }
   self->data = Py_NewRef (data);
   self->decoder = (py_decoder_t *) Py_NewRef (decoder);
   self->at = 0;
   Py_XDECREF (before);
   Py_XDECREF (decoder_before);
   return Py_NewRef (Py_None);
}

/* _hand (iterable) */
static PyObject *
documents_hand (PyObject *object, PyObject *iterable)
{
   py_documents_t *self = (py_documents_t *) object;
   PyObject *ready = PyObject_GetIter (iterable), *before = self->ready;

   if (!ready) {
      return NULL;
   }
   self->ready = ready;
   Py_XDECREF (before);
   return Py_NewRef (Py_None);
}

static PyObject *
documents_forget (PyObject *object, PyObject *unused)
{
   (void) unused;
   documents_clear (object);
   return Py_NewRef (Py_None);
}

/* Whether there may be documents at hand. */
static PyObject *
documents_waiting (PyObject *object, void *unused)
{
   py_documents_t *self = (py_documents_t *) object;

   (void) unused;
   return PyBool_FromLong ((self->data && self->at < PyBytes_Size (self->data)) || self->ready);
}

static PyMethodDef documents_methods[] = {
   {"_give", documents_give, METH_VARARGS, NULL},
   {"_hand", documents_hand, METH_O, NULL},
   {"_forget", documents_forget, METH_NOARGS, NULL},
   {NULL, NULL, 0, NULL},
};

static PyGetSetDef documents_getters[] = {
   {"_waiting", documents_waiting, NULL, NULL, NULL},
   {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot documents_slots[] = {
   {Py_tp_dealloc, documents_dealloc}, {Py_tp_traverse, documents_traverse},
   {Py_tp_clear, documents_clear},     {Py_tp_iter, PyObject_SelfIter},
   {Py_tp_iternext, documents_next},   {Py_tp_methods, documents_methods},
   {Py_tp_getset, documents_getters},  {0, NULL},
};

PyType_Spec py_documents_spec = {
   .name = "eclose._native.Documents",
   .basicsize = sizeof (py_documents_t),
   .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
   .slots = documents_slots,
};
