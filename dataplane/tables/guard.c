/* Sessions that the kernel holds; see guard.h. */
#include "dataplane/tables/guard.h"

#include <string.h>
#include <sys/random.h>

void guard_init(struct guard *g)
{
	memset(g, 0, sizeof(*g));
	if (getrandom(&g->seed, sizeof(g->seed), GRND_NONBLOCK) != sizeof(g->seed))
		g->seed = 0x9e3779b97f4a7c15u ^ (uint64_t)(uintptr_t)g;
}

void guard_neighbour(
	struct guard *g, uint16_t port, const uint8_t *addr, unsigned int addr_len, bool is)
{
	/* for ever, or not at all: the clock does not matter here */
	guard_set(&g->neighbours, guard_key(g, GUARD_NEIGHBOUR, addr, addr, addr_len, port),
		is ? 0 : 1, is ? UINT32_MAX : 0);
}
