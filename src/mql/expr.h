/* Expressions: what the parser makes and the evaluator walks.
 *
 * An expression is a tree of nodes; each node has a function that evaluates it. There is no bytecode. Nodes live in the
 * arena of their plan, are never changed after the plan is linked, and may be evaluated by many threads, each with an
 * evaluator of its own (ecl_eval_t).
 *
 * Adding an operator: one row in operators.def, one function ecl_op_NAME in the family's file under ops/, one case in
 * tests/cases. The row decides how its arguments are parsed:
 *
 *    OP         positional: {$op: [a, b]} or {$op: a}; the function finds them in self->args[0 … self->n - 1]
 *    OP_NAMED   an object of named arguments; args[] has one entry per name in the row's order, NULL where not given
 *    OP_CUSTOM  a parse function of its own, ecl_op_NAME_parse, which calls the helpers below
 *
 * A function evaluates its arguments with ecl_expr_eval, puts its result into *out and returns true, or calls
 * ecl_eval_fail with MongoDB's error code and returns its false. Results may point into the input, the plan or
 * ev->arena. Functions are pure: the same input gives the same result, so constants are folded and a document may be
 * evaluated twice. They allocate from ev->arena only, which costs nothing once the evaluator is warm.
 */
#ifndef ECL_MQL_EXPR_H
#define ECL_MQL_EXPR_H

#include "bson/compare.h"
#include "bson/cursor.h"
#include "bson/value.h"

typedef struct ecl_expr_t ecl_expr_t;
typedef struct ecl_eval_t ecl_eval_t;
typedef struct ecl_parse_t ecl_parse_t;
typedef struct ecl_operator_t ecl_operator_t;

typedef bool (*ecl_eval_fn) (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out);

/* spec is the operator's argument with its key (`$op`); returns NULL after ecl_parse_fail. */
typedef ecl_expr_t *(*ecl_parse_fn) (ecl_parse_t *parse, const ecl_operator_t *op, const ecl_field_t *spec);

typedef enum {
   ECL_EXPR_CONST,
   ECL_EXPR_FIELD, /* "$a.b": of the document */
   ECL_EXPR_VAR,   /* "$$v.a.b" */
   ECL_EXPR_ROOT,  /* "$$ROOT" itself, without a path */
   ECL_EXPR_NOW,
   ECL_EXPR_OBJECT, /* {a: expr, …}: keys[i] belongs to args[i] */
   ECL_EXPR_ARRAY,  /* [expr, …] */
   ECL_EXPR_OPERATOR,
} ecl_expr_kind_t;

typedef struct {
   const char *str;
   uint32_t len;
} ecl_name_t;

struct ecl_expr_t {
   ecl_eval_fn eval;
   const ecl_operator_t *op; /* OPERATOR */
   ecl_expr_kind_t kind;
   uint32_t n;             /* of args */
   ecl_expr_t **args;      /* an entry is NULL where a named argument is absent */
   const ecl_name_t *keys; /* OBJECT: n keys; FIELD, VAR: n_path components */
   uint32_t n_path;
   uint32_t index;        /* VAR: of the variable; FIELD: of the slot of keys[0] once linked */
   ecl_value_t constant;  /* CONST */
   const void *data;      /* what the operator's parser prepared: a compiled regex, flags, … */
   const uint8_t *source; /* the element it was parsed from: where an error is */
};

/* A row of the table of operators. */
struct ecl_operator_t {
   const char *name;
   const char *family;
   ecl_parse_fn parse;
   ecl_eval_fn eval;
   int min, max;      /* OP: number of arguments; max < 0: any */
   const char *named; /* OP_NAMED: "date! format timezone"; ! marks the required ones. OP_CUSTOM: likewise, or "[a, b]",
                           or NULL for one value; only to be read by people */
   const char *summary; /* one sentence for docs/mql.md */
   const char *example; /* an expression in relaxed notation … */
   const char *result;  /* … and what it gives; run as a test. "error N" where it fails. */
   const char *refused; /* the reason, where the name is known and not supported */
};

#define ECL_ANY (-1)

/* The most elements that an operator makes: the server's bound for $range (100 MiB of 16 bytes each), taken for all
 * that build arrays. Code 146 (ExceededMemoryLimit) says it was met. */
#define ECL_MAX_ITEMS 6553600u

/* An array that was made of another value's bytes or entries and may be asked for again: the elements of a raw array
 * (see ecl_eval_row), what a path finds in the documents of an array, or the fields of a document (see ecl_eval_get). */
typedef struct {
   const void *of; /* where the value is; its length tells it from one that has grown in its place */
   uint32_t of_len;
   const ecl_name_t *path;          /* NULL: the elements or fields themselves */
   const ecl_value_t *items;        /* NULL as long as it is walked */
   const struct ecl_names_t *names; /* of a document: items are their values */
   uint32_t n, times;
} ecl_picked_t;

#define ECL_EVAL_ROWS 8u

/* Evaluator: the working memory of one thread. */
struct ecl_eval_t {
   ecl_arena_t arena;        /* scratch, reset for each document */
   const ecl_value_t *slots; /* of the plan's running segment */
   ecl_value_t root;         /* the document as the current stage sees it; missing where no expression needs it */
   ecl_value_t *vars;
   uint32_t vars_cap;
   int64_t now;                       /* $$NOW in ms; one value per run */
   bson_error_t error;                /* the last failure: domain MQL, MongoDB's code */
   const ecl_expr_t *failed;          /* the node that failed, if known */
   struct ecl_regex_state_t *regex;   /* match data and the bounded cache of dynamic patterns; made when first needed */
   struct ecl_run_state_t *run;       /* slots and outputs of ecl_plan_run */
   const struct ecl_loader_t *loader; /* documents of other collections (lookup.h); NULL: there are none to be had */
   bool pending;                      /* the run asked for documents that are not here yet */
   ecl_eval_t *inner;                 /* runs the pipelines of $lookup; made when first needed */
   ecl_picked_t rows[ECL_EVAL_ROWS];  /* the latest used first */
   uint32_t n_rows;                   /* 0 wherever the bytes that they stand for, or the arena, may change */
};

/* Sets ev->error and returns false. */
bool
ecl_eval_fail (ecl_eval_t *ev, const ecl_expr_t *self, uint32_t code, const char *format, ...) ECL_PRINTF (4, 5)
   __attribute__ ((cold));

/* What the evaluation of one document may take: several of the largest documents. Operators that evaluate an argument
 * many times ask before each time, because that is where memory multiplies. */
#define ECL_EVAL_MAX_MEMORY ((size_t) 256 << 20)

static inline bool
ecl_eval_has_memory (ecl_eval_t *ev, const ecl_expr_t *self)
{
   return ECL_LIKELY (ev->arena.used <= ECL_EVAL_MAX_MEMORY) ||
          ecl_eval_fail (ev, self, 146, "the evaluation of one document needs more than %zu MiB",
                         ECL_EVAL_MAX_MEMORY >> 20);
}

static inline bool
ecl_expr_eval (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   if (self->kind == ECL_EXPR_CONST) {
      *out = self->constant;
      return true;
   }
   return self->eval (self, ev, out);
}

/* Takes the elements of a raw array in its place where it has been asked for often: a loop that picks by index from one
 * array, searches it, or asks for its size each time, walks its bytes a few times and not once for each round. */
void
ecl_eval_row (ecl_eval_t *self, ecl_value_t *array);

/* As ecl_document_get, for a name that was computed: a loop that picks by name from one document gathers its fields
 * once. */
ecl_value_t
ecl_eval_get (ecl_eval_t *self, const ecl_value_t *document, const char *key, uint32_t len);

/* The argument's value; missing where the named argument is absent. */
static inline bool
ecl_arg (const ecl_expr_t *self, uint32_t i, ecl_eval_t *ev, ecl_value_t *out)
{
   if (!self->args[i]) {
      *out = ecl_missing ();
      return true;
   }
   return ecl_expr_eval (self->args[i], ev, out);
}

static inline bool
ecl_is_constant (const ecl_expr_t *e)
{
   return e && e->kind == ECL_EXPR_CONST;
}

/* Follows a path into a value as "$a.b.c" does: through documents, mapping over arrays of documents (an array inside an
 * array is passed over), missing where there is nothing. */
void
ecl_value_path (ecl_arena_t *arena, const ecl_value_t *v, const ecl_name_t *path, uint32_t n, ecl_value_t *out);

/* ---- parsing ---- */

typedef struct ecl_scope_t ecl_scope_t;

/* Called once for each problem; at is the element, inside the BSON that was given. */
typedef void (*ecl_parse_report_fn) (void *context, const uint8_t *at, uint32_t code, const char *message);

struct ecl_parse_t {
   ecl_arena_t *arena; /* of the plan: nodes, constants, names */
   ecl_parse_report_fn report;
   void *report_context;
   ecl_scope_t *scope;
   uint32_t n_vars; /* in scope now */
   uint32_t max_vars;
   uint32_t depth;
   bool allow_now;
   bool allow_lookup;
   bool failed;
   ecl_eval_t *folder; /* evaluates constants while parsing */
};

#define ECL_PARSE_MAX_DEPTH 150

/* Reports the problem and returns NULL. at may be NULL. */
void *
ecl_parse_fail (ecl_parse_t *self, const uint8_t *at, uint32_t code, const char *format, ...) ECL_PRINTF (4, 5)
   __attribute__ ((cold));

/* The element that a field of raw BSON was read from. */
static inline const uint8_t *
ecl_at (const ecl_field_t *field)
{
   return (const uint8_t *) field->key - 1;
}

static inline bool
ecl_key_is (const ecl_field_t *field, const char *name)
{
   return strlen (name) == field->key_len && memcmp (field->key, name, field->key_len) == 0;
}

/* Any expression; NULL after a report. The BSON must be raw and outlive the plan. */
ecl_expr_t *
ecl_parse_expr (ecl_parse_t *self, const ecl_field_t *spec);

/* Helpers for parse functions. */
ecl_expr_t *
ecl_parse_positional (ecl_parse_t *self, const ecl_operator_t *op, const ecl_field_t *spec);

ecl_expr_t *
ecl_parse_named (ecl_parse_t *self, const ecl_operator_t *op, const ecl_field_t *spec);

/* An operator node with room for n arguments, all NULL. */
ecl_expr_t *
ecl_parse_node (ecl_parse_t *self, const ecl_operator_t *op, const ecl_field_t *spec, uint32_t n);

/* The place of a field's name among n names; n where it is none of them. */
uint32_t
ecl_key_among (const ecl_field_t *field, const char *const *names, uint32_t n);

/* Parses the fields of an object into the arguments of an operator node, whose names these are. False after a report,
 * with the code `unknown` where a field has none of the names. */
bool
ecl_parse_arguments (ecl_parse_t *self, ecl_expr_t *e, const ecl_field_t *spec, const char *const *names,
                     uint32_t unknown);

ecl_expr_t *
ecl_parse_constant (ecl_parse_t *self, const ecl_value_t *value, const uint8_t *source);

/* An OPERATOR node whose arguments are all constant becomes a constant. One that fails is reported: the server, too,
 * refuses the whole pipeline then, even where the branch is never taken ({$cond: [true, 1, {$divide: [1, 0]}]}).
 * Generic parsers call it; so should custom ones, at their end. */
ecl_expr_t *
ecl_parse_fold (ecl_parse_t *self, ecl_expr_t *e);

/* Brings a variable into scope and gives its index; the name has been checked. Until ecl_scope_pop. */
uint32_t
ecl_scope_push (ecl_parse_t *self, const char *name, size_t len);

void
ecl_scope_pop (ecl_parse_t *self, uint32_t n);

/* False, with a report, where MongoDB would not take it as the name of a user's variable. */
bool
ecl_check_variable_name (ecl_parse_t *self, const uint8_t *at, const char *name, size_t len);

/* The variables of a `let`, {name: expression, …}: first all expressions, into `values`, so that they do not see each
 * other's variables; then all names are brought into scope. False after a report, with none in scope. */
bool
ecl_parse_let (ecl_parse_t *self, const ecl_value_t *vars, ecl_expr_t **values);

/* "a.b.c" split into names in the arena; NULL after a report (empty components, $ or NUL in them). */
const ecl_name_t *
ecl_parse_path (ecl_parse_t *self, const uint8_t *at, const char *path, size_t len, uint32_t *n);

/* ---- the table ---- */

const ecl_operator_t *
ecl_operator_find (const char *name, size_t len);

/* The i-th row, in the order of operators.def; NULL past the end. */
const ecl_operator_t *
ecl_operator_at (size_t i);

/* ---- evaluator ---- */

void
ecl_eval_init (ecl_eval_t *self);

void
ecl_eval_cleanup (ecl_eval_t *self);

/* Room for n variables; keeps what is there. */
void
ecl_eval_reserve_vars (ecl_eval_t *self, uint32_t n);

/* ---- what operators share ---- */

/* Any BSON number as int64: true where it is integral and fits (3, 3.0, NumberDecimal("3.00")). */
bool
ecl_number_to_int64 (const ecl_value_t *v, int64_t *out);

bool
ecl_number_to_int32 (const ecl_value_t *v, int32_t *out);

/* The nearest double. */
double
ecl_number_to_double (const ecl_value_t *v);

/* Text of a value for a message: relaxed, cut at about 100 bytes; in the arena. Of most types only the name. */
const char *
ecl_value_text (ecl_arena_t *arena, const ecl_value_t *v);

#endif
