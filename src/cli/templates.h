/* What `eclose new` writes. */
#ifndef ECL_CLI_TEMPLATES_H
#define ECL_CLI_TEMPLATES_H

#include <stdbool.h>

/* A format of the version and the name as words. */
extern const char ecl_template_document[];

/* A database migration. */
typedef struct {
   const char *ending; /* "yaml", "py" */
   bool program;
   const char *text; /* the @ in it stands for the name as words */
} ecl_template_t;

/* Steps where the ending is NULL; NULL where there is no template for it. */
const ecl_template_t *
ecl_template_find (const char *ending);

/* The caller frees it with bson_free. */
char *
ecl_template_fill (const ecl_template_t *self, const char *words);

#endif
