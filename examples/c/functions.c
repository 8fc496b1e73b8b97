/* Migrations in C, up and down, beside one that is data, and documents of another collection that all may look up.
 *
 *    cc functions.c $(pkg-config --cflags --libs eclose)
 */
#include <eclose/eclose.h>

#include <stdio.h>
#include <string.h>

/* To version 2: data. The product's label, from a collection that a loader brings. */
static const char label[] = "to: 2\n"
                            "up:\n"
                            "  - $lookup: {from: products, localField: product, foreignField: _id, as: found}\n"
                            "  - $set: {label: {$first: $found.label}}\n"
                            "  - $unset: found\n"
                            "down: [{$unset: label}]\n";

/* To version 1: code. A serial number loses its dashes. */
static bool
plain_serial (const bson_t *in, bson_t *out, eclose_context_t *context, bson_error_t *error)
{
   const char *unwanted = eclose_context_user_data (context);
   bson_iter_t iter;

   bson_iter_init (&iter, in);
   while (bson_iter_next (&iter)) {
      if (strcmp (bson_iter_key (&iter), "serial") != 0) {
         bson_append_iter (out, NULL, -1, &iter);
         continue;
      }
      if (!BSON_ITER_HOLDS_UTF8 (&iter)) {
         bson_set_error (error, ECLOSE_ERROR_USAGE, ECLOSE_CODE_INVALID, "serial is no string");
         return false;
      }
      char plain[64];
      size_t n = 0;

      for (const char *p = bson_iter_utf8 (&iter, NULL); *p && n < sizeof plain - 1; p++) {
         if (!strchr (unwanted, *p)) {
            plain[n++] = *p;
         }
      }
      bson_append_utf8 (out, "serial", -1, plain, (int) n);
   }
   return true;
}

/* And back: its dashes stood between all of its characters. */
static bool
dashed_serial (const bson_t *in, bson_t *out, eclose_context_t *context, bson_error_t *error)
{
   const char *dash = eclose_context_user_data (context);
   bson_iter_t iter;

   (void) error;
   bson_iter_init (&iter, in);
   while (bson_iter_next (&iter)) {
      if (strcmp (bson_iter_key (&iter), "serial") != 0 || !BSON_ITER_HOLDS_UTF8 (&iter)) {
         bson_append_iter (out, NULL, -1, &iter);
         continue;
      }
      char dashed[128];
      size_t n = 0;

      for (const char *p = bson_iter_utf8 (&iter, NULL); *p && n < sizeof dashed - 2; p++) {
         if (n) {
            dashed[n++] = *dash;
         }
         dashed[n++] = *p;
      }
      bson_append_utf8 (out, "serial", -1, dashed, (int) n);
   }
   return true;
}

/* Here the other collection is two documents; in a program it is a query. */
static bool
load (void *user_data, const char *collection, const char *field, const bson_t *values, eclose_found_t *found,
      bson_error_t *error)
{
   (void) field;
   (void) error;
   printf ("loading %d value(s) from %s\n", (int) bson_count_keys (values), collection);
   for (const char *const *json = user_data; *json; json++) {
      bson_t *product = bson_new_from_json ((const uint8_t *) *json, -1, NULL);

      eclose_found_add (found, product);
      bson_destroy (product);
   }
   return true;
}

static void
print (const bson_t *document)
{
   char *text = bson_as_relaxed_extended_json (document, NULL);

   printf ("%s\n", text);
   bson_free (text);
}

int
main (void)
{
   static const char *products[] = {"{\"_id\": 1, \"label\": \"lamp\"}", "{\"_id\": 2, \"label\": \"lock\"}", NULL};
   eclose_loader_t loader = {.load = load, .user_data = products};
   eclose_project_t *project = eclose_project_new ();
   eclose_upgrader_t *devices = NULL, *oldest = NULL;
   bson_t *batch[3] = {NULL};
   bson_error_t error;
   int status = 1;

   if (!eclose_project_add_function (project, "devices", "1", ECLOSE_UP, plain_serial, (void *) "-", &error) ||
       !eclose_project_add_function (project, "devices", "1", ECLOSE_DOWN, dashed_serial, (void *) "-", &error) ||
       !eclose_project_add_text (project, "devices/0002_label.yaml", label, -1, &error) ||
       !eclose_project_load (project, &error) || !(devices = eclose_upgrader_new (project, "devices", NULL, &error)) ||
       !(oldest = eclose_upgrader_new (project, "devices", "0", &error))) {
      goto done;
   }
   eclose_upgrader_set_loader (devices, &loader);
   for (int i = 0; i < 3; i++) {
      batch[i] = BCON_NEW ("_id", BCON_INT32 (i), "serial", BCON_UTF8 ("A-1-7"), "product", BCON_INT32 (i % 2 + 1));
   }
   /* All of them cause one call of the loader. */
   if (!eclose_upgrader_batch_begin (devices, (const bson_t *const *) batch, 3, &error)) {
      goto done;
   }
   for (int i = 0; i < 3; i++) {
      const bson_t *device, *back;

      if (!eclose_upgrader_run (devices, batch[i], &device, &error) ||
          !eclose_upgrader_run (oldest, device, &back, &error)) {
         goto done;
      }
      print (device);
      print (back);
   }
   status = 0;

done:
   if (status) {
      fprintf (stderr, "%s\n", error.message);
   }
   for (int i = 0; i < 3; i++) {
      bson_destroy (batch[i]);
   }
   eclose_upgrader_destroy (devices);
   eclose_upgrader_destroy (oldest);
   eclose_project_destroy (project);
   return status;
}
