#include "bench.h"
const struct peer presence_without = {.name = "without", .flags = IS_PRESENCE};
const struct peer presence_uvsig = {.name = "uvsig_t", .flags = IS_PRESENCE};
