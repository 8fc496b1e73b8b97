/* Project: eclose.yaml, migration files, chains, and all that can be wrong with them.
 *
 *    configuration ──► ecl_project_configure ─┐
 *    migration     ──► ecl_project_add ───────┼─► ecl_project_link ──► chains
 *    migration     ──► ecl_project_add ───────┘
 *
 * A project is made of texts with names; where they come from (a folder, memory, the database) is the caller's matter.
 * folder.h reads them from a folder. Every problem of every file is added to the caller's diagnostics with its place;
 * nothing is skipped, nothing is guessed.
 *
 * Once linked a project never changes and may be read by many threads. It owns all that its chains point to.
 */
#ifndef ECL_PROJECT_PROJECT_H
#define ECL_PROJECT_PROJECT_H

#include "mql/plan.h"
#include "project/version.h"
#include "project/work.h"
#include "text/text.h"

/* A way of a step: stages as data, or a function of the host language. */
typedef enum {
   ECL_WAY_NONE,         /* not said */
   ECL_WAY_IRREVERSIBLE, /* said to be impossible, on purpose */
   ECL_WAY_PIPELINE,
   ECL_WAY_FUNCTION, /* added by the program that loads the project */
} ecl_way_kind_t;

typedef struct {
   ecl_way_kind_t kind;
   ecl_value_t stages;      /* PIPELINE: a raw array in the step's text */
   ecl_function_t function; /* FUNCTION */
   const uint8_t *at;       /* its element, for messages */
} ecl_way_t;

typedef struct {
   ecl_value_t in, out; /* raw documents in the step's text */
   ecl_version_t to;    /* the version of `out`; the step's, unless told otherwise */
   const uint8_t *at;
} ecl_example_t;

/* A document migration: from the version before to `to`. */
typedef struct {
   ecl_version_t from, to;
   ecl_value_t stamp;       /* what is written into the version field for `to` */
   const char *name;        /* of the file, without folder and ending: "0002_split_name" */
   const char *file;        /* for messages: "migrations/users/0002_split_name.yaml" */
   const char *description; /* "" where there is none */
   ecl_way_t up, down;
   ecl_value_t schema; /* a raw document, or missing */
   const uint8_t *schema_at;
   const ecl_example_t *examples;
   size_t n_examples;
   const ecl_text_t *text; /* what the pointers above point into: see ecl_text_locate */
} ecl_step_t;

/* How the version of a document without version field is found: the first filter that matches. */
typedef struct {
   ecl_version_t version;
   ecl_value_t filter; /* a raw document in the configuration's text */
   const uint8_t *at;
} ecl_detect_t;

/* A collection: where its documents keep their version, and its migrations in order. */
typedef struct {
   const char *collection;
   const char *version_field; /* dotted */
   ecl_version_format_t format;
   bool has_unversioned; /* documents without version that no filter detects have one: */
   ecl_version_t unversioned;
   const ecl_detect_t *detect;
   size_t n_detect;
   bool has_floor;      /* `floor` is set: what is below it is gone, and so may its migrations be */
   ecl_version_t floor; /* the lowest version of the chain */
   ecl_value_t floor_stamp;
   ecl_version_t target;    /* the end of the chain; the floor where there are no steps */
   const ecl_step_t *steps; /* steps[i].from == (i ? steps[i - 1].to : floor) */
   size_t n_steps;
   const ecl_text_t *config_text; /* of `detect`; NULL where there is no configuration */
} ecl_chain_t;

typedef const char *(*ecl_getenv_fn) (void *ctx, const char *name);

/* What the command line said; NULL where it said nothing. It wins over the environment (ECLOSE_URI, then MONGODB_URI;
 * ECLOSE_DATABASE; ECLOSE_MIGRATIONS), and that over the file. Texts are copied. */
typedef struct {
   const char *uri;
   const char *database;
   const char *migrations;
   ecl_getenv_fn getenv; /* NULL: the environment is not looked at */
   void *getenv_ctx;
} ecl_project_options_t;

typedef struct ecl_project_t ecl_project_t;

ecl_project_t *
ecl_project_new (const ecl_project_options_t *options);

void
ecl_project_destroy (ecl_project_t *self);

/* Reads eclose.yaml, once, before the first migration. Without it all is as if the file were empty. False where
 * something was wrong; the project may still be given its migrations, so that one run finds every problem. */
bool
ecl_project_configure (ecl_project_t *self, const ecl_text_source_t *source, ecl_diags_t *diags);

/* Whether its configuration is all right: what else was wrong is about migrations. */
bool
ecl_project_is_configured (const ecl_project_t *self);

/* Adds a migration. path is its place below the migrations folder, "users/0002_split_name.yaml"; source->name is what
 * messages call it. False where something was wrong with it. */
bool
ecl_project_add (ecl_project_t *self, const char *path, const ecl_text_source_t *source, ecl_diags_t *diags);

/* Adds a function as the way of a collection up to a version (as a user writes it) or down from it. Where a file leads
 * to that version, too, it must not say that way itself; `up` it always says. False where something was wrong. */
bool
ecl_project_add_function (ecl_project_t *self, const char *collection, const char *to, bool up,
                          const ecl_function_t *function, ecl_diags_t *diags);

/* Adds a document migration that some release published, for what this program does not know itself. What leads to a
 * version to which the program has a way of its own is not used. What is wrong, or leads from a version that is not
 * there, is left out, with a warning and with all that is published behind it: the program goes on with what it knows.
 * from is the version that it leads from, as text; NULL where that is not said. */
void
ecl_project_add_published (ecl_project_t *self, const char *path, const char *from, const ecl_text_source_t *source,
                           ecl_diags_t *diags);

/* Adds an executable of the migrations folder: a database migration. source->name is where it is; its bytes are only
 * summed. */
bool
ecl_project_add_program (ecl_project_t *self, const char *path, const ecl_text_source_t *source, ecl_diags_t *diags);

/* Puts the chains in order and checks them; after the last file. False where something was wrong with them. */
bool
ecl_project_link (ecl_project_t *self, ecl_diags_t *diags);

/* Settings after precedence; NULL where nobody said. */
const char *
ecl_project_uri (const ecl_project_t *self);

const char *
ecl_project_database (const ecl_project_t *self);

/* "migrations" where nobody said. *from_file: it stands in the configuration, so it is relative to that. */
const char *
ecl_project_migrations (const ecl_project_t *self, bool *from_file);

/* The command of `hooks` for an event: "start", "throttle", "pause", "resume", "failure" or "end"; NULL where there is
 * none. */
const char *
ecl_project_hook (const ecl_project_t *self, const char *event);

/* `throttle`: how gently documents are written. What is not said is 0. */
typedef struct {
   double max_documents, max_bytes;         /* per second */
   double max_latency;                      /* times the calm time */
   int64_t batch_time, max_lag, min_window; /* ms */
} ecl_pace_t;

const ecl_pace_t *
ecl_project_pace (const ecl_project_t *self);

/* All collections that have migrations or settings, by name. */
const ecl_chain_t *
ecl_project_chains (const ecl_project_t *self, size_t *n);

/* NULL where the project does not know the collection. */
const ecl_chain_t *
ecl_project_chain (const ecl_project_t *self, const char *collection);

/* The settings of a collection that the project does not name: a chain without steps, name "". Its texts belong to the
 * project. */
ecl_chain_t
ecl_project_default_chain (const ecl_project_t *self);

/* Why it cannot be the name of a collection that is migrated; NULL where it can. */
const char *
ecl_project_bad_collection (const char *name, size_t len);

/* All database migrations, by name: the order in which they run. */
const ecl_work_t *
ecl_project_works (const ecl_project_t *self, size_t *n);

/* NULL where there is none of that name. */
const ecl_work_t *
ecl_project_work (const ecl_project_t *self, const char *name);

/* The place of a version on the chain: 0 is the floor, i the result of steps[i - 1]. False where it is not on it. */
bool
ecl_chain_index (const ecl_chain_t *self, ecl_version_t version, size_t *index);

/* The version at a place; index <= n_steps. */
ecl_version_t
ecl_chain_version (const ecl_chain_t *self, size_t index);

/* What is written into the version field for the version at a place. */
const ecl_value_t *
ecl_chain_stamp (const ecl_chain_t *self, size_t index);

/* A version as a user writes it ("3", "1.2.0"), found on the chain. */
bool
ecl_chain_parse_version (const ecl_chain_t *self, const char *text, ecl_version_t *version, bson_error_t *error);

/* The step whose text holds the pointer (a node of a plan of that chain); NULL where none does. */
const ecl_step_t *
ecl_chain_step_at (const ecl_chain_t *self, const uint8_t *at);

#endif
