/* Project: what is added, loaded and asked for. Not documented for users: eclose/project.py is. */
#include "module.h"

#include <stdlib.h>

static PyObject *
project_new (PyTypeObject *type, PyObject *args, PyObject *keywords)
{
   py_project_t *self;

   if (!PyArg_ParseTuple (args, ":Project") || (keywords && PyDict_Size (keywords))) {
      return NULL;
   }
   self = (py_project_t *) PyType_GenericAlloc (type, 0);
   if (self) {
      self->project = eclose_project_new ();
   }
   return (PyObject *) self;
}

static int
project_traverse (PyObject *object, visitproc visit, void *arg)
{
   py_project_t *self = (py_project_t *) object;

   Py_VISIT (Py_TYPE (object));
   for (py_function_t *f = self->functions; f; f = f->next) {
      Py_VISIT (f->callable);
   }
   return 0;
}

static void
project_dealloc (PyObject *object)
{
   py_project_t *self = (py_project_t *) object;
   PyTypeObject *type = Py_TYPE (object);

   PyObject_GC_UnTrack (object);
   eclose_project_destroy (self->project);
   while (self->functions) {
      py_function_t *next = self->functions->next;

      Py_DECREF (self->functions->callable);
      free (self->functions);
      self->functions = next;
   }
   ((freefunc) PyType_GetSlot (type, Py_tp_free)) (object);
   Py_DECREF (type);
}

/* None, or the exception of a call of the library. */
static PyObject *
done (py_project_t *self, bool good, const bson_error_t *error)
{
   if (!good) {
      py_raise (py_state_of_type (Py_TYPE ((PyObject *) self)), error, NULL, NULL);
      return NULL;
   }
   return Py_NewRef (Py_None);
}

static bool
may_add (const py_project_t *self)
{
   if (self->loaded) {
      PyErr_SetString (PyExc_RuntimeError, "a project that is loaded does not change");
   }
   return !self->loaded;
}

static bool
is_loaded (const py_project_t *self)
{
   if (!self->loaded) {
      PyErr_SetString (PyExc_RuntimeError, "the project is not loaded");
   }
   return self->loaded;
}

static PyObject *
project_add_folder (PyObject *object, PyObject *args)
{
   py_project_t *self = (py_project_t *) object;
   const char *folder;
   bson_error_t error;

   if (!may_add (self) || !PyArg_ParseTuple (args, "s:add_folder", &folder)) {
      return NULL;
   }
   return done (self, eclose_project_add_folder (self->project, folder, &error), &error);
}

static PyObject *
project_add_text (PyObject *object, PyObject *args)
{
   py_project_t *self = (py_project_t *) object;
   const char *path, *text;
   Py_ssize_t len;
   bson_error_t error;

   if (!may_add (self) || !PyArg_ParseTuple (args, "sy#:add_text", &path, &text, &len)) {
      return NULL;
   }
   return done (self, eclose_project_add_text (self->project, path, text, len, &error), &error);
}

static PyObject *
project_add_document (PyObject *object, PyObject *bytes)
{
   py_project_t *self = (py_project_t *) object;
   bson_t document;
   bson_error_t error;

   if (!may_add (self) || !py_document (bytes, &document)) {
      return NULL;
   }
   return done (self, eclose_project_add_document (self->project, &document, &error), &error);
}

static PyObject *
project_add_function (PyObject *object, PyObject *args)
{
   py_project_t *self = (py_project_t *) object;
   const char *collection, *version;
   int down;
   PyObject *callable;
   py_function_t *function;
   bson_error_t error;

   if (!may_add (self) || !PyArg_ParseTuple (args, "sspO:add_function", &collection, &version, &down, &callable)) {
      return NULL;
   }
   function = calloc (1, sizeof *function);
   if (!function) {
      return PyErr_NoMemory ();
   }
   function->state = py_state_of_type (Py_TYPE (object));
   function->callable = Py_NewRef (callable);
   function->next = self->functions;
   self->functions = function; /* also where it is refused: it goes with the project */
   return done (self,
                eclose_project_add_function (self->project, collection, version, down ? ECLOSE_DOWN : ECLOSE_UP,
                                             py_function_call, function, &error),
                &error);
}

static PyObject *
project_load (PyObject *object, PyObject *unused)
{
   py_project_t *self = (py_project_t *) object;
   bson_error_t error;

   (void) unused;
   if (!may_add (self)) {
      return NULL;
   }
   if (!eclose_project_load (self->project, &error)) {
      py_raise (py_state_of_type (Py_TYPE (object)), &error, eclose_project_problems (self->project), NULL);
      return NULL;
   }
   self->loaded = true;
   return Py_NewRef (Py_None);
}

static PyObject *
project_problems (PyObject *object, PyObject *unused)
{
   (void) unused;
   return py_bytes (eclose_project_problems (((py_project_t *) object)->project));
}

static PyObject *
project_collections (PyObject *object, PyObject *unused)
{
   py_project_t *self = (py_project_t *) object;
   PyObject *list;
   const char *name;

   (void) unused;
   if (!is_loaded (self)) {
      return NULL;
   }
   list = PyList_New (0);
   for (size_t i = 0; list && (name = eclose_project_collection (self->project, i)); i++) {
      PyObject *text = PyUnicode_FromString (name);

      if (!text || PyList_Append (list, text) < 0) {
         Py_CLEAR (list);
      }
      Py_XDECREF (text);
   }
   return list;
}

static PyObject *
project_version_field (PyObject *object, PyObject *args)
{
   py_project_t *self = (py_project_t *) object;
   const char *collection;

   if (!is_loaded (self) || !PyArg_ParseTuple (args, "s:version_field", &collection)) {
      return NULL;
   }
   return PyUnicode_FromString (eclose_project_version_field (self->project, collection));
}

static PyObject *
project_documents (PyObject *object, PyObject *unused)
{
   py_project_t *self = (py_project_t *) object;
   PyObject *list;
   bson_t document;

   (void) unused;
   if (!is_loaded (self)) {
      return NULL;
   }
   list = PyList_New (0);
   for (size_t i = 0; list && eclose_project_document (self->project, i, &document); i++) {
      PyObject *bytes = py_bytes (&document);

      if (!bytes || PyList_Append (list, bytes) < 0) {
         Py_CLEAR (list);
      }
      Py_XDECREF (bytes);
      bson_destroy (&document);
   }
   return list;
}

static PyMethodDef project_methods[] = {
   {"add_folder", project_add_folder, METH_VARARGS, NULL},
   {"add_text", project_add_text, METH_VARARGS, NULL},
   {"add_document", project_add_document, METH_O, NULL},
   {"add_function", project_add_function, METH_VARARGS, NULL},
   {"load", project_load, METH_NOARGS, NULL},
   {"problems", project_problems, METH_NOARGS, NULL},
   {"collections", project_collections, METH_NOARGS, NULL},
   {"version_field", project_version_field, METH_VARARGS, NULL},
   {"documents", project_documents, METH_NOARGS, NULL},
   {NULL, NULL, 0, NULL},
};

static PyType_Slot project_slots[] = {
   {Py_tp_new, project_new},
   {Py_tp_dealloc, project_dealloc},
   {Py_tp_traverse, project_traverse},
   {Py_tp_methods, project_methods},
   {0, NULL},
};

PyType_Spec py_project_spec = {
   .name = "eclose._native.Project",
   .basicsize = sizeof (py_project_t),
   .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
   .slots = project_slots,
};
