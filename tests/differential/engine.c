/* The engine as a filter for the differential test and the replay of cases: BSON documents one after another on
 * standard input, one BSON document for each on standard output.
 *
 *    {pipeline: […], doc: {…}}            {result: {…}}
 *    {expr: …, doc: {…}}                  {result: …}, {} where it is missing
 *    {filter: {…}, doc: {…}}              {result: true}
 *    {schema: {…}, doc: {…}}              {result: true}
 *
 * What fails gives {code: …, message: "…"}. */
#include "case.h"
#include "runners.h"

#include <stdio.h>
#include <stdlib.h>

static uint8_t *
read_document (size_t *len)
{
   uint8_t head[4], *data;
   uint32_t size;

   if (fread (head, 1, 4, stdin) != 4) {
      return NULL;
   }
   size = ecl_load_u32 (head);
   if (size < 5 || size > 2 * ECL_BSON_MAX_SIZE) {
      fprintf (stderr, "a document of %u bytes\n", size);
      exit (2);
   }
   data = bson_malloc (size);
   memcpy (data, head, 4);
   if (fread (data + 4, 1, size - 4, stdin) != size - 4 || !ecl_bson_validate (data, size, NULL)) {
      fprintf (stderr, "a document that is none\n");
      exit (2);
   }
   *len = size;
   return data;
}

static void
write_document (ecl_arena_t *arena, const ecl_field_t *fields, size_t n)
{
   ecl_value_t document = ecl_fields (fields, n), raw;
   bson_error_t error;

   if (!ecl_value_to_raw (arena, &document, &raw, &error)) {
      ecl_field_t field = ecl_field ("message", 7, ecl_string (error.message, strlen (error.message)));

      document = ecl_fields (&field, 1);
      if (!ecl_value_to_raw (arena, &document, &raw, &error)) {
         abort ();
      }
   }
   fwrite (raw.u.raw, 1, raw.len, stdout);
   fflush (stdout);
}

static void
answer (ecl_eval_t *ev, const ecl_value_t *line)
{
   static const uint8_t empty[5] = {5};
   ecl_value_t document = ecl_document_get (line, "doc", 3), got = ecl_missing (), expected;
   ecl_case_problem_t problem = {0};
   ecl_field_t field, fields[2];
   ecl_arena_t arena;
   bool ok = false;

   ecl_arena_init (&arena);
   if (document.type != BSON_TYPE_DOCUMENT) {
      document = ecl_raw_document (empty, sizeof empty);
   }
   if (ecl_case_field (line, "expr", &field)) {
      ok = ecl_case_evaluate (ev, &arena, &field, &document, &got, &problem);
   } else if (ecl_case_field (line, "pipeline", &field)) {
      ok = ecl_case_run (ev, &field.value, &document, &got, &problem);
   } else if (!ecl_case_run_other (ev, line, &expected, &got, &problem, &ok)) {
      snprintf (problem.message, sizeof problem.message, "no such form of case");
   }
   if (ok) {
      fields[0] = ecl_field ("result", 6, got);
      write_document (&arena, fields, 1);
   } else {
      fields[0] = ecl_field ("code", 4, ecl_int32 ((int32_t) problem.code));
      fields[1] = ecl_field ("message", 7, ecl_string (problem.message, strlen (problem.message)));
      write_document (&arena, fields, 2);
   }
   ecl_arena_cleanup (&arena);
}

int
main (void)
{
   ecl_eval_t ev;
   uint8_t *data;
   size_t len;

   ecl_eval_init (&ev);
   while ((data = read_document (&len))) {
      ecl_value_t line = ecl_raw_document (data, len);

      answer (&ev, &line);
      bson_free (data);
   }
   ecl_eval_cleanup (&ev);
   return 0;
}
