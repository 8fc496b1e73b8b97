/* A driver as a world: see driven.h. */
#include "api/driven.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

/* Longest sleep between two questions whether it was cancelled. */
#define NAP_MS 100

typedef struct {
   ecl_world_t world;
   const eclose_driver_t *driver;
   void *connection;
   bool (*cancelled) (void *context);
   void *context;
} driven_t;

static int64_t
driven_now (ecl_world_t *self)
{
   struct timespec t;

   (void) self;
   clock_gettime (CLOCK_BOOTTIME, &t);
   return (int64_t) t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static uint64_t
driven_random (ecl_world_t *self)
{
   uint64_t bits = 0;

   while (getrandom (&bits, sizeof bits, 0) != (ssize_t) sizeof bits) {
      if (errno != EINTR) {
         return (uint64_t) driven_now (self) * 0x9E3779B97F4A7C15u; /* for spreading waits it will do */
      }
   }
   return bits;
}

static bool
driven_cancelled (ecl_world_t *self)
{
   driven_t *driven = (driven_t *) self;

   return driven->cancelled && driven->cancelled (driven->context);
}

static bool
driven_wait (ecl_world_t *self, int64_t ms)
{
   int64_t end = driven_now (self) + ms, left;

   while ((left = end - driven_now (self)) > 0) {
      int64_t nap = left < NAP_MS ? left : NAP_MS;
      struct timespec t = {.tv_sec = nap / 1000, .tv_nsec = nap % 1000 * 1000000};

      if (driven_cancelled (self)) {
         return false;
      }
      nanosleep (&t, NULL);
   }
   return !driven_cancelled (self);
}

static ecl_reply_t
driven_run_command (ecl_world_t *self, const ecl_call_t *command, int64_t deadline, bson_t *reply, bson_error_t *error)
{
   static const eclose_txn_t txns[] = {
      [ECL_TXN_NONE] = ECLOSE_TXN_NONE,         [ECL_TXN_BEGIN] = ECLOSE_TXN_BEGIN,
      [ECL_TXN_CONTINUE] = ECLOSE_TXN_CONTINUE, [ECL_TXN_COMMIT] = ECLOSE_TXN_COMMIT,
      [ECL_TXN_ABORT] = ECLOSE_TXN_ABORT,
   };
   driven_t *driven = (driven_t *) self;
   int64_t left = deadline - driven_now (self);
   bson_error_t ignored;

   error = error ? error : &ignored;
   memset (error, 0, sizeof *error);
   switch (driven->driver->run_command (driven->connection, command->database, command->command, txns[command->txn],
                                        left > 1 ? left : 1, reply, error)) {
   case ECLOSE_REPLY_OK:
      return ECL_REPLY_OK;
   case ECLOSE_REPLY_REFUSED:
      return ECL_REPLY_REFUSED;
   default:
      return ECL_REPLY_LOST;
   }
}

static size_t
driven_sessions (ecl_world_t *self, uint8_t (*ids)[16], size_t max)
{
   driven_t *driven = (driven_t *) self;

   return driven->driver->sessions (driven->connection, ids, max);
}

ecl_world_t *
ecl_driven_new (const eclose_driver_t *driver, int32_t timeout, bool (*cancelled) (void *context), void *context,
                bson_error_t *error)
{
   driven_t *self = bson_malloc0 (sizeof *self);

   self->world = (ecl_world_t){.now = driven_now,
                               .random = driven_random,
                               .wait = driven_wait,
                               .cancelled = driven_cancelled,
                               .run_command = driven_run_command,
                               .sessions = driver->sessions ? driven_sessions : NULL};
   self->driver = driver;
   self->cancelled = cancelled;
   self->context = context;
   self->connection = driver->connect (driver->user_data, timeout, error);
   if (!self->connection) {
      bson_free (self);
      return NULL;
   }
   return &self->world;
}

void
ecl_driven_destroy (ecl_world_t *world)
{
   driven_t *self = (driven_t *) world;

   if (self) {
      self->driver->disconnect (self->driver->user_data, self->connection);
      bson_free (self);
   }
}

static ecl_world_t *
another (void *context, int32_t timeout, bson_error_t *error)
{
   return ecl_driven_new (context, timeout, NULL, NULL, error);
}

static void
end_another (void *context, ecl_world_t *world)
{
   (void) context;
   ecl_driven_destroy (world);
}

ecl_connector_t
ecl_driven_connector (const eclose_driver_t *driver)
{
   return (ecl_connector_t){.context = (void *) driver, .connect = another, .disconnect = end_another};
}

/* ---- who it is ---- */

void
ecl_me_init (ecl_me_t *self, const char *release)
{
   char space[1024];
   struct passwd entry, *found = NULL;

   memset (self, 0, sizeof *self);
   gethostname (self->host, sizeof self->host - 1);
   if (getpwuid_r (getuid (), &entry, space, sizeof space, &found) == 0 && found) {
      snprintf (self->user, sizeof self->user, "%s", found->pw_name);
   }
   snprintf (self->release, sizeof self->release, "%s", release ? release : "");
   self->who = (ecl_who_t){.host = self->host,
                           .user = *self->user ? self->user : NULL,
                           .release = *self->release ? self->release : NULL,
                           .pid = getpid ()};
}

/* ---- options ---- */

static bool
read_opt (const bson_iter_t *iter, const ecl_opt_t *opt, bson_error_t *error)
{
   static const char *const expected[] = {"a boolean", "a number", "a text", "a boolean or a number of milliseconds"};
   bool number = BSON_ITER_HOLDS_NUMBER (iter), truth = BSON_ITER_HOLDS_BOOL (iter);
   int64_t value = number ? bson_iter_as_int64 (iter) : 0;

   switch (opt->kind) {
   case ECL_OPT_BOOL:
      if (truth) {
         *(bool *) opt->to = bson_iter_bool (iter);
         return true;
      }
      break;
   case ECL_OPT_TEXT:
      if (BSON_ITER_HOLDS_UTF8 (iter)) {
         *(const char **) opt->to = bson_iter_utf8 (iter, NULL);
         return true;
      }
      break;
   case ECL_OPT_WAIT:
      if (truth) {
         *(int64_t *) opt->to = bson_iter_bool (iter) ? -1 : 0;
         return true;
      }
      /* fall through */
   case ECL_OPT_NUMBER:
      if (number && value < opt->least) {
         return ecl_fail (error, ECL_DOMAIN_CLI, ECL_ERROR_INVALID, "the option \"%s\": expected at least %" PRId64,
                          opt->name, opt->least);
      }
      /* A time that is added to another must not run over; a wait is not added. */
      if (number && value > INT32_MAX && opt->kind == ECL_OPT_NUMBER) {
         return ecl_fail (error, ECL_DOMAIN_CLI, ECL_ERROR_INVALID, "the option \"%s\": expected at most %d", opt->name,
                          INT32_MAX);
      }
      if (number) {
         *(int64_t *) opt->to = value;
         return true;
      }
      break;
   }
   return ecl_fail (error, ECL_DOMAIN_CLI, ECL_ERROR_INVALID, "the option \"%s\": expected %s", opt->name,
                    expected[opt->kind]);
}

bool
ecl_opts_read (const bson_t *opts, const ecl_opt_t *list, size_t n, bson_error_t *error)
{
   bson_iter_t iter;

   if (!opts) {
      return true;
   }
   if (!bson_iter_init (&iter, opts)) {
      return ecl_fail (error, ECL_DOMAIN_CLI, ECL_ERROR_INVALID, "the options are no document");
   }
   while (bson_iter_next (&iter)) {
      const char *name = bson_iter_key (&iter);
      size_t i = 0;

      while (i < n && strcmp (list[i].name, name) != 0) {
         i++;
      }
      if (i == n) {
         return ecl_fail (error, ECL_DOMAIN_CLI, ECL_ERROR_UNKNOWN_KEY, "there is no option \"%s\"", name);
      }
      if (!read_opt (&iter, &list[i], error)) {
         return false;
      }
   }
   return true;
}
