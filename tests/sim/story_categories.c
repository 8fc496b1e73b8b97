/* The story of examples/merge-categories: categories that share a label become one, while an application goes on
 * writing posts with the categories that it read some time ago.
 *
 *    no post is lost, each keeps its label; of each label one category stays, the first
 *    a category goes only when the one who lets it go had looked, and no post that was there then refers to it
 *    at the end a post refers to one that is gone only if it was written behind the last sweep
 */
#include "sim.h"

#define CATEGORIES 12
#define LABELS 5
#define POSTS 24
#define FIRST_POSTS 10
#define SWEEP 4 /* the step, from 0 */

typedef struct {
   bool there;
   int text;
   int label;
   int64_t written; /* which event it was when a write of its category took effect last */
} post_t;

typedef struct {
   post_t posts[POSTS];
   int64_t looked[MAX_PROCESSES][CATEGORIES]; /* likewise: when a process last looked for posts of one */
   int64_t swept[CATEGORIES];                 /* likewise: when the sweep last repointed posts of one */
} data_t;

static ecl_project_t *
load (void)
{
   return story_from_folder (SIM_EXAMPLES "/merge-categories");
}

/* Some labels twice, some three times, one once. */
static int
label_of (int64_t category)
{
   static const int labels[CATEGORIES] = {0, 1, 2, 0, 1, 3, 2, 0, 3, 1, 4, 2};

   return category >= 0 && category < CATEGORIES ? labels[category] : -1;
}

static void
setup (sim_t *sim)
{
   data_t *data = sim->data;

   for (int i = 0; i < CATEGORIES; i++) {
      char label[2] = {(char) ('a' + label_of (i)), '\0'};

      server_put (&sim->server, "categories", blob_of (BCON_NEW ("_id", BCON_INT32 (i), "label", BCON_UTF8 (label))));
   }
   for (int i = 0; i < FIRST_POSTS; i++) {
      int category = (int) (sim_random (sim) % CATEGORIES);

      data->posts[i] = (post_t){.there = true, .label = label_of (category)};
      server_put (
         &sim->server, "posts",
         blob_of (BCON_NEW ("_id", BCON_INT32 (i), "text", BCON_INT32 (0), "categoryId", BCON_INT32 (category))));
   }
}

/* Each application has every second post for its own. */
static void
app (process_t *self)
{
   sim_t *sim = self->sim;
   data_t *data = sim->data;
   rows_t known = {0};

   for (int i = 0; i < 7 && !self->dead; i++) {
      int post = 2 * (int) (sim_random (sim) % (POSTS / 2)) + self->index % 2;
      bson_t *id = BCON_NEW ("_id", BCON_INT32 (post));

      /* It read them when it showed the form. */
      if (i % 3 == 0) {
         rows_cleanup (&known);
         app_find (self, "categories", bson_new (), &known);
      }
      app_wait (self, 20, 900);
      if (!known.n || self->dead) {
         bson_destroy (id);
         break;
      }
      if (data->posts[post].there && sim_chance (sim, 3)) {
         app_set (self, "posts", id, BCON_NEW ("text", BCON_INT32 (i + 1)));
      } else {
         int64_t category = blob_number (known.items[sim_random (sim) % known.n], "_id");

         data->posts[post].label = -1; /* until it is known */
         app_set (self, "posts", id,
                  BCON_NEW ("text", BCON_INT32 (i + 1), "categoryId", BCON_INT32 ((int32_t) category)));
         data->posts[post].label = label_of (category);
      }
      data->posts[post].there = true;
      data->posts[post].text = i + 1;
   }
   rows_cleanup (&known);
}

static void
category_goes (sim_t *sim, const sender_t *sender, int64_t category)
{
   const data_t *data = sim->data;
   const collection_t *posts = server_collection (&sim->server, "posts");
   int64_t looked = data->looked[sender->process->index][category];

   if (!story_stored (sim, "category_merges", category)) {
      sim_wrong (sim, "category %" PRId64 " goes, and the majority does not know into which", category);
   }
   for (size_t i = 0; i < posts->n; i++) {
      const blob_t *post = posts->slots[i]->current;

      if (post && blob_number (post, "categoryId") == category) {
         sim_reached (sim, FAULT_BETWEEN);
         if (data->posts[posts->slots[i]->id.u.i64].written < looked || !looked) {
            sim_wrong (sim, "category %" PRId64 " goes, and post %" PRId64 " referred to it when process %d looked",
                       category, posts->slots[i]->id.u.i64, sender->process->index);
         }
      }
   }
}

static void
wrote (sim_t *sim, const sender_t *sender, const char *collection, const blob_t *before, const blob_t *after)
{
   data_t *data = sim->data;

   if (strcmp (collection, "posts") == 0) {
      if (!after) {
         sim_wrong (sim, "a post was removed");
      } else if (sender->process->app && blob_number (before, "categoryId") != blob_number (after, "categoryId")) {
         data->posts[blob_number (after, "_id")].written = sim->events;
      } else if (!sender->process->app &&
                 label_of (blob_number (before, "categoryId")) != label_of (blob_number (after, "categoryId"))) {
         sim_wrong (sim, "post %" PRId64 " got a category of another label", blob_number (after, "_id"));
      }
   } else if (strcmp (collection, "categories") == 0 && !after) {
      category_goes (sim, sender, blob_number (before, "_id"));
   }
}

/* The filter {categoryId: x} of a command on posts. */
static bool
asked_for (const ecl_value_t *filter, int64_t *category)
{
   ecl_value_t id = filter->type == BSON_TYPE_DOCUMENT ? ecl_document_get (filter, "categoryId", 10) : ecl_missing ();

   *category = id.u.i64;
   return id.type == BSON_TYPE_INT32 && *category >= 0 && *category < CATEGORIES;
}

static void
executed (sim_t *sim, const execution_t *run)
{
   data_t *data = sim->data;
   const process_t *process = run->sender->process;
   ecl_value_t filter, updates, item;
   ecl_iter_t iter;
   int64_t category;

   if (!process || process->app || !run->collection || strcmp (run->collection->name, "posts") != 0) {
      return;
   }
   if (strcmp (run->name, "find") == 0) {
      filter = command_get (run, "filter");
      if (run->sender->heard && asked_for (&filter, &category)) {
         data->looked[process->index][category] = sim->events;
      }
   } else if (strcmp (run->name, "update") == 0 &&
              blob_number (server_get_text (&sim->server, ECL_STORE_CHANGELOG, sim->works[0].name, false), "steps") >=
                 SWEEP) {
      updates = command_get (run, "updates");
      ecl_iter_init (&iter, &updates);
      while (ecl_iter_item (&iter, &item)) {
         filter = ecl_document_get (&item, "q", 1);
         if (asked_for (&filter, &category)) {
            data->swept[category] = sim->events;
         }
      }
   }
}

static void
step_done (sim_t *sim, int migration, int step)
{
   const collection_t *categories = server_collection (&sim->server, "categories");
   bool seen[LABELS] = {false};

   (void) migration;
   for (size_t i = 0; step > 0 && i < categories->n; i++) {
      const blob_t *category = categories->slots[i]->majority;
      ecl_value_t id = categories->slots[i]->id;
      int label = label_of (id.u.i64);

      if (category && seen[label] && (step >= 2 || !story_stored (sim, "category_merges", id.u.i64))) {
         sim_wrong (sim, "step %d counts as done, and category %" PRId64 " is one too many", step, id.u.i64);
      }
      seen[label] |= category != NULL;
   }
}

static void
end (sim_t *sim)
{
   const data_t *data = sim->data;
   const collection_t *posts = server_collection (&sim->server, "posts");
   size_t n = 0;

   for (int i = 0; i < LABELS; i++) {
      int first = 0;

      while (label_of (first) != i) {
         first++;
      }
      if (!story_stored (sim, "categories", first)) {
         sim_wrong (sim, "at the end no category has label %d", i);
      }
   }
   for (int i = 0; i < POSTS; i++) {
      const post_t *post = &data->posts[i];
      const blob_t *stored = story_stored (sim, "posts", i);
      int64_t category = blob_number (stored, "categoryId");

      n += stored != NULL;
      if (!post->there) {
         continue;
      }
      if (!stored || blob_number (stored, "text") != post->text || label_of (category) != post->label) {
         sim_wrong (sim, "at the end post %d is not what the application wrote", i);
      }
      if (!story_stored (sim, "categories", category) && post->written <= data->swept[category]) {
         sim_wrong (sim,
                    "at the end post %d has category %" PRId64 ", which is gone, and was there before the last sweep",
                    i, category);
      }
   }
   for (size_t i = 0; i < posts->n; i++) {
      n -= posts->slots[i]->majority != NULL;
   }
   if (n) {
      sim_wrong (sim, "at the end there are posts that nobody wrote");
   }
}

const story_t story_categories = {.name = "categories",
                                  .kind = RUNS,
                                  .load = load,
                                  .setup = setup,
                                  .n_apps = 2,
                                  .app = app,
                                  .wrote = wrote,
                                  .executed = executed,
                                  .step_done = step_done,
                                  .end = end};
