/* Leases, and what is pending run from inside a program. Not documented for users: eclose/leading.py is.
 *
 * All that may ask the server, or wait for a heartbeat that asks it, runs without the GIL.
 */
#include "module.h"

typedef struct {
   PyObject_HEAD
   py_state_t *state;
   py_driver_t driver;
   bool busy;
} py_lease_t;

/* Lease (driver, database, name, options) */
static PyObject *
lease_new (PyTypeObject *type, PyObject *args, PyObject *keywords)
{
   PyObject *driver, *options_bytes;
   const char *database, *name;
   py_lease_t *self;
   bson_error_t error;
   bson_t options;

   if (!PyArg_ParseTuple (args, "OssS:Lease", &driver, &database, &name, &options_bytes) ||
       (keywords && PyDict_Size (keywords)) || !py_document (options_bytes, &options)) {
      return NULL;
   }
   self = (py_lease_t *) PyType_GenericAlloc (type, 0);
   if (!self) {
      return NULL;
   }
   self->state = py_state_of_type (type);
   py_driver_init (&self->driver, driver, NULL);
   Py_BEGIN_ALLOW_THREADS
   self->driver.lease = eclose_lease_new (&self->driver.table, database, name, &options, &error);
   Py_END_ALLOW_THREADS
   if (!self->driver.lease) {
      if (!py_driver_raise (&self->driver)) {
         py_raise (self->state, &error, NULL, NULL);
      }
      Py_DECREF ((PyObject *) self);
      return NULL;
   }
   return (PyObject *) self;
}

static int
lease_traverse (PyObject *object, visitproc visit, void *arg)
{
   py_lease_t *self = (py_lease_t *) object;

   Py_VISIT (Py_TYPE (object));
   Py_VISIT (self->driver.object);
   Py_VISIT (self->driver.raised);
   return 0;
}

static void
lease_dealloc (PyObject *object)
{
   py_lease_t *self = (py_lease_t *) object;
   PyTypeObject *type = Py_TYPE (object);
   PyObject *error_type, *value, *trace;

   PyObject_GC_UnTrack (object);
   PyErr_Fetch (&error_type, &value, &trace);
   Py_BEGIN_ALLOW_THREADS
   eclose_lease_destroy (self->driver.lease);
   Py_END_ALLOW_THREADS
   PyErr_Restore (error_type, value, trace);
   py_driver_cleanup (&self->driver);
   ((freefunc) PyType_GetSlot (type, Py_tp_free)) (object);
   Py_DECREF (type);
}

static bool
begin (py_lease_t *self)
{
   if (self->busy) {
      PyErr_SetString (PyExc_RuntimeError, "a lease is acquired and released by one thread at a time");
      return false;
   }
   self->busy = true;
   return true;
}

/* acquire (milliseconds) → None, or the exception that says who holds it. */
static PyObject *
lease_acquire (PyObject *object, PyObject *args)
{
   py_lease_t *self = (py_lease_t *) object;
   eclose_acquired_t acquired;
   bson_error_t error;
   long long wait;

   if (!PyArg_ParseTuple (args, "L:acquire", &wait) || !begin (self)) {
      return NULL;
   }
   Py_BEGIN_ALLOW_THREADS
   acquired = eclose_lease_acquire (self->driver.lease, wait, &error);
   Py_END_ALLOW_THREADS
   self->busy = false;
   if (py_driver_raise (&self->driver)) {
      return NULL;
   }
   switch (acquired) {
   case ECLOSE_LEASE_ACQUIRED:
      return Py_NewRef (Py_None);
   case ECLOSE_LEASE_BUSY:
      return py_error_new (self->state, &error, NULL, NULL);
   default:
      py_raise (self->state, &error, NULL, NULL);
      return NULL;
   }
}

static PyObject *
lease_release (PyObject *object, PyObject *unused)
{
   py_lease_t *self = (py_lease_t *) object;

   (void) unused;
   if (!begin (self)) {
      return NULL;
   }
   Py_BEGIN_ALLOW_THREADS
   eclose_lease_release (self->driver.lease);
   Py_END_ALLOW_THREADS
   self->busy = false;
   return py_driver_raise (&self->driver) ? NULL : Py_NewRef (Py_None);
}

static PyObject *
lease_cancel (PyObject *object, PyObject *unused)
{
   (void) unused;
   eclose_lease_cancel (((py_lease_t *) object)->driver.lease);
   return Py_NewRef (Py_None);
}

static PyObject *
lease_holder (PyObject *object, PyObject *unused)
{
   py_lease_t *self = (py_lease_t *) object;
   PyObject *bytes = NULL;
   bson_error_t error;
   bson_t holder;
   bool good;

   (void) unused;
   if (!begin (self)) {
      return NULL;
   }
   Py_BEGIN_ALLOW_THREADS
   good = eclose_lease_holder (self->driver.lease, &holder, &error);
   Py_END_ALLOW_THREADS
   self->busy = false;
   if (!py_driver_raise (&self->driver)) {
      if (good) {
         bytes = py_bytes (&holder);
      } else {
         py_raise (self->state, &error, NULL, NULL);
      }
   }
   bson_destroy (&holder);
   return bytes;
}

static PyObject *
lease_held (PyObject *object, void *unused)
{
   (void) unused;
   return PyBool_FromLong (eclose_lease_held (((py_lease_t *) object)->driver.lease));
}

static PyObject *
lease_lost (PyObject *object, void *unused)
{
   (void) unused;
   return PyBool_FromLong (eclose_lease_lost (((py_lease_t *) object)->driver.lease));
}

static PyObject *
lease_left (PyObject *object, void *unused)
{
   (void) unused;
   return PyLong_FromLongLong (eclose_lease_left (((py_lease_t *) object)->driver.lease));
}

static PyObject *
lease_token (PyObject *object, void *unused)
{
   (void) unused;
   return PyLong_FromLongLong (eclose_lease_token (((py_lease_t *) object)->driver.lease));
}

static PyMethodDef lease_methods[] = {
   {"acquire", lease_acquire, METH_VARARGS, NULL},
   {"release", lease_release, METH_NOARGS, NULL},
   {"cancel", lease_cancel, METH_NOARGS, NULL},
   {"holder", lease_holder, METH_NOARGS, NULL},
   {NULL, NULL, 0, NULL},
};

static PyGetSetDef lease_getters[] = {
   {"held", lease_held, NULL, NULL, NULL}, {"lost", lease_lost, NULL, NULL, NULL},
   {"left", lease_left, NULL, NULL, NULL}, {"token", lease_token, NULL, NULL, NULL},
   {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot lease_slots[] = {
   {Py_tp_new, lease_new},         {Py_tp_dealloc, lease_dealloc}, {Py_tp_traverse, lease_traverse},
   {Py_tp_methods, lease_methods}, {Py_tp_getset, lease_getters},  {0, NULL},
};

PyType_Spec py_lease_spec = {
   .name = "eclose._native.Lease",
   .basicsize = sizeof (py_lease_t),
   .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
   .slots = lease_slots,
};

/* ---- migrate ---- */

typedef struct {
   py_driver_t driver;
   PyObject *tell; /* (event, name, text, step, n_steps, done, total, ms); None: nobody is told */
} migration_t;

/* With the GIL. Keeps what was raised: the run ends, and then it is raised. */
static void
keep (migration_t *self)
{
   PyObject *type, *value, *trace;

   PyErr_Fetch (&type, &value, &trace);
   PyErr_NormalizeException (&type, &value, &trace);
   if (trace) {
      PyException_SetTraceback (value, trace);
   }
   if (!self->driver.raised) {
      self->driver.raised = Py_NewRef (value);
   }
   Py_XDECREF (type);
   Py_XDECREF (value);
   Py_XDECREF (trace);
}

static void
on_progress (void *user_data, const eclose_migrate_progress_t *progress)
{
   migration_t *self = user_data;
   PyGILState_STATE gil;
   PyObject *text, *done = NULL;

   if (self->tell == Py_None) {
      return;
   }
   gil = PyGILState_Ensure ();
   if (!self->driver.raised) {
      /* The output of a program may be cut in the middle of a character. */
      text = progress->event == ECLOSE_MIGRATE_OUTPUT
                ? PyUnicode_DecodeUTF8 (progress->text, (Py_ssize_t) progress->text_len, "replace")
                : PyUnicode_FromString (progress->text ? progress->text : "");
      if (text) {
         done =
            PyObject_CallFunction (self->tell, "isNnnLLL", (int) progress->event, progress->name ? progress->name : "",
                                   text, (Py_ssize_t) progress->step, (Py_ssize_t) progress->n_steps,
                                   (long long) progress->done, (long long) progress->total, (long long) progress->ms);
      }
      if (!done) {
         keep (self);
      }
      Py_XDECREF (done);
   }
   PyGILState_Release (gil);
}

static bool
is_cancelled (void *user_data)
{
   migration_t *self = user_data;
   PyGILState_STATE gil = PyGILState_Ensure ();
   bool raised;

   if (!self->driver.raised && PyErr_CheckSignals () < 0) {
      keep (self);
   }
   raised = self->driver.raised != NULL;
   PyGILState_Release (gil);
   return raised;
}

/* migrate (project, driver, uri or None, database, options, tell or None) → (eclose_migrated_t, result, exception or
 * None) */
PyObject *
py_migrate (PyObject *module, PyObject *args)
{
   py_state_t *state = PyModule_GetState (module);
   PyObject *project, *driver, *options_bytes, *tell, *answer = NULL, *failure = NULL;
   const char *uri, *database;
   migration_t self;
   eclose_migrate_watch_t watch = {.user_data = &self, .progress = on_progress, .cancelled = is_cancelled};
   eclose_migrated_t outcome;
   bson_error_t error;
   bson_t options, result;

   if (!PyArg_ParseTuple (args, "O!OzsSO:migrate", (PyTypeObject *) state->project_type, &project, &driver, &uri,
                          &database, &options_bytes, &tell) ||
       !py_document (options_bytes, &options)) {
      return NULL;
   }
   self.tell = tell;
   py_driver_init (&self.driver, driver, uri);
   Py_BEGIN_ALLOW_THREADS
   outcome = eclose_migrate (((py_project_t *) project)->project, &self.driver.table, database, &options, &watch,
                             &result, &error);
   Py_END_ALLOW_THREADS
   if (!py_driver_raise (&self.driver)) {
      failure = outcome == ECLOSE_MIGRATED || outcome == ECLOSE_MIGRATE_QUARANTINED
                   ? Py_NewRef (Py_None)
                   : py_error_new (state, &error, NULL, NULL);
   }
   if (failure) {
      answer = Py_BuildValue ("(iNN)", (int) outcome, py_bytes (&result), failure);
   }
   bson_destroy (&result);
   py_driver_cleanup (&self.driver);
   return answer;
}
