/* Fibers: blocking code that can be left where it blocks.
 *
 * ucontext makes them; after that _setjmp and _longjmp change over, because swapcontext asks the kernel for the mask of
 * signals each time. AddressSanitizer wants to be told of every change, and only knows that of swapcontext. */
#undef _FORTIFY_SOURCE /* its longjmp takes another stack for a mistake */
#include "sim.h"

#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>

#ifdef HAVE_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

#define STACK_SIZE ((size_t) 1024 * 1024)

struct fiber_t {
   ucontext_t own, caller;
#ifndef HAVE_ASAN
   jmp_buf own_jump, caller_jump;
   bool entered;
#endif
   void *stack;
   void (*body) (void *context);
   void *context;
   bool ended;
   fiber_t *next;             /* unused ones, whose stacks are kept */
   void *fake;                /* ASan's, of this fiber while it is left */
   const void *caller_bottom; /* the stack that resumed it */
   size_t caller_size;
};

static fiber_t *unused;

static void
switch_to (fiber_t *self)
{
#ifdef HAVE_ASAN
   void *fake;

   __sanitizer_start_switch_fiber (&fake, self->stack, STACK_SIZE);
   swapcontext (&self->caller, &self->own);
   __sanitizer_finish_switch_fiber (fake, NULL, NULL);
#else
   if (_setjmp (self->caller_jump)) {
      return;
   }
   if (self->entered) {
      _longjmp (self->own_jump, 1);
   }
   self->entered = true;
   setcontext (&self->own);
#endif
}

static void
switch_back (fiber_t *self)
{
#ifdef HAVE_ASAN
   /* Where it ended its fake stack goes with it. */
   __sanitizer_start_switch_fiber (self->ended ? NULL : &self->fake, self->caller_bottom, self->caller_size);
   swapcontext (&self->own, &self->caller);
   __sanitizer_finish_switch_fiber (self->fake, &self->caller_bottom, &self->caller_size);
#else
   if (!_setjmp (self->own_jump)) {
      _longjmp (self->caller_jump, 1);
   }
#endif
}

static void
enter (unsigned high, unsigned low)
{
   fiber_t *self = (fiber_t *) (((uintptr_t) high << 32) | (uintptr_t) low);

#ifdef HAVE_ASAN
   __sanitizer_finish_switch_fiber (NULL, &self->caller_bottom, &self->caller_size);
#endif
   self->body (self->context);
   self->ended = true;
   switch_back (self);
}

/* A cleared fiber with a stack: one that was used before, or a new one. Not inlined: getcontext returns twice, and what
 * changes in the function around it could be lost. */
static ECL_NOINLINE fiber_t *
take_fiber (void)
{
   fiber_t *self = unused;
   void *stack;

   if (self) {
      unused = self->next;
   } else {
      self = bson_malloc0 (sizeof *self);
      self->stack = mmap (NULL, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      BSON_ASSERT (self->stack != MAP_FAILED);
   }
   stack = self->stack;
   memset (self, 0, sizeof *self);
   self->stack = stack;
   return self;
}

fiber_t *
fiber_start (void (*body) (void *context), void *context)
{
   fiber_t *const self = take_fiber ();
   uintptr_t bits;

   self->body = body;
   self->context = context;
   getcontext (&self->own);
   self->own.uc_stack.ss_sp = self->stack;
   self->own.uc_stack.ss_size = STACK_SIZE;
   self->own.uc_link = NULL;
   bits = (uintptr_t) self;
   makecontext (&self->own, (void (*) (void)) enter, 2, (unsigned) (bits >> 32), (unsigned) bits);
   return self;
}

void
fiber_resume (fiber_t *self)
{
   BSON_ASSERT (!self->ended);
   switch_to (self);
}

void
fiber_yield (fiber_t *self)
{
   switch_back (self);
}

bool
fiber_ended (const fiber_t *self)
{
   return self->ended;
}

void
fiber_destroy (fiber_t *self)
{
   BSON_ASSERT (self->ended);
   self->next = unused;
   unused = self;
}
