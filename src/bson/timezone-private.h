/* What a zone's rules are made of; for timezone.c and timezone_load.c only. */
#ifndef ECL_BSON_TIMEZONE_PRIVATE_H
#define ECL_BSON_TIMEZONE_PRIVATE_H

#include "bson/timezone.h"

typedef struct {
   int32_t offset;
   bool dst;
} ecl_zone_type_t;

typedef enum {
   ECL_RULE_MONTH,  /* Mm.w.d */
   ECL_RULE_JULIAN, /* Jn */
   ECL_RULE_DAY,    /* n */
} ecl_rule_kind_t;

typedef struct {
   ecl_rule_kind_t kind;
   int32_t month, week, day;
   int32_t time; /* seconds after midnight; may be negative or more than a day */
} ecl_zone_rule_t;

typedef struct {
   int32_t std_offset, dst_offset; /* seconds east of UTC */
   bool has_dst;
   ecl_zone_rule_t start, end;
} ecl_zone_footer_t;

struct ecl_zone_rules_t {
   const int64_t *transitions; /* rising */
   const uint8_t *indexes;     /* into types, one for each transition */
   const ecl_zone_type_t *types;
   uint32_t n_transitions;
   uint32_t n_types; /* at least 1 */
   bool has_footer;
   ecl_zone_footer_t footer;
};

#endif
