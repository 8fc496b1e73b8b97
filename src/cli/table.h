/* Tables of text: columns as wide as their widest cell, numbers to the right. */
#ifndef ECL_CLI_TABLE_H
#define ECL_CLI_TABLE_H

#include "base/arena.h"

#include <stdio.h>

#define ECL_TABLE_COLUMNS 12

typedef struct {
   ecl_arena_t arena;
   const char **cells;
   bool right[ECL_TABLE_COLUMNS];
   size_t n_columns, n, cap;
} ecl_table_t;

/* One heading a column; a '>' in front of it sets the column to the right. */
void
ecl_table_init (ecl_table_t *self, size_t n_columns, const char *const *headings);

void
ecl_table_cleanup (ecl_table_t *self);

/* The next cell, row by row. */
void
ecl_table_cell (ecl_table_t *self, const char *format, ...) ECL_PRINTF (2, 3);

/* Prints headings (bold where coloured) and rows. */
void
ecl_table_print (const ecl_table_t *self, bool colour, FILE *out);

#endif
