/* A project that lies in a folder. */
#ifndef ECL_PROJECT_FOLDER_H
#define ECL_PROJECT_FOLDER_H

#include "project/project.h"

typedef struct {
   const char *folder; /* where eclose.yaml is; messages name files relative to the working folder as folder/… */
   const char *config; /* the project file, if it is another than folder/eclose.yaml; else NULL */
   ecl_project_options_t options;
} ecl_folder_t;

/* Reads the whole project. *project is set also where something was wrong (returns false), so that what can be shown
 * is shown; NULL only where there is no project file. The caller destroys it. */
bool
ecl_folder_load (const ecl_folder_t *folder, ecl_project_t **project, ecl_diags_t *diags) ECL_MUST_CHECK;

/* The same without the last step: the chains are not in order yet, and more may be added. */
bool
ecl_folder_add (const ecl_folder_t *folder, ecl_project_t **project, ecl_diags_t *diags) ECL_MUST_CHECK;

/* The folder of the migrations: the project's own setting is relative to the project file, others to the working
 * folder. The caller frees it with bson_free. */
char *
ecl_folder_migrations (const ecl_folder_t *folder, const ecl_project_t *project);

/* A whole file; at most ECL_TEXT_SOURCE_MAX bytes. The caller frees *bytes with bson_free. */
bool
ecl_file_read (const char *path, uint8_t **bytes, size_t *len, bson_error_t *error) ECL_MUST_CHECK;

/* Writes a new file; fails where there is one. */
bool
ecl_file_write_new (const char *path, const void *bytes, size_t len, bson_error_t *error) ECL_MUST_CHECK;

#endif
