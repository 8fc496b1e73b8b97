/* The module: its state, its types, and how errors of the library become exceptions. */
#include "module.h"

#include <string.h>

static struct PyModuleDef module_def;

py_state_t *
py_state_of_type (PyTypeObject *type)
{
   return PyType_GetModuleState (type);
}

PyObject *
py_error_new (const py_state_t *state, const bson_error_t *error, const bson_t *document, PyObject *cause)
{
   PyObject *exception = NULL;
   /* A long message is cut, maybe in the middle of a character. */
   PyObject *message = PyUnicode_DecodeUTF8 (error->message, (Py_ssize_t) strlen (error->message), "replace");

   if (message && document) {
      exception = PyObject_CallFunction (state->make_error, "OIIy#", message, error->domain, error->code,
                                         (const char *) bson_get_data (document), (Py_ssize_t) document->len);
   } else if (message) {
      exception = PyObject_CallFunction (state->make_error, "OIIO", message, error->domain, error->code, Py_None);
   }
   Py_XDECREF (message);
   if (exception && cause) {
      PyException_SetCause (exception, Py_NewRef (cause));
   }
   return exception;
}

void
py_raise (const py_state_t *state, const bson_error_t *error, const bson_t *document, PyObject *cause)
{
   PyObject *exception;

   /* Ctrl-C in a function of the program is no failure of a document. */
   if (cause && !PyObject_IsInstance (cause, PyExc_Exception)) {
      PyErr_SetObject ((PyObject *) Py_TYPE (cause), cause);
      return;
   }
   exception = py_error_new (state, error, document, cause);
   if (exception) {
      PyErr_SetObject ((PyObject *) Py_TYPE (exception), exception);
      Py_DECREF (exception);
   }
}

bool
py_document (PyObject *bytes, bson_t *document)
{
   char *data;
   Py_ssize_t len;

   if (PyBytes_AsStringAndSize (bytes, &data, &len) < 0) {
      return false;
   }
   /* bson_init_static looks at the length and the last byte; the rest is checked as it is read. */
   if (!bson_init_static (document, (const uint8_t *) data, (size_t) len)) {
      PyErr_SetString (PyExc_ValueError, "not one whole BSON document");
      return false;
   }
   return true;
}

PyObject *
py_bytes (const bson_t *document)
{
   return PyBytes_FromStringAndSize ((const char *) bson_get_data (document), (Py_ssize_t) document->len);
}

static PyObject *
module_version (PyObject *module, PyObject *unused)
{
   (void) module;
   (void) unused;
   return PyUnicode_FromString (eclose_version ());
}

static PyObject *
module_same (PyObject *module, PyObject *args)
{
   PyObject *a, *b;
   bson_t one, two;

   (void) module;
   if (!PyArg_ParseTuple (args, "SS:same", &a, &b) || !py_document (a, &one) || !py_document (b, &two)) {
      return NULL;
   }
   return PyBool_FromLong (eclose_documents_same (&one, &two));
}

static PyMethodDef module_methods[] = {
   {"version", module_version, METH_NOARGS, "The version of the library."},
   {"cut_batch", py_cut_batch, METH_O, "A reply without its batch, the name of the batch, and the batch."},
   {"migrate", py_migrate, METH_VARARGS, "Runs what is pending."},
   {"same", module_same, METH_VARARGS, "Whether two documents are the same, in any order of fields."},
   {NULL, NULL, 0, NULL},
};

/* Makes a type, which the module has by its name. */
static bool
add_type (PyObject *module, PyType_Spec *spec, PyObject **type)
{
   *type = PyType_FromModuleAndSpec (module, spec, NULL);
   return *type && PyModule_AddObjectRef (module, strrchr (spec->name, '.') + 1, *type) == 0;
}

static bool
imported (const char *name, const char *attribute, PyObject **out)
{
   PyObject *module = PyImport_ImportModule (name);

   *out = module ? PyObject_GetAttrString (module, attribute) : NULL;
   Py_XDECREF (module);
   return *out != NULL;
}

static int
module_exec (PyObject *module)
{
   py_state_t *state = PyModule_GetState (module);

   state->names = py_names_new ();
   if (!state->names) {
      PyErr_NoMemory ();
      return -1;
   }
   if (!imported ("datetime", "datetime", &state->datetime)) {
      return -1;
   }
   state->makes_dates = py_decoder_makes_dates (state);
   return imported ("eclose.errors", "_make", &state->make_error) &&
                imported ("eclose.errors", "_Pending", &state->pending_error) &&
                imported ("bson", "decode", &state->decode) &&
                imported ("bson.objectid", "ObjectId", &state->object_id) &&
                imported ("bson.int64", "Int64", &state->int64) &&
                add_type (module, &py_project_spec, &state->project_type) &&
                add_type (module, &py_upgrader_spec, &state->upgrader_type) &&
                add_type (module, &py_context_spec, &state->context_type) &&
                add_type (module, &py_decoder_spec, &state->decoder_type) &&
                add_type (module, &py_documents_spec, &state->documents_type) &&
                add_type (module, &py_lease_spec, &state->lease_type)
             ? 0
             : -1;
}

/* All that the state owns, by what is done with each. */
#define ALL_OF_STATE(state, what)     \
   do {                               \
      what ((state)->project_type);   \
      what ((state)->upgrader_type);  \
      what ((state)->context_type);   \
      what ((state)->decoder_type);   \
      what ((state)->documents_type); \
      what ((state)->lease_type);     \
      what ((state)->make_error);     \
      what ((state)->pending_error);  \
      what ((state)->decode);         \
      what ((state)->object_id);      \
      what ((state)->int64);          \
      what ((state)->datetime);       \
   } while (0)

static int
module_traverse (PyObject *module, visitproc visit, void *arg)
{
   py_state_t *state = PyModule_GetState (module);

   ALL_OF_STATE (state, Py_VISIT);
   return 0;
}

static int
module_clear (PyObject *module)
{
   py_state_t *state = PyModule_GetState (module);

   ALL_OF_STATE (state, Py_CLEAR);
   return 0;
}

static void
module_free (void *module)
{
   py_state_t *state = PyModule_GetState (module);

   module_clear (module);
   py_names_free (state->names);
   state->names = NULL;
}

static PyModuleDef_Slot module_slots[] = {
   {Py_mod_exec, module_exec},
   {0, NULL},
};

static struct PyModuleDef module_def = {
   PyModuleDef_HEAD_INIT,         .m_name = "eclose._native",  .m_doc = "libeclose on bytes; see the package eclose.",
   .m_size = sizeof (py_state_t), .m_methods = module_methods, .m_slots = module_slots,
   .m_traverse = module_traverse, .m_clear = module_clear,     .m_free = module_free,
};

PyMODINIT_FUNC
PyInit__native (void);

PyMODINIT_FUNC
PyInit__native (void)
{
   return PyModuleDef_Init (&module_def);
}
