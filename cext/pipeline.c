/* pipeline.c -- time-skewed tiles: a list of stages over a subdomain in one pass through memory.
 *
 * In each tile, stage s works on the tile shifted back by its lag; a stage lags the one before by the radius of the
 * stencil.  So all that a stage reads was made in this tile or one before it along each axis, and nothing is overwritten
 * that an earlier stage still has to read: two alternating arrays are enough, and each cell is computed once, by the same
 * kernel from the same values as in the plain order (Wolf & Lam, PLDI 1991; Wonnacott, IPDPS 2000).
 * The tiles of a strip march along one axis: what all stages need stays in cache, while the kernels fetch what the next
 * tile needs.  A strip may follow the one before it as soon as that is a tile ahead, so threads take strips in turn
 * (Wellein et al., COMPSAC 2009).
 */
#include <parsolve/pipeline.h>

#include "wait.h"

#define PS_EXPORT __attribute__((visibility("default")))

PS_EXPORT int ps_pipeline(const ps_pass *pass);
PS_EXPORT int64_t ps_threads(int64_t wanted);
PS_EXPORT int ps_launch(ps_kernel *kernel, const ps_args *args, int64_t threads);

typedef struct range {
    int64_t lo[3], hi[3];
} range;

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

/* Let kernel number k fetch its share of what the next tile reads: of one field, a piece of a contiguous region. */
static void fetch_ahead(const ps_pass *p, int64_t k, const range *tile, const range *box, ps_args *a)
{
    const int64_t shares = most(p->kernels / p->field_count, 1), share = k / p->field_count;
    const int64_t m = p->march, s = p->strip, lag = p->stages[p->count - 1].lag[s];
    int64_t first[3] = {p->lo[0], p->lo[1], p->lo[2]};
    first[m] = tile->hi[m] + p->reach;
    first[s] = most(tile->lo[s] - lag, p->lo[s]);
    if (m == s || first[m] >= p->hi[m] || share >= shares) return;
    const int64_t cells =
        (tile->hi[m] - tile->lo[m]) * (least(tile->hi[s] + p->reach, p->hi[s]) - first[s]) * a->stride[s];
    const int64_t lines = cells * p->size / (shares * PS_LINE) + 1;
    const int64_t c = first[0] * a->stride[0] + first[1] * a->stride[1] + first[2];
    a->ahead = (const char *)p->fields[k % p->field_count] + c * p->size + share * lines * PS_LINE;
    const int64_t rows = (box->hi[0] - box->lo[0]) * (box->hi[1] - box->lo[1]);
    a->ahead_lines = lines / (rows * PS_PIECES(box->hi[2] - box->lo[2])) + 1;
}

static int run_kernel(const ps_pass *p, const ps_stage *s, int64_t k, const range *tile, const range *box)
{
    ps_args a; /* a copy: other threads have theirs */
    ps_copy_args(&a, s->args, s->count);
    for (int d = 0; d < 3; d++) a.lo[d] = box->lo[d], a.hi[d] = box->hi[d];
    fetch_ahead(p, k, tile, box, &a);
    return ((ps_kernel *)s->function)(&a);
}

static int run_copy(const ps_stage *s, const range *r)
{
    int status = PS_OK;
    for (int64_t i = 0; i < s->count && !status; i++) {
        ps_copy c = s->copy[i];
        for (int d = 0; d < 3; d++) {
            if (d == s->axis) continue;
            c.source = (const char *)c.source + s->size * r->lo[d] * c.source_stride[d];
            c.target = (char *)c.target + s->size * r->lo[d] * c.target_stride[d];
            c.extent[d] = r->hi[d] - r->lo[d];
        }
        status = ((ps_copy_function *)s->function)(&c, 1);
    }
    return status;
}

/* Arrays of boundary values begin at the lower end of the whole range; ps_ghost counts from that of its own. */
static int run_ghost(const ps_stage *s, const range *r)
{
    int status = PS_OK;
    for (int64_t i = 0; i < s->count && !status; i++) {
        ps_ghost g = s->ghost[i];
        int64_t skip = 0;
        for (int d = 0; d < 3; d++) {
            if (d == s->axis) continue;
            skip += (r->lo[d] - g.lo[d]) * g.value_stride[d];
            g.lo[d] = r->lo[d], g.hi[d] = r->hi[d];
        }
        if (g.value) g.value += skip;
        if (g.a) g.a += skip, g.b += skip;
        status = ((ps_ghost_function *)s->function)(&g, 1);
    }
    return status;
}

static int run_norm(const ps_stage *s, const range *box)
{
    ps_args a = *s->args;
    double found = 0, seen;
    for (int d = 0; d < 3; d++) a.lo[d] = box->lo[d], a.hi[d] = box->hi[d];
    const int status = ((ps_norm_function *)s->function)(&a, &found);
    __atomic_load(s->worst, &seen, __ATOMIC_RELAXED);
    while (found > seen && !__atomic_compare_exchange(s->worst, &seen, &found, 1, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
    return status;
}

/* A stage on a tile; k: how many kernels come before it. */
static int run_stage(const ps_pass *p, const ps_stage *s, int64_t k, const range *tile, const range *box)
{
    switch (s->kind) {
    case PS_STAGE_KERNEL: return run_kernel(p, s, k, tile, box);
    case PS_STAGE_COPY: return run_copy(s, box);
    case PS_STAGE_GHOST: return run_ghost(s, box);
    default: return run_norm(s, box);
    }
}

static int run_tile(const ps_pass *p, const range *tile)
{
    int64_t k = 0;
    int status = PS_OK;
    for (const ps_stage *s = p->stages; s < p->stages + p->count && !status; s++) {
        range box;
        int empty = 0;
        for (int d = 0; d < 3; d++) {
            const int64_t a = tile->lo[d] - s->lag[d], b = tile->hi[d] - s->lag[d];
            box.lo[d] = most(a, s->lo[d]), box.hi[d] = least(b, s->hi[d]);
            const int normal = d == s->axis;
            if (s->kind == PS_STAGE_GHOST && normal)
                empty |= s->trigger < a || s->trigger >= b;
            else if (s->kind != PS_STAGE_COPY || !normal)
                empty |= box.lo[d] >= box.hi[d];
        }
        if (!empty) status = run_stage(p, s, k, tile, &box);
        k += s->kind == PS_STAGE_KERNEL;
    }
    return status;
}

/* The tiles of strip n, each once the strip before has done its own. */
static int run_strip(const ps_pass *p, int64_t n)
{
    const int64_t m = p->march, s = p->strip;
    range tile = {{p->lo[0], p->lo[1], p->lo[2]}, {p->hi[0], p->hi[1], p->hi[2]}};
    int status = PS_OK;
    if (s != m) {
        tile.lo[s] = p->lo[s] + n * p->tile[s];
        tile.hi[s] = tile.lo[s] + p->tile[s];
    }
    int64_t number = 0;
    for (int64_t at = p->lo[m]; at < p->hi[m]; at += p->tile[m]) {
        tile.lo[m] = at, tile.hi[m] = at + p->tile[m];
        if (n) ps_wait(p->done + n - 1, number + 1, 0);
        if (!status) status = run_tile(p, &tile);
        __atomic_store_n(p->done + n, ++number, __ATOMIC_RELEASE);
    }
    return status;
}

int ps_pipeline(const ps_pass *p)
{
    const int64_t s = p->strip, strips = s == p->march ? 1 : (p->hi[s] - p->lo[s] + p->tile[s] - 1) / p->tile[s];
    int status = PS_OK;
    for (int64_t n = 0; n < strips; n++) p->done[n] = 0;
#ifdef _OPENMP
#pragma omp parallel for schedule(static, 1) num_threads((int)p->threads) if (p->threads > 1) reduction(max : status)
#endif
    for (int64_t n = 0; n < strips; n++) {
        const int found = run_strip(p, n);
        if (found > status) status = found;
    }
    return status;
}

/* One kernel over its box by several threads, each of which has a piece along the first axis that is long enough. */
int ps_launch(ps_kernel *kernel, const ps_args *args, int64_t threads)
{
    const int d = args->hi[0] - args->lo[0] >= threads ? 0 : 1;
    const int64_t lo = args->lo[d], n = args->hi[d] - lo;
    int status = PS_OK;
    if (threads < 2 || n < threads) return kernel(args);
#ifdef _OPENMP
#pragma omp parallel for schedule(static, 1) num_threads((int)threads) reduction(max : status)
#endif
    for (int64_t t = 0; t < threads; t++) {
        ps_args a = *args;
        a.lo[d] = lo + n * t / threads;
        a.hi[d] = lo + n * (t + 1) / threads;
        const int found = kernel(&a);
        if (found > status) status = found;
    }
    return status;
}

/* How many threads a rank can have if it wants so many. */
int64_t ps_threads(int64_t wanted)
{
#ifdef _OPENMP
    return wanted;
#else
    return wanted > 0;
#endif
}
