/* What the files of src/api share: the objects behind libeclose's public handles. */
#ifndef ECL_API_API_PRIVATE_H
#define ECL_API_API_PRIVATE_H

#include <eclose/eclose.h>

#include "upgrade/upgrade.h"

/* A file or a document of the catalog that was added. */
typedef struct ecl_api_source_t ecl_api_source_t;
struct ecl_api_source_t {
   ecl_api_source_t *next;
   char *path; /* "eclose.yaml", "users/0002_split_name.yaml" */
   char *name; /* for messages */
   char *text;
   size_t len;
   bool published; /* in eclose_catalog */
   char *from;     /* published: what ecl_catalog_from says */
};

/* A function that was added; the context of the engine's function. */
typedef struct ecl_api_function_t ecl_api_function_t;
struct ecl_api_function_t {
   ecl_api_function_t *next;
   char *collection, *version;
   eclose_direction_t direction;
   eclose_function_t function;
   void *user_data;
   char leads_to[ECL_VERSION_TEXT]; /* once loaded: what eclose_context_version says */
};

struct _eclose_project_t {
   char *folder;
   ecl_api_source_t *sources; /* in the order of adding */
   ecl_api_source_t **last_source;
   ecl_api_function_t *functions; /* in the order of adding */
   ecl_api_function_t **last_function;
   bool tried, loaded;
   ecl_project_t *project;
   ecl_upgrades_t *upgrades;
   bson_t *problems;
};

/* What stands before the path of a published file in messages. */
#define ECL_API_CATALOG "eclose_catalog/"

/* The last version of the program's own migrations; see eclose_upgrader_new. */
ecl_version_t
ecl_api_own_target (const ecl_chain_t *chain);

/* Calls the public function; the run of an ecl_function_t. */
bool
ecl_api_call (void *context, ecl_eval_t *ev, const bson_t *in, bson_t *out, bson_error_t *error);

#endif
