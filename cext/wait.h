/* wait.h -- waiting for a number that another thread or process raises. */
#ifndef PARSOLVE_WAIT_H
#define PARSOLVE_WAIT_H

#include <sched.h>
#include <stdint.h>

#define PS_SPINS 1000

/* Wait until *number >= least; what was written before it was raised is seen then.  Other work gets the core now and
 * then, with `yielding` at every look. */
static inline void ps_wait(const int64_t *number, int64_t least, int64_t yielding)
{
    for (int64_t spins = 1; __atomic_load_n(number, __ATOMIC_ACQUIRE) < least; spins++)
        if (yielding || spins % PS_SPINS == 0) sched_yield();
}

#endif
