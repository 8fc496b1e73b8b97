/* What expressions read, and which do nothing to their own result: {$toLower: "$email"} for email. See work_lint.c.
 *
 * Only forms that are known are taken: what is not recognised counts as another value each time.
 */
#include "project/work_lint-private.h"

#include "mql/plan.h"

/* ---- what is read ---- */

typedef bool (*read_fn) (void *context, const ecl_name_t *path);

/* "$a.b", "$$ROOT.a.b"; of other variables it is told where they get their values. */
static bool
read_of (const ecl_value_t *text, ecl_name_t *path)
{
   static const char *const roots[] = {"$$ROOT", "$$CURRENT"};

   if (!ecl_is_string (text) || text->len < 2 || text->u.str[0] != '$') {
      return false;
   }
   if (text->u.str[1] != '$') {
      *path = (ecl_name_t){text->u.str + 1, text->len - 1};
      return true;
   }
   for (size_t i = 0; i < 2; i++) {
      size_t len = strlen (roots[i]);

      if (text->len >= len && memcmp (text->u.str, roots[i], len) == 0 &&
          (text->len == len || text->u.str[len] == '.')) {
         *path = text->len == len ? (ecl_name_t){"", 0}
                                  : (ecl_name_t){text->u.str + len + 1, (uint32_t) (text->len - len - 1)};
         return true;
      }
   }
   return false;
}

/* $getField: "name", or {field, input} */
static bool
reads_field (const ecl_value_t *spec, read_fn fn, void *context)
{
   ecl_value_t field = *spec, input = ecl_missing ();
   ecl_name_t path = {"", 0};

   if (ecl_is_document (spec)) {
      field = ecl_document_get (spec, "field", 5);
      input = ecl_document_get (spec, "input", 5);
      if (field.type == ECL_MISSING) {
         field = *spec; /* {$concat: …}: computed */
         input = ecl_missing ();
      }
   }
   if (input.type != ECL_MISSING && !ecl_is_root (&input)) {
      return ecl_expression_reads (&input, fn, context) && ecl_expression_reads (&field, fn, context);
   }
   if (ecl_is_string (&field) && field.len && field.u.str[0] != '$' && !memchr (field.u.str, '.', field.len)) {
      path = (ecl_name_t){field.u.str, field.len};
   }
   return fn (context, &path);
}

bool
ecl_expression_reads (const ecl_value_t *expression, read_fn fn, void *context)
{
   ecl_field_t field;
   ecl_iter_t iter;
   ecl_name_t path;

   if (read_of (expression, &path)) {
      return fn (context, &path);
   }
   if (ecl_is_document (expression) || ecl_is_array (expression)) {
      bool document = ecl_is_document (expression);

      ecl_iter_init (&iter, expression);
      while (ecl_iter_field (&iter, &field)) {
         bool good = document && ecl_key_is (&field, "$literal")    ? true
                     : document && ecl_key_is (&field, "$getField") ? reads_field (&field.value, fn, context)
                                                                    : ecl_expression_reads (&field.value, fn, context);

         if (!good) {
            return false;
         }
      }
   }
   return true;
}

/* ---- f (f (x)) = f (x) ---- */

/* The x: a path of the document, or an element of a list by its variable. */
typedef struct {
   ecl_name_t path;
   ecl_name_t var; /* length 0: the path is it */
} own_t;

static bool
is_own (const ecl_value_t *value, const own_t *own)
{
   ecl_name_t path;

   if (own->var.len) {
      return ecl_is_string (value) && value->len == own->var.len + 2 && memcmp (value->u.str, "$$", 2) == 0 &&
             memcmp (value->u.str + 2, own->var.str, own->var.len) == 0;
   }
   return read_of (value, &path) && path.len == own->path.len && memcmp (path.str, own->path.str, path.len) == 0;
}

static bool
is_other_path (void *context, const ecl_name_t *path)
{
   const own_t *own = context;

   return !ecl_paths_overlap (path, &own->path);
}

static bool
mentions_var (const ecl_value_t *value, const ecl_name_t *var)
{
   ecl_field_t field;
   ecl_iter_t iter;

   if (ecl_is_string (value)) {
      return value->len >= var->len + 2 && memcmp (value->u.str, "$$", 2) == 0 &&
             memcmp (value->u.str + 2, var->str, var->len) == 0 &&
             (value->len == var->len + 2 || value->u.str[var->len + 2] == '.');
   }
   if (ecl_is_document (value) || ecl_is_array (value)) {
      ecl_iter_init (&iter, value);
      while (ecl_iter_field (&iter, &field)) {
         if (mentions_var (&field.value, var)) {
            return true;
         }
      }
   }
   return false;
}

static bool
mentions (const ecl_value_t *value, const own_t *own)
{
   return own->var.len ? mentions_var (value, &own->var) : !ecl_expression_reads (value, is_other_path, (void *) own);
}

static bool
is_constant (const ecl_value_t *expression)
{
   ecl_name_t from;
   ecl_value_t value;

   return ecl_expression_gives (NULL, expression, &value, &from) == ECL_GIVES_VALUE;
}

/* The argument of an operator of one: {$op: x}, {$op: [x]}, {$op: [x, constant]}, {$op: {input: x}}. */
static bool
argument_of (const ecl_field_t *op, ecl_value_t *argument)
{
   ecl_value_t more;
   ecl_field_t field;
   ecl_iter_t iter;

   *argument = op->value;
   if (ecl_is_array (&op->value)) {
      ecl_iter_init (&iter, &op->value);
      return ecl_iter_item (&iter, argument) && (!ecl_iter_item (&iter, &more) || is_constant (&more));
   }
   if (ecl_is_document (&op->value) && !ecl_is_operator (&op->value)) {
      *argument = ecl_document_get (&op->value, "input", 5);
      return ecl_only_field (&op->value, &field) && argument->type != ECL_MISSING;
   }
   return true;
}

/* {$ifNull: [x, constant]} */
static bool
is_own_or_constant (const ecl_value_t *expression, const own_t *own)
{
   ecl_value_t item;
   ecl_field_t op;
   ecl_iter_t iter;

   if (is_own (expression, own)) {
      return true;
   }
   if (!ecl_only_field (expression, &op) || !ecl_key_is (&op, "$ifNull") || !ecl_is_array (&op.value)) {
      return false;
   }
   ecl_iter_init (&iter, &op.value);
   if (!ecl_iter_item (&iter, &item) || !is_own (&item, own)) {
      return false;
   }
   while (ecl_iter_item (&iter, &item)) {
      if (!is_constant (&item)) {
         return false;
      }
   }
   return true;
}

/* Operators that bring a value into a form in which they leave it. Those on strings may stand in each other: none
 * undoes what another one did, as long as blanks are what is trimmed. */
static bool
is_normal_form (const ecl_value_t *expression, const own_t *own, bool strings_only)
{
   static const char *const strings[] = {"$toLower", "$toUpper", "$trim", "$ltrim", "$rtrim", NULL};
   static const char *const others[] = {"$toString", "$toInt",  "$toLong",     "$toDouble", "$toDecimal",
                                        "$toBool",   "$toDate", "$toObjectId", "$abs",      "$ceil",
                                        "$floor",    "$round",  "$trunc",      NULL};
   ecl_value_t argument;
   ecl_field_t op;
   bool string;

   if (!ecl_only_field (expression, &op)) {
      return false;
   }
   string = ecl_is_one_of (&op, strings);
   if ((!string && (strings_only || !ecl_is_one_of (&op, others))) || !argument_of (&op, &argument)) {
      return false;
   }
   return is_own_or_constant (&argument, own) || (string && is_normal_form (&argument, own, true));
}

/* {$op: [x, y, …]}: x, and what has nothing to do with it. */
static bool
is_union (const ecl_field_t *op, const own_t *own)
{
   static const char *const unions[] = {"$ifNull",          "$max",          "$min", "$setUnion",
                                        "$setIntersection", "$mergeObjects", NULL};
   bool difference = ecl_key_is (op, "$setDifference") || ecl_key_is (op, "$slice");
   ecl_value_t item, last = ecl_missing ();
   ecl_iter_t iter;
   size_t n = 0;
   bool first = false, only = true;

   if (!ecl_is_array (&op->value) || !(difference || ecl_is_one_of (op, unions))) {
      return false;
   }
   ecl_iter_init (&iter, &op->value);
   for (; ecl_iter_item (&iter, &item); n++) {
      bool own_one = is_own_or_constant (&item, own);

      first |= n == 0 && own_one;
      only &= own_one || !mentions (&item, own);
      last = item;
   }
   /* $slice: [x, where, n] gives another one where it is cut again. */
   return n >= 2 && only && (!difference || (first && n == 2 && !mentions (&last, own)));
}

/* ---- conditions ---- */

typedef struct {
   const own_t *own;
   ecl_value_t others[16]; /* results that are not x */
   size_t n;
   bool tests_own, bad;
} branches_t;

static void
collect (branches_t *self, const ecl_value_t *result);

static void
collect_test (branches_t *self, const ecl_value_t *test)
{
   self->tests_own |= mentions (test, self->own);
}

static bool
parts_of_cond (const ecl_value_t *spec, ecl_value_t part[3])
{
   ecl_iter_t iter;

   if (ecl_is_array (spec)) {
      ecl_iter_init (&iter, spec);
      return ecl_iter_item (&iter, &part[0]) && ecl_iter_item (&iter, &part[1]) && ecl_iter_item (&iter, &part[2]);
   }
   if (!ecl_is_document (spec)) {
      return false;
   }
   part[0] = ecl_document_get (spec, "if", 2);
   part[1] = ecl_document_get (spec, "then", 4);
   part[2] = ecl_document_get (spec, "else", 4);
   return part[0].type && part[1].type && part[2].type;
}

static void
collect_switch (branches_t *self, const ecl_value_t *spec)
{
   ecl_value_t branches, otherwise, branch;
   ecl_iter_t iter;

   if (!ecl_is_document (spec)) {
      self->bad = true;
      return;
   }
   branches = ecl_document_get (spec, "branches", 8);
   otherwise = ecl_document_get (spec, "default", 7);
   if (!ecl_is_array (&branches)) {
      self->bad = true;
      return;
   }
   ecl_iter_init (&iter, &branches);
   while (ecl_iter_item (&iter, &branch)) {
      ecl_value_t test = ecl_is_document (&branch) ? ecl_document_get (&branch, "case", 4) : ecl_missing ();
      ecl_value_t result = ecl_is_document (&branch) ? ecl_document_get (&branch, "then", 4) : ecl_missing ();

      self->bad |= !test.type || !result.type;
      collect_test (self, &test);
      collect (self, &result);
   }
   if (otherwise.type) {
      collect (self, &otherwise);
   }
}

static void
collect (branches_t *self, const ecl_value_t *result)
{
   ecl_value_t part[3];
   ecl_field_t op;

   if (is_own (result, self->own)) {
      return;
   }
   if (ecl_only_field (result, &op) && ecl_key_is (&op, "$cond") && parts_of_cond (&op.value, part)) {
      collect_test (self, &part[0]);
      collect (self, &part[1]);
      collect (self, &part[2]);
   } else if (ecl_only_field (result, &op) && ecl_key_is (&op, "$switch")) {
      collect_switch (self, &op.value);
   } else if (mentions (result, self->own) || self->n == sizeof self->others / sizeof *self->others) {
      self->bad = true;
   } else {
      self->others[self->n++] = *result;
   }
}

static void
ignore (void *context, const uint8_t *at, uint32_t code, const char *message)
{
   (void) context;
   (void) at;
   (void) code;
   (void) message;
}

/* A document with the value at the path. */
static bool
document_with (ecl_arena_t *arena, const ecl_name_t *path, ecl_value_t value, ecl_value_t *out)
{
   uint32_t end = path->len;

   while (end) {
      uint32_t begin = end;
      ecl_field_t *field = ecl_arena_new (arena, ecl_field_t);

      while (begin && path->str[begin - 1] != '.') {
         begin--;
      }
      *field = ecl_field (path->str + begin, end - begin, value);
      value = ecl_fields (field, 1);
      end = begin ? begin - 1 : 0;
   }
   return ecl_value_to_raw (arena, &value, out, NULL);
}

static bool
is_exactly (void *context, const ecl_name_t *path)
{
   const own_t *own = context;

   return path->len == own->path.len && memcmp (path->str, own->path.str, path->len) == 0;
}

/* Whether each constant that comes out stays when it goes in; it is tried. All else that is read must be x. */
static bool
constants_stay (const ecl_value_t *expression, const branches_t *branches)
{
   ecl_arena_t arena;
   ecl_eval_t ev;
   ecl_parse_t parse;
   ecl_expr_t *expr;
   ecl_value_t wrapped, document;
   ecl_field_t field = ecl_field ("f", 1, *expression);
   ecl_field_t raw;
   ecl_iter_t iter;
   bool good = branches->own->var.len == 0 && branches->own->path.len &&
               ecl_expression_reads (expression, is_exactly, (void *) branches->own);

   ecl_arena_init (&arena);
   ecl_eval_init (&ev);
   ecl_parse_init (&parse, &arena, &ev, ignore, NULL);
   wrapped = ecl_fields (&field, 1);
   good = good && ecl_value_to_raw (&arena, &wrapped, &document, NULL);
   if (good) {
      ecl_iter_init (&iter, &document);
      good = ecl_iter_field (&iter, &raw);
      expr = good ? ecl_parse_expr (&parse, &raw) : NULL;
      good = expr != NULL;
      ecl_eval_reserve_vars (&ev, parse.max_vars);
   }
   for (size_t i = 0; good && i < branches->n; i++) {
      ecl_value_t given, result;
      ecl_name_t from;

      good = ecl_expression_gives (NULL, &branches->others[i], &given, &from) == ECL_GIVES_VALUE &&
             document_with (&arena, &branches->own->path, given, &document) &&
             ecl_expr_run (expr, &ev, &document, &result, NULL) && ecl_identical (&result, &given);
   }
   ecl_eval_cleanup (&ev);
   ecl_arena_cleanup (&arena);
   return good;
}

/* {$cond: [{$isArray: x}, x, a list]} */
static bool
is_wrapped (const ecl_field_t *op, const own_t *own)
{
   ecl_value_t part[3], argument;
   ecl_field_t test;

   return ecl_key_is (op, "$cond") && parts_of_cond (&op->value, part) && ecl_only_field (&part[0], &test) &&
          ecl_key_is (&test, "$isArray") && argument_of (&test, &argument) && is_own (&argument, own) &&
          is_own (&part[1], own) && ecl_is_array (&part[2]);
}

static bool
is_chosen (const ecl_value_t *expression, const own_t *own)
{
   branches_t branches = {.own = own};
   ecl_field_t op;

   if (!ecl_only_field (expression, &op) || !(ecl_key_is (&op, "$cond") || ecl_key_is (&op, "$switch"))) {
      return false;
   }
   collect (&branches, expression);
   /* With one result other than x, whatever is chosen the second time is the same. */
   return is_wrapped (&op, own) ||
          (!branches.bad && (!branches.tests_own || branches.n <= 1 || constants_stay (expression, &branches)));
}

/* ---- lists ---- */

static bool
is_stable (const ecl_value_t *expression, const own_t *own);

static bool
is_list_kept (const ecl_field_t *op, const own_t *own)
{
   bool map = ecl_key_is (op, "$map");
   ecl_value_t input, as, in;
   own_t element = {.var = {"this", 4}};
   ecl_field_t field;
   ecl_iter_t iter;

   if (!ecl_is_document (&op->value) || !(map || ecl_key_is (op, "$filter") || ecl_key_is (op, "$sortArray"))) {
      return false;
   }
   input = ecl_document_get (&op->value, "input", 5);
   if (!is_own (&input, own)) {
      return false;
   }
   ecl_iter_init (&iter, &op->value);
   while (ecl_iter_field (&iter, &field)) {
      if (!ecl_key_is (&field, "input") && mentions (&field.value, own)) {
         return false;
      }
   }
   as = ecl_document_get (&op->value, "as", 2);
   in = ecl_document_get (&op->value, "in", 2);
   if (ecl_is_string (&as)) {
      element.var = (ecl_name_t){as.u.str, as.len};
   }
   return !map || is_stable (&in, &element);
}

static bool
is_stable (const ecl_value_t *expression, const own_t *own)
{
   ecl_field_t op;

   return is_own (expression, own) || !mentions (expression, own) || is_normal_form (expression, own, false) ||
          is_chosen (expression, own) ||
          (ecl_only_field (expression, &op) && (is_union (&op, own) || is_list_kept (&op, own)));
}

bool
ecl_expression_is_stable (const ecl_value_t *expression, const ecl_name_t *path)
{
   own_t own = {.path = *path};

   return is_stable (expression, &own);
}

/* {$ifNull: [x, anything, …, a constant]}: once it is there it stays. */
bool
ecl_expression_fills (const ecl_value_t *expression, const ecl_name_t *path)
{
   own_t own = {.path = *path};
   ecl_value_t item, last;
   ecl_name_t from;
   ecl_field_t op;
   ecl_iter_t iter;

   if (!ecl_only_field (expression, &op) || !ecl_key_is (&op, "$ifNull") || !ecl_is_array (&op.value)) {
      return false;
   }
   ecl_iter_init (&iter, &op.value);
   if (!ecl_iter_item (&iter, &item) || !is_own (&item, &own)) {
      return false;
   }
   while (ecl_iter_item (&iter, &item)) {
   }
   return ecl_expression_gives (NULL, &item, &last, &from) == ECL_GIVES_VALUE && !ecl_is_nullish (&last);
}
