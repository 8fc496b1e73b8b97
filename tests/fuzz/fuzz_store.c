/* Fuzz target: eclose's own records and the replies they come in, which whoever may write to the database can have
 * made.
 *
 * The input is a document, as text or (first byte odd) as bytes that may be anything. */
#include "fuzz.h"

#include "store/catalog.h"
#include "store/changelog.h"
#include "store/chunks.h"
#include "store/floors.h"
#include "store/jobs.h"
#include "store/lease.h"

/* A text ends within its array. */
#define FUZZ_ENDS(text) FUZZ_ASSERT (memchr (text, '\0', sizeof text))

static void
read_chunk (const bson_t *document)
{
   ecl_chunk_row_t row;
   bson_t command;

   if (ecl_chunk_read (document, &row, NULL)) {
      FUZZ_ENDS (row.id);
      FUZZ_ENDS (row.slowed);
      FUZZ_ENDS (row.host);
      FUZZ_ENDS (row.place);
      /* What is asked for it is a document. */
      ecl_chunk_filter (&row.range, &row.after, &row.after, &command);
      FUZZ_ASSERT (ecl_bson_validate (bson_get_data (&command), command.len, NULL));
      bson_destroy (&command);
   }
}

static void
read_job (const bson_t *document)
{
   bson_error_t error = {0};
   ecl_job_t job;
   bson_t command;

   if (!ecl_job_read (document, &job, &error)) {
      FUZZ_ASSERT (error.message[0]);
      return;
   }
   FUZZ_ENDS (job.collection);
   FUZZ_ENDS (job.to);
   FUZZ_ENDS (job.error);
   FUZZ_ASSERT (ecl_job_state_name (job.state) && ecl_job_wanted_name (job.wanted));
   ecl_job_put (&job, 0, &command);
   FUZZ_ASSERT (ecl_bson_validate (bson_get_data (&command), command.len, NULL));
   bson_destroy (&command);
}

static void
read_lease (const bson_t *reply)
{
   bson_error_t error = {0};
   ecl_lease_t lease;
   bool found;
   bson_t command;

   if (!ecl_lease_read (reply, &found, &lease, &error)) {
      FUZZ_ASSERT (error.message[0]);
   } else if (found) {
      FUZZ_ENDS (lease.host);
      FUZZ_ENDS (lease.user);
      FUZZ_ENDS (lease.release);
      FUZZ_ENDS (lease.place);
      FUZZ_ASSERT (lease.n_doomed <= ECL_LEASE_DOOMED);
      ecl_lease_kill (&lease, &command);
      bson_destroy (&command);
   }
}

static void
add (ecl_project_t *project, const char *path, const char *text)
{
   ecl_text_source_t source = {.name = path, .bytes = text, .len = strlen (text)};
   ecl_diags_t diags;

   ecl_diags_init (&diags);
   FUZZ_ASSERT (strchr (path, '/') ? ecl_project_add (project, path, &source, &diags)
                                   : ecl_project_configure (project, &source, &diags));
   ecl_diags_cleanup (&diags);
}

/* What is to be changed in a catalog that holds it: what is stored then can be read. */
static void
compare_catalog (const bson_t *document)
{
   static ecl_project_t *project;
   ecl_catalog_changes_t changes;
   bson_t *published[] = {bson_copy (document)};

   if (!project) {
      ecl_diags_t diags;

      ecl_diags_init (&diags);
      project = ecl_project_new (&(ecl_project_options_t){0});
      add (project, "eclose.yaml", "collections: {users: {unversioned: 1}}\n");
      add (project, "users/0002_split.yaml", "to: 2\nup: [{$set: {a: 1}}]\n");
      FUZZ_ASSERT (ecl_project_link (project, &diags));
      ecl_diags_cleanup (&diags);
   }
   ecl_catalog_compare (project, published, 1, &changes);
   for (size_t i = 0; i < changes.n_documents; i++) {
      const char *path, *text;
      size_t len;

      FUZZ_ASSERT (ecl_catalog_read (changes.documents[i], &path, &text, &len, NULL));
   }
   ecl_catalog_changes_cleanup (&changes);
   bson_destroy (published[0]);
}

static void
read_all (const bson_t *document)
{
   bson_error_t error = {0};
   ecl_chunks_sum_t sum;
   ecl_changelog_t record;
   ecl_floor_t floor;
   const char *path, *text;
   size_t len;

   read_job (document);
   read_chunk (document);
   read_lease (document);
   FUZZ_ASSERT (ecl_chunks_read_sum (document, &sum, &error) || error.message[0]);
   for (size_t i = 0; i < 3 && ecl_floor_read (document, i, &floor); i++) {
      FUZZ_ASSERT (floor.collection && floor.floor);
   }
   if (ecl_changelog_parse (document, &record, NULL)) {
      FUZZ_ASSERT (record.name && record.state != ECL_CHANGELOG_ABSENT);
   }
   compare_catalog (document);
   if (ecl_catalog_read (document, &path, &text, &len, NULL)) {
      FUZZ_ASSERT (text[len] == '\0');
   }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
   ecl_text_source_t source = {.name = "fuzz", .bytes = data + 1, .len = size - 1};
   ecl_text_t text;
   ecl_diags_t diags;
   bson_t document;

   if (size < 1) {
      return 0;
   }
   if (data[0] & 1) {
      uint8_t *bytes = malloc (size > 1 ? size - 1 : 1);

      memcpy (bytes, data + 1, size - 1);
      if (bson_init_static (&document, bytes, size - 1)) {
         read_all (&document);
      }
      free (bytes);
      return 0;
   }
   ecl_text_init (&text);
   ecl_diags_init (&diags);
   if (ecl_text_read_any (&text, &source, ECL_TEXT_DEFAULT, &diags) &&
       bson_init_static (&document, text.doc, text.len)) {
      read_all (&document);
   }
   ecl_diags_cleanup (&diags);
   ecl_text_cleanup (&text);
   return 0;
}
