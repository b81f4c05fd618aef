/* mailbox.c -- ghosts between ranks of one node: each writes to buffers that its neighbours read, and says so. */
#include <parsolve/mailbox.h>

#include <sched.h>

#define PS_EXPORT __attribute__((visibility("default")))
#define SPINS 1000

PS_EXPORT int ps_post(ps_mailbox *m);
PS_EXPORT int ps_collect(const ps_mailbox *m);

/* Begin an exchange. */
int ps_post(ps_mailbox *m)
{
    m->posted++;
    const int status = m->copy(m->packs + m->posted % 2 * m->count, m->count);
    __atomic_store_n(m->own, m->posted, __ATOMIC_RELEASE);
    return status;
}

/* End it, once the neighbours have begun it. */
int ps_collect(const ps_mailbox *m)
{
    for (int side = 0; side < 2; side++)
        for (int64_t spins = 1; m->awaited[side]; spins++) {
            if (__atomic_load_n(m->awaited[side], __ATOMIC_ACQUIRE) >= m->posted) break;
            if (m->yielding || spins % SPINS == 0) sched_yield();
        }
    return m->copy(m->unpacks + m->posted % 2 * m->count, m->count);
}
