/* The simulated server: documents in memory, what is current and what the majority has. See sim.h. */
#ifndef ECL_SIM_SERVER_H
#define ECL_SIM_SERVER_H

#include "engine.h"

#include "run/world.h"

#define MAX_COLLECTIONS 12
#define MAX_CURSORS 32

/* Since when, at most, a new primary does not know what the majority has. */
#define HIDDEN_MS 1000
#define MAX_PROCESSES 16

/* The collection that stands for what the server knows of collections: {_id: name, validator, …}. */
#define SERVER_OPTIONS "sim.options"

typedef struct collection_t collection_t;
typedef struct txn_t txn_t;

/* A place for a document of one _id. */
typedef struct {
   collection_t *collection;
   blob_t *key;      /* {_id} */
   ecl_value_t id;   /* in key */
   blob_t *current;  /* what the primary has; NULL: no such document */
   blob_t *majority; /* what is safe */
   bool hidden;      /* the primary does not know that yet: it shows… */
   blob_t *shown;
   int64_t version;  /* of the server when it changed last */
   txn_t *lock;      /* an open transaction that wrote it */
   blob_t *buffered; /* what that wrote */
} slot_t;

typedef struct {
   char fields[4][24];
   size_t n;
   int64_t safe;
} unique_t;

struct collection_t {
   char name[32];
   slot_t **slots; /* in the order of their ids */
   size_t n, cap;
   unique_t unique[2];
   size_t n_unique;
};

struct txn_t {
   int64_t number, committed;
   int64_t safe; /* when the majority has what was committed last */
   bool open;
   int64_t began;   /* true time */
   int64_t version; /* of the server then */
   slot_t **slots;
   size_t n, cap;
};

typedef struct {
   int64_t id; /* 0: unused */
   int64_t epoch;
   int owner; /* process */
   char collection[32];
   bool majority, lazy, sizes;
   blob_t *filter, *after; /* lazy: a find in the order of _id; {_id} of the last one that it gave */
   int64_t left;           /* of its limit */
   rows_t rows;            /* else */
   size_t at;
} cursor_t;

typedef struct {
   slot_t *slot;
   blob_t *value;  /* NULL: removed */
   blob_t *before; /* what the majority had until it had that */
   int64_t safe;   /* when the majority has it */
} pending_t;

typedef struct {
   collection_t collections[MAX_COLLECTIONS];
   size_t n;
   pending_t *pending; /* in the order of the oplog; those before the first are the majority's, not for long yet */
   size_t first, n_pending, cap_pending;
   int64_t hides_from, hides_until; /* what the majority has had since then it does not know; 0: it does */
   int64_t hid_until;               /* the last such time */
   txn_t txns[MAX_PROCESSES];       /* of each process's session */
   cursor_t cursors[MAX_CURSORS];
   int64_t last_cursor, last_id;
   int64_t version;
   int64_t offset; /* its clock minus true time */
   int64_t down_until;
   bool dark;         /* while it is down nobody answers at all; else it says that it is no primary */
   int64_t last_safe; /* of what was written last */
} server_t;

typedef struct sim_t sim_t;
typedef struct process_t process_t;

/* Who sent a command and what was true of it then; goes with it. */
typedef struct {
   process_t *process; /* NULL: somebody at the server */
   int64_t token;      /* of the sender's lease */
   int64_t sent, arrived;
   int64_t left; /* maxTimeMS */
   bool effect;  /* work of a migration: a statement on what is not eclose's own */
   bool heart;
   bool heard;    /* its sender still waits when it is executed */
   int64_t knows; /* a read waits until the primary knows what the majority had by then */
   ecl_txn_t txn;
   int64_t txn_number;
   int64_t note; /* of the story: story_t.sent */
   uint8_t session[16];
} sender_t;

/* A command while it is executed. */
typedef struct {
   server_t *server;
   sim_t *sim;
   const sender_t *sender;
   ecl_value_t command;
   const char *name;
   collection_t *collection;
   txn_t *txn; /* the open one that it belongs to */
   int64_t now, lag;
   int64_t clock; /* the server's */
   bson_t *reply;
} execution_t;

void
server_init (server_t *self);

void
server_cleanup (server_t *self);

/* Executes a command at true time `now`. False where it has to wait for a transaction: nothing happened. Else the reply
 * is initialised, *code is 0 or why it was refused, *safe is when it may be answered. Calls check_write for each
 * change. */
bool
server_execute (server_t *self, sim_t *sim, const sender_t *sender, const bson_t *command, int64_t now, int64_t lag,
                bson_t *reply, int32_t *code, int64_t *safe) ECL_MUST_CHECK;

/* What has been long enough on its way is the majority's now. */
void
server_settle (server_t *self, int64_t now);

/* Whatever is on its way is so, since now. */
void
server_settle_all (server_t *self, int64_t now);

/* Another primary: transactions and cursors are gone. */
void
server_step_down (server_t *self);

/* The primary loses what the majority does not have; how many writes that were. */
size_t
server_roll_back (server_t *self, int64_t now);

/* A new primary has all that the majority has had since then, and does not know until then that it has: reads with
 * majority do not see it, and what is written has to wait for that. */
void
server_hide (server_t *self, int64_t from, int64_t until);

/* NULL where there is none. */
const blob_t *
server_get (const server_t *self, const char *collection, const ecl_value_t *id, bool majority);

const blob_t *
server_get_text (const server_t *self, const char *collection, const char *id, bool majority);

/* All documents of a collection, to walk through. */
const collection_t *
server_collection (const server_t *self, const char *name);

/* Puts a document there before all begins. */
void
server_put (server_t *self, const char *collection, blob_t *document);

void
server_remove (server_t *self, const char *collection, const char *id, int64_t now);

/* The files of the server among themselves. */
collection_t *
server_place (server_t *self, const char *name);

slot_t *
server_slot (collection_t *collection, const ecl_value_t *id, bool make);

/* The first place behind that _id. */
size_t
server_behind (const collection_t *collection, const ecl_value_t *id);

/* From which place to before which the documents are that the filter can match, as far as bounds of _id say. */
void
server_span (const collection_t *collection, const ecl_value_t *filter, size_t *from, size_t *end);

const blob_t *
server_seen (const execution_t *self, const slot_t *slot, bool majority);

/* Writes it, or keeps it for the transaction; takes the reference. False, with the code, in a write conflict or where a
 * unique index or a validator refuses it. */
bool
server_write (execution_t *self, slot_t *slot, blob_t *value, int32_t *code);

void
server_abort (server_t *self, txn_t *txn);

int32_t
server_run_write (execution_t *self);

int32_t
server_run_read (execution_t *self);

int32_t
server_run_options (execution_t *self);

/* Whether the collection's validator takes the document that comes to that place. */
bool
server_lets_in (const execution_t *self, const slot_t *slot, const blob_t *document);

/* Fields of a command; missing where it has none. */
ecl_value_t
command_get (const execution_t *self, const char *field);

#endif
