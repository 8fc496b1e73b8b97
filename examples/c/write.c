/* Writing while versions are mixed: insert stamps; find_and_modify finds by the new shape; a program of an older
 * version saves what loses nothing and is refused the rest; with write-back, reading upgrades what is stored.
 *
 *    cc write.c $(pkg-config --cflags --libs eclose-mongoc)
 *    ./a.out URI DATABASE
 */
#include <eclose/mongoc.h>

#include <stdio.h>

static const char settings[] = "collections: {users: {unversioned: 1}}\n";

static const char rename_name[] = "to: 2\n"
                                  "up: [{$set: {full: $name, plan: free}}, {$unset: name}]\n"
                                  "down: [{$set: {name: $full}}, {$unset: [full, plan]}]\n";

typedef struct {
   eclose_collection_t *users, *old_users; /* of a program at version 2, and of one at version 1 */
   bson_error_t error;
} program_t;

static void
print (const char *what, const bson_t *document)
{
   char *text = bson_as_relaxed_extended_json (document, NULL);

   printf ("%s: %s\n", what, text);
   bson_free (text);
}

/* What is in the database. */
static bool
show_stored (program_t *self, int32_t id)
{
   bson_t *filter = BCON_NEW ("_id", BCON_INT32 (id));
   mongoc_cursor_t *cursor = mongoc_collection_find_with_opts (eclose_collection_get (self->users), filter, NULL, NULL);
   const bson_t *document;
   bool ok = true;

   while (mongoc_cursor_next (cursor, &document)) {
      print ("stored", document);
   }
   ok = !mongoc_cursor_error (cursor, &self->error);
   mongoc_cursor_destroy (cursor);
   bson_destroy (filter);
   return ok;
}

static bool
insert (program_t *self)
{
   bson_t *user = BCON_NEW ("_id", BCON_INT32 (1), "full", BCON_UTF8 ("Ariel Whiteaker"), "plan", BCON_UTF8 ("free"));
   bson_t *old = BCON_NEW ("_id", BCON_INT32 (2), "name", BCON_UTF8 ("Bo Lund"));
   bool ok = eclose_collection_insert_one (self->users, user, NULL, NULL, &self->error) &&
             mongoc_collection_insert_one (eclose_collection_get (self->users), old, NULL, NULL, &self->error) &&
             show_stored (self, 1) && show_stored (self, 2);

   bson_destroy (user);
   bson_destroy (old);
   return ok;
}

/* The filter is on the new shape; the document that it means is stored in the old one. */
static bool
find_and_modify (program_t *self)
{
   mongoc_find_and_modify_opts_t *opts = mongoc_find_and_modify_opts_new ();
   bson_t *filter = BCON_NEW ("full", BCON_UTF8 ("Bo Lund")), found;
   bson_t *update = BCON_NEW ("$set", "{", "plan", BCON_UTF8 ("gold"), "}");
   bool ok;

   mongoc_find_and_modify_opts_set_update (opts, update);
   mongoc_find_and_modify_opts_set_flags (opts, MONGOC_FIND_AND_MODIFY_RETURN_NEW);
   ok = eclose_collection_find_and_modify (self->users, filter, opts, &found, &self->error);
   if (ok) {
      print ("modified", &found);
   }
   bson_destroy (&found);
   bson_destroy (filter);
   bson_destroy (update);
   mongoc_find_and_modify_opts_destroy (opts);
   return ok;
}

/* A program at version 1 gives a user another name. It does not see the plan: where that is the one which its version
 * stands for, nothing is lost; else the save is refused. */
static bool
save_from_below (program_t *self, int32_t id)
{
   bson_t *filter = BCON_NEW ("_id", BCON_INT32 (id));
   bson_t *changed = BCON_NEW ("_id", BCON_INT32 (id), "name", BCON_UTF8 ("Renamed"));
   eclose_document_t *user = NULL;
   bool ok = eclose_collection_find_one (self->old_users, filter, NULL, &user, &self->error);

   if (ok && user) {
      print ("version 1 reads", eclose_document_get (user));
      ok = eclose_collection_save (self->old_users, user, changed, NULL, &self->error);
      if (!ok && self->error.code == ECLOSE_CODE_LOSSY) {
         printf ("refused: something would be lost\n");
         ok = true;
      }
      ok = ok && show_stored (self, id);
   }
   eclose_document_destroy (user);
   bson_destroy (filter);
   bson_destroy (changed);
   return ok;
}

static bool
write_back (program_t *self)
{
   bson_t all = BSON_INITIALIZER;
   eclose_cursor_t *cursor;
   const bson_t *user;
   bool ok;

   eclose_collection_set_write_back (self->users, true);
   cursor = eclose_collection_find (self->users, &all, NULL, NULL);
   while (eclose_cursor_next (cursor, &user)) {
   }
   ok = !eclose_cursor_error (cursor, &self->error) && show_stored (self, 1);
   eclose_cursor_destroy (cursor);
   return ok;
}

int
main (int argc, char **argv)
{
   program_t self = {0};
   eclose_project_t *project = eclose_project_new ();
   mongoc_client_t *client = NULL;
   bool ok = false;

   if (argc != 3) {
      fprintf (stderr, "usage: %s URI DATABASE\n", argv[0]);
      eclose_project_destroy (project);
      return 2;
   }
   mongoc_init ();
   client = mongoc_client_new (argv[1]);
   if (!client) {
      bson_set_error (&self.error, ECLOSE_ERROR_USAGE, ECLOSE_CODE_INVALID, "not a URI of MongoDB: %s", argv[1]);
   }
   ok = client && eclose_project_add_text (project, "eclose.yaml", settings, -1, &self.error) &&
        eclose_project_add_text (project, "users/0002_rename_name.yaml", rename_name, -1, &self.error) &&
        eclose_project_load (project, &self.error) &&
        (self.users = eclose_collection_new (project, client, argv[2], "users", NULL, &self.error)) &&
        (self.old_users = eclose_collection_new (project, client, argv[2], "users", "1", &self.error)) &&
        insert (&self) && find_and_modify (&self) && save_from_below (&self, 1) && save_from_below (&self, 2) &&
        write_back (&self);
   if (!ok) {
      fprintf (stderr, "%s\n", self.error.message);
   }
   eclose_collection_destroy (self.users);
   eclose_collection_destroy (self.old_users);
   eclose_project_destroy (project);
   if (client) {
      mongoc_client_destroy (client);
   }
   mongoc_cleanup ();
   return ok ? 0 : 1;
}
