/* MACs that flap; see damp.h. */
#include "dataplane/mirror/damp.h"

#include <string.h>

static struct damp_entry *entry_find(struct damp *d, uint64_t key, uint64_t now_ms)
{
	const uint64_t h = (key ^ key >> 29) * UINT64_C(0x9e3779b97f4a7c15);
	struct damp_entry *set = d->sets[h >> 32 & (DAMP_SETS - 1)], *to = NULL;

	for (int i = 0; i < DAMP_WAYS; i++) {
		if (set[i].key == key)
			return &set[i];
		if (set[i].held_until > now_ms)
			continue;
		if (!to || set[i].last_ms < to->last_ms)
			to = &set[i];
	}
	if (!to)
		to = &set[h >> 60 & (DAMP_WAYS - 1)]; /* all are held: one gets free early */
	memset(to, 0, sizeof(*to));
	to->key = key;
	to->since_ms = now_ms;
	return to;
}

enum damp_result damp_move(struct damp *d, uint64_t key, uint64_t now_ms)
{
	struct damp_entry *e = entry_find(d, key, now_ms);

	if (e->held_until > now_ms)
		return DAMP_HELD;
	if (e->held_until != 0 || now_ms - e->since_ms > DAMP_WINDOW_MS) {
		e->held_until = 0;
		e->moves = 0;
		e->since_ms = now_ms;
	}
	if (e->moves >= (d->most != 0 ? d->most : DAMP_MOVES)) {
		e->held_until = now_ms + DAMP_HOLD_MS;
		return DAMP_HELD_NOW;
	}
	e->moves++;
	e->last_ms = now_ms;
	return DAMP_MAY_MOVE;
}

uint32_t damp_count(const struct damp *d, uint64_t now_ms)
{
	uint32_t n = 0;

	for (int i = 0; i < DAMP_SETS; i++)
		for (int k = 0; k < DAMP_WAYS; k++)
			n += d->sets[i][k].key != 0 && d->sets[i][k].held_until > now_ms;
	return n;
}
