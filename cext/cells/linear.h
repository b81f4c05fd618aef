/* linear: out = sum_j weight[j] * term_j + scale * input, a combination of arrays. */
PS_BODY(linear) { out[0] = PS_INPUT(a, 0)[c]; }
PS_UPDATE(linear, 1, 1)
