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
   PyObject *exception;

   exception = document
                  ? PyObject_CallFunction (state->make_error, "sIIy#", error->message, error->domain, error->code,
                                           (const char *) bson_get_data (document), (Py_ssize_t) document->len)
                  : PyObject_CallFunction (state->make_error, "sIIO", error->message, error->domain, error->code, Py_None);
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
   {"same", module_same, METH_VARARGS, "Whether two documents are the same, in any order of fields."},
   {NULL, NULL, 0, NULL},
};

/* A type, and the name under which the module has it. */
static PyObject *
add_type (PyObject *module, PyType_Spec *spec)
{
   PyObject *type = PyType_FromModuleAndSpec (module, spec, NULL);

   if (type && PyModule_AddObjectRef (module, strrchr (spec->name, '.') + 1, type) < 0) {
      Py_CLEAR (type);
   }
   return type;
}

static int
module_exec (PyObject *module)
{
   py_state_t *state = PyModule_GetState (module);
   PyObject *errors = PyImport_ImportModule ("eclose.errors");

   if (!errors) {
      return -1;
   }
   state->make_error = PyObject_GetAttrString (errors, "_make");
   state->pending_error = PyObject_GetAttrString (errors, "_Pending");
   Py_DECREF (errors);
   if (!state->make_error || !state->pending_error) {
      return -1;
   }
   state->project_type = add_type (module, &py_project_spec);
   state->upgrader_type = add_type (module, &py_upgrader_spec);
   state->context_type = add_type (module, &py_context_spec);
   return state->project_type && state->upgrader_type && state->context_type ? 0 : -1;
}

static int
module_traverse (PyObject *module, visitproc visit, void *arg)
{
   py_state_t *state = PyModule_GetState (module);

   Py_VISIT (state->project_type);
   Py_VISIT (state->upgrader_type);
   Py_VISIT (state->context_type);
   Py_VISIT (state->make_error);
   Py_VISIT (state->pending_error);
   return 0;
}

static int
module_clear (PyObject *module)
{
   py_state_t *state = PyModule_GetState (module);

   Py_CLEAR (state->project_type);
   Py_CLEAR (state->upgrader_type);
   Py_CLEAR (state->context_type);
   Py_CLEAR (state->make_error);
   Py_CLEAR (state->pending_error);
   return 0;
}

static PyModuleDef_Slot module_slots[] = {
   {Py_mod_exec, module_exec},
   {0, NULL},
};

static struct PyModuleDef module_def = {
   PyModuleDef_HEAD_INIT,
   .m_name = "eclose._native",
   .m_doc = "libeclose on bytes; see the package eclose.",
   .m_size = sizeof (py_state_t),
   .m_methods = module_methods,
   .m_slots = module_slots,
   .m_traverse = module_traverse,
   .m_clear = module_clear,
};

PyMODINIT_FUNC
PyInit__native (void);

PyMODINIT_FUNC
PyInit__native (void)
{
   return PyModuleDef_Init (&module_def);
}
