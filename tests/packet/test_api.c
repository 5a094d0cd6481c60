/*
 * What the forwarding process says of itself, asked by its socket as a client would.
 *
 * The rig's listening socket is a unix socket of an unnamed place; client and server are both
 * stepped here, so a reply is complete when the turns have been made.
 */
#include "dataplane/dpdk_compat.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include <rte_graph_worker.h>

#include "audums/v1/dataplane.pb-c.h"
#include "dataplane/api/api.h"
#include "proto/lib/frame.h"
#include "tests/packet/client.h"
#include "tests/packet/kernel.h"
#include "tests/packet/rig.h"

#define FREE(r) audums__v1__dataplane_reply__free_unpacked((r), NULL)

static Audums__V1__DataplaneReply *ask(struct client *c, int what)
{
	Audums__V1__DataplaneRequest request = AUDUMS__V1__DATAPLANE_REQUEST__INIT;
	Audums__V1__InfoRequest info = AUDUMS__V1__INFO_REQUEST__INIT;
	Audums__V1__FdbRequest fdb = AUDUMS__V1__FDB_REQUEST__INIT;

	request.ask_case = what;
	if (what == AUDUMS__V1__DATAPLANE_REQUEST__ASK_FDB) {
		request.fdb = &fdb;
	} else {
		/* the other requests are empty too, and encoded alike */
		request.info = &info;
		request.ask_case = AUDUMS__V1__DATAPLANE_REQUEST__ASK_INFO;
		if (what != AUDUMS__V1__DATAPLANE_REQUEST__ASK_INFO) {
			const uint8_t raw[] = {0, 0, 0, 2, (uint8_t)(what << 3 | 2), 0};

			assert_int_equal(send(c->fd, raw, sizeof(raw), 0), sizeof(raw));
			return client_recv(c);
		}
	}
	client_send(c, &request);
	return client_recv(c);
}

static void traffic(struct rig *rig)
{
	struct frame_bytes f, outer;

	kernel_mac_local(rig, SITE_VNI, MAC(1, 1), P1);
	kernel_mac_remote(rig, SITE_VNI, MAC(2, 1), SITE_VTEP2);
	frame_udp4(&f, MAC(2, 1), MAC(1, 1), 1, 2, 3, 4, 58);
	rig_send(rig, P1, &f);
	rig_send(rig, P1, &f);
	frame_udp4(&f, MAC(1, 1), MAC(2, 1), 1, 2, 3, 4, 58);
	frame_encap(&outer, rig_mac(UP0), HOP0, SITE_VTEP2, SITE_LOCAL, 50000, SITE_VNI, &f);
	rig_send(rig, UP0, &outer);
	frame_udp4(&f, MAC_BROADCAST, MAC(1, 1), 1, 2, 3, 4, 58);
	rig_send(rig, P1, &f);
	frame_reset(&f);
	frame_ether(&f, MAC_BROADCAST, HOP0, 0x0806);
	frame_arp(&f, 1, HOP0, SITE_HOP0, MAC(0, 0), SITE_HOP0 - 1);
	rig_send(rig, UP0, &f);
	outer.data[48] ^= 0x7f; /* another VNI */
	rig_send(rig, UP0, &outer);
	rig_run(rig);
	rig_drain(rig);
}

static void test_info(void **state)
{
	struct site *s = *state;
	Audums__V1__DataplaneReply *r = ask(&s->client, AUDUMS__V1__DATAPLANE_REQUEST__ASK_INFO);

	assert_int_equal(r->answer_case, AUDUMS__V1__DATAPLANE_REPLY__ANSWER_INFO);
	assert_string_equal(r->info->version, AUDUMS_VERSION);
	assert_int_equal(r->info->pid, getpid());
	assert_int_equal(r->info->workers, 1);
	assert_true(r->info->netlink_messages > 10);
	assert_int_equal(r->info->mbufs_total, 2047);
	assert_int_equal(r->info->mbufs_free, 2047);
	assert_false(r->more);
	assert_string_equal(r->error, "");
	FREE(r);
}

static void test_counters(void **state)
{
	struct site *s = *state;
	Audums__V1__DataplaneReply *r;
	const Audums__V1__DataplanePort *up0, *p1;
	bool found = false;

	traffic(s->rig);
	s->rig->dp->ports[UP0]->stats.rx_errors += 2;
	r = ask(&s->client, AUDUMS__V1__DATAPLANE_REQUEST__ASK_PORTS);
	assert_int_equal(r->ports->n_ports, RIG_PORTS);
	up0 = r->ports->ports[UP0];
	p1 = r->ports->ports[P1];
	assert_string_equal(up0->name, "up0");
	assert_string_equal(up0->role, "uplink");
	assert_string_equal(up0->backend, "ethdev");
	assert_string_equal(up0->mac, "02:aa:00:00:00:01");
	assert_true(up0->link_up);
	assert_int_equal(up0->vni, 0);
	assert_int_equal(up0->rx_packets, 3);
	assert_int_equal(up0->rx_bytes, 150 + 150 + 42);
	assert_int_equal(up0->tx_packets, 3);
	assert_int_equal(up0->tx_bytes, 450);
	assert_int_equal(up0->punt_packets, 1);
	assert_int_equal(up0->rx_drops, 2);
	assert_int_equal(p1->rx_drops, 0);
	assert_int_equal(p1->rx_packets, 3);
	assert_int_equal(p1->tx_packets, 1);
	assert_int_equal(p1->vni, SITE_VNI);
	FREE(r);

	r = ask(&s->client, AUDUMS__V1__DATAPLANE_REQUEST__ASK_SEGMENTS);
	assert_int_equal(r->segments->n_segments, 2);
	for (size_t i = 0; i < 2; i++) {
		const Audums__V1__SegmentStat *seg = r->segments->segments[i];

		if (seg->vni != SITE_VNI)
			continue;
		found = true;
		assert_string_equal(seg->bridge, "br10010");
		assert_int_equal(seg->n_ports, 2);
		assert_string_equal(seg->ports[0], "p1");
		assert_int_equal(seg->n_flood, 2);
		assert_string_equal(seg->flood[0], "10.254.2.1");
		assert_int_equal(seg->macs_local, 1);
		assert_int_equal(seg->macs_remote, 1);
		assert_int_equal(seg->encap_packets, 4);
		assert_int_equal(seg->encap_bytes, 400);
		assert_int_equal(seg->decap_packets, 1);
		assert_int_equal(seg->decap_bytes, 100);
		assert_int_equal(seg->flood_packets, 1);
	}
	assert_true(found);
	FREE(r);

	r = ask(&s->client, AUDUMS__V1__DATAPLANE_REQUEST__ASK_VTEPS);
	assert_int_equal(r->vteps->n_vteps, 2);
	assert_string_equal(r->vteps->vteps[0]->address, "10.254.2.1");
	assert_true(r->vteps->vteps[0]->resolved);
	assert_int_equal(r->vteps->vteps[0]->n_next_hops, 1);
	assert_string_equal(r->vteps->vteps[0]->next_hops[0], "10.0.0.1 up0");
	assert_int_equal(r->vteps->vteps[0]->tx_packets, 3);
	assert_int_equal(r->vteps->vteps[0]->rx_packets, 1);
	assert_int_equal(r->vteps->vteps[0]->rx_bytes, 100);
	FREE(r);

	found = false;
	r = ask(&s->client, AUDUMS__V1__DATAPLANE_REQUEST__ASK_DROPS);
	assert_int_equal(r->drops->n_drops, DROP_COUNT);
	for (size_t i = 0; i < r->drops->n_drops; i++) {
		const bool is = strcmp(r->drops->drops[i]->reason, "unknown_vni") == 0;

		found = found || is;
		assert_int_equal(r->drops->drops[i]->packets, is ? 1 : 0);
	}
	assert_true(found);
	FREE(r);

	r = ask(&s->client, AUDUMS__V1__DATAPLANE_REQUEST__ASK_NODES);
	assert_int_equal(r->nodes->n_nodes, s->rig->worker->graph->nb_nodes);
	FREE(r);
}

static uint64_t counter_of(Audums__V1__Counter *const *list, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(list[i]->name, name) == 0)
			return list[i]->value;
	fail_msg("no counter %s", name);
	return 0;
}

/* Every counter is there under its name too, with the value of its field. */
static void test_counters_by_name(void **state)
{
	struct site *s = *state;
	const Audums__V1__DataplanePort *p;
	Audums__V1__DataplaneReply *r;

	traffic(s->rig);
	s->rig->dp->ports[UP0]->stats.rx_csum_finished = 5;
	r = ask(&s->client, AUDUMS__V1__DATAPLANE_REQUEST__ASK_PORTS);
	p = r->ports->ports[UP0];
	assert_int_equal(counter_of(p->counters, p->n_counters, "rx_packets"), 3);
	assert_int_equal(counter_of(p->counters, p->n_counters, "rx_csum_finished"), 5);
	assert_int_equal(counter_of(p->counters, p->n_counters, "punt_packets"), 1);
	assert_int_equal(counter_of(p->counters, p->n_counters, "inject_packets"), 0);
	FREE(r);
	s->rig->dp->ports[UP0]->stats.rx_csum_finished = 0;
	r = ask(&s->client, AUDUMS__V1__DATAPLANE_REQUEST__ASK_SEGMENTS);
	for (size_t i = 0; i < r->segments->n_segments; i++) {
		const Audums__V1__SegmentStat *seg = r->segments->segments[i];

		assert_int_equal(counter_of(seg->counters, seg->n_counters, "encap_packets"),
			seg->encap_packets);
		assert_int_equal(counter_of(seg->counters, seg->n_counters, "flood_packets"),
			seg->flood_packets);
	}
	FREE(r);
	r = ask(&s->client, AUDUMS__V1__DATAPLANE_REQUEST__ASK_VTEPS);
	assert_int_equal(counter_of(r->vteps->vteps[0]->counters, r->vteps->vteps[0]->n_counters,
				 "tx_packets"),
		3);
	FREE(r);
}

/* A worker says how much it did and how long it took. */
static void test_workers(void **state)
{
	struct site *s = *state;
	const Audums__V1__LatencyStat *l;
	const Audums__V1__WorkerStat *w;
	Audums__V1__DataplaneReply *r;
	uint64_t walks = 0;

	traffic(s->rig);
	rig_run(s->rig);
	r = ask(&s->client, AUDUMS__V1__DATAPLANE_REQUEST__ASK_WORKERS);
	assert_int_equal(r->workers->n_workers, 1);
	assert_true(r->workers->tsc > 0 && r->workers->tsc_hz > 1000000);
	w = r->workers->workers[0];
	assert_int_equal(w->id, 0);
	assert_int_equal(w->lcore, 1);
	assert_int_equal(w->packets, 6);
	assert_int_equal(w->drops, 1);
	assert_true(w->busy_walks >= 1 && w->busy_walks < w->walks);
	assert_true(w->busy_cycles > 0);
	assert_int_equal(counter_of(w->counters, w->n_counters, "packets"), 6);
	walks = w->busy_walks;
	FREE(r);
	r = ask(&s->client, AUDUMS__V1__DATAPLANE_REQUEST__ASK_LATENCY);
	assert_int_equal(r->latency->n_workers, 1);
	l = r->latency->workers[0];
	assert_int_equal(l->walks, walks);
	for (size_t i = 0; i < l->n_buckets; i++) {
		assert_true(l->buckets[i]->from_cycles < l->buckets[i]->to_cycles);
		assert_true(i == 0 || l->buckets[i]->from_cycles >= l->buckets[i - 1]->to_cycles);
		walks -= l->buckets[i]->walks;
	}
	assert_int_equal(walks, 0);
	assert_true(l->max_cycles >= l->buckets[l->n_buckets - 1]->from_cycles);
	assert_true(l->max_cycles < l->buckets[l->n_buckets - 1]->to_cycles);
	FREE(r);
	r = ask(&s->client, AUDUMS__V1__DATAPLANE_REQUEST__ASK_DROPS);
	for (size_t i = 0; i < r->drops->n_drops; i++) {
		assert_int_equal(r->drops->drops[i]->n_workers, 1);
		assert_int_equal(r->drops->drops[i]->workers[0], r->drops->drops[i]->packets);
	}
	FREE(r);
}

/* Buckets meet without a gap, and each value is in its own. */
static void test_latency_buckets(void **state)
{
	for (unsigned int i = 0; i < LATENCY_BUCKETS; i++) {
		assert_int_equal(latency_bucket(latency_floor(i)), i);
		assert_int_equal(latency_bucket(latency_floor(i + 1) - 1), i);
		assert_true(latency_floor(i + 1) - latency_floor(i) <= 1 + latency_floor(i) / 4);
	}
	assert_int_equal(latency_bucket(UINT64_MAX), LATENCY_BUCKETS - 1);
}

static void test_tables(void **state)
{
	struct site *s = *state;
	Audums__V1__DataplaneReply *r;
	bool local = false, both = false;

	traffic(s->rig);
	r = ask(&s->client, AUDUMS__V1__DATAPLANE_REQUEST__ASK_FDB);
	assert_int_equal(r->fdb->n_entries, 2);
	for (size_t i = 0; i < 2; i++) {
		const Audums__V1__FdbEntry *e = r->fdb->entries[i];

		assert_int_equal(e->vni, SITE_VNI);
		if (*e->port != '\0') {
			assert_string_equal(e->port, "p1");
			assert_string_equal(e->mac, "02:00:00:00:01:01");
		} else {
			assert_string_equal(e->vtep, "10.254.2.1");
			assert_string_equal(e->mac, "02:00:00:00:02:01");
		}
	}
	FREE(r);
	r = ask(&s->client, AUDUMS__V1__DATAPLANE_REQUEST__ASK_ROUTES);
	for (size_t i = 0; i < r->routes->n_routes; i++) {
		const Audums__V1__RouteEntry *e = r->routes->routes[i];

		if (strcmp(e->prefix, "10.254.1.1/32") == 0) {
			assert_string_equal(e->type, "local");
			local = true;
		}
		if (strcmp(e->prefix, "10.254.4.1/32") == 0) {
			assert_string_equal(e->type, "unicast");
			assert_int_equal(e->n_next_hops, 2);
			both = true;
		}
	}
	assert_true(local && both);
	FREE(r);
	r = ask(&s->client, AUDUMS__V1__DATAPLANE_REQUEST__ASK_NEIGHBOURS);
	assert_int_equal(r->neighbours->n_neighbours, 2);
	assert_string_equal(r->neighbours->neighbours[0]->address, "10.0.0.1");
	assert_string_equal(r->neighbours->neighbours[0]->mac, "02:00:00:00:bb:00");
	assert_string_equal(r->neighbours->neighbours[0]->port, "up0");
	FREE(r);
}

/* A large table comes in several replies, each entry once. */
static void test_large_fdb(void **state)
{
	struct site *s = *state;
	static bool seen[5000];
	unsigned int replies = 0, n = 0;
	Audums__V1__DataplaneRequest request = AUDUMS__V1__DATAPLANE_REQUEST__INIT;
	Audums__V1__FdbRequest fdb = AUDUMS__V1__FDB_REQUEST__INIT;
	bool more = true;

	memset(seen, 0, sizeof(seen));
	for (unsigned int i = 0; i < 5000; i++)
		kernel_mac_remote(s->rig, SITE_VNI, MAC(i >> 8, i & 255), SITE_VTEP2);
	kernel_mac_remote(s->rig, SITE_VNI2, MAC(1, 1), SITE_VTEP2);
	fdb.vni = SITE_VNI;
	request.ask_case = AUDUMS__V1__DATAPLANE_REQUEST__ASK_FDB;
	request.fdb = &fdb;
	client_send(&s->client, &request);
	while (more) {
		Audums__V1__DataplaneReply *r = client_recv(&s->client);

		assert_non_null(r);
		for (size_t i = 0; i < r->fdb->n_entries; i++) {
			unsigned int hi, lo;

			assert_int_equal(r->fdb->entries[i]->vni, SITE_VNI);
			assert_int_equal(
				sscanf(r->fdb->entries[i]->mac, "02:00:00:00:%x:%x", &hi, &lo), 2);
			assert_false(seen[hi << 8 | lo]);
			seen[hi << 8 | lo] = true;
			n++;
		}
		replies++;
		more = r->more;
		FREE(r);
	}
	assert_int_equal(n, 5000);
	assert_true(replies > 5);
	/* and the connection is ready for the next request */
	FREE(ask(&s->client, AUDUMS__V1__DATAPLANE_REQUEST__ASK_INFO));
}

static void trace_ask(
	struct client *c, const char *port, const char *mac, uint32_t count, uint32_t timeout)
{
	Audums__V1__DataplaneRequest request = AUDUMS__V1__DATAPLANE_REQUEST__INIT;
	Audums__V1__TraceRequest trace = AUDUMS__V1__TRACE_REQUEST__INIT;

	trace.port = (char *)(uintptr_t)port;
	trace.mac = (char *)(uintptr_t)mac;
	trace.count = count;
	trace.timeout_ms = timeout;
	request.ask_case = AUDUMS__V1__DATAPLANE_REQUEST__ASK_TRACE;
	request.trace = &trace;
	client_send(c, &request);
	/* walks too: a trace begins when the worker can no longer see the one before */
	for (unsigned int i = 0; i < 10; i++)
		rig_run(c->rig);
}

static void expect_steps(const Audums__V1__TracedPacket *p, const char *const nodes[], size_t n)
{
	for (size_t i = 0; i < p->n_steps; i++)
		if (i >= n || strcmp(p->steps[i]->node, nodes[i]) != 0)
			fprintf(stderr, "step %zu: %s: %s\n", i, p->steps[i]->node,
				p->steps[i]->detail);
	assert_int_equal(p->n_steps, n);
	for (size_t i = 0; i < n; i++)
		assert_string_equal(p->steps[i]->node, nodes[i]);
}

static void test_trace_encap(void **state)
{
	static const char *const nodes[] = {"port_rx", "access_input", "vxlan_encap", "port_tx"};
	struct site *s = *state;
	Audums__V1__DataplaneReply *r;

	trace_ask(&s->client, "p1", "02:00:00:00:02:01", 1, 5000);
	traffic(s->rig);
	r = client_recv(&s->client);
	assert_int_equal(r->answer_case, AUDUMS__V1__DATAPLANE_REPLY__ANSWER_TRACE);
	assert_int_equal(r->trace->n_packets, 1);
	assert_string_equal(r->trace->packets[0]->port, "p1");
	assert_int_equal(r->trace->packets[0]->length, 100);
	assert_int_equal(r->trace->packets[0]->head.len, 100);
	expect_steps(r->trace->packets[0], nodes, 4);
	assert_non_null(
		strstr(r->trace->packets[0]->steps[2]->detail, "vni 10010 -> vtep 10.254.2.1"));
	assert_string_equal(r->trace->packets[0]->steps[3]->drop_reason, "");
	FREE(r);
	/* another one right after it */
	trace_ask(&s->client, "", "", 1, 5000);
	traffic(s->rig);
	r = client_recv(&s->client);
	assert_string_equal(r->error, "");
	assert_int_equal(r->trace->n_packets, 1);
	FREE(r);
}

/* The MAC of a trace is also looked for inside VXLAN. */
static void test_trace_decap(void **state)
{
	static const char *const good[] = {"port_rx", "underlay_input", "vxlan_decap", "port_tx"};
	static const char *const bad[] = {"port_rx", "underlay_input", "vxlan_decap"};
	struct site *s = *state;
	Audums__V1__DataplaneReply *r;

	trace_ask(&s->client, "up0", "02:00:00:00:01:01", 2, 5000);
	traffic(s->rig);
	r = client_recv(&s->client);
	assert_int_equal(r->trace->n_packets, 2);
	/* the node that delivers says two things */
	assert_int_equal(r->trace->packets[0]->n_steps, 5);
	assert_string_equal(r->trace->packets[0]->steps[0]->node, good[0]);
	assert_string_equal(r->trace->packets[0]->steps[4]->node, good[3]);
	expect_steps(r->trace->packets[1], bad, 3);
	assert_string_equal(r->trace->packets[1]->steps[2]->drop_reason, "unknown_vni");
	FREE(r);
}

static void test_trace_flood(void **state)
{
	struct site *s = *state;
	Audums__V1__DataplaneReply *r;
	const Audums__V1__TracedPacket *p;
	unsigned int encap = 0, out = 0;

	trace_ask(&s->client, "p1", "ff:ff:ff:ff:ff:ff", 1, 5000);
	traffic(s->rig);
	r = client_recv(&s->client);
	p = r->trace->packets[0];
	for (size_t i = 0; i < p->n_steps; i++) {
		encap += strcmp(p->steps[i]->node, "vxlan_encap") == 0;
		out += strcmp(p->steps[i]->node, "port_tx") == 0;
	}
	assert_int_equal(encap, 2);
	assert_int_equal(out, 3);
	FREE(r);
}

/* Nothing comes: what there is (nothing) is given when the time is over. */
static void test_trace_timeout(void **state)
{
	struct site *s = *state;
	Audums__V1__DataplaneReply *r;

	trace_ask(&s->client, "p2", "", 3, 20);
	do {
		assert_return_code(dataplane_turn(s->rig->dp, 5), 0);
	} while (s->rig->dp->trace != NULL);
	r = client_recv(&s->client);
	assert_int_equal(r->answer_case, AUDUMS__V1__DATAPLANE_REPLY__ANSWER_TRACE);
	assert_int_equal(r->trace->n_packets, 0);
	FREE(r);
}

static void test_trace_refused(void **state)
{
	struct site *s = *state;
	struct client other;
	Audums__V1__DataplaneReply *r;

	trace_ask(&s->client, "nosuch", "", 1, 100);
	r = client_recv(&s->client);
	assert_non_null(strstr(r->error, "no port"));
	FREE(r);
	trace_ask(&s->client, "", "02:00", 1, 100);
	r = client_recv(&s->client);
	assert_non_null(strstr(r->error, "MAC"));
	FREE(r);
	trace_ask(&s->client, "", "", 65, 100);
	r = client_recv(&s->client);
	assert_non_null(strstr(r->error, "64"));
	FREE(r);
	trace_ask(&s->client, "", "", 1, 60001);
	r = client_recv(&s->client);
	assert_non_null(strstr(r->error, "60000"));
	FREE(r);
	/* a second one while one runs; the first goes away, then it works */
	client_connect(&s->server, &other);
	trace_ask(&other, "p2", "", 1, 60000);
	trace_ask(&s->client, "p2", "", 1, 100);
	r = client_recv(&s->client);
	assert_non_null(strstr(r->error, "another trace"));
	FREE(r);
	client_close(&other);
	for (unsigned int i = 0; i < 10; i++)
		rig_run(s->rig);
	assert_null(s->rig->dp->trace);
	trace_ask(&s->client, "p1", "", 1, 5000);
	traffic(s->rig);
	r = client_recv(&s->client);
	assert_string_equal(r->error, "");
	assert_int_equal(r->trace->n_packets, 1);
	FREE(r);
}

/* Nonsense closes the connection that sent it, and no other. */
static void test_nonsense(void **state)
{
	static const struct {
		const char *what;
		uint8_t len;
		uint8_t bytes[12];
	} rows[] = {
		{"too long", 4, {0xff, 0xff, 0xff, 0xff}},
		{"above the limit", 4, {0, 1, 0, 1}},
		{"not protobuf", 8, {0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff}},
		{"cut field", 6, {0, 0, 0, 2, 0x22, 0x05}},
	};
	struct site *s = *state;

	for (unsigned int i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct client c;

		client_connect(&s->server, &c);
		assert_int_equal(send(c.fd, rows[i].bytes, rows[i].len, 0), rows[i].len);
		assert_null(client_recv(&c));
		client_close(&c);
	}
	FREE(ask(&s->client, AUDUMS__V1__DATAPLANE_REQUEST__ASK_INFO));
}

static void test_empty_request(void **state)
{
	static const uint8_t empty[4] = {0};
	struct site *s = *state;
	Audums__V1__DataplaneReply *r;

	assert_int_equal(send(s->client.fd, empty, sizeof(empty), 0), sizeof(empty));
	r = client_recv(&s->client);
	assert_non_null(strstr(r->error, "empty"));
	FREE(r);
}

/* One octet at a time. */
static void test_slow_client(void **state)
{
	static const uint8_t raw[] = {0, 0, 0, 2, 0x0a, 0};
	struct site *s = *state;

	for (unsigned int i = 0; i < sizeof(raw); i++) {
		assert_int_equal(send(s->client.fd, raw + i, 1, 0), 1);
		assert_return_code(dataplane_turn(s->rig->dp, 0), 0);
		assert_return_code(dataplane_turn(s->rig->dp, 0), 0);
	}
	FREE(client_recv(&s->client));
}

/* More clients than there are places: the last ones are closed, the others served. */
static void test_too_many(void **state)
{
	struct site *s = *state;
	struct client c[API_CONNECTIONS];
	Audums__V1__DataplaneReply *r;

	for (unsigned int i = 0; i < API_CONNECTIONS; i++) {
		client_connect(&s->server, &c[i]);
		assert_return_code(dataplane_turn(s->rig->dp, 0), 0);
		assert_return_code(dataplane_turn(s->rig->dp, 0), 0);
	}
	assert_null(client_recv(&c[API_CONNECTIONS - 1]));
	r = ask(&c[0], AUDUMS__V1__DATAPLANE_REQUEST__ASK_INFO);
	assert_non_null(r);
	FREE(r);
	for (unsigned int i = 0; i < API_CONNECTIONS; i++)
		client_close(&c[i]);
	/* their places are free again */
	for (unsigned int i = 0; i < 40; i++)
		assert_return_code(dataplane_turn(s->rig->dp, 0), 0);
	client_connect(&s->server, &c[0]);
	r = ask(&c[0], AUDUMS__V1__DATAPLANE_REQUEST__ASK_INFO);
	assert_non_null(r);
	FREE(r);
	client_close(&c[0]);
}

/* A segment that is made again does not start with its forerunner's counters. */
static void test_counters_start_at_zero(void **state)
{
	struct site *s = *state;
	Audums__V1__DataplaneReply *r;

	traffic(s->rig);
	kernel_mac_remote_del(s->rig, SITE_VNI, MAC(2, 1), SITE_VTEP2);
	kernel_mac_local_del(s->rig, SITE_VNI, MAC(1, 1), P1);
	kernel_tap(s->rig, P1, true, 0);
	kernel_tap(s->rig, P2, true, 0);
	kernel_segment_del(s->rig, SITE_VNI);
	/* one turn: the index is free at its end, and given again before the next one looks */
	rig_run(s->rig);
	kernel_segment(s->rig, 77, SITE_LOCAL);
	kernel_flood(s->rig, 77, SITE_VTEP3);
	rig_run(s->rig);
	r = ask(&s->client, AUDUMS__V1__DATAPLANE_REQUEST__ASK_SEGMENTS);
	assert_int_equal(r->segments->n_segments, 2);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(r->segments->segments[i]->encap_packets, 0);
		assert_int_equal(r->segments->segments[i]->decap_bytes, 0);
	}
	FREE(r);
	r = ask(&s->client, AUDUMS__V1__DATAPLANE_REQUEST__ASK_VTEPS);
	for (size_t i = 0; i < r->vteps->n_vteps; i++)
		if (strcmp(r->vteps->vteps[i]->address, "10.254.3.1") == 0)
			assert_int_equal(r->vteps->vteps[i]->tx_packets, 0);
	FREE(r);
}

#define T(f) cmocka_unit_test_setup_teardown(f, client_site_setup, client_site_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_info),
		T(test_counters),
		T(test_counters_by_name),
		T(test_workers),
		cmocka_unit_test(test_latency_buckets),
		T(test_tables),
		T(test_large_fdb),
		T(test_trace_encap),
		T(test_trace_decap),
		T(test_trace_flood),
		T(test_trace_timeout),
		T(test_trace_refused),
		T(test_nonsense),
		T(test_empty_request),
		T(test_slow_client),
		T(test_too_many),
		T(test_counters_start_at_zero),
	};

	return cmocka_run_group_tests_name("api", tests, rig_group_setup, rig_group_teardown);
}
