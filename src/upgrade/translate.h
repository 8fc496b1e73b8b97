/* A filter on the shape of one version, said of the documents of another, so that indexes of old fields serve.
 *
 * The stages between are followed field by field: what stands in a field of the result is the value of a field of the
 * stored document, a constant, nothing, or something computed. Conditions on the first are said of the stored field;
 * those on constants and on nothing are decided here; all others are left out. What comes out is never narrower than
 * the filter: whoever uses it applies the filter itself to the result, too.
 */
#ifndef ECL_UPGRADE_TRANSLATE_H
#define ECL_UPGRADE_TRANSLATE_H

#include "project/project.h"

typedef enum {
   ECL_TRANSLATED_ALL,    /* says nothing: every document may match */
   ECL_TRANSLATED_NONE,   /* no document of that version matches */
   ECL_TRANSLATED_FILTER, /* *out is the filter */
} ecl_translated_t;

/* From a filter on documents at `to` to one on documents at `from` (places on the chain). filter is raw and validated;
 * *out lies in the arena, and borrows from filter and the project. */
ecl_translated_t
ecl_translate (ecl_arena_t *arena, const ecl_chain_t *chain, size_t from, size_t to, const ecl_value_t *filter,
               ecl_value_t *out);

#endif
