/* Driver: how libeclose reaches a server, through whatever driver the program has.
 *
 * For leases (eclose/lease.h) and migrations (eclose/migrate.h). Programs with libmongoc take the one of
 * <eclose/mongoc.h>, eclose_driver_new(); others, and bindings, fill in this table.
 *
 * A connection is used by one thread at a time; different ones by different threads at once: a lease is renewed on one
 * of its own. Commands are whole: read and write concerns stand in them, and they go to the primary whatever the
 * driver's settings say. The driver repeats nothing by itself; where it does not know whether a command took effect it
 * says so, and libeclose asks again where that is right.
 *
 * Since 0.1.0.
 */
#ifndef ECLOSE_DRIVER_H
#define ECLOSE_DRIVER_H

#include <bson/bson.h>
#include <eclose/export.h>

ECLOSE_BEGIN_DECLS

typedef enum {
   ECLOSE_REPLY_OK,      /* the server answered ok: 1; writes may still have failed one by one (writeErrors) */
   ECLOSE_REPLY_REFUSED, /* the server answered ok: 0; error->code is the server's */
   ECLOSE_REPLY_LOST     /* no answer: whether the command took effect is unknown */
} eclose_reply_t;

typedef enum {
   ECLOSE_TXN_NONE,
   ECLOSE_TXN_BEGIN, /* the first command of a transaction: read concern snapshot, write concern majority. One that is
                      * open on this connection is aborted first */
   ECLOSE_TXN_CONTINUE, /* a later command of it */
   ECLOSE_TXN_COMMIT,   /* the command is ignored, and may be NULL */
   ECLOSE_TXN_ABORT     /* likewise; where none is open that is no error */
} eclose_txn_t;

typedef struct _eclose_driver_t eclose_driver_t;

struct _eclose_driver_t {
   void *user_data;

   /* What is given to migrations that are programs of their own, as ECLOSE_URI. NULL: such migrations are refused. */
   const char *uri;

   /* A new connection, or NULL with an error. timeout, in milliseconds, is how long to wait for a server, and for an
    * answer of it, before the command counts as lost; 0: as the driver is set up, and longer than any limit of
    * run_command. */
   void *(*connect) (void *user_data, int32_t timeout, bson_error_t *error);

   /* Ends a connection that connect gave, and frees what it holds; none of its commands is under way. */
   void (*disconnect) (void *user_data, void *connection);

   /* Sends one command to the primary, in the connection's session. limit, in milliseconds from the call, becomes its
    * maxTimeMS unless the command has one or takes none (getMore, killCursors, hello, ping): less what it took to find
    * the server, and where nothing is left it is not sent, and lost. *reply is initialised in any case; libeclose
    * destroys it. error is filled where the result is not ECLOSE_REPLY_OK. */
   eclose_reply_t (*run_command) (void *connection, const char *database, const bson_t *command, eclose_txn_t txn,
                                  int64_t limit, bson_t *reply, bson_error_t *error);

   /* The ids of the sessions that the connection's commands come in (lsid.id), 16 bytes each, at most max; how many
    * they are. With them, whoever takes a lease over from a process that died ends what that left running at the
    * server. NULL where there are none. */
   size_t (*sessions) (void *connection, uint8_t (*ids)[16], size_t max);

   void *reserved[8]; /* NULL */
};

ECLOSE_END_DECLS

#endif
