/* pipeline.h -- several stages over a subdomain in one pass through memory. */
#ifndef PARSOLVE_PIPELINE_H
#define PARSOLVE_PIPELINE_H

#include "mailbox.h"

enum { PS_STAGE_KERNEL = 0, PS_STAGE_COPY = 1, PS_STAGE_GHOST = 2, PS_STAGE_NORM = 3 };

typedef int ps_ghost_function(const ps_ghost *list, int64_t n);
typedef int ps_norm_function(const ps_args *args, double *result);

/* One stage of a pass.
 * A kernel or norm is launched over the part of its box [lo, hi) that lies in the tile.
 * A copy closes a periodic axis along which every tile is whole; it is done for the part of its box along the others.
 * Ghosts are filled over the tangential part of theirs, once the tile has passed cell `trigger` of their axis.
 * lag: how many cells along each axis the stage is behind the front of the tile, so that what it reads is there already.
 */
typedef struct ps_stage {
    int64_t kind;
    void *function; /* ps_kernel or what is defined above */
    int64_t lag[3];
    int64_t lo[3], hi[3];
    int64_t axis, trigger; /* of a copy or ghosts */
    const ps_args *args;   /* of a kernel or norm; the tile's box replaces its own */
    const ps_copy *copy;   /* of cell 0 along the axes that it does not close */
    const ps_ghost *ghost; /* the tile's tangential range replaces theirs */
    int64_t count, size;   /* of copies, ghosts, or fields of a kernel; bytes of a value of a copy */
    double *worst;         /* what a norm raises, >= 0 */
} ps_stage;

/* A pass: stages over the tiles of [lo, hi), which is large enough for the most lagging stage to come to its end.
 * Tiles march along one axis within strips of tile[strip] cells along another; along the third they are whole.
 * fields: what the stages touch; of each, `reach` cells ahead of the march, what the next tile needs is fetched.
 */
typedef struct ps_pass {
    const ps_stage *stages;
    int64_t count, kernels; /* stages, and how many of them are kernels */
    int64_t lo[3], hi[3], tile[3];
    int64_t march, strip;
    const void *const *fields;        /* addresses of owned cell (0, 0, 0) */
    int64_t field_count, reach, size; /* size: bytes of a value */
    int64_t threads;
    int64_t *done; /* for each strip: tiles done */
} ps_pass;

#endif
