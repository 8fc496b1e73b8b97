/* The public lease: a holder, its heartbeat, and a world for the two of them. See eclose/lease.h. */
#include <eclose/lease.h>

#include "api/driven.h"

#include <unistd.h>

/* Shorter ones are lost by a moment's load: a third of it goes by between two renewals. */
#define SHORTEST_MS 300

struct _eclose_lease_t {
   const eclose_driver_t *driver;
   pid_t process; /* whose it is */
   ecl_me_t me;
   ecl_world_t *world; /* of the thread that acquires and releases */
   ecl_holder_t holder;
   ecl_connector_t connector;
   ecl_heartbeat_t *heartbeat;
   bool beats;
   _Atomic bool cancelled;
};

static bool
is_cancelled (void *context)
{
   return atomic_load (&((eclose_lease_t *) context)->cancelled);
}

/* A child of a fork has the memory of its parent's lease, but neither its thread nor its connections. */
static bool
is_inherited (const eclose_lease_t *self)
{
   return self->process != getpid ();
}

static bool
refuse_inherited (const eclose_lease_t *self, bson_error_t *error)
{
   return ecl_fail (error, ECL_DOMAIN_STORE, ECL_ERROR_LEASE,
                    "the lease \"%s\" is of the process that made it, not of its child: make another",
                    self->holder.name);
}

static int64_t
now (const eclose_lease_t *self)
{
   return self->world->now (self->world); /* asks the clock alone: any thread may */
}

eclose_lease_t *
eclose_lease_new (const eclose_driver_t *driver, const char *database, const char *name, const bson_t *opts,
                  bson_error_t *error)
{
   ecl_holder_options_t options = {.database = database, .name = name, .skew = -1};
   const char *release = NULL;
   bool beats = true;
   const ecl_opt_t list[] = {
      {"time", ECL_OPT_NUMBER, SHORTEST_MS, &options.time},
      {"max_clock_skew", ECL_OPT_NUMBER, 0, &options.skew},
      {"heartbeat", ECL_OPT_BOOL, 0, &beats},
      {"release", ECL_OPT_TEXT, 0, &release},
   };
   eclose_lease_t *self;

   if (!ecl_opts_read (opts, list, sizeof list / sizeof *list, error)) {
      return NULL;
   }
   if (!*name || !*database) {
      ecl_fail (error, ECL_DOMAIN_CLI, ECL_ERROR_INVALID, "a lease needs a name, and a database");
      return NULL;
   }
   self = bson_malloc0 (sizeof *self);
   self->driver = driver;
   self->process = getpid ();
   self->beats = beats;
   self->connector = ecl_driven_connector (driver);
   ecl_me_init (&self->me, release);
   options.who = self->me.who;
   ecl_holder_init (&self->holder, &options);
   self->world = ecl_driven_new (driver, 0, is_cancelled, self, error);
   if (!self->world) {
      eclose_lease_destroy (self);
      return NULL;
   }
   return self;
}

void
eclose_lease_destroy (eclose_lease_t *self)
{
   if (self && !is_inherited (self)) {
      if (self->world) {
         eclose_lease_release (self);
      }
      ecl_driven_destroy (self->world);
      ecl_holder_cleanup (&self->holder);
      bson_free (self);
   }
}

eclose_acquired_t
eclose_lease_acquire (eclose_lease_t *self, int64_t wait, bson_error_t *error)
{
   if (is_inherited (self)) {
      refuse_inherited (self, error);
      return ECLOSE_LEASE_FAILED;
   }
   if (eclose_lease_held (self)) {
      ecl_fail (error, ECL_DOMAIN_CLI, ECL_ERROR_INVALID, "the lease \"%s\" is held already", self->holder.name);
      return ECLOSE_LEASE_FAILED;
   }
   ecl_heartbeat_stop (self->heartbeat); /* of a grant that was lost */
   self->heartbeat = NULL;
   switch (ecl_holder_acquire (&self->holder, self->world, wait, NULL, NULL, error)) {
   case ECL_ACQUIRED:
      break;
   case ECL_ACQUIRE_BUSY:
      return ECLOSE_LEASE_BUSY;
   default:
      return ECLOSE_LEASE_FAILED;
   }
   if (self->beats) {
      self->heartbeat = ecl_heartbeat_start (&self->connector, &self->holder, error);
      if (!self->heartbeat) {
         ecl_holder_release (&self->holder, self->world);
         return ECLOSE_LEASE_FAILED;
      }
   }
   return ECLOSE_LEASE_ACQUIRED;
}

void
eclose_lease_cancel (eclose_lease_t *self)
{
   atomic_store (&self->cancelled, true);
}

int64_t
eclose_lease_left (const eclose_lease_t *self)
{
   return is_inherited (self) ? 0 : ecl_holder_left (&self->holder, now (self));
}

bool
eclose_lease_held (const eclose_lease_t *self)
{
   return eclose_lease_left (self) > 0;
}

int64_t
eclose_lease_token (const eclose_lease_t *self)
{
   return ecl_holder_token (&self->holder);
}

bool
eclose_lease_lost (const eclose_lease_t *self)
{
   return eclose_lease_token (self) > 0 && !eclose_lease_held (self);
}

bool
eclose_lease_renew (eclose_lease_t *self, bson_error_t *error)
{
   if (is_inherited (self)) {
      return refuse_inherited (self, error);
   }
   if (self->beats && eclose_lease_held (self)) {
      return true;
   }
   if (!eclose_lease_token (self)) {
      return ecl_fail (error, ECL_DOMAIN_STORE, ECL_ERROR_LEASE, "the lease \"%s\" is not held", self->holder.name);
   }
   /* Says that it is lost where it is. */
   return ecl_holder_renew (&self->holder, self->world, error);
}

void
eclose_lease_release (eclose_lease_t *self)
{
   if (is_inherited (self)) {
      return;
   }
   ecl_heartbeat_stop (self->heartbeat);
   self->heartbeat = NULL;
   ecl_holder_release (&self->holder, self->world);
}

static void
append_text (bson_t *to, const char *name, const char *text)
{
   if (*text) {
      bson_append_utf8 (to, name, -1, text, -1);
   }
}

bool
eclose_lease_holder (eclose_lease_t *self, bson_t *holder, bson_error_t *error)
{
   ecl_lease_t lease;
   bool found;

   bson_init (holder);
   if (is_inherited (self)) {
      return refuse_inherited (self, error);
   }
   if (!ecl_holder_look (&self->holder, self->world, &found, &lease, error)) {
      return false;
   }
   BSON_APPEND_BOOL (holder, "held", found && lease.held);
   BSON_APPEND_INT64 (holder, "token", found ? lease.token : 0);
   if (found && lease.held) {
      append_text (holder, "host", lease.host);
      BSON_APPEND_INT64 (holder, "pid", lease.pid);
      append_text (holder, "user", lease.user);
      append_text (holder, "release", lease.release);
      BSON_APPEND_DATE_TIME (holder, "granted", lease.granted);
      BSON_APPEND_DATE_TIME (holder, "renewed", lease.renewed);
      BSON_APPEND_DATE_TIME (holder, "expires", lease.expires);
   }
   return true;
}
