/* mailbox.c -- ghosts between ranks of one node: each writes to buffers that its neighbours read, and says so. */
#include <parsolve/mailbox.h>

#include "wait.h"

#define PS_EXPORT __attribute__((visibility("default")))

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
        if (m->awaited[side]) ps_wait(m->awaited[side], m->posted, m->yielding);
    return m->copy(m->unpacks + m->posted % 2 * m->count, m->count);
}
