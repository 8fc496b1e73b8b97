/* What the operators on dates share. Constants (zones, units, days of the week) are prepared while parsing; a zone
 * that comes from a document is looked up in the table of all zones. */
#include "mql/ops/date-private.h"

ecl_expr_t *
ecl_date_parse_form (ecl_parse_t *parse, const ecl_operator_t *op, const ecl_field_t *spec, const ecl_date_form_t *form)
{
   ecl_iter_t iter;
   ecl_field_t field;
   ecl_expr_t *e;

   if (spec->value.type != BSON_TYPE_DOCUMENT) {
      return ecl_parse_fail (parse, ecl_at (spec), form->not_object,
                             "%s only supports an object as its argument, found %s", op->name,
                             ecl_type_name (spec->value.type));
   }
   e = ecl_parse_node (parse, op, spec, form->n);
   ecl_iter_init (&iter, &spec->value);
   while (ecl_iter_field (&iter, &field)) {
      uint32_t i = 0;

      while (i < form->n && !ecl_key_is (&field, form->args[i].name)) {
         i++;
      }
      if (i == form->n) {
         return ecl_parse_fail (parse, ecl_at (&field), form->unknown, "Unrecognized argument to %s: %.*s", op->name,
                                (int) field.key_len, field.key);
      }
      e->args[i] = ecl_parse_expr (parse, &field);
      if (!e->args[i]) {
         return NULL;
      }
   }
   for (uint32_t i = 0; i < form->n; i++) {
      if (form->args[i].missing && !e->args[i]) {
         return ecl_parse_fail (parse, ecl_at (spec), form->args[i].missing, "Missing '%s' parameter to %s",
                                form->args[i].name, op->name);
      }
   }
   return ecl_date_prepare (parse, e, form);
}

/* ---- values of arguments ---- */

static const char *const unit_names[] = {"millisecond", "second", "minute",  "hour", "day",
                                         "week",        "month",  "quarter", "year"};

const char *
ecl_unit_name (ecl_unit_t unit)
{
   return unit_names[unit];
}

/* What is wrong with an argument's value: reported while parsing where it is constant, else when it is evaluated. */
typedef struct {
   uint32_t code;
   const char *message;
} problem_t;

static bool
read_unit (const ecl_value_t *v, ecl_unit_t *unit, problem_t *problem)
{
   if (v->type != BSON_TYPE_UTF8) {
      *problem = (problem_t){5439013, "'unit' must be a string"};
      return false;
   }
   for (uint32_t i = 0; i < sizeof unit_names / sizeof unit_names[0]; i++) {
      if (strlen (unit_names[i]) == v->len && memcmp (unit_names[i], v->u.str, v->len) == 0) {
         *unit = (ecl_unit_t) i;
         return true;
      }
   }
   *problem = (problem_t){9, "parameter 'unit' value parsing failed: unknown time unit value"};
   return false;
}

/* ASCII letters in any case, whatever the locale. */
static bool
same_word (const char *text, const char *word, size_t n)
{
   for (size_t i = 0; i < n; i++) {
      if ((text[i] >= 'A' && text[i] <= 'Z' ? text[i] + 32 : text[i]) != word[i]) {
         return false;
      }
   }
   return true;
}

static bool
read_day (const ecl_value_t *v, int32_t *day, problem_t *problem)
{
   static const char *const names[] = {"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"};

   if (v->type != BSON_TYPE_UTF8) {
      *problem = (problem_t){5439015, "'startOfWeek' must be a string"};
      return false;
   }
   for (int32_t i = 0; i < 7; i++) {
      if ((v->len == 3 || v->len == strlen (names[i])) && same_word (v->u.str, names[i], v->len)) {
         *day = i;
         return true;
      }
   }
   *problem = (problem_t){5439016, "parameter 'startOfWeek' value cannot be recognized as a day of a week"};
   return false;
}

static bool
read_bin_size (const ecl_value_t *v, int64_t *size, problem_t *problem)
{
   if (!ecl_is_number (v) || !ecl_number_to_int64 (v, size)) {
      *problem = (problem_t){5439017, "'binSize' must be a 64-bit integer"};
      return false;
   }
   if (*size <= 0) {
      *problem = (problem_t){5439018, "'binSize' must be greater than 0"};
      return false;
   }
   return true;
}

/* db NULL: the zone's file is read into the arena. */
static bool
read_zone (const ecl_value_t *v, const ecl_zone_db_t *db, ecl_arena_t *arena, ecl_timezone_t *zone, problem_t *problem)
{
   if (v->type != BSON_TYPE_UTF8) {
      *problem = (problem_t){40517, "timezone must evaluate to a string"};
      return false;
   }
   if (db ? ecl_timezone_find (db, v->u.str, v->len, zone) : ecl_timezone_load (arena, v->u.str, v->len, zone)) {
      return true;
   }
   *problem = (problem_t){40485, "unrecognized time zone identifier"};
   return false;
}

/* ---- preparing ---- */

ecl_expr_t *
ecl_date_prepare (ecl_parse_t *parse, ecl_expr_t *e, const ecl_date_form_t *form)
{
   ecl_date_plan_t *plan = ecl_arena_new (parse->arena, ecl_date_plan_t);
   const int8_t order[] = {form->bin_size, form->unit, form->start_of_week, form->timezone};
   bool constant = true;

   memset (plan, 0, sizeof *plan);
   plan->form = form;
   plan->bin_size = 1;
   plan->bin_ready = form->bin_size < 0 || !e->args[form->bin_size];
   plan->start_ready = form->start_of_week < 0 || !e->args[form->start_of_week];
   plan->zone_ready = form->timezone < 0 || !e->args[form->timezone];
   e->data = plan;
   for (uint32_t i = 0; i < e->n; i++) {
      constant &= !e->args[i] || ecl_is_constant (e->args[i]);
   }
   for (uint32_t i = 0; i < 4; i++) {
      const ecl_expr_t *arg = order[i] < 0 ? NULL : e->args[order[i]];
      const ecl_value_t *v;
      problem_t problem = {0};
      bool ok;

      if (!arg || !ecl_is_constant (arg)) {
         continue;
      }
      v = &arg->constant;
      if (ecl_is_nullish (v)) {
         if (!constant && (i < 3 || form->null_zone_is_null)) {
            ecl_value_t null = ecl_null ();
            return ecl_parse_constant (parse, &null, e->source);
         }
         continue;
      }
      switch (i) {
      case 0:
         ok = plan->bin_ready = read_bin_size (v, &plan->bin_size, &problem);
         break;
      case 1:
         ok = plan->unit_ready = read_unit (v, &plan->unit, &problem);
         break;
      case 2:
         ok = plan->start_ready = read_day (v, &plan->start_of_week, &problem);
         break;
      default:
         ok = plan->zone_ready = read_zone (v, NULL, parse->arena, &plan->zone, &problem);
      }
      /* Where all is constant another argument that is null may come first: evaluating decides. */
      if (!ok && !constant) {
         return ecl_parse_fail (parse, arg->source, problem.code, "%s: %s: %s", e->op->name, problem.message,
                                ecl_value_text (parse->arena, v));
      }
   }
   if (!plan->zone_ready) {
      plan->db = ecl_timezone_db ();
   }
   return ecl_parse_fold (parse, e);
}

/* ---- evaluating ---- */

/* Evaluates the argument; *null where it is nullish. */
static bool
evaluate (const ecl_expr_t *self, ecl_eval_t *ev, int8_t index, ecl_value_t *v, bool *null)
{
   if (!ecl_expr_eval (self->args[index], ev, v)) {
      return false;
   }
   *null = ecl_is_nullish (v);
   return true;
}

static bool
fail (const ecl_expr_t *self, ecl_eval_t *ev, const ecl_value_t *v, problem_t problem)
{
   return ecl_eval_fail (ev, self, problem.code, "%s: %s: %s", self->op->name, problem.message,
                         ecl_value_text (&ev->arena, v));
}

bool
ecl_date_zone (const ecl_expr_t *self, ecl_eval_t *ev, ecl_timezone_t *zone, bool *null)
{
   const ecl_date_plan_t *plan = self->data;
   ecl_value_t v;
   problem_t problem;

   *null = false;
   if (plan->zone_ready) {
      *zone = plan->zone;
      return true;
   }
   if (!evaluate (self, ev, plan->form->timezone, &v, null)) {
      return false;
   }
   return *null || read_zone (&v, plan->db, NULL, zone, &problem) || fail (self, ev, &v, problem);
}

bool
ecl_date_unit (const ecl_expr_t *self, ecl_eval_t *ev, ecl_unit_t *unit, bool *null)
{
   const ecl_date_plan_t *plan = self->data;
   ecl_value_t v;
   problem_t problem;

   *null = false;
   if (plan->unit_ready) {
      *unit = plan->unit;
      return true;
   }
   if (!evaluate (self, ev, plan->form->unit, &v, null)) {
      return false;
   }
   return *null || read_unit (&v, unit, &problem) || fail (self, ev, &v, problem);
}

bool
ecl_date_start_of_week (const ecl_expr_t *self, ecl_eval_t *ev, int32_t *day, bool *null)
{
   const ecl_date_plan_t *plan = self->data;
   ecl_value_t v;
   problem_t problem;

   *null = false;
   if (plan->start_ready) {
      *day = plan->start_of_week;
      return true;
   }
   if (!evaluate (self, ev, plan->form->start_of_week, &v, null)) {
      return false;
   }
   return *null || read_day (&v, day, &problem) || fail (self, ev, &v, problem);
}

bool
ecl_date_bin_size (const ecl_expr_t *self, ecl_eval_t *ev, int64_t *size, bool *null)
{
   const ecl_date_plan_t *plan = self->data;
   ecl_value_t v;
   problem_t problem;

   *null = false;
   if (plan->bin_ready) {
      *size = plan->bin_size;
      return true;
   }
   if (!evaluate (self, ev, plan->form->bin_size, &v, null)) {
      return false;
   }
   return *null || read_bin_size (&v, size, &problem) || fail (self, ev, &v, problem);
}

bool
ecl_date_coerce (const ecl_value_t *v, int64_t *ms)
{
   switch (v->type) {
   case BSON_TYPE_DATE_TIME:
      *ms = v->u.i64;
      return true;
   case BSON_TYPE_TIMESTAMP:
      *ms = (int64_t) ((uint64_t) v->u.i64 >> 32) * 1000;
      return true;
   case BSON_TYPE_OID: {
      const uint8_t *p = v->u.raw;

      /* The server reads its seconds as a signed number. */
      *ms = (int64_t) (int32_t) ((uint32_t) p[0] << 24 | (uint32_t) p[1] << 16 | (uint32_t) p[2] << 8 | p[3]) * 1000;
      return true;
   }
   default:
      return false;
   }
}

bool
ecl_date_require (const ecl_expr_t *self, ecl_eval_t *ev, const ecl_value_t *v, int64_t *ms)
{
   return ecl_date_coerce (v, ms) ||
          ecl_eval_fail (ev, self, 16006, "can't convert from BSON type %s to Date", ecl_type_name (v->type));
}

void
ecl_date_local (const ecl_timezone_t *zone, int64_t ms, ecl_local_t *out)
{
   int64_t seconds = ecl_floor_div (ms, 1000);
   ecl_zone_info_t info;
   int32_t rest;

   ecl_timezone_at (zone, seconds, &info);
   out->offset = info.offset;
   out->dst = info.dst;
   seconds += info.offset;
   out->days = ecl_floor_div (seconds, 86400);
   rest = (int32_t) ecl_floor_mod (seconds, 86400);
   ecl_date_from_days (out->days, &out->civil);
   out->civil.hour = rest / 3600;
   out->civil.minute = rest / 60 % 60;
   out->civil.second = rest % 60;
   out->civil.millisecond = (int32_t) ecl_floor_mod (ms, 1000);
}
