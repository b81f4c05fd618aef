/* reduce.c -- exact, order-independent sums.
 *
 * A double is an integer times 2^-1074.  It is added into digits of base 2^32, held in int64 so that 2^30 values can be
 * added before carries are due; digits of several ranks are added by any integer reduction.  The idea is that of the
 * extended-fixed-point sum of Hallberg & Adcroft, Parallel Computing 40 (2014) 140, over the whole range of doubles
 * (Kulisch's accumulator), so that nothing overflows and nothing is lost.
 */
#include <parsolve/parsolve.h>

#define PS_EXPORT __attribute__((visibility("default")))
#define BASE_BITS 32
#define CARRY_EVERY (1 << 28)

PS_EXPORT int ps_carry(int64_t *digits);
PS_EXPORT int ps_sum_f64(const ps_args *args, int64_t *digits);
PS_EXPORT int ps_sum_f32(const ps_args *args, int64_t *digits);

/* Bring each digit into [0, 2^32), the last but one taking the sign; the last digit counts values that are not finite. */
int ps_carry(int64_t *digits)
{
    for (int d = 0; d + 2 < PS_SUM_DIGITS; d++) {
        const int64_t carry = digits[d] >> BASE_BITS;
        digits[d] -= carry * ((int64_t)1 << BASE_BITS);
        digits[d + 1] += carry;
    }
    return PS_OK;
}

static void add(int64_t *digits, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    const int exponent = (int)(bits >> 52 & 0x7ff);
    uint64_t mantissa = bits & 0xfffffffffffffULL;
    if (exponent == 0x7ff) {
        digits[PS_SUM_DIGITS - 1]++;
        return;
    }
    const int shift = exponent ? exponent - 1 : 0; /* value = mantissa * 2^(shift - 1074) */
    if (exponent) mantissa |= 1ULL << 52;
    const int d = shift / BASE_BITS, s = shift % BASE_BITS;
    const uint64_t low = mantissa << s;                 /* bits 0..63 of mantissa << s */
    const uint64_t high = s ? mantissa >> (64 - s) : 0; /* the rest, below 2^21 */
    const int64_t sign = bits >> 63 ? -1 : 1;
    digits[d] += sign * (int64_t)(low & 0xffffffffULL);
    digits[d + 1] += sign * (int64_t)(low >> BASE_BITS);
    digits[d + 2] += sign * (int64_t)high;
}

#define PS_SUM(real, type)                                                                                             \
    /* Add field[0] over the box into digits (PS_SUM_DIGITS of them, set to zero by the caller). */                    \
    int ps_sum_##type(const ps_args *a, int64_t *digits)                                                               \
    {                                                                                                                  \
        int64_t due = CARRY_EVERY;                                                                                     \
        for (int64_t k = a->lo[0]; k < a->hi[0]; k++)                                                                  \
            for (int64_t j = a->lo[1]; j < a->hi[1]; j++) {                                                            \
                const real *row = (const real *)a->field[0] + k * a->stride[0] + j * a->stride[1];                     \
                for (int64_t i = a->lo[2]; i < a->hi[2]; i++) {                                                        \
                    add(digits, (double)row[i]);                                                                       \
                    if (--due == 0) ps_carry(digits), due = CARRY_EVERY;                                               \
                }                                                                                                      \
            }                                                                                                          \
        return ps_carry(digits);                                                                                       \
    }
PS_SUM(double, f64)
PS_SUM(float, f32)
