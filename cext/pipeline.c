/* pipeline.c -- time-skewed tiles: a list of stages over a subdomain in one pass through memory.
 *
 * The subdomain is cut into tiles along z and y (x stays whole).  In each tile, stage s works on the tile shifted back by
 * its lag along both axes; a stage lags the one before by the radius of the stencil.  So all that a stage reads was made
 * in this tile or an earlier one, and nothing is overwritten that an earlier stage still has to read: two alternating
 * arrays are enough, and each cell is computed once, by the same kernel from the same values as in the plain order
 * (Wolf & Lam, PLDI 1991; Wonnacott, IPDPS 2000).  A tile is read from memory once and updated in cache by every stage.
 */
#include <parsolve/pipeline.h>

#define PS_EXPORT __attribute__((visibility("default")))
#define MAX_LIST 64

PS_EXPORT int ps_pipeline(const ps_stage *stages, int64_t n, const int64_t *tile, const int64_t *lo, const int64_t *hi);

typedef struct range {
    int64_t lo[3], hi[3];
} range;

static int run_kernel(const ps_stage *s, const range *r)
{
    for (int d = 0; d < 3; d++) s->args->lo[d] = r->lo[d], s->args->hi[d] = r->hi[d];
    return ((ps_kernel *)s->function)(s->args);
}

static int run_copy(const ps_stage *s, const range *r)
{
    ps_copy list[MAX_LIST];
    if (s->count > MAX_LIST) return PS_BAD_ARGUMENT;
    for (int64_t i = 0; i < s->count; i++) {
        ps_copy *c = list + i;
        *c = s->copy[i];
        c->source =
            (const char *)c->source + s->size * (r->lo[0] * c->source_stride[0] + r->lo[1] * c->source_stride[1]);
        c->target = (char *)c->target + s->size * (r->lo[0] * c->target_stride[0] + r->lo[1] * c->target_stride[1]);
        for (int d = 0; d < 2; d++) c->extent[d] = r->hi[d] - r->lo[d];
    }
    return ((ps_copy_function *)s->function)(list, s->count);
}

/* Arrays of boundary values begin at the lower end of the whole range; ps_ghost counts from that of its own. */
static int run_ghost(const ps_stage *s, const range *r)
{
    ps_ghost list[MAX_LIST];
    if (s->count > MAX_LIST) return PS_BAD_ARGUMENT;
    for (int64_t i = 0; i < s->count; i++) {
        ps_ghost *g = list + i;
        *g = s->ghost[i];
        int64_t skip = 0;
        for (int d = 0; d < 2; d++) {
            if (d == g->axis) continue;
            skip += (r->lo[d] - g->lo[d]) * g->value_stride[d];
            g->lo[d] = r->lo[d], g->hi[d] = r->hi[d];
        }
        if (g->value) g->value += skip;
        if (g->a) g->a += skip, g->b += skip;
    }
    return ((ps_ghost_function *)s->function)(list, s->count);
}

static int run_stage(const ps_stage *s, const int64_t *first, const int64_t *last)
{
    range r;
    const int64_t normal = s->kind == PS_STAGE_GHOST ? s->ghost->axis : 2;
    for (int d = 0; d < 3; d++) {
        const int64_t a = first[d] - s->lag[d], b = last[d] - s->lag[d];
        if (d == normal && d < 2) {
            if (s->trigger < a || s->trigger >= b) return PS_OK;
            r.lo[d] = 0, r.hi[d] = 1;
            continue;
        }
        r.lo[d] = d == 2 || a < s->lo[d] ? s->lo[d] : a;
        r.hi[d] = d == 2 || b > s->hi[d] ? s->hi[d] : b;
        if (r.lo[d] >= r.hi[d]) return PS_OK;
    }
    switch (s->kind) {
    case PS_STAGE_KERNEL: return run_kernel(s, &r);
    case PS_STAGE_COPY: return run_copy(s, &r);
    default: return run_ghost(s, &r);
    }
}

/* Run the stages over the tiles of [lo, hi), which is large enough for the most lagging stage to come to its end. */
int ps_pipeline(const ps_stage *stages, int64_t n, const int64_t *tile, const int64_t *lo, const int64_t *hi)
{
    for (int64_t z = lo[0]; z < hi[0]; z += tile[0])
        for (int64_t y = lo[1]; y < hi[1]; y += tile[1]) {
            const int64_t first[3] = {z, y, lo[2]}, last[3] = {z + tile[0], y + tile[1], hi[2]};
            for (const ps_stage *s = stages; s < stages + n; s++) {
                const int status = run_stage(s, first, last);
                if (status) return status;
            }
        }
    return PS_OK;
}
