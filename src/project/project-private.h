/* What the files of src/project share. */
#ifndef ECL_PROJECT_PROJECT_PRIVATE_H
#define ECL_PROJECT_PROJECT_PRIVATE_H

#include "mql/expr.h"
#include "project/project.h"

/* A migration file as it was read; its chain is not in order yet. */
typedef struct ecl_draft_t ecl_draft_t;
struct ecl_draft_t {
   ecl_draft_t *next;
   const char *collection;
   const uint8_t *to_at;
   bool of_functions; /* no file, but functions of the program */
   bool published;    /* see ecl_project_add_published */
   const char *from;  /* published: the version that it leads from, as text; NULL where that is not said */
   ecl_step_t step;   /* `from` comes with the order */
};

struct ecl_project_t {
   ecl_arena_t arena;
   char *uri;
   char *database;
   char *migrations;
   bool migrations_from_file;
   ecl_getenv_fn getenv;
   void *getenv_ctx;

   ecl_text_t *config; /* NULL: none */
   bool config_failed;
   const char *version_field; /* for all collections that have none of their own */
   ecl_version_format_t format;
   ecl_version_t unversioned;

   const char *hooks[6]; /* in the order of the list in config.c; NULL: none */
   ecl_pace_t pace;

   ecl_chain_t *chains; /* sorted once linked */
   size_t n_chains, cap_chains;
   ecl_work_t *works; /* sorted once linked */
   size_t n_works, cap_works;
   ecl_draft_t *drafts; /* the last one first */
   ecl_text_t **texts;
   size_t n_texts, cap_texts;
   bool linked;
};

/* An error about an element of a text; returns false. */
#define ecl_project_error(text, diags, code, at, ...) \
   ecl_text_diag ((text), (diags), ECL_DIAG_ERROR, ECL_DOMAIN_PROJECT, (code), (at), __VA_ARGS__)

/* An empty text that the project owns. */
ecl_text_t *
ecl_project_text (ecl_project_t *self);

/* The errors in why as warnings, after what they lead to. */
void
ecl_project_leave_out (ecl_diags_t *diags, const ecl_diags_t *why);

/* Reports a key that is none of the NULL-terminated list, with the one that was most likely meant. */
bool
ecl_project_unknown_key (const ecl_text_t *text, ecl_diags_t *diags, const ecl_field_t *field,
                         const char *const *known);

/* Reports a value of another type than expected ("a string"). */
bool
ecl_project_wrong_type (const ecl_text_t *text, ecl_diags_t *diags, const ecl_field_t *field, const char *expected);

/* Checks that no collection looks itself up, through whatever others; after the chains are in order. False, with the
 * way round written out, where one does. */
bool
ecl_project_check_cycles (ecl_project_t *self, ecl_diags_t *diags);

/* The collection's chain, made with the project's settings where it is new. */
ecl_chain_t *
ecl_project_chain_for (ecl_project_t *self, const char *collection, size_t len);

#endif
