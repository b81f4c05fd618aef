/* linear: out = weight[0] * term_0 + sum_j>0 weight[j] * (term_j - term_0) + scale * input, a combination of arrays. */
PS_BODY(linear) { out[0] = PS_INPUT(a, 0)[c]; }
PS_UPDATE(linear, 1, 1)
