/* Database migrations: which are to run, and one from claim to end. See migrate.h. */
#include "migrate/migrate-private.h"

#include "migrate/adopt.h"

/* ---- what is to run ---- */

static bool
is_applied (const ecl_changelog_t *record)
{
   /* One that is being taken back, or failed on the way, is neither: its way down is to be finished. */
   return record &&
          (record->state == ECL_CHANGELOG_APPLIED || (record->down && record->state != ECL_CHANGELOG_REVERTED));
}

const ecl_placed_t *
ecl_migrate_list (const ecl_project_t *project, const ecl_history_t *history, ecl_arena_t *arena, size_t *n)
{
   const ecl_changelog_t *records = history->records, *last = NULL;
   size_t n_works, w = 0, r = 0;
   const ecl_work_t *works = ecl_project_works (project, &n_works);
   ecl_placed_t *list = ecl_arena_array (arena, ecl_placed_t, n_works + history->n + 1);

   for (size_t i = 0; i < history->n; i++) {
      /* Another tool's names need not be in our order. */
      last = is_applied (&records[i]) &&
                   (!ecl_adopt_is_origin (records[i].origin) || ecl_project_work (project, records[i].name))
                ? &records[i]
                : last;
   }
   *n = 0;
   while (w < n_works || r < history->n) {
      int order = w == n_works ? 1 : r == history->n ? -1 : strcmp (works[w].name, records[r].name);
      ecl_placed_t *placed = &list[(*n)++];

      *placed = (ecl_placed_t){.work = order <= 0 ? &works[w] : NULL, .record = order >= 0 ? &records[r] : NULL};
      placed->name = placed->work ? placed->work->name : placed->record->name;
      if (!placed->work) {
         placed->kind = ecl_adopt_is_origin (placed->record->origin) ? ECL_PLACE_ADOPTED : ECL_PLACE_GONE;
      } else if (is_applied (placed->record)) {
         placed->kind = placed->record->checksum && strcmp (placed->record->checksum, placed->work->checksum) != 0
                           ? ECL_PLACE_CHANGED
                        : placed->record->down ? ECL_PLACE_DOWN
                                               : ECL_PLACE_APPLIED;
      } else {
         placed->kind = last && strcmp (placed->name, last->name) < 0 ? ECL_PLACE_LATE : ECL_PLACE_PENDING;
      }
      w += order <= 0;
      r += order >= 0;
   }
   return list;
}

/* ---- one step ---- */

static bool
run_act (ecl_migrate_t *self, const ecl_act_t *act, int32_t steps, bool *noted, bson_error_t *error)
{
   ecl_row_t none = {0};

   switch (act->kind) {
   case ECL_ACT_FOREACH:
      return ecl_migrate_foreach (self, act, error);
   case ECL_ACT_TRANSACTION:
      *noted = true;
      return ecl_migrate_transaction (self, act, steps, error);
   case ECL_ACT_UPDATE_MANY:
   case ECL_ACT_DELETE_MANY:
      if (!ecl_act_flag (act, ECL_ARG_AT_ONCE)) {
         return ecl_migrate_ranges (self, act, error);
      }
      return ecl_migrate_write (self, act, &none, 1, NULL, error);
   default:
      return ecl_act_is_statement (act->kind) ? ecl_migrate_write (self, act, &none, 1, NULL, error)
                                              : ecl_migrate_admin (self, act, error);
   }
}

static void
tell (ecl_migrate_t *self)
{
   if (self->options->hooks.tell) {
      self->options->hooks.tell (self->options->hooks.context, &self->event);
   }
}

void
ecl_migrate_progress (ecl_migrate_t *self, int64_t rows)
{
   self->event.rows = rows;
   tell (self);
}

/* "migrations/x.yaml:12:5: updateMany: …" */
static void
say_where (const ecl_migrate_t *self, const ecl_act_t *act, bson_error_t *error)
{
   ecl_text_pos_t pos;

   if (error && self->work->text && ecl_text_locate (self->work->text, act->at, &pos)) {
      ecl_error_prefix (error, "%s:%u:%u: %s", self->work->file, pos.line, pos.column, ecl_act_name (act->kind));
   }
}

static bool
run_steps (ecl_migrate_t *self, const ecl_work_way_t *way, bson_error_t *error)
{
   for (size_t i = (size_t) self->record.steps; i < way->n_acts; i++) {
      const ecl_act_t *act = &way->acts[i];
      bool noted = false;

      ecl_arena_reset (&self->arena);
      self->event.step = i;
      self->event.name = ecl_act_name (act->kind);
      self->event.collection = ecl_migrate_text (self, act,
                                                 act->args[ECL_ARG_FIND].key        ? ECL_ARG_FIND
                                                 : act->args[ECL_ARG_AGGREGATE].key ? ECL_ARG_AGGREGATE
                                                 : act->args[ECL_ARG_FROM].key      ? ECL_ARG_FROM
                                                                                    : ECL_ARG_COLLECTION);
      self->event.rows = 0;
      tell (self);
      if (self->world->cancelled (self->world)) {
         return ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_CANCELLED, "ended as asked for, before step %zu of %zu",
                          i + 1, way->n_acts);
      }
      if (!run_act (self, act, (int32_t) i + 1, &noted, error)) {
         say_where (self, act, error);
         return false;
      }
      if (!noted &&
          !ecl_history_step (self->options->world, self->options->holder, &self->record, (int32_t) i + 1, error)) {
         return false;
      }
      self->record.steps = (int32_t) i + 1;
      self->again = false;
   }
   return true;
}

/* ---- the whole ---- */

static bool
check_way (const ecl_migrate_t *self, const ecl_work_way_t *way, const ecl_changelog_t *before, bson_error_t *error)
{
   if (way->kind == ECL_WORK_NONE || way->kind == ECL_WORK_IRREVERSIBLE) {
      return ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_NO_WAY, "it has no way down%s",
                       way->kind == ECL_WORK_IRREVERSIBLE ? ": it says that it is irreversible" : "");
   }
   for (size_t i = 0; i < way->n_acts; i++) {
      bool needs = way->acts[i].kind == ECL_ACT_TRANSACTION || ecl_act_flag (&way->acts[i], ECL_ARG_TRANSACTION);

      if (needs && !self->options->transactions) {
         ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_UNSUPPORTED,
                   "this server has no transactions: it is no replica set");
         say_where (self, &way->acts[i], error);
         return false;
      }
   }
   if (before && before->steps > 0 && before->down == self->down && before->state != ECL_CHANGELOG_APPLIED &&
       before->state != ECL_CHANGELOG_REVERTED && before->checksum &&
       strcmp (before->checksum, self->work->checksum) != 0) {
      return ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_CONFLICT,
                       "%s: %d of its steps are done, and the file is another by now: put the old one back, or `eclose "
                       "repair %s` to go on with this one behind these steps",
                       self->work->file, before->steps, self->work->name);
   }
   return true;
}

/* Writes how it ended. Where the lease is lost the record is somebody else's, or will be: then nothing is sent. */
static bool
end (ecl_migrate_t *self, bool good, const char *output, bson_error_t *error)
{
   bson_error_t ignored;

   self->record.output = output;
   if (good) {
      self->record.state = self->down ? ECL_CHANGELOG_REVERTED : ECL_CHANGELOG_APPLIED;
      self->record.error = NULL;
      return ecl_history_end (self->options->world, self->options->holder, &self->record, error);
   }
   self->record.state = ECL_CHANGELOG_FAILED;
   self->record.error = error->message;
   if (!ecl_history_end (self->options->world, self->options->holder, &self->record, &ignored)) {
      return false; /* the record still says "running": whoever comes next goes on all the same */
   }
   return false;
}

static void
keep_output (void *context, const char *text)
{
   const ecl_migrate_t *self = context;
   bson_error_t ignored;

   /* That the lease is lost is seen by whoever looks at it. */
   (void) !ecl_history_output (self->options->world, self->options->holder, &self->record, text, &ignored);
}

static bool
run_program (ecl_migrate_t *self, ecl_buf_t *output, bson_error_t *error)
{
   const ecl_migrate_hooks_t *hooks = &self->options->hooks;
   ecl_migrate_program_t program = {.work = self->work,
                                    .down = self->down,
                                    .holder = self->options->holder,
                                    .output = output,
                                    .keep = keep_output,
                                    .keeper = self};

   return hooks->program (hooks->context, &program, error);
}

bool
ecl_migrate_run (const ecl_migrate_options_t *options, const ecl_work_t *work, bool down, const ecl_changelog_t *before,
                 bson_error_t *error)
{
   const ecl_work_way_t *way = down ? &work->down : &work->up;
   ecl_migrate_t self = {.options = options, .work = work, .down = down};
   bson_error_t failure = {0};
   ecl_buf_t output;
   bool good, goes_on;

   error = error ? error : &failure;
   if (!check_way (&self, way, before, error)) {
      return false;
   }
   ecl_arena_init (&self.arena);
   ecl_buf_init (&output, 2 * ECL_CHANGELOG_OUTPUT_MAX);
   self.world = ecl_held_world_init (&self.held, options->world, options->holder);
   /* A run before that did not end: what it did is not done again. */
   goes_on = before && before->down == down &&
             (before->state == ECL_CHANGELOG_RUNNING || before->state == ECL_CHANGELOG_FAILED);
   self.again = goes_on;
   self.record = (ecl_changelog_t){.name = work->name,
                                   .checksum = work->checksum,
                                   .down = down,
                                   .who = options->who,
                                   .steps = goes_on ? before->steps : 0,
                                   .duration = -1};
   self.event = (ecl_migrate_event_t){
      .work = work, .down = down, .n_steps = way->n_acts, .collection = "", .resumed = goes_on && before->steps > 0};
   good = ecl_history_claim (options->world, options->holder, before, &self.record, error);
   if (!good) {
      goto done;
   }
   tell (&self);
   if (way->kind == ECL_WORK_PROGRAM) {
      good = run_program (&self, &output, error);
   } else {
      good = run_steps (&self, way, error);
   }
   if (!good) {
      ecl_holder_blame (self.options->holder, self.options->world, error);
   }
   good = end (&self, good, way->kind == ECL_WORK_PROGRAM && output.len ? ecl_buf_cstr (&output) : NULL, error);
   self.event.name = NULL;
   self.event.ended = true;
   self.event.failed = !good;
   tell (&self);

done:
   ecl_buf_cleanup (&output);
   ecl_arena_cleanup (&self.arena);
   return good;
}
