/* eclose: documents of MongoDB, in the shape that a program was written for.
 *
 *    eclose_project_t *project = eclose_project_new_from_folder (".", &error);
 *    eclose_upgrader_t *users = eclose_upgrader_new (project, "users", NULL, &error);
 *
 *    while (mongoc_cursor_next (cursor, &stored)) {
 *       if (!eclose_upgrader_run (users, stored, &user, &error)) { … }
 *
 * This library needs libbson and opens no connection; <eclose/mongoc.h> does, for programs that use libmongoc. Leases
 * and migrations work through a driver that the program brings.
 *
 * Threads: a project, once loaded, may be used by all; an upgrader by one at a time. There are no globals, no signal
 * handlers, and nothing is written to standard error. Out of memory aborts, as in libbson.
 *
 * Since 0.1.0.
 */
#ifndef ECLOSE_H
#define ECLOSE_H

#include <eclose/driver.h>
#include <eclose/error.h>
#include <eclose/export.h>
#include <eclose/function.h>
#include <eclose/lease.h>
#include <eclose/migrate.h>
#include <eclose/project.h>
#include <eclose/upgrader.h>
#include <eclose/version.h>

ECLOSE_BEGIN_DECLS

/* The version of the library that runs, "0.1.0"; ECLOSE_VERSION is that of the headers. Static storage. */
ECLOSE_EXPORT (const char *)
eclose_version (void);

ECLOSE_END_DECLS

#endif
