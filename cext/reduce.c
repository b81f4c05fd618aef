/* reduce.c -- exact, order-independent sums of values, magnitudes and products.  Compiled once per precision.
 *
 * Values are split without error, as in Demmel & Nguyen, IEEE Trans. Comput. 64 (2015) 2060: with S = 1.5 * 2^top and
 * |x| < 2^(top - 1), t = S + x is x rounded to a multiple of 2^(top - 52), which the bits of t count; the rest x - (t - S)
 * is exact and is split again, LEVEL_BITS below.  The counts are added as integers, so no order of additions is seen.  If
 * a piece of a row has values that are too large, or if something is left after the last level, its counts are thrown
 * away, and it is split with more levels, around its largest value, or added value by value.  Every way is exact.
 */
#include <parsolve/cells.h>

#include "digits.h"

#define PS_EXPORT __attribute__((visibility("default")))
#define PIECE 1024        /* cells of a row that are worked on together, in cache */
#define MOST 2048         /* cells whose counts fit an int64: each is at most 2^51 */
#define CARRY_EVERY 16384 /* pieces: 2^24 cells, each of which adds less than 2^35 to a digit */
#define RETRY 64          /* pieces, after which a level less is tried */
#define LEVELS 3
#define LEVEL_BITS 51
#define LEAST_TOP -800 /* the last bit of the last level is 2^-954, so that errors of products are exact */
#define LARGEST_TOP 1022

enum kind { VALUE, MAGNITUDE, PRODUCT };
enum found { ALL, TOO_LARGE, LEFT };

PS_EXPORT int PS_NAME(sum)(const ps_args *args, int64_t *digits);
PS_EXPORT int PS_NAME(sum_abs)(const ps_args *args, int64_t *digits);
PS_EXPORT int PS_NAME(dot)(const ps_args *args, int64_t *digits);

typedef struct window {
    int top, levels; /* levels in use */
    double anchor[LEVELS];
    int64_t count[LEVELS];
    int64_t cells;  /* that are in the counts */
    int64_t pieces; /* that were added */
} window;

/* Add the counts to the digits. */
static void flush(window *w, int64_t *digits)
{
    for (int l = 0; l < LEVELS; l++) {
        const int64_t n = w->count[l], sign = n < 0 ? -1 : 1;
        ps_add_integer(digits, sign, (uint64_t)(sign * n), w->top - 52 - l * LEVEL_BITS);
        w->count[l] = 0;
    }
    w->cells = 0;
}

static void set_top(window *w, int top)
{
    w->top = top;
    for (int l = 0; l < LEVELS; l++) w->anchor[l] = ldexp(1.5, top - l * LEVEL_BITS);
}

/* Split n values, or products of u and v, at so many levels, and add them to the counts if they all fit. */
PS_CELL enum found split(window *w, const ps_real *restrict u, const ps_real *restrict v, int64_t n, enum kind kind,
                         int levels)
{
    const int rounded = kind == PRODUCT && sizeof *u == sizeof(double); /* products of floats are doubles */
    const double s0 = w->anchor[0], s1 = w->anchor[1], s2 = w->anchor[2];
    const uint64_t anchor = ps_bits(s0);
    uint64_t n0 = 0, n1 = 0, n2 = 0, outside = 0, left = 0, zero = 0; /* unsigned: they wrap */
    for (int64_t i = 0; i < n; i++) {
        const double x = (double)u[i], y = (double)v[i];
        const double p = kind == PRODUCT ? x * y : kind == MAGNITUDE ? fabs(x) : x;
        const double t0 = s0 + p, q0 = t0 - s0, r0 = p - q0;
        const double t1 = s1 + r0, q1 = t1 - s1, r1 = r0 - q1;
        const double t2 = s2 + r1, q2 = t2 - s2;
        n0 += ps_bits(t0);
        outside |= ps_bits(t0) ^ anchor;
        if (levels > 1) n1 += ps_bits(t1);
        if (levels > 2) n2 += ps_bits(t2);
        left |= levels > 2   ? ps_bits(r1) ^ ps_bits(q2)
                : levels > 1 ? ps_bits(r0) ^ ps_bits(q1)
                             : ps_bits(p) ^ ps_bits(q0);
        if (!rounded) continue;
        const double e = fma(x, y, -p); /* x * y = p + e, with e below the last bit of p: it has the lower levels */
        const double f1 = s1 + e, g1 = f1 - s1, e1 = e - g1;
        const double f2 = s2 + e1, g2 = f2 - s2;
        n1 += ps_bits(f1);
        n2 += ps_bits(f2);
        left |= ps_bits(e1) ^ ps_bits(g2);
        zero |= p == 0 ? 1 : 0;
    }
    if (rounded && zero)
        for (int64_t i = 0; i < n; i++) left |= (double)u[i] * (double)v[i] == 0 && u[i] != 0 && v[i] != 0 ? 2 : 0;
    if (outside >> 52) return TOO_LARGE; /* or not finite: the exponent of S + x is not that of S */
    if (left << 1) return LEFT;          /* but for the sign of a zero */
    const uint64_t m1 = (uint64_t)n * ((levels > 1) + rounded), m2 = (uint64_t)n * ((levels > 2) + rounded);
    w->count[0] += (int64_t)(n0 - (uint64_t)n * anchor);
    w->count[1] += (int64_t)(n1 - m1 * ps_bits(s1));
    w->count[2] += (int64_t)(n2 - m2 * ps_bits(s2));
    w->cells += n;
    return ALL;
}

/* A window around the largest of n values: 2^(top - 4) or less. */
static int top_of(const ps_real *u, const ps_real *v, int64_t n, enum kind kind)
{
    double most = 0;
    for (int64_t i = 0; i < n; i++) {
        const double p = fabs(kind == PRODUCT ? (double)u[i] * (double)v[i] : (double)u[i]);
        most = p > most ? p : most;
    }
    const int top = (int)(ps_bits(most) >> 52) - 1022 + 4;
    return top < LEAST_TOP ? LEAST_TOP : top;
}

/* Add n values of a piece. */
PS_CELL void add_piece(window *w, int64_t *digits, const ps_real *u, const ps_real *v, int64_t n, enum kind kind)
{
    int moved = 0;
    if (w->cells + n > MOST) flush(w, digits);
    if (++w->pieces % RETRY == 0 && w->levels > 1) w->levels--;
    for (;;) {
        const enum found found = w->levels == 1   ? split(w, u, v, n, kind, 1)
                                 : w->levels == 2 ? split(w, u, v, n, kind, 2)
                                                  : split(w, u, v, n, kind, 3);
        if (found == ALL) return;
        if (found == LEFT && w->levels < LEVELS) {
            w->levels++;
            continue;
        }
        const int top = moved++ ? w->top : top_of(u, v, n, kind);
        if (top == w->top || top > LARGEST_TOP) break;
        flush(w, digits);
        set_top(w, top);
    }
    for (int64_t i = 0; i < n; i++)
        if (kind == PRODUCT)
            ps_add_product(digits, (double)u[i], (double)v[i]);
        else
            ps_add_value(digits, kind == MAGNITUDE ? fabs((double)u[i]) : (double)u[i]);
}

PS_CELL int add_box(const ps_args *a, int64_t *digits, enum kind kind)
{
    const ps_real *u = PS_INPUT(a, 0), *v = kind == PRODUCT ? PS_INPUT(a, 1) : u;
    window w = {.levels = 1};
    set_top(&w, 4);
    for (int64_t k = a->lo[0]; k < a->hi[0]; k++)
        for (int64_t j = a->lo[1]; j < a->hi[1]; j++)
            for (int64_t i = a->lo[2]; i < a->hi[2]; i += PIECE) {
                const int64_t c = k * a->stride[0] + j * a->stride[1] + i, n = a->hi[2] - i;
                add_piece(&w, digits, u + c, v + c, n < PIECE ? n : PIECE, kind);
                if (w.pieces % CARRY_EVERY == 0) ps_carry(digits);
            }
    flush(&w, digits);
    return ps_carry(digits);
}

/* Add input 0 over the box to digits (PS_SUM_DIGITS of them, set to zero by the caller). */
int PS_NAME(sum)(const ps_args *args, int64_t *digits) { return add_box(args, digits, VALUE); }

/* Add |input 0|. */
int PS_NAME(sum_abs)(const ps_args *args, int64_t *digits) { return add_box(args, digits, MAGNITUDE); }

/* Add input 0 * input 1. */
int PS_NAME(dot)(const ps_args *args, int64_t *digits) { return add_box(args, digits, PRODUCT); }
