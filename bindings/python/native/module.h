/* The extension module eclose._native: libeclose's public functions for Python, on bytes.
 *
 * It knows raw BSON and callables, nothing of pymongo: what a user sees is written in Python, in the package beside it.
 * Batches run without the GIL; it is taken again only for functions and loaders of the program.
 *
 * Limited API of Python 3.10: one build serves every later version.
 */
#ifndef ECLOSE_PYTHON_MODULE_H
#define ECLOSE_PYTHON_MODULE_H

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030a0000
#include <Python.h>

#include <eclose/eclose.h>

typedef struct py_names_t py_names_t;

/* The state of the module: its types, what it needs of the package and of pymongo, and names of fields. */
typedef struct {
   PyObject *project_type, *upgrader_type, *context_type, *decoder_type, *documents_type, *lease_type;
   PyObject *make_error;    /* (message, domain, code, document or problems as bytes or None) → exception */
   PyObject *pending_error; /* BaseException: what a function looked up is not here yet */
   PyObject *decode, *object_id, *int64, *datetime;
   py_names_t *names;
   bool makes_dates; /* see py_decoder_makes_dates */
} py_state_t;

py_state_t *
py_state_of_type (PyTypeObject *type);

/* ---- project.c ---- */

typedef struct py_function_t py_function_t;

typedef struct {
   PyObject_HEAD
   eclose_project_t *project;
   py_function_t *functions; /* given to the project as user data: they live as long as it does */
   bool loaded;
} py_project_t;

extern PyType_Spec py_project_spec;

/* ---- upgrader.c ---- */

typedef struct {
   PyObject_HEAD
   py_project_t *project; /* owned */
   eclose_upgrader_t *upgrader;
   py_state_t *state;
   PyObject *loader; /* of the call that runs; borrowed */
   PyObject *cause;  /* what a function or a loader raised in the call that runs */
   bool busy;
} py_upgrader_t;

extern PyType_Spec py_upgrader_spec;

/* Keeps the exception that is set as the cause of the failure, clears it, and says it in error. self may be NULL. */
void
py_upgrader_keep_cause (py_upgrader_t *self, bson_error_t *error);

/* Whose loader it is; NULL where it is not of an upgrader here: while migrations run it is the library's own. */
py_upgrader_t *
py_upgrader_of (const eclose_loader_t *loader);

/* ---- function.c ---- */

struct py_function_t {
   PyObject *callable; /* (document, context) → document, all as bytes */
   py_state_t *state;
   py_function_t *next;
};

extern PyType_Spec py_context_spec;

/* An eclose_function_t; user_data is a py_function_t. Takes the GIL. */
bool
py_function_call (const bson_t *in, bson_t *out, eclose_context_t *context, bson_error_t *error);

/* ---- decode.c ---- */

typedef struct _py_decoder_t py_decoder_t;

extern PyType_Spec py_decoder_spec;

py_names_t *
py_names_new (void);

void
py_names_free (py_names_t *self);

/* Whether datetimes can be made in the way that decoders make them. */
bool
py_decoder_makes_dates (const py_state_t *state);

/* The object as a decoder; raises where it is none. */
py_decoder_t *
py_decoder_of (PyObject *object);

/* One document, of whatever bytes. */
PyObject *
py_decoder_run (py_decoder_t *self, const uint8_t *data, size_t len);

/* ---- documents.c ---- */

extern PyType_Spec py_documents_spec;

/* ---- reply.c ---- */

PyObject *
py_cut_batch (PyObject *module, PyObject *bytes);

/* ---- driver.c ---- */

typedef struct {
   eclose_driver_t table; /* its user_data is this */
   PyObject *object;      /* of eclose/_driver.py */
   PyObject *raised;      /* is to be raised when the library has come back */
   eclose_lease_t *lease; /* whose waiting then ends; may be NULL */
   char *uri;
} py_driver_t;

/* uri may be NULL. The driver stays where it is. */
void
py_driver_init (py_driver_t *self, PyObject *object, const char *uri);

void
py_driver_cleanup (py_driver_t *self);

/* Raises what is to be raised; false where that is nothing. */
bool
py_driver_raise (py_driver_t *self);

/* ---- leading.c ---- */

extern PyType_Spec py_lease_spec;

PyObject *
py_migrate (PyObject *module, PyObject *args);

/* ---- module.c ---- */

/* Raises what is in error; document (may be NULL) is the whole error, cause (may be NULL) what raised it. */
void
py_raise (const py_state_t *state, const bson_error_t *error, const bson_t *document, PyObject *cause);

/* The same as an object that is not raised yet. */
PyObject *
py_error_new (const py_state_t *state, const bson_error_t *error, const bson_t *document, PyObject *cause);

/* Views bytes as one document, borrowed; raises where they are none. */
bool
py_document (PyObject *bytes, bson_t *document);

PyObject *
py_bytes (const bson_t *document);

#endif
