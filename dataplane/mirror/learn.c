/*
 * MAC learning, the main thread's side.
 *
 * Two rings: writes for the kernel, in order; and the audit, the keys of MACs whose last write is
 * not confirmed, in the order of their next look (one a second; written again at the 1st, 2nd, 4th,
 * 8th ... look, so a kernel that refuses is not hammered). Invariant: a mac with `lac` set, or
 * MAC_EXPIRING, is in the audit exactly once (MAC_AUDIT). Called by the main thread.
 */
#include <errno.h>
#include <stdlib.h>

#include "dataplane/mirror/damp.h"
#include "dataplane/mirror/state.h"
#include "proto/lib/log.h"

#define AUDIT_MS       1000
#define AGE_WALK_MS    10000 /* a walk over all entries takes so long ... */
#define AGE_TURN_MS    1000  /* ... in turns of at most this */
#define AGE_SLICE      4096  /* and so many entries: their number never makes a turn long */
#define BATCH          64
#define MAX_WRITES     65536
#define BATCHES_A_TURN 16
#define AUDITS_A_TURN  4096
#define MACS_PORT_MIN  1024
#define MACS_PORT_SURE 64 /* a port with fewer learns although all others have taken everything */
#define NOTE_MS        10000 /* between two notes of the same limit */
#define PARKED_MAX     64
#define PARKED_MS      500  /* linkwatch tells of a link within some milliseconds */
#define SAY_MS         1000 /* between two lines of the log about the same trouble */

struct audit {
	uint64_t key;
	uint64_t due_ms;
};

struct ring {
	char *items;
	size_t item_size;
	uint32_t size, head, n, max;
};

/* Told by a worker of a port whose link is not known to be up yet. */
struct parked {
	struct learn_event event;
	uint64_t until_ms;
};

struct learn {
	struct mirror *m;
	struct learn_options options;
	struct learn_stats stats;
	struct ring writes; /* struct learn_write */
	struct ring audit;  /* struct audit */
	struct parked parked[PARKED_MAX];
	unsigned int n_parked;
	uint64_t now_ms;
	uint64_t age_at;
	uint32_t age_cursor;
	uint32_t fdb_cursor;                 /* of the walk over the FDB */
	uint64_t budget_at;                  /* ms of the last refill */
	uint32_t budget;                     /* writes that may be handed out now */
	uint64_t failures;                   /* writes that the kernel refused */
	uint64_t failure_said, refusal_said; /* ms */
	struct damp damp;
	struct learn_note notes[LEARN_NOTES]; /* by seq */
	uint64_t note_seq;
	uint64_t full_noted; /* ms */
	uint64_t refused_port[PORT_TBL_MAX];
	uint64_t *refused_bd;
};

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

struct learn *learn_create(struct mirror *m, const struct learn_options *options)
{
	struct learn *l;
	struct learn_options *o;

	if (m->learn || !options->write) {
		errno = EINVAL;
		return NULL;
	}
	l = calloc(1, sizeof(*l));
	if (!l)
		return NULL;
	l->refused_bd = calloc((size_t)m->t->options.max_bds + 1, sizeof(*l->refused_bd));
	if (!l->refused_bd) {
		free(l);
		return NULL;
	}
	l->m = m;
	l->options = *options;
	o = &l->options;
	l->damp.most = o->damp_moves;
	o->age_s = o->age_s ? o->age_s : 300;
	o->max_macs = o->max_macs ? o->max_macs : (m->t->options.max_macs + 1) / 2;
	if (o->max_macs_segment == 0)
		o->max_macs_segment = RTE_MAX(m->t->options.max_macs / 4, MACS_PORT_MIN);
	if (o->max_macs_port == 0)
		o->max_macs_port = RTE_MAX(m->t->options.max_macs / 8, MACS_PORT_MIN);
	o->writes_per_second = o->writes_per_second ? o->writes_per_second : 20000;
	l->writes = (struct ring){.item_size = sizeof(struct learn_write), .max = MAX_WRITES};
	l->audit = (struct ring){.item_size = sizeof(struct audit), .max = UINT32_MAX / 2};
	l->age_cursor = 1;
	m->learn = l;
	return l;
}

void learn_destroy(struct learn *l)
{
	if (!l)
		return;
	l->m->learn = NULL;
	free(l->writes.items);
	free(l->audit.items);
	free(l->refused_bd);
	free(l);
}

/* Queue a write. A full queue is no loss: the audit comes back to it. */
static void write_queue(struct learn *l, enum learn_op op, uint16_t ac, const struct mac *e)
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

static void audit_queue(struct learn *l, struct mac *e)
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

void learn_confirmed(struct learn *l, struct mac *e)
{
	(void)l;
	e->tries = 0;
}

/* The AC the kernel's entry is at, if it is ours and may be withdrawn by us; else AC_NONE. */
static uint16_t kernel_ac(const struct learn *l, const struct mac *e)
{
	if (e->kport == 0 || !(e->flags & MAC_K_EXT))
		return AC_NONE;
	return LINK(l->m, e->kport)->ac;
}

/* Forget a local MAC, here and (if it has it) in the kernel. */
static void mac_withdraw(struct learn *l, uint32_t index, bool kernel_too)
{
	struct mac *e = MAC(l->m, index);
	uint16_t ac = kernel_ac(l, e), learnt = e->lac;

	e->lac = AC_NONE;
	if (kernel_too && ac != AC_NONE) {
		e->flags |= MAC_EXPIRING;
		write_queue(l, LEARN_DELETE, ac, e);
		audit_queue(l, e);
	}
	if (kernel_too && learnt != AC_NONE && learnt != ac)
		write_queue(l, LEARN_DELETE, learnt, e); /* it may be on its way */
	(void)mac_derive(l->m, index);
	mac_release(l->m, index);
}

void learn_withdraw(struct learn *l, uint32_t bridge, uint16_t ac, bool kernel_too)
{
	uint32_t next;

	if (!l)
		return;
	for (uint32_t i = LINK(l->m, bridge)->macs; i; i = next) {
		const struct mac *e = MAC(l->m, i);

		next = e->next;
		if (e->lac != ac && !(e->lac == AC_NONE && e->dest == fdb_dest(FDB_KIND_AC, ac) &&
					    kernel_ac(l, e) == ac))
			continue;
		l->stats.withdrawn++;
		mac_withdraw(l, i, kernel_too);
	}
}

static void ac_down(struct learn *l, uint16_t ac)
{
	uint16_t bd = ac_bd(&l->m->t->acs, ac);

	if (bd != BD_NONE && l->m->bd_link[bd])
		learn_withdraw(l, l->m->bd_link[bd], ac, true);
}

void learn_port_down(struct learn *l, uint16_t port)
{
	const struct ac_tbl *acs;

	if (!l)
		return;
	acs = &l->m->t->acs;
	ac_down(l, port);
	for (uint16_t i = AC_TAGGED; i < acs->end; i++)
		if (ac_get(acs, i)->live && ac_port(acs, i) == port)
			ac_down(l, i);
}

/*
 * The kernel says that an injected MAC is at a port of ours. If its wire has no link, which happens
 * when the process starts again meanwhile, nobody else would withdraw it before its age.
 */
void learn_found(struct learn *l, uint32_t mac)
{
	const struct mac *e = MAC(l->m, mac);
	uint16_t ac = kernel_ac(l, e);

	if (ac == AC_NONE || e->flags & MAC_EXPIRING ||
		port_get(&l->m->t->ports, ac_port(&l->m->t->acs, ac))->link_up)
		return;
	l->stats.withdrawn++;
	mac_withdraw(l, mac, true);
}

/* May a line be written about something that may happen with every frame? */
static bool say_now(const struct learn *l, uint64_t *said)
{
	if (*said != 0 && l->now_ms - *said < SAY_MS)
		return false;
	*said = l->now_ms;
	return true;
}

static void note(
	struct learn *l, enum learn_note_kind kind, const struct learn_event *ev, uint16_t port)
{
	struct learn_note *n = &l->notes[++l->note_seq % LEARN_NOTES];
	const uint16_t bd = fdb_key_bd(ev->key);

	*n = (struct learn_note){.seq = l->note_seq, .kind = kind, .bd = bd, .port = port};
	n->vni = bd_live(l->m->t->bds, bd) ? bd_get(l->m->t->bds, bd)->vni : VNI_NONE;
	fdb_key_mac(ev->key, &n->mac);
}

/* Which limit keeps a MAC that was at `was` from port `port` of domain `bd`; NULL = none. */
static const char *limit_reached(const struct learn *l, uint16_t port, uint16_t bd, uint32_t was)
{
	const struct limits *said = &l->m->t->limits;
	const struct link *bridge = LINK(l->m, l->m->bd_link[bd]);
	const uint32_t at_port = l->m->port_macs[port];
	uint32_t most = said->port_macs[port] ? said->port_macs[port] : l->options.max_macs_port;
	uint64_t all = 0;

	if (at_port >= most)
		return "port";
	if (fdb_dest_kind(was) == FDB_KIND_AC)
		return NULL; /* it only moves */
	most = said->bd_macs[bd] ? said->bd_macs[bd] : l->options.max_macs_segment;
	if (bridge->n_local >= most)
		return "segment";
	for (uint16_t i = 0; i < l->m->t->ports.n; i++)
		all += l->m->port_macs[i];
	return all >= l->options.max_macs &&
			       at_port >= RTE_MIN(MACS_PORT_SURE, l->options.max_macs / 8)
		       ? "node"
		       : NULL;
}

static void refuse(struct learn *l, const struct learn_event *ev, uint16_t port, const char *limit)
{
	l->stats.refused++;
	l->refused_port[port]++;
	l->refused_bd[fdb_key_bd(ev->key)]++;
	if (say_now(l, &l->refusal_said))
		log_warn("macs_refused", "port=%s limit=%s macs=%u refused=%llu",
			port_get(&l->m->t->ports, port)->name, limit, l->m->port_macs[port],
			(unsigned long long)l->stats.refused);
	if (l->full_noted == 0 || l->now_ms - l->full_noted >= NOTE_MS) {
		l->full_noted = l->now_ms;
		note(l, LEARN_NOTE_FULL, ev, port);
	}
}

/* May a MAC that is known elsewhere move? Those that flap may not. */
static bool may_move(struct learn *l, const struct learn_event *ev, uint16_t port)
{
	struct rte_ether_addr mac;
	const uint8_t *b = mac.addr_bytes;

	switch (damp_move(&l->damp, ev->key, l->now_ms)) {
	case DAMP_MAY_MOVE:
		return true;
	case DAMP_HELD_NOW:
		l->stats.flaps++;
		note(l, LEARN_NOTE_FLAP, ev, port);
		fdb_key_mac(ev->key, &mac);
		log_warn("mac_flaps",
			"mac=%02x:%02x:%02x:%02x:%02x:%02x bridge=%s port=%s held_s=%u", b[0], b[1],
			b[2], b[3], b[4], b[5], mirror_bd_name(l->m, fdb_key_bd(ev->key)),
			port_get(&l->m->t->ports, port)->name, DAMP_HOLD_MS / 1000);
		break;
	default:
		break;
	}
	l->stats.damped++;
	return false;
}

/*
 * A frame may be here before the news that its wire has link: the kernel delivers at once and tells
 * of the link by a work queue. What announces itself with one frame after it was plugged in, as a
 * workload that moves does, would not be learnt. Returns false when there is no room.
 */
static bool park(struct learn *l, const struct learn_event *ev)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < l->n_parked; i++)
		if (l->now_ms < l->parked[i].until_ms &&
			(l->parked[i].event.key != ev->key || l->parked[i].event.ac != ev->ac))
			l->parked[n++] = l->parked[i];
	l->n_parked = n;
	if (n == PARKED_MAX)
		return false;
	l->parked[l->n_parked++] = (struct parked){*ev, l->now_ms + PARKED_MS};
	return true;
}

static void event_take(struct learn *l, const struct learn_event *ev)
{
	struct mirror *m = l->m;
	uint16_t bd = fdb_key_bd(ev->key);
	uint32_t bridge, index, was, want;
	struct rte_ether_addr mac;
	const char *limit;
	struct mac *e;
	uint16_t port;

	l->stats.events++;
	fdb_key_mac(ev->key, &mac);
	if (ev->ac >= m->t->options.max_acs || bd == BD_NONE || bd > m->t->options.max_bds ||
		!rte_is_valid_assigned_ether_addr(&mac)) {
		l->stats.refused++;
		return;
	}
	bridge = m->bd_link[bd];
	port = ac_port(&m->t->acs, ev->ac);
	if (bridge == 0 || ac_bd(&m->t->acs, ev->ac) != bd ||
		(!port_up(&m->t->ports, port) && !park(l, ev))) {
		l->stats.stale++;
		return;
	}
	if (!port_up(&m->t->ports, port))
		return;
	index = mac_find(m, bridge, ev->key & ((UINT64_C(1) << 48) - 1));
	was = index ? MAC(m, index)->dest : FDB_MISS;
	want = fdb_dest(FDB_KIND_AC, ev->ac);
	if (was == want)
		return; /* several frames before the first event was taken */
	if (was != ev->saw) {
		l->stats.stale++;
		return;
	}
	limit = limit_reached(l, port, bd, was);
	if (limit) {
		refuse(l, ev, port, limit);
		return;
	}
	if (index && MAC(m, index)->kport && MAC(m, index)->flags & MAC_K_OWN) {
		l->stats.refused++;
		return;
	}
	if (was != FDB_MISS && !may_move(l, ev, port))
		return;
	if (index == 0)
		index = mac_make(m, bridge, ev->key & ((UINT64_C(1) << 48) - 1));
	if (index == 0) {
		refuse(l, ev, port, "mirror");
		return;
	}
	e = MAC(m, index);
	e->lac = ev->ac;
	e->flags &= (uint8_t)~MAC_EXPIRING;
	if (mac_derive(m, index) < 0) {
		e->lac = AC_NONE;
		mac_release(m, index);
		refuse(l, ev, port, "fdb");
		return;
	}
	if (was == FDB_MISS)
		l->stats.learnt++;
	else if (fdb_dest_kind(was) == FDB_KIND_AC)
		l->stats.moved++;
	else
		l->stats.reclaimed++;
	write_queue(l, LEARN_REPLACE, ev->ac, e);
	audit_queue(l, e);
}

void learn_events(
	struct learn *l, const struct learn_event events[], unsigned int n, uint64_t now_ms)
{
	l->now_ms = now_ms;
	for (unsigned int i = 0; i < n; i++)
		event_take(l, &events[i]);
}

void learn_port_up(struct learn *l, uint16_t port)
{
	struct parked again[PARKED_MAX];
	unsigned int n = 0, k = 0;

	if (!l || l->n_parked == 0)
		return;
	for (unsigned int i = 0; i < l->n_parked; i++) {
		if (ac_port(&l->m->t->acs, l->parked[i].event.ac) == port)
			again[k++] = l->parked[i];
		else
			l->parked[n++] = l->parked[i];
	}
	l->n_parked = n;
	for (unsigned int i = 0; i < k; i++) {
		if (l->now_ms < again[i].until_ms)
			event_take(l, &again[i].event);
		else
			l->stats.stale++;
	}
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
		     : e->flags & MAC_EXPIRING ? kernel_ac(l, e)
					       : AC_NONE;
		if (ac == AC_NONE) {
			mac_release(l->m, index);
			continue;
		}
		if (e->tries < UINT8_MAX)
			e->tries++;
		if ((e->tries & (e->tries - 1)) == 0) {
			write_queue(l, e->lac != AC_NONE ? LEARN_REPLACE : LEARN_DELETE, ac, e);
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
		(e->lac == AC_NONE && kernel_ac(l, e) == AC_NONE))
		return;
	if ((int32_t)(now - entry.seen) < (int32_t)l->options.age_s)
		return;
	l->stats.aged++;
	mac_withdraw(l, index, true);
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
	if (!say_now(l, &l->failure_said))
		return;
	log_warn("fdb_write_failed",
		"op=%s ifindex=%u mac=%02x:%02x:%02x:%02x:%02x:%02x error=%d failures=%llu",
		write->op == LEARN_REPLACE ? "replace" : "delete", write->ifindex, b[0], b[1], b[2],
		b[3], b[4], b[5], error, (unsigned long long)l->failures);
}

void learn_stats_get(const struct learn *l, struct learn_stats *stats)
{
	*stats = l->stats;
	stats->held = damp_count(&l->damp, l->now_ms);
	for (uint16_t i = 0; i < l->m->t->ports.n; i++)
		stats->macs += l->m->port_macs[i];
	stats->unconfirmed = l->audit.n;
	stats->queued = l->writes.n;
}

bool learn_note_get(const struct learn *l, uint64_t seq, struct learn_note *note)
{
	*note = l->notes[seq % LEARN_NOTES];
	return seq != 0 && note->seq == seq;
}

uint64_t learn_note_last(const struct learn *l)
{
	return l->note_seq;
}

uint64_t learn_refused_port(const struct learn *l, uint16_t port)
{
	return port < PORT_TBL_MAX ? l->refused_port[port] : 0;
}

uint64_t learn_refused_bd(const struct learn *l, uint16_t bd)
{
	return bd <= l->m->t->options.max_bds ? l->refused_bd[bd] : 0;
}
