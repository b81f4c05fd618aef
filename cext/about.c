/* about.c -- what the loader asks before it trusts a library. */
#include <parsolve/about.h>
