/* pymongo as the driver of libeclose: its commands go through an object of eclose/_driver.py.
 *
 *    object.connect (timeout) → connection
 *    connection.run (database, command, txn, limit) → (eclose_reply_t, reply or None, code, message)
 *    connection.sessions () → ids, 16 bytes each
 *    connection.close ()
 *
 * Called without the GIL, by the thread that called the library and by its heartbeats; it is taken here. What no
 * command can be blamed for (Ctrl-C while one runs) is kept, and raised when the library has come back.
 */
#include "module.h"

#include <string.h>

typedef struct {
   PyObject *object;
   py_driver_t *driver;
} connection_t;

/* Takes the exception that is set. The first that is no Exception is raised at the end. */
static void
take_exception (py_driver_t *self, bson_error_t *error)
{
   PyObject *type, *value, *trace, *said;
   const char *text;

   PyErr_Fetch (&type, &value, &trace);
   PyErr_NormalizeException (&type, &value, &trace);
   if (trace) {
      PyException_SetTraceback (value, trace);
   }
   said = PyObject_Str (value);
   text = said ? PyUnicode_AsUTF8AndSize (said, NULL) : NULL;
   bson_set_error (error, ECLOSE_ERROR_RUN, ECLOSE_CODE_SERVER, "%s", text && *text ? text : "the driver failed");
   PyErr_Clear ();
   if (!self->raised && !PyObject_IsInstance (value, PyExc_Exception)) {
      self->raised = Py_NewRef (value);
      if (self->lease) {
         eclose_lease_cancel (self->lease);
      }
   }
   Py_XDECREF (said);
   Py_XDECREF (type);
   Py_XDECREF (value);
   Py_XDECREF (trace);
}

static void *
connect_to (void *user_data, int32_t timeout, bson_error_t *error)
{
   py_driver_t *self = user_data;
   connection_t *connection = NULL;
   PyGILState_STATE gil = PyGILState_Ensure ();
   PyObject *object = PyObject_CallMethod (self->object, "connect", "i", (int) timeout);

   if (object) {
      connection = bson_malloc0 (sizeof *connection);
      *connection = (connection_t){.object = object, .driver = self};
   } else {
      take_exception (self, error);
   }
   PyGILState_Release (gil);
   return connection;
}

static void
disconnect (void *user_data, void *data)
{
   connection_t *connection = data;
   PyGILState_STATE gil = PyGILState_Ensure ();
   PyObject *done = PyObject_CallMethod (connection->object, "close", NULL);
   bson_error_t ignored;

   if (!done) {
      take_exception (user_data, &ignored);
   }
   Py_XDECREF (done);
   Py_DECREF (connection->object);
   PyGILState_Release (gil);
   bson_free (connection);
}

/* What connection.run gave. */
static eclose_reply_t
take_answer (PyObject *answer, bson_t *reply, bson_error_t *error)
{
   PyObject *bytes = NULL;
   const char *message;
   unsigned int code;
   bson_t document;
   int kind;

   if (!PyArg_ParseTuple (answer, "iOIs", &kind, &bytes, &code, &message)) {
      return ECLOSE_REPLY_LOST;
   }
   if (bytes != Py_None) {
      if (!py_document (bytes, &document)) {
         return ECLOSE_REPLY_LOST;
      }
      bson_concat (reply, &document);
   }
   if (kind != ECLOSE_REPLY_OK) {
      bson_set_error (error, ECLOSE_ERROR_RUN, code, "%s", message);
   }
   return (eclose_reply_t) kind;
}

static eclose_reply_t
run_command (void *data, const char *database, const bson_t *command, eclose_txn_t txn, int64_t limit, bson_t *reply,
             bson_error_t *error)
{
   static const uint8_t nothing[] = {5, 0, 0, 0, 0};
   connection_t *connection = data;
   bool empty = txn == ECLOSE_TXN_COMMIT || txn == ECLOSE_TXN_ABORT;
   const uint8_t *bytes = empty ? nothing : bson_get_data (command);
   Py_ssize_t len = empty ? (Py_ssize_t) sizeof nothing : (Py_ssize_t) command->len;
   eclose_reply_t result = ECLOSE_REPLY_LOST;
   PyGILState_STATE gil;
   PyObject *answer;

   bson_init (reply);
   gil = PyGILState_Ensure ();
   answer = PyObject_CallMethod (connection->object, "run", "sy#iL", database, (const char *) bytes, len, (int) txn,
                                 (long long) limit);
   if (answer) {
      result = take_answer (answer, reply, error);
      Py_DECREF (answer);
   }
   if (PyErr_Occurred ()) {
      take_exception (connection->driver, error);
      result = ECLOSE_REPLY_LOST;
   }
   PyGILState_Release (gil);
   return result;
}

static size_t
sessions (void *data, uint8_t (*ids)[16], size_t max)
{
   connection_t *connection = data;
   PyGILState_STATE gil = PyGILState_Ensure ();
   PyObject *found = PyObject_CallMethod (connection->object, "sessions", NULL);
   bson_error_t ignored;
   Py_ssize_t len = 0;
   size_t n = 0;
   char *bytes;

   if (found && PyBytes_AsStringAndSize (found, &bytes, &len) == 0) {
      for (; n < max && len >= (Py_ssize_t) (16 * (n + 1)); n++) {
         memcpy (ids[n], bytes + 16 * n, 16);
      }
   }
   if (PyErr_Occurred ()) {
      take_exception (connection->driver, &ignored);
   }
   Py_XDECREF (found);
   PyGILState_Release (gil);
   return n;
}

void
py_driver_init (py_driver_t *self, PyObject *object, const char *uri)
{
   *self = (py_driver_t){.object = Py_NewRef (object)};
   self->uri = bson_strdup (uri);
   self->table = (eclose_driver_t){.user_data = self,
                                   .uri = self->uri,
                                   .connect = connect_to,
                                   .disconnect = disconnect,
                                   .run_command = run_command,
                                   .sessions = sessions};
}

void
py_driver_cleanup (py_driver_t *self)
{
   Py_CLEAR (self->object);
   Py_CLEAR (self->raised);
   bson_free (self->uri);
   self->uri = NULL;
}

bool
py_driver_raise (py_driver_t *self)
{
   PyObject *raised = self->raised;

   if (raised) {
      self->raised = NULL;
      PyErr_SetObject ((PyObject *) Py_TYPE (raised), raised);
      Py_DECREF (raised);
   }
   return raised != NULL;
}
