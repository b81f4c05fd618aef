/* digits.h -- the accumulator of exact sums: digits of base 2^32 in int64. */
#ifndef PARSOLVE_DIGITS_H
#define PARSOLVE_DIGITS_H

#include <parsolve/parsolve.h>

/* Adds what a box holds to digits. */
typedef int ps_sum_kernel(const ps_args *args, int64_t *digits);

static inline uint64_t ps_bits(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

void ps_add_integer(int64_t *digits, int64_t sign, uint64_t magnitude, int power);
int ps_carry(int64_t *digits);
void ps_add_value(int64_t *digits, double value);
void ps_add_product(int64_t *digits, double x, double y);

#endif
