/* What the tests of src/project and src/upgrade share: a project in memory, and documents. */
#ifndef PROJECT_CHECK_H
#define PROJECT_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "project/project.h"

typedef struct {
   const char *path, *text;
} file_t;

static inline const char *
no_environment (void *ctx, const char *name)
{
   (void) ctx;
   (void) name;
   return NULL;
}

/* Loads a configuration (NULL: none) and files up to one without a path. */
static inline ecl_project_t *
load (const ecl_project_options_t *options, const char *config, const file_t *files, ecl_diags_t *diags)
{
   ecl_project_options_t none = {.getenv = no_environment};
   ecl_project_t *project = ecl_project_new (options ? options : &none);
   bool ok = true;

   if (config) {
      ecl_text_source_t source = {.name = "eclose.yaml", .bytes = config, .len = strlen (config)};

      ok &= ecl_project_configure (project, &source, diags);
   }
   for (; files && files->path; files++) {
      ecl_text_source_t source = {.name = files->path, .bytes = files->text, .len = strlen (files->text)};

      ok &= ecl_project_add (project, files->path, &source, diags);
   }
   ok &= ecl_project_link (project, diags);
   assert_int_equal (ok, diags->errors == 0);
   return project;
}

/* A project without any problem. */
static inline ecl_project_t *
load_good (const char *config, const file_t *files)
{
   ecl_project_t *project;
   ecl_diags_t diags;
   ecl_buf_t out;

   ecl_diags_init (&diags);
   ecl_buf_init (&out, 1u << 20);
   project = load (NULL, config, files, &diags);
   if (diags.n) {
      assert_true (ecl_diags_print (&diags, &out));
      fail_msg ("%s", ecl_buf_cstr (&out));
   }
   ecl_buf_cleanup (&out);
   ecl_diags_cleanup (&diags);
   return project;
}

/* A document from JSON; the caller cleans the text up. */
static inline ecl_text_t
document (const char *json)
{
   ecl_text_source_t source = {.name = "document", .bytes = json, .len = strlen (json)};
   ecl_diags_t diags;
   ecl_text_t text;

   ecl_text_init (&text);
   ecl_diags_init (&diags);
   if (!ecl_text_read_any (&text, &source, ECL_TEXT_DUPLICATES, &diags)) {
      fail_msg ("%s: %s", json, diags.items[0].message);
   }
   ecl_diags_cleanup (&diags);
   return text;
}

#endif
