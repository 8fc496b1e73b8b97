/* Driven: a public driver (eclose/driver.h) as a world, and what leases and migrations share. */
#ifndef ECL_API_DRIVEN_H
#define ECL_API_DRIVEN_H

#include <eclose/driver.h>

#include "run/heartbeat.h"

/* NULL with an error where the driver cannot connect. cancelled may be NULL. timeout as in the driver. */
ecl_world_t *
ecl_driven_new (const eclose_driver_t *driver, int32_t timeout, bool (*cancelled) (void *context), void *context,
                bson_error_t *error);

void
ecl_driven_destroy (ecl_world_t *self);

/* More connections of the driver, which outlives the connector. */
ecl_connector_t
ecl_driven_connector (const eclose_driver_t *driver);

/* ---- who it is ---- */

typedef struct {
   ecl_who_t who; /* points into self: it must not be moved */
   char host[256], user[64], release[64];
} ecl_me_t;

void
ecl_me_init (ecl_me_t *self, const char *release);

/* ---- options ---- */

typedef enum { ECL_OPT_BOOL, ECL_OPT_NUMBER, ECL_OPT_TEXT, ECL_OPT_WAIT } ecl_opt_kind_t;

/* One option: the kind says what `to` points to. */
typedef struct {
   const char *name;
   ecl_opt_kind_t kind;
   int64_t least; /* of a number */
   void *to;      /* bool, int64_t, const char * (borrowed from opts), int64_t (true: -1, false: 0) */
} ecl_opt_t;

/* opts may be NULL. False with an error of ECL_DOMAIN_CLI for what is not in the list, or of another type. */
bool
ecl_opts_read (const bson_t *opts, const ecl_opt_t *list, size_t n, bson_error_t *error) ECL_MUST_CHECK;

#endif
