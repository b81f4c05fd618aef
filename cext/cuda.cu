// cuda.cu -- the kernels for a GPU, in one precision: the same bodies and symbol names as cpu.c.
#include <parsolve/launch_cuda.h>

#include "cells/catalogue/catalogue.h"
#include "cells/linear.h"
