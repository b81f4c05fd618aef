/* support.c -- what is not an equation: box copies, physical ghosts, extrema, error norms.  Compiled once per precision. */
#include <parsolve/cells.h>

#include <stddef.h>

#define PS_EXPORT __attribute__((visibility("default")))

PS_EXPORT int PS_NAME(copy)(const ps_copy *list, int64_t n);
PS_EXPORT int PS_NAME(ghost)(const ps_ghost *list, int64_t n);
PS_EXPORT int PS_NAME(extrema)(const ps_args *args, ps_extrema *result);
PS_EXPORT int PS_NAME(error_norm)(const ps_args *args, double *result);
PS_EXPORT int PS_NAME(fma)(const ps_real *a, const ps_real *b, const ps_real *c, ps_real *out, int64_t n);

/* A line of a copy. */
static inline void copy_line(ps_real *t, int64_t dt, const ps_real *s, int64_t ds, int64_t n, ps_real factor)
{
    if (factor != 1)
        for (int64_t i = 0; i < n; i++) t[i * dt] = factor * s[i * ds];
    else if (ds == 1 && dt == 1)
        __builtin_memcpy(t, s, (size_t)n * sizeof *t);
    else
        for (int64_t i = 0; i < n; i++) t[i * dt] = s[i * ds];
}

/* Copy each box of the list, along y where rows are short, as the ends of rows are. */
int PS_NAME(copy)(const ps_copy *list, int64_t n)
{
    for (const ps_copy *p = list; p < list + n; p++) {
        const int along = p->extent[2] <= 8 && p->extent[1] > 1 ? 1 : 2, across = 3 - along;
        for (int64_t k = 0; k < p->extent[0]; k++)
            for (int64_t j = 0; j < p->extent[across]; j++)
                copy_line((ps_real *)p->target + k * p->target_stride[0] + j * p->target_stride[across],
                          p->target_stride[along],
                          (const ps_real *)p->source + k * p->source_stride[0] + j * p->source_stride[across],
                          p->source_stride[along], p->extent[along], (ps_real)p->factor);
    }
    return PS_OK;
}

/* Ghost cells of one line normal to the face, at cell c of the field and value v of the boundary. */
static void ghost_line(const ps_ghost *g, int64_t c, double v)
{
    ps_real *u = (ps_real *)g->field + c;
    const int64_t normal = g->inward * g->stride[g->axis];
    for (int64_t k = 0; k < g->depth; k++) {
        ps_real sum = (ps_real)(g->value_weight[k] * v);
        for (int64_t p = 0; p < g->points; p++) sum += (ps_real)g->weight[k][p] * u[p * normal];
        u[-(k + 1) * normal] = sum;
    }
}

/* The value at the face that meets a u + b du/dn = v. */
static double face_value(const ps_ghost *g, int64_t c, double v, double a, double b)
{
    const ps_real *u = (const ps_real *)g->field + c;
    double slope = 0;
    for (int64_t p = 0; p < g->points; p++) slope += g->slope[p] * (double)u[p * g->inward * g->stride[g->axis]];
    return (v + b * slope) / (a - b * g->slope_value);
}

/* Fill the physical ghosts of each side in the list, in order. */
int PS_NAME(ghost)(const ps_ghost *list, int64_t n)
{
    for (const ps_ghost *g = list; g < list + n; g++) {
        int64_t lo[3], hi[3];
        for (int d = 0; d < 3; d++) lo[d] = g->lo[d], hi[d] = g->hi[d];
        lo[g->axis] = g->first, hi[g->axis] = g->first + 1;
        for (int64_t k = lo[0]; k < hi[0]; k++)
            for (int64_t j = lo[1]; j < hi[1]; j++)
                for (int64_t i = lo[2]; i < hi[2]; i++) {
                    const int64_t c = k * g->stride[0] + j * g->stride[1] + i * g->stride[2];
                    const int64_t at = (k - lo[0]) * g->value_stride[0] + (j - lo[1]) * g->value_stride[1]
                                       + (i - lo[2]) * g->value_stride[2];
                    const double v = g->value ? g->value[at] : g->constant;
                    ghost_line(g, c, g->a ? face_value(g, c, v, g->a[at], g->b[at]) : v);
                }
    }
    return PS_OK;
}

/* Minimum, maximum and first cell that is not finite of input 0 over the box. */
int PS_NAME(extrema)(const ps_args *args, ps_extrema *result)
{
    const ps_args a = *args;
    const ps_real *u = PS_INPUT(&a, 0);
    ps_real low = (ps_real)INFINITY, high = -(ps_real)INFINITY;
    for (int d = 0; d < 3; d++) result->bad[d] = a.hi[0];
    for (int64_t k = a.lo[0]; k < a.hi[0]; k++)
        for (int64_t j = a.lo[1]; j < a.hi[1]; j++) {
            const ps_real *row = u + k * a.stride[0] + j * a.stride[1];
            ps_real zero = 0; /* stays 0 as long as every value is finite */
            for (int64_t i = a.lo[2]; i < a.hi[2]; i++) {
                low = row[i] < low ? row[i] : low;
                high = row[i] > high ? row[i] : high;
                zero += row[i] - row[i];
            }
            if (zero == 0 || result->bad[0] < a.hi[0]) continue;
            for (int64_t i = a.lo[2]; i < a.hi[2]; i++)
                if (!isfinite(row[i])) {
                    result->bad[0] = k, result->bad[1] = j, result->bad[2] = i;
                    break;
                }
        }
    result->minimum = low, result->maximum = high;
    return PS_OK;
}

/* max |e| / (weight[0] + weight[1] * max(|u|, |v|)) over the box, inputs e, u, v; infinity where not finite.
 * A maximum does not depend on the order, so every decomposition finds the same bits.  It is taken of the bits: those of
 * doubles without sign are ordered as the values are, then infinity, then what is no number. */
int PS_NAME(error_norm)(const ps_args *args, double *result)
{
    union {
        double value;
        int64_t bits;
    } worst = {0};
    const ps_args a = *args;
    for (int64_t k = a.lo[0]; k < a.hi[0]; k++)
        for (int64_t j = a.lo[1]; j < a.hi[1]; j++) {
            const int64_t row = k * a.stride[0] + j * a.stride[1];
            const ps_real *e = PS_INPUT(&a, 0) + row, *u = PS_INPUT(&a, 1) + row, *v = PS_INPUT(&a, 2) + row;
            int64_t most = worst.bits;
            for (int64_t i = a.lo[2]; i < a.hi[2]; i++) {
                const double before = fabs((double)u[i]), after = fabs((double)v[i]);
                const double ratio =
                    fabs((double)e[i]) / (a.weight[0] + a.weight[1] * (before > after ? before : after));
                int64_t bits;
                __builtin_memcpy(&bits, &ratio, sizeof bits);
                bits &= INT64_MAX;
                most = bits > most ? bits : most;
            }
            worst.bits = most;
        }
    *result = worst.value < INFINITY ? worst.value : INFINITY;
    return PS_OK;
}

/* out = a b + c with one rounding, of arrays of n values. */
int PS_NAME(fma)(const ps_real *a, const ps_real *b, const ps_real *c, ps_real *out, int64_t n)
{
    for (int64_t i = 0; i < n; i++) out[i] = fma(a[i], b[i], c[i]);
    return PS_OK;
}
