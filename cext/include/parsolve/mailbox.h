/* mailbox.h -- ghosts between ranks of one node, through memory that they share. */
#ifndef PARSOLVE_MAILBOX_H
#define PARSOLVE_MAILBOX_H

#include "parsolve.h"

typedef int ps_copy_function(const ps_copy *list, int64_t n);

/* What a rank sends to its neighbours along an axis and takes from them.
 * There are two halves, used in turn: who begins an exchange has ended the one before, so all have ended the one before
 * that, and its half can be overwritten.
 */
typedef struct ps_mailbox {
    ps_copy_function *copy;
    const ps_copy *packs, *unpacks; /* from fields to the own buffers, from the neighbours' to fields; half by half */
    int64_t count;                  /* of each, in a half */
    int64_t posted;                 /* exchanges begun */
    int64_t *own;                   /* where the neighbours see that number */
    const int64_t *awaited[2];      /* theirs; NULL: there is none */
    int64_t yielding;               /* let others have the core while waiting */
} ps_mailbox;

#endif
