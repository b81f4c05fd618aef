/* pipeline.h -- several stages over a subdomain in one pass through memory. */
#ifndef PARSOLVE_PIPELINE_H
#define PARSOLVE_PIPELINE_H

#include "parsolve.h"

enum { PS_STAGE_KERNEL = 0, PS_STAGE_COPY = 1, PS_STAGE_GHOST = 2 };

typedef int ps_copy_function(const ps_copy *list, int64_t n);
typedef int ps_ghost_function(const ps_ghost *list, int64_t n);

/* One stage of a pass.
 * A kernel is launched over the part of its box [lo, hi) that lies in the tile; a copy is done for the rows (z, y) of the
 * tile; ghosts normal to x likewise, ghosts normal to z or y once the tile has passed row `trigger` of that axis.
 * lag: how many rows along z and y the stage is behind the front of the tile, so that what it reads is there already.
 */
typedef struct ps_stage {
    int64_t kind;
    void *function; /* ps_kernel, ps_copy_function or ps_ghost_function */
    int64_t lag[3];
    int64_t lo[3], hi[3];
    int64_t trigger;
    int64_t size;        /* bytes of a value, of a copy */
    ps_args *args;       /* of a kernel; its box is overwritten */
    const ps_copy *copy; /* of rows at (z, y) = (0, 0) */
    ps_ghost *ghost;     /* their tangential range is overwritten */
    int64_t count;       /* of copies or ghosts */
} ps_stage;

#endif
