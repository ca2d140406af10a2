/* Which of the code paths this library was compiled to. */
#include "simd.h"

EXPORT const char *isa_name(void) { return ISA_NAME; }
