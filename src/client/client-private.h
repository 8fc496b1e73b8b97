/* What the files of libeclose-mongoc share. They stand on libeclose's public functions alone. */
#ifndef ECL_CLIENT_CLIENT_PRIVATE_H
#define ECL_CLIENT_CLIENT_PRIVATE_H

#include <eclose/mongoc.h>

/* Upgraders that a handle keeps for its next cursors. */
#define ECL_SPARE_UPGRADERS 4

struct _eclose_collection_t {
   const eclose_project_t *project;
   mongoc_client_t *client;
   char *database, *name, *target;
   mongoc_collection_t *collection;
   eclose_loader_t loader;
   eclose_upgrader_t *own; /* for what the handle itself does; cursors have theirs */
   eclose_upgrader_t *spare[ECL_SPARE_UPGRADERS];
   size_t n_spare;
   bool write_back;
   bool loads;      /* upgrades look documents up */
   bson_t *session; /* {sessionId} of what is being read: what that looks up is read there, too; {}: none */
   bool asked_collation, has_collation;
};

struct _eclose_document_t {
   bson_t *stored;  /* NULL: gone */
   bson_t *current; /* NULL: the same bytes as stored */
};

/* Fills the error and returns false. */
bool
ecl_client_fail (bson_error_t *error, uint32_t domain, uint32_t code, const char *format, ...)
   __attribute__ ((format (printf, 4, 5)));

/* Whether options of a find leave documents as they are stored: what lacks fields cannot be upgraded. */
bool
ecl_client_find_whole (const bson_t *opts, bson_error_t *error);

/* Before the first stage of {pipeline: […]} or of an array; false where it is neither. */
bool
ecl_client_stages (const bson_t *pipeline, bson_iter_t *stages);

/* What is looked up from here on is read in the session of these options (which may be NULL), if they name one. */
void
ecl_client_look_up_in (eclose_collection_t *self, const bson_t *opts);

/* An upgrader to the handle's target; given back after use. */
eclose_upgrader_t *
ecl_client_upgrader (eclose_collection_t *self);

void
ecl_client_give_back (eclose_collection_t *self, eclose_upgrader_t *upgrader);

/* Options of a read on which a write depends: outside of sessions it meets what is there now, whatever read concern the
 * program has. In one it may not be said: a transaction has its own. */
void
ecl_client_read_now (bson_t *opts);

/* Reads the document of that _id (a holder's first element) as it is stored now into *document, from the primary; NULL
 * where there is none. opts are those of a find. */
bool
ecl_client_read (eclose_collection_t *self, const bson_t *by_id, const bson_t *opts, eclose_document_t **document,
                 bson_error_t *error);

/* {_id: …} of a document. False where it has none. */
bool
ecl_client_by_id (const bson_t *document, bson_t *by_id);

/* Saves with the handle's own upgrader; see eclose_collection_save. */
bool
ecl_client_save (eclose_collection_t *self, const bson_t *stored, const bson_t *changed, const bson_t *opts,
                 bson_t **written, bson_error_t *error);

#endif
