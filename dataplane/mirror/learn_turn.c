/*
 * MAC learning turn by turn: writes are handed out, what is not confirmed is looked at again, what
 * is silent ages, and what table and mirror hold differently is put right; see learn_state.h.
 *
 * What is not confirmed is looked at once a second and written again at the 1st, 2nd, 4th, 8th ...
 * look, so a kernel that refuses is not hammered. A turn does a bounded part of everything.
 */
#include <stdlib.h>

#include "dataplane/mirror/learn_state.h"
#include "proto/lib/log.h"

#define AUDIT_MS       1000
#define AGE_WALK_MS    10000 /* a walk over all entries takes so long ... */
#define AGE_TURN_MS    1000  /* ... in turns of at most this */
#define AGE_SLICE      4096  /* and so many entries: their number never makes a turn long */
#define BATCH          64
#define BATCHES_A_TURN 16
#define AUDITS_A_TURN  4096
#define SAY_MS         1000 /* between two lines of the log about the same trouble */

static void *ring_at(const struct ring *r, uint32_t i)
{
	return r->items + (size_t)((r->head + i) % r->size) * r->item_size;
}

static void *ring_push(struct ring *r)
{
	if (r->n == r->max)
		return NULL;
	if (r->n == r->size) {
		uint32_t size = r->size ? r->size * 2 : 64;
		char *items = malloc((size_t)size * r->item_size);

		if (!items)
			return NULL;
		for (uint32_t i = 0; i < r->n; i++)
			memcpy(items + i * r->item_size, ring_at(r, i), r->item_size);
		free(r->items);
		r->items = items;
		r->size = size;
		r->head = 0;
	}
	r->n++;
	return ring_at(r, r->n - 1);
}

static void ring_drop(struct ring *r, uint32_t n)
{
	r->n -= n;
	r->head = r->n ? (r->head + n) % r->size : 0;
}

void learn_write_queue(struct learn *l, enum learn_op op, uint16_t ac, const struct mac *e)
{
	uint32_t ifindex = ac_ifindex(&l->m->t->acs, ac);
	struct learn_write *w;

	if (ifindex == 0)
		return;
	w = ring_push(&l->writes);
	if (!w)
		return;
	w->op = op;
	w->ifindex = ifindex;
	fdb_key_mac(e->key, &w->mac);
}

void learn_audit_queue(struct learn *l, struct mac *e)
{
	struct audit *a;

	if (e->flags & MAC_AUDIT)
		return;
	a = ring_push(&l->audit);
	if (!a)
		return;
	a->key = e->key;
	a->due_ms = l->now_ms + AUDIT_MS;
	e->flags |= MAC_AUDIT;
	e->tries = 0;
}

uint16_t learn_kernel_ac(const struct learn *l, const struct mac *e)
{
	if (e->kport == 0 || !(e->flags & MAC_K_EXT))
		return AC_NONE;
	return LINK(l->m, e->kport)->ac;
}

void learn_mac_withdraw(struct learn *l, uint32_t index, bool kernel_too)
{
	struct mac *e = MAC(l->m, index);
	uint16_t ac = learn_kernel_ac(l, e), learnt = e->lac;

	e->lac = AC_NONE;
	if (kernel_too && ac != AC_NONE) {
		e->flags |= MAC_EXPIRING;
		learn_write_queue(l, LEARN_DELETE, ac, e);
		learn_audit_queue(l, e);
	}
	if (kernel_too && learnt != AC_NONE && learnt != ac)
		learn_write_queue(l, LEARN_DELETE, learnt, e); /* it may be on its way */
	(void)mac_derive(l->m, index);
	mac_release(l->m, index);
}

/* May a line be written about something that may happen with every frame? */
bool learn_say_now(const struct learn *l, uint64_t *said)
{
	if (*said != 0 && l->now_ms - *said < SAY_MS)
		return false;
	*said = l->now_ms;
	return true;
}

/* Look again at what should have been confirmed by now. */
static void audit_run(struct learn *l)
{
	for (unsigned int i = 0; i < AUDITS_A_TURN && l->audit.n > 0; i++) {
		struct audit a = *(struct audit *)ring_at(&l->audit, 0);
		uint32_t index;
		uint16_t ac;
		struct mac *e;

		if (a.due_ms > l->now_ms)
			return;
		ring_drop(&l->audit, 1);
		index = keyed_get(&l->m->mac_by_key, a.key);
		if (index == 0)
			continue;
		e = MAC(l->m, index);
		e->flags &= (uint8_t)~MAC_AUDIT;
		ac = e->lac != AC_NONE         ? e->lac
		     : e->flags & MAC_EXPIRING ? learn_kernel_ac(l, e)
					       : AC_NONE;
		if (ac == AC_NONE) {
			mac_release(l->m, index);
			continue;
		}
		if (e->tries < UINT8_MAX)
			e->tries++;
		if ((e->tries & (e->tries - 1)) == 0) {
			learn_write_queue(
				l, e->lac != AC_NONE ? LEARN_REPLACE : LEARN_DELETE, ac, e);
			l->stats.rewrites++;
		}
		if (ring_push(&l->audit)) {
			*(struct audit *)ring_at(&l->audit, l->audit.n - 1) =
				(struct audit){a.key, l->now_ms + AUDIT_MS};
			e->flags |= MAC_AUDIT;
		}
	}
}

/*
 * One entry: is it in the FDB as it should be, and has it been silent for too long? What the FDB
 * has otherwise, by whatever fault, is put right.
 */
static void age_one(struct learn *l, uint32_t index, uint32_t now)
{
	const struct mac *e = MAC(l->m, index);
	struct fdb_entry entry;

	if (e->key == 0 || e->dest == FDB_MISS)
		return;
	if (!fdb_find(l->m->t->fdb, mac_fdb_key(l->m, e), &entry) || entry.dest != e->dest) {
		if (fdb_put(l->m->t->fdb, mac_fdb_key(l->m, e), e->dest, now) >= 0)
			l->stats.healed++;
		return;
	}
	if (fdb_dest_kind(e->dest) != FDB_KIND_AC ||
		(e->lac == AC_NONE && learn_kernel_ac(l, e) == AC_NONE))
		return;
	if ((int32_t)(now - entry.seen) < (int32_t)l->options.age_s)
		return;
	l->stats.aged++;
	learn_mac_withdraw(l, index, true);
}

/* An entry of the FDB that the mirror does not have so is nobody's. */
static bool fdb_one(void *ctx, const struct fdb_entry *entry)
{
	struct learn *l = ctx;
	const uint16_t bd = fdb_key_bd(entry->key);
	const uint32_t bridge = bd <= l->m->t->options.max_bds ? l->m->bd_link[bd] : 0;
	const uint64_t mac = rte_le_to_cpu_64(entry->key) & ((UINT64_C(1) << 48) - 1);
	const uint32_t index = bridge ? mac_find(l->m, bridge, mac) : 0;

	if (index != 0 && MAC(l->m, index)->dest != FDB_MISS)
		return true;
	if (fdb_del(l->m->t->fdb, entry->key) == 0)
		l->stats.healed++;
	return true;
}

/* Some of all entries, both ways: those that there should be, and those that there are. */
static void age_run(struct learn *l)
{
	const uint32_t end = l->m->macs.end;
	const uint32_t turns = RTE_MAX(end / AGE_SLICE + 1, AGE_WALK_MS / AGE_TURN_MS);
	uint32_t slice = end / turns + 64;
	const uint32_t now = tables_now();

	if (l->now_ms < l->age_at)
		return;
	l->age_at = l->now_ms + AGE_WALK_MS / turns;
	if (!fdb_walk(l->m->t->fdb, &l->fdb_cursor, slice, fdb_one, l))
		l->fdb_cursor = 0;
	for (; slice > 0 && l->age_cursor < end; slice--)
		age_one(l, l->age_cursor++, now);
	if (l->age_cursor >= end)
		l->age_cursor = 1;
}

/* Is it still so? The kernel may have said since that the MAC is elsewhere, and then only a frame
 * received after that makes it local again (D17). */
static bool write_stands(const struct learn *l, const struct learn_write *w)
{
	uint32_t link = link_find(l->m, w->ifindex), bridge, index;
	uint16_t ac = link ? LINK(l->m, link)->ac : AC_NONE;

	if (w->op != LEARN_REPLACE)
		return true;
	if (ac == AC_NONE)
		return false;
	bridge = l->m->bd_link[ac_bd(&l->m->t->acs, ac)];
	index = bridge ? mac_find(l->m, bridge, fdb_key(0, &w->mac)) : 0;
	return index != 0 && MAC(l->m, index)->lac == ac;
}

/* Hand out what the budget allows: a tenth of a second's worth may come at once. */
static void writes_run(struct learn *l)
{
	uint32_t most = l->options.writes_per_second / 10 + 1;
	uint64_t passed = l->now_ms - l->budget_at;
	uint64_t gain = passed > 1000 ? most : passed * l->options.writes_per_second / 1000;

	if (gain > 0) {
		l->budget = gain + l->budget > most ? most : (uint32_t)(l->budget + gain);
		l->budget_at = l->now_ms;
	}
	for (int turn = 0; turn < BATCHES_A_TURN && l->writes.n > 0 && l->budget > 0; turn++) {
		struct learn_write batch[BATCH];
		unsigned int n = 0;
		int rc;

		while (l->writes.n > 0 && !write_stands(l, ring_at(&l->writes, 0)))
			ring_drop(&l->writes, 1);
		while (n < BATCH && n < l->writes.n && n < l->budget &&
			write_stands(l, ring_at(&l->writes, n))) {
			batch[n] = *(struct learn_write *)ring_at(&l->writes, n);
			n++;
		}
		if (n == 0)
			return;
		rc = l->options.write(l->options.ctx, batch, n);
		if (rc <= 0)
			return;
		ring_drop(&l->writes, (uint32_t)rc);
		l->budget -= (uint32_t)rc;
		l->stats.writes += (uint64_t)rc;
		if ((unsigned int)rc < n)
			return;
	}
}

int learn_poll(struct learn *l, uint64_t now_ms)
{
	uint64_t due;

	l->now_ms = now_ms;
	audit_run(l);
	age_run(l);
	writes_run(l);
	if (l->writes.n > 0)
		return 10;
	due = l->audit.n > 0 ? ((struct audit *)ring_at(&l->audit, 0))->due_ms : UINT64_MAX;
	if (l->m->macs.n > 0 && l->age_at < due)
		due = l->age_at;
	if (due == UINT64_MAX)
		return -1;
	return due > now_ms ? (int)(due - now_ms) : 0;
}

void learn_write_failed(struct learn *l, const struct learn_write *write, int error)
{
	const uint8_t *b = write->mac.addr_bytes;

	l->failures++;
	if (!learn_say_now(l, &l->failure_said))
		return;
	log_warn("fdb_write_failed",
		"op=%s ifindex=%u mac=%02x:%02x:%02x:%02x:%02x:%02x error=%d failures=%llu",
		write->op == LEARN_REPLACE ? "replace" : "delete", write->ifindex, b[0], b[1], b[2],
		b[3], b[4], b[5], error, (unsigned long long)l->failures);
}
