/*
 * MAC learning, the main thread's side: what workers report, and what takes local MACs away again.
 * What is done turn by turn is in learn_turn.c; what both share, in learn_state.h.
 *
 * Invariant: a mac with `lac` set, or MAC_EXPIRING, is in the audit exactly once (MAC_AUDIT).
 * Called by the main thread.
 */
#include <errno.h>
#include <stdlib.h>

#include "dataplane/mirror/learn_state.h"
#include "proto/lib/log.h"

#define MAX_WRITES     65536
#define MACS_PORT_MIN  1024
#define MACS_PORT_SURE 64 /* a port with fewer learns although all others have taken everything */
#define NOTE_MS        10000 /* between two notes of the same limit */
#define PARKED_MS      500   /* linkwatch tells of a link within some milliseconds */

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

void learn_withdraw(struct learn *l, uint32_t bridge, uint16_t ac, bool kernel_too)
{
	uint32_t next;

	if (!l)
		return;
	for (uint32_t i = LINK(l->m, bridge)->macs; i; i = next) {
		const struct mac *e = MAC(l->m, i);

		next = e->next;
		if (e->lac != ac && !(e->lac == AC_NONE && e->dest == fdb_dest(FDB_KIND_AC, ac) &&
					    learn_kernel_ac(l, e) == ac))
			continue;
		l->stats.withdrawn++;
		learn_mac_withdraw(l, i, kernel_too);
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
	uint16_t ac = learn_kernel_ac(l, e);

	if (ac == AC_NONE || e->flags & MAC_EXPIRING ||
		port_get(&l->m->t->ports, ac_port(&l->m->t->acs, ac))->link_up)
		return;
	l->stats.withdrawn++;
	learn_mac_withdraw(l, mac, true);
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
	if (learn_say_now(l, &l->refusal_said))
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
	/* The kernel has said otherwise since (D17), unless it says nothing of the MAC any more:
	 * where it comes from withdrew it before its one frame here was told of. */
	if (was != ev->saw && was != FDB_MISS) {
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
	learn_write_queue(l, LEARN_REPLACE, ev->ac, e);
	learn_audit_queue(l, e);
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
