/* Makes the replies to requests; see answer.h. */
#include "dataplane/dpdk_compat.h"

#include "dataplane/api/answer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_mempool.h>

#include "dataplane/api/making.h"

#define FDB_SLICE      64
#define FDB_BUCKET_MAX 64

static char *text_ip4(struct making *mk, rte_be32_t addr)
{
	const uint8_t *b = (const uint8_t *)&addr;

	return arena_printf(&mk->arena, "%u.%u.%u.%u", b[0], b[1], b[2], b[3]);
}

static char *text_mac(struct making *mk, const void *mac)
{
	const uint8_t *b = mac;

	return arena_printf(
		&mk->arena, "%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4], b[5]);
}

/* An attachment circuit: the port's name, and the tags if there are. */
static char *ac_name(struct making *mk, uint16_t ac)
{
	const struct ac_tbl *acs = &mk->dp->tables->acs;

	if (ac < AC_TAGGED)
		return port_name(mk, ac);
	return arena_printf(
		&mk->arena, "%s.%s", port_name(mk, ac_port(acs, ac)), ac_tags_text(acs, ac).text);
}

/* The legs of a group as "address port". */
static void legs_text(struct making *mk, uint16_t group, char ***list, size_t *n)
{
	const struct nhg *g = nhg_get(&mk->dp->tables->nhgs, group);

	*n = 0;
	if (g == NULL)
		return;
	*list = arena_alloc(&mk->arena, g->n_legs * sizeof(**list));
	if (*list == NULL)
		return;
	for (unsigned int i = 0; i < g->n_legs; i++) {
		const struct adj *adj = adj_get(&mk->dp->tables->adjs, g->legs[i].adj);

		if (adj != NULL)
			(*list)[(*n)++] = arena_printf(&mk->arena, "%s %s", text_ip4(mk, adj->addr),
				port_name(mk, adj->port));
	}
}

static void make_info(struct making *mk)
{
	struct dataplane *dp = mk->dp;
	Audums__V1__DataplaneInfo *info =
		NEW(&mk->arena, Audums__V1__DataplaneInfo, dataplane_info);
	struct mirror_sock_stats sock = {0};
	struct mirror_stats mirror;

	if (info == NULL)
		return;
	mirror_stats_get(dp->mirror, &mirror);
	if (dp->netlink != NULL)
		mirror_sock_stats_get(dp->netlink, &sock);
	info->version = (char *)(uintptr_t)AUDUMS_VERSION;
	info->uptime_ms = (uint64_t)(loop_now_ms() - dp->started_ms);
	info->pid = (uint32_t)getpid();
	info->workers = dp->worker_count;
	info->netlink_messages = mirror.messages;
	info->netlink_overruns = sock.overruns;
	info->netlink_dumps = sock.dumps;
	info->synced = sock.synced;
	for (unsigned int i = 0; i < dp->worker_count; i++) {
		info->learn_events += stat_read(&dp->workers[i]->events_told);
		info->learn_overflows += stat_read(&dp->workers[i]->events_overflow);
	}
	info->mbufs_free = rte_mempool_avail_count(dp->pool);
	info->mbufs_total = dp->pool->size;
	mk->reply.answer_case = AUDUMS__V1__DATAPLANE_REPLY__ANSWER_INFO;
	mk->reply.info = info;
}

static void *make_port(struct making *mk, struct port *port)
{
	const struct tables *t = mk->dp->tables;
	Audums__V1__DataplanePort *p = NEW(&mk->arena, Audums__V1__DataplanePort, dataplane_port);
	struct port_counters sum;
	const struct bd *bd;

	if (p == NULL)
		return NULL;
	p->name = port->spec.name;
	p->role = (char *)(uintptr_t)port_role_name(port->spec.role);
	p->backend = (char *)(uintptr_t)port_backend_name(port->spec.backend);
	p->tap = port->spec.tap;
	p->link_up = port->link_up;
	p->mac = text_mac(mk, port->mac);
	p->mtu = port->mtu;
	bd = bd_get(t->bds, ac_bd(&t->acs, port->id));
	p->vni = bd != NULL ? bd->vni : 0;
	counters_port(mk->dp, port, &sum);
	p->rx_packets = sum.wire.rx_packets;
	p->rx_bytes = sum.wire.rx_bytes;
	p->tx_packets = sum.wire.tx_packets;
	p->tx_bytes = sum.wire.tx_bytes;
	p->tx_drops = sum.wire.tx_drops;
	p->rx_drops = sum.wire.rx_kernel_drops + sum.wire.rx_no_mbuf + sum.wire.rx_errors +
		      sum.wire.rx_offload_bad;
	p->inject_packets = sum.inject_packets;
	p->punt_packets = sum.punt.packets;
	p->punt_drops = sum.punt.drops;
	making_counters(mk, COUNTERS_PORT, &sum, &p->counters, &p->n_counters);
	return p;
}

static bool make_ports(struct making *mk)
{
	Audums__V1__PortList *list = NEW(&mk->arena, Audums__V1__PortList, port_list);

	for (; mk->a->cursor < PORT_MAX && !mk->full; mk->a->cursor++) {
		struct port *port = mk->dp->ports[mk->a->cursor];

		if (port != NULL && !making_put(mk, make_port(mk, port)))
			break;
	}
	if (list == NULL)
		return false;
	list->n_ports = mk->n;
	list->ports = (Audums__V1__DataplanePort **)mk->entries;
	mk->reply.answer_case = AUDUMS__V1__DATAPLANE_REPLY__ANSWER_PORTS;
	mk->reply.ports = list;
	return mk->a->cursor < PORT_MAX;
}

static void *make_segment(struct making *mk, const struct bd *bd)
{
	Audums__V1__SegmentStat *s = NEW(&mk->arena, Audums__V1__SegmentStat, segment_stat);
	struct segment_stats sum;
	uint32_t local, remote;

	if (s == NULL)
		return NULL;
	s->vni = bd->vni;
	s->bridge = arena_printf(&mk->arena, "%s", mirror_bd_name(mk->dp->mirror, bd->id));
	s->mtu = bd->mtu;
	s->ports = arena_alloc(&mk->arena, bd->n_acs * sizeof(*s->ports));
	s->flood = arena_alloc(&mk->arena, bd->n_flood * sizeof(*s->flood));
	if (s->ports == NULL || s->flood == NULL)
		return NULL;
	for (unsigned int i = 0; i < bd->n_acs; i++)
		s->ports[s->n_ports++] = ac_name(mk, bd->acs[i]);
	for (unsigned int i = 0; i < bd->n_flood; i++)
		s->flood[s->n_flood++] =
			text_ip4(mk, vtep_get(&mk->dp->tables->vteps, bd->flood[i])->remote);
	mirror_bd_macs(mk->dp->mirror, bd->id, &local, &remote);
	s->macs_local = local;
	s->macs_remote = remote;
	counters_segment(mk->dp->counters, mk->dp, bd->id, &sum);
	s->encap_packets = sum.encap_packets;
	s->encap_bytes = sum.encap_bytes;
	s->decap_packets = sum.decap_packets;
	s->decap_bytes = sum.decap_bytes;
	s->flood_packets = sum.flood_packets;
	making_counters(mk, COUNTERS_SEGMENT, &sum, &s->counters, &s->n_counters);
	return s;
}

static bool make_segments(struct making *mk)
{
	Audums__V1__SegmentStatList *list =
		NEW(&mk->arena, Audums__V1__SegmentStatList, segment_stat_list);
	const struct bd_tbl *bds = mk->dp->tables->bds;

	for (; mk->a->cursor < bd_end(bds) && !mk->full; mk->a->cursor++) {
		const struct bd *bd = bd_get(bds, (uint16_t)mk->a->cursor);

		if (bd != NULL && !making_put(mk, make_segment(mk, bd)))
			break;
	}
	if (list == NULL)
		return false;
	list->n_segments = mk->n;
	list->segments = (Audums__V1__SegmentStat **)mk->entries;
	mk->reply.answer_case = AUDUMS__V1__DATAPLANE_REPLY__ANSWER_SEGMENTS;
	mk->reply.segments = list;
	return mk->a->cursor < bd_end(bds);
}

static bool fdb_entry_make(void *ctx, const struct fdb_entry *e)
{
	struct making *mk = ctx;
	const struct bd *bd = bd_get(mk->dp->tables->bds, fdb_key_bd(e->key));
	const uint32_t index = fdb_dest_index(e->dest);
	Audums__V1__FdbEntry *f;
	struct rte_ether_addr mac;

	if (bd == NULL || (mk->a->vni != 0 && bd->vni != mk->a->vni))
		return true;
	f = NEW(&mk->arena, Audums__V1__FdbEntry, fdb_entry);
	if (f == NULL)
		return true; /* the whole reply is given up */
	fdb_key_mac(e->key, &mac);
	f->vni = bd->vni;
	f->mac = text_mac(mk, &mac);
	switch (fdb_dest_kind(e->dest)) {
	case FDB_KIND_AC:
		f->port = ac_name(mk, (uint16_t)index);
		f->age_s = tables_now() - RTE_MIN(e->seen, tables_now());
		break;
	case FDB_KIND_VTEP:
		f->vtep = text_ip4(mk, vtep_get(&mk->dp->tables->vteps, (uint16_t)index)->remote);
		break;
	default:
		break; /* neither: dropped */
	}
	making_put(mk, f);
	return true;
}

static bool make_fdb(struct making *mk)
{
	Audums__V1__FdbList *list = NEW(&mk->arena, Audums__V1__FdbList, fdb_list);
	bool more = true;

	/* a slice may pass its maximum by a bucket */
	while (more && mk->n + FDB_SLICE + FDB_BUCKET_MAX <= ENTRIES_A_REPLY &&
		mk->arena.used < OCTETS_A_REPLY)
		more = fdb_walk(mk->dp->tables->fdb, &mk->a->cursor, FDB_SLICE, fdb_entry_make, mk);
	if (list == NULL)
		return false;
	list->n_entries = mk->n;
	list->entries = (Audums__V1__FdbEntry **)mk->entries;
	mk->reply.answer_case = AUDUMS__V1__DATAPLANE_REPLY__ANSWER_FDB;
	mk->reply.fdb = list;
	return more;
}

static void *make_vtep(struct making *mk, uint16_t index)
{
	const struct vtep *v = vtep_get(&mk->dp->tables->vteps, index);
	const struct nhg *g = nhg_get(&mk->dp->tables->nhgs, vtep_nhg(v));
	Audums__V1__VtepEntry *e = NEW(&mk->arena, Audums__V1__VtepEntry, vtep_entry);
	struct vtep_stats sum;

	if (e == NULL)
		return NULL;
	e->address = text_ip4(mk, v->remote);
	e->resolved = g != NULL && g->n_live > 0;
	legs_text(mk, vtep_nhg(v), &e->next_hops, &e->n_next_hops);
	counters_vtep(mk->dp->counters, mk->dp, index, &sum);
	e->tx_packets = sum.tx_packets;
	e->tx_bytes = sum.tx_bytes;
	e->rx_packets = sum.rx_packets;
	e->rx_bytes = sum.rx_bytes;
	making_counters(mk, COUNTERS_VTEP, &sum, &e->counters, &e->n_counters);
	return e;
}

static bool make_vteps(struct making *mk)
{
	Audums__V1__VtepList *list = NEW(&mk->arena, Audums__V1__VtepList, vtep_list);
	const struct vtep_tbl *vteps = &mk->dp->tables->vteps;

	for (; mk->a->cursor < vteps->end && !mk->full; mk->a->cursor++)
		if (vteps->refs[mk->a->cursor] != 0 &&
			!making_put(mk, make_vtep(mk, (uint16_t)mk->a->cursor)))
			break;
	if (list == NULL)
		return false;
	list->n_vteps = mk->n;
	list->vteps = (Audums__V1__VtepEntry **)mk->entries;
	mk->reply.answer_case = AUDUMS__V1__DATAPLANE_REPLY__ANSWER_VTEPS;
	mk->reply.vteps = list;
	return mk->a->cursor < vteps->end;
}

static const char *route_type(uint16_t result)
{
	switch (result) {
	case FIB4_LOCAL:
		return "local";
	case FIB4_BLACKHOLE:
		return "blackhole";
	case FIB4_REJECT:
		return "unreachable";
	case FIB4_PUNT:
		return "kernel";
	default:
		return "unicast";
	}
}

static void route_make(void *ctx, uint32_t addr, uint8_t depth, uint16_t result)
{
	struct making *mk = ctx;
	const uint64_t place = ((uint64_t)addr << 8 | depth) + 1;
	Audums__V1__RouteEntry *r;

	if (mk->full || place <= mk->a->route)
		return;
	r = NEW(&mk->arena, Audums__V1__RouteEntry, route_entry);
	if (r == NULL)
		return;
	r->prefix = arena_printf(&mk->arena, "%s/%u", text_ip4(mk, rte_cpu_to_be_32(addr)), depth);
	r->type = (char *)(uintptr_t)route_type(result);
	if (fib4_is_nhg(result))
		legs_text(mk, fib4_nhg(result), &r->next_hops, &r->n_next_hops);
	making_put(mk, r);
	mk->a->route = place;
}

static bool make_routes(struct making *mk)
{
	Audums__V1__RouteList *list = NEW(&mk->arena, Audums__V1__RouteList, route_list);

	fib4_walk(mk->dp->tables->fib, route_make, mk);
	if (list == NULL)
		return false;
	list->n_routes = mk->n;
	list->routes = (Audums__V1__RouteEntry **)mk->entries;
	mk->reply.answer_case = AUDUMS__V1__DATAPLANE_REPLY__ANSWER_ROUTES;
	mk->reply.routes = list;
	return mk->full;
}

static void *make_neighbour(struct making *mk, const struct adj *adj)
{
	Audums__V1__NeighbourEntry *e =
		NEW(&mk->arena, Audums__V1__NeighbourEntry, neighbour_entry);

	if (e == NULL)
		return NULL;
	e->address = text_ip4(mk, adj->addr);
	if (adj->resolved)
		e->mac = text_mac(mk, adj->rewrite);
	e->port = port_name(mk, adj->port);
	return e;
}

static bool make_neighbours(struct making *mk)
{
	Audums__V1__NeighbourList *list =
		NEW(&mk->arena, Audums__V1__NeighbourList, neighbour_list);
	const struct adj_tbl *adjs = &mk->dp->tables->adjs;

	for (; mk->a->cursor < adjs->end && !mk->full; mk->a->cursor++) {
		const struct adj *adj = adj_get(adjs, (uint16_t)mk->a->cursor);

		if (adj != NULL && !making_put(mk, make_neighbour(mk, adj)))
			break;
	}
	if (list == NULL)
		return false;
	list->n_neighbours = mk->n;
	list->neighbours = (Audums__V1__NeighbourEntry **)mk->entries;
	mk->reply.answer_case = AUDUMS__V1__DATAPLANE_REPLY__ANSWER_NEIGHBOURS;
	mk->reply.neighbours = list;
	return mk->a->cursor < adjs->end;
}

static bool make(struct making *mk)
{
	switch (mk->a->ask) {
	case AUDUMS__V1__DATAPLANE_REQUEST__ASK_INFO:
		make_info(mk);
		return false;
	case AUDUMS__V1__DATAPLANE_REQUEST__ASK_PORTS:
		return make_ports(mk);
	case AUDUMS__V1__DATAPLANE_REQUEST__ASK_SEGMENTS:
		return make_segments(mk);
	case AUDUMS__V1__DATAPLANE_REQUEST__ASK_FDB:
		return make_fdb(mk);
	case AUDUMS__V1__DATAPLANE_REQUEST__ASK_VTEPS:
		return make_vteps(mk);
	case AUDUMS__V1__DATAPLANE_REQUEST__ASK_ROUTES:
		return make_routes(mk);
	case AUDUMS__V1__DATAPLANE_REQUEST__ASK_NEIGHBOURS:
		return make_neighbours(mk);
	case AUDUMS__V1__DATAPLANE_REQUEST__ASK_DROPS:
		make_drops(mk);
		return false;
	case AUDUMS__V1__DATAPLANE_REQUEST__ASK_NODES:
		make_nodes(mk);
		return false;
	case AUDUMS__V1__DATAPLANE_REQUEST__ASK_WORKERS:
		make_workers(mk);
		return false;
	case AUDUMS__V1__DATAPLANE_REQUEST__ASK_LATENCY:
		make_latency(mk);
		return false;
	default:
		mk->reply.error = (char *)(uintptr_t) "unknown or empty request";
		return false;
	}
}

int answer_next(struct dataplane *dp, struct answer *a, uint8_t **out, size_t *len, bool *more)
{
	struct making mk = {.dp = dp, .a = a};
	int ret;

	audums__v1__dataplane_reply__init(&mk.reply);
	mk.entries = arena_alloc(&mk.arena, ENTRIES_A_REPLY * sizeof(*mk.entries));
	if (mk.entries == NULL)
		return -ENOMEM;
	*more = make(&mk);
	mk.reply.more = *more;
	ret = mk.arena.failed ? -ENOMEM : frame_encode(&mk.reply.base, FRAME_MAX_BYTES, out, len);
	arena_reset(&mk.arena);
	return ret;
}

static Audums__V1__TraceStep *make_step(struct making *mk, const struct trace_step *from)
{
	Audums__V1__TraceStep *s = NEW(&mk->arena, Audums__V1__TraceStep, trace_step);

	if (s == NULL)
		return NULL;
	s->node = (char *)(uintptr_t)from->node;
	s->detail = (char *)(uintptr_t)from->detail;
	if (from->drop >= 0)
		s->drop_reason = (char *)(uintptr_t)drop_name((enum drop_reason)from->drop);
	return s;
}

static Audums__V1__TracedPacket *make_traced(struct making *mk, const struct trace_frame *f)
{
	Audums__V1__TracedPacket *p = NEW(&mk->arena, Audums__V1__TracedPacket, traced_packet);
	const unsigned int steps = RTE_MIN(f->step_count, TRACE_STEPS_MAX);

	if (p == NULL)
		return NULL;
	p->port = port_name(mk, f->port);
	p->length = f->length;
	p->head.data = (uint8_t *)(uintptr_t)f->head;
	p->head.len = f->head_len;
	p->steps = arena_alloc(&mk->arena, steps * sizeof(*p->steps));
	if (p->steps == NULL)
		return NULL;
	for (unsigned int i = 0; i < steps; i++) {
		p->steps[i] = make_step(mk, &f->steps[i]);
		if (p->steps[i] == NULL)
			return NULL;
	}
	p->n_steps = steps;
	return p;
}

int answer_trace(struct dataplane *dp, const struct trace *trace, uint8_t **out, size_t *len)
{
	struct making mk = {.dp = dp};
	Audums__V1__TraceReply *list;
	int ret;

	audums__v1__dataplane_reply__init(&mk.reply);
	list = NEW(&mk.arena, Audums__V1__TraceReply, trace_reply);
	mk.entries = arena_alloc(&mk.arena, TRACE_FRAMES_MAX * sizeof(*mk.entries));
	for (unsigned int i = 0; i < TRACE_FRAMES_MAX && mk.entries != NULL; i++)
		if (__atomic_load_n(&trace->frames[i].done, __ATOMIC_ACQUIRE))
			making_put(&mk, make_traced(&mk, &trace->frames[i]));
	if (list != NULL) {
		list->n_packets = mk.n;
		list->packets = (Audums__V1__TracedPacket **)mk.entries;
		mk.reply.answer_case = AUDUMS__V1__DATAPLANE_REPLY__ANSWER_TRACE;
		mk.reply.trace = list;
	}
	ret = mk.arena.failed ? -ENOMEM : frame_encode(&mk.reply.base, FRAME_MAX_BYTES, out, len);
	arena_reset(&mk.arena);
	return ret;
}

int answer_error(const char *text, uint8_t **out, size_t *len)
{
	Audums__V1__DataplaneReply reply = AUDUMS__V1__DATAPLANE_REPLY__INIT;

	reply.error = (char *)(uintptr_t)text;
	return frame_encode(&reply.base, FRAME_MAX_BYTES, out, len);
}
