/* The forms that versions can have: whole numbers of any type, dotted text, two parts packed into 64 bits, in a field
 * of any name; and documents that say nothing, which are known by what they look like.
 *
 *    cc versions.c $(pkg-config --cflags --libs eclose)
 */
#include <eclose/eclose.h>

#include <stdio.h>

static const char settings[] = "collections:\n"
                               "  orders: {unversioned: 1}\n"
                               "  parts: {version_field: meta.version, version_format: dotted, unversioned: '1.0'}\n"
                               "  meters: {version_field: _v, version_format: packed, unversioned: '1.0'}\n"
                               "  devices:\n"
                               "    detect:                        # the first filter that matches\n"
                               "      - {version: 2, filter: {tags: {$exists: true}}}\n"
                               "      - {version: 1, filter: {}}\n";

static const char *const files[][2] = {
   {"orders/0002_currency.yaml", "to: 2\nup: [{$set: {currency: DKK}}]\n"},
   {"parts/weight.yaml", "to: '1.2.0'\nup: [{$set: {grams: {$multiply: [$kilos, 1000]}}}, {$unset: kilos}]\n"},
   {"parts/colour.yaml", "to: '1.10'\nup: [{$set: {colour: grey}}]\n"}, /* behind 1.2: numbers, not text */
   {"meters/unit.yaml", "to: '1.1'\nup: [{$set: {unit: kWh}}]\n"},
   {"devices/0002_tags.yaml", "to: 2\nup: [{$set: {tags: []}}]\n"},
   {"devices/0003_on.yaml", "to: 3\nup: [{$set: {'on': true}}]\n"},
};

static const char *const documents[][2] = {
   {"orders", "{\"_id\": 1}"},
   {"orders", "{\"_id\": 2, \"schema_version\": 1.0}"},
   {"orders", "{\"_id\": 3, \"currency\": \"EUR\", \"schema_version\": {\"$numberLong\": \"2\"}}"},
   {"parts", "{\"_id\": 1, \"kilos\": 2}"},
   {"parts", "{\"_id\": 2, \"grams\": 5, \"meta\": {\"version\": \"1.2\"}}"},
   {"meters", "{\"_id\": 1}"},
   {"meters", "{\"_id\": 2, \"_v\": {\"$numberLong\": \"281479271677952\"}}"}, /* 1.1: 1 << 48 | 1 << 32 */
   {"devices", "{\"_id\": 1}"},
   {"devices", "{\"_id\": 2, \"tags\": [\"lamp\"]}"},
};

static bool
show (const eclose_project_t *project, const char *collection, const char *json, bson_error_t *error)
{
   eclose_upgrader_t *upgrader = eclose_upgrader_new (project, collection, NULL, error);
   bson_t *stored = bson_new_from_json ((const uint8_t *) json, -1, error);
   const bson_t *document;
   const char *version;
   bool ok = upgrader && stored && (version = eclose_upgrader_version (upgrader, stored, error));

   if (ok) {
      printf ("%s %s -> %s: ", collection, version, eclose_upgrader_target (upgrader));
      ok = eclose_upgrader_run (upgrader, stored, &document, error);
   }
   if (ok) {
      char *text = bson_as_relaxed_extended_json (document, NULL);

      printf ("%s\n", text);
      bson_free (text);
   }
   bson_destroy (stored);
   eclose_upgrader_destroy (upgrader);
   return ok;
}

int
main (void)
{
   eclose_project_t *project = eclose_project_new ();
   bson_error_t error;
   bool ok = eclose_project_add_text (project, "eclose.yaml", settings, -1, &error);

   for (size_t i = 0; ok && i < sizeof files / sizeof files[0]; i++) {
      ok = eclose_project_add_text (project, files[i][0], files[i][1], -1, &error);
   }
   ok = ok && eclose_project_load (project, &error);
   for (size_t i = 0; ok && i < sizeof documents / sizeof documents[0]; i++) {
      ok = show (project, documents[i][0], documents[i][1], &error);
   }
   if (!ok) {
      fprintf (stderr, "%s\n", error.message);
   }
   eclose_project_destroy (project);
   return ok ? 0 : 1;
}
