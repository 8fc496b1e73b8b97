/* Sizes in bytes: $binarySize $bsonSize. */
#include "mql/operators.h"

bool
ecl_op_binarySize (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   ecl_value_t v;

   if (!ecl_expr_eval (self->args[0], ev, &v)) {
      return false;
   }
   if (ecl_is_nullish (&v)) {
      *out = ecl_null ();
      return true;
   }
   if (v.type != BSON_TYPE_UTF8 && v.type != BSON_TYPE_BINARY) {
      return ecl_eval_fail (ev, self, 51276, "$binarySize requires a string or BinData argument, found: %s",
                            ecl_type_name (v.type));
   }
   *out = ecl_int32 ((int32_t) v.len);
   return true;
}

bool
ecl_op_bsonSize (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   ecl_value_t v;
   uint64_t size;

   if (!ecl_expr_eval (self->args[0], ev, &v)) {
      return false;
   }
   if (ecl_is_nullish (&v)) {
      *out = ecl_null ();
      return true;
   }
   if (v.type != BSON_TYPE_DOCUMENT) {
      return ecl_eval_fail (ev, self, 31393, "$bsonSize requires a document input, found: %s", ecl_type_name (v.type));
   }
   size = ecl_value_size (&v);
   if (size > ECL_BSON_MAX_INTERNAL_SIZE) {
      return ecl_eval_fail (ev, self, 10334, "$bsonSize of a document that is larger than %d bytes",
                            (int) ECL_BSON_MAX_INTERNAL_SIZE);
   }
   *out = ecl_int32 ((int32_t) size);
   return true;
}
