/*
 * Cycles a packet through the real graph, in one process: memory ports in, memory ports out.
 *
 * A port here copies a prepared frame into a fresh mbuf and frees what is sent, as net_pcap
 * (infinite_rx) and net_null do; the row "io" is those two alone, the floor. All of the product is
 * on: counters, drops, ageing, RCU. TSC cycles over many short windows: the best tenth (what the
 * code costs when nobody takes the core away) and the median; and the nodes' shares.
 *
 * usage: bench-cycles [CASE]...
 */
#include "dataplane/dpdk_compat.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <rte_cycles.h>
#include <rte_graph.h>
#include <rte_graph_worker.h>
#include <rte_malloc.h>

#include "dataplane/eal.h"
#include "dataplane/worker.h"
#include "tests/packet/direct.h"
#include "tests/packet/frame.h"

#define RUNS       500
#define RUN_US     1000
#define FRAME_ROOM 128
#define ACCESS     0
#define UPLINK     1
#define ACCESS_OUT 2
#define LOCAL      IP4(10, 254, 1, 1)
#define REMOTE(n)  IP4(10, 254, 2, (n) + 1)
#define VTEPS      8
#define VNI        10010
#define ROUTES     1000

struct bench {
	struct tables *tables;
	struct rte_mempool *pool;
	struct port *ports[PORT_MAX];
	struct port port[3];
	struct worker *worker;
	/* what the receiving port gives, round and round */
	uint8_t (*frames)[FRAME_ROOM];
	uint16_t frame_len;
	uint32_t frame_n, frame_at;
	uint64_t sent;
	uint16_t bd;
	uint16_t vteps[VTEPS];
};

static const uint8_t hop_mac[6] = {0x02, 0xbb, 0, 0, 0, 1};
static const uint8_t own_mac[3][6] = {
	{0x02, 0xaa, 0, 0, 1, 1}, {0x02, 0xaa, 0, 0, 0, 1}, {0x02, 0xaa, 0, 0, 1, 2}};

static uint16_t bench_rx(struct port *port, uint16_t queue, struct rte_mbuf **pkts, uint16_t n)
{
	struct bench *b = port->priv;

	if (rte_pktmbuf_alloc_bulk(b->pool, pkts, n) < 0)
		return 0;
	for (uint16_t i = 0; i < n; i++) {
		struct rte_mbuf *m = pkts[i];

		rte_memcpy(rte_pktmbuf_mtod(m, void *), b->frames[b->frame_at], b->frame_len);
		m->data_len = b->frame_len;
		m->pkt_len = b->frame_len;
		m->port = port->id;
		if (++b->frame_at == b->frame_n)
			b->frame_at = 0;
	}
	port->stats.rx_packets += n;
	port->stats.rx_bytes += (uint64_t)n * b->frame_len;
	return n;
}

static uint16_t bench_tx(struct port *port, uint16_t queue, struct rte_mbuf **pkts, uint16_t n)
{
	struct bench *b = port->priv;
	uint64_t octets = 0;

	for (uint16_t i = 0; i < n; i++)
		octets += pkts[i]->pkt_len;
	rte_pktmbuf_free_bulk(pkts, n);
	b->sent += n;
	port->stats.tx_packets += n;
	port->stats.tx_bytes += octets;
	return n;
}

static const struct port_ops bench_ops = {
	.name = "memory",
	.rx_burst = bench_rx,
	.tx_burst = bench_tx,
};

static uint16_t none_rx(struct port *port, uint16_t queue, struct rte_mbuf **pkts, uint16_t n)
{
	return 0;
}

static const struct port_ops sink_ops = {
	.name = "sink",
	.rx_burst = none_rx,
	.tx_burst = bench_tx,
};

static void port_init(struct bench *b, uint16_t id, enum port_role role)
{
	struct port *p = &b->port[id];
	struct rte_ether_addr mac;

	memset(p, 0, sizeof(*p));
	p->ops = &sink_ops;
	p->id = id;
	p->mtu = 9000;
	p->link_up = true;
	p->rx_fd = p->link_fd = p->tap.fd = -1;
	p->priv = b;
	p->spec.role = role;
	snprintf(p->spec.name, sizeof(p->spec.name), "port%u", id);
	memcpy(p->mac, own_mac[id], 6);
	memcpy(&mac, own_mac[id], 6);
	b->ports[id] = p;
	port_tbl_add(&b->tables->ports, id,
		role == PORT_ROLE_ACCESS ? PORT_KIND_ACCESS : PORT_KIND_UPLINK, p->spec.name,
		p->spec.name, &mac, 9000);
}

static void mac_of(uint8_t mac[6], uint8_t kind, uint32_t n)
{
	mac[0] = 0x02;
	mac[1] = 0;
	mac[2] = kind;
	mac[3] = (uint8_t)(n >> 16);
	mac[4] = (uint8_t)(n >> 8);
	mac[5] = (uint8_t)n;
}

static void bench_open(struct bench *b, uint32_t macs)
{
	const struct tables_options options = {
		.max_macs = 3 * macs + 1024, .clock_hz = rte_get_tsc_hz()};
	/* metered as ever, never refused: copies are what is measured */
	static const struct storm_pps unlimited = {
		.pps = {STORM_PPS_MAX, STORM_PPS_MAX, STORM_PPS_MAX}};
	const struct worker_options worker_options = {
		.tables = NULL, .ports = b->ports, .main_fd = -1};
	struct worker_options wo = worker_options;
	uint8_t mac[6];
	uint16_t adj, group;

	b->tables = tables_create(&options);
	assert_non_null(b->tables);
	storm_set_default(&b->tables->limits.storm, &unlimited, &unlimited);
	port_init(b, ACCESS, PORT_ROLE_ACCESS);
	port_init(b, UPLINK, PORT_ROLE_UPLINK);
	port_init(b, ACCESS_OUT, PORT_ROLE_ACCESS);
	direct_ports_up(b->tables);
	adj = direct_adj(b->tables, UPLINK, IP4(10, 0, 0, 1), hop_mac);
	group = direct_group(b->tables, &adj, 1);
	for (unsigned int i = 0; i < VTEPS; i++)
		b->vteps[i] = direct_vtep(b->tables, LOCAL, REMOTE(i), group);
	b->bd = direct_bd(
		b->tables, VNI, LOCAL, (const uint16_t[]){ACCESS, ACCESS_OUT}, 2, b->vteps, VTEPS);
	for (uint32_t i = 0; i < macs; i++) {
		mac_of(mac, 1, i);
		fdb_put(b->tables->fdb, fdb_key(b->bd, mac), fdb_dest(FDB_KIND_PORT, ACCESS), 0);
		mac_of(mac, 2, i);
		fdb_put(b->tables->fdb, fdb_key(b->bd, mac),
			fdb_dest(FDB_KIND_VTEP, b->vteps[i % VTEPS]), 0);
	}
	assert_int_equal(fib4_put(b->tables->fib, LOCAL, 32, FIB4_LOCAL), 0);
	for (uint32_t i = 0; i < ROUTES; i++)
		assert_int_equal(fib4_put(b->tables->fib, IP4(100, i >> 8, i & 255, 0), 24,
					 (uint16_t)(FIB4_NHG + group)),
			0);
	wo.tables = b->tables;
	wo.pool = b->pool;
	b->worker = worker_create(&wo);
	assert_non_null(b->worker);
	rcu_worker_register(&b->tables->rcu, 0);
	rcu_worker_online(&b->tables->rcu, 0);
}

static void bench_close(struct bench *b)
{
	rcu_worker_offline(&b->tables->rcu, 0);
	rcu_worker_unregister(&b->tables->rcu, 0);
	worker_destroy(b->worker);
	tables_destroy(b->tables);
	rte_free(b->frames);
	b->frames = NULL;
}

static void frames_alloc(struct bench *b, uint32_t n)
{
	b->frames = rte_malloc(NULL, (size_t)n * FRAME_ROOM, 64);
	assert_non_null(b->frames);
	b->frame_n = n;
	b->frame_at = 0;
}

static void frame_keep(struct bench *b, uint32_t i, const struct frame_bytes *f)
{
	assert_true(f->len <= FRAME_ROOM);
	memcpy(b->frames[i], f->data, f->len);
	b->frame_len = (uint16_t)f->len;
}

/* 64-octet frames of `flows` flows from and to `macs` MACs. */
static void frames_encap(struct bench *b, uint32_t flows, uint32_t macs)
{
	struct frame_bytes f;
	uint8_t src[6], dst[6];

	frames_alloc(b, flows);
	for (uint32_t i = 0; i < flows; i++) {
		mac_of(src, 1, i % macs);
		mac_of(dst, 2, (i * 7) % macs);
		frame_udp4(&f, dst, src, IP4(10, 1, i >> 8, i & 255), IP4(10, 2, i & 255, 1),
			(uint16_t)(1024 + i % 4096), 2000, 22);
		frame_keep(b, i, &f);
	}
}

static void frames_decap(struct bench *b, uint32_t flows, uint32_t macs)
{
	struct frame_bytes f, outer;
	uint8_t src[6], dst[6];

	frames_alloc(b, flows);
	for (uint32_t i = 0; i < flows; i++) {
		mac_of(src, 2, i % macs);
		mac_of(dst, 1, (i * 7) % macs);
		frame_udp4(&f, dst, src, IP4(10, 1, i >> 8, i & 255), IP4(10, 2, i & 255, 1),
			(uint16_t)(1024 + i % 4096), 2000, 22);
		frame_encap(&outer, own_mac[UPLINK], hop_mac, REMOTE(i % VTEPS), LOCAL,
			(uint16_t)(49152 + i % 16384), VNI, &f);
		frame_keep(b, i, &outer);
	}
}

static void frames_transit(struct bench *b, uint32_t flows)
{
	struct frame_bytes f;

	frames_alloc(b, flows);
	for (uint32_t i = 0; i < flows; i++) {
		frame_udp4(&f, own_mac[UPLINK], hop_mac, IP4(10, 1, i >> 8, i & 255),
			IP4(100, (i % ROUTES) >> 8, i % ROUTES & 255, 1),
			(uint16_t)(1024 + i % 4096), 2000, 22);
		frame_keep(b, i, &f);
	}
}

static void frames_flood(struct bench *b)
{
	struct frame_bytes f;
	uint8_t src[6];

	frames_alloc(b, 256);
	for (uint32_t i = 0; i < 256; i++) {
		mac_of(src, 1, i % 64);
		frame_udp4(&f, MAC_BROADCAST, src, IP4(10, 1, 0, i), IP4(255, 255, 255, 255), 68,
			67, 22);
		frame_keep(b, i, &f);
	}
}

static int by_value(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void nodes_print(struct bench *b, const uint64_t before[], uint64_t packets)
{
	struct rte_node *node;
	rte_graph_off_t off;
	rte_node_t count;
	unsigned int i = 0;

	rte_graph_foreach_node(count, off, b->worker->graph, node)
	{
		const uint64_t cycles = node->total_cycles - before[i++];

		if (cycles * 10 > packets)
			printf("  %s %.1f", node->name, (double)cycles / (double)packets);
	}
	printf("\n");
}

/* Walk for a while, RUNS times; `in` is the receiving port, copies what leaves for each frame. */
static void measure(struct bench *b, const char *name, uint16_t in)
{
	const uint64_t span = rte_get_tsc_hz() / 1000000 * RUN_US;
	uint64_t before[16] = {0}, packets = 0;
	static double cycles[RUNS];
	struct rte_node *node;
	rte_graph_off_t off;
	rte_node_t count;
	unsigned int n = 0;

	b->port[in].ops = &bench_ops;
	assert_int_equal(worker_ports_changed(b->worker), 0);
	for (unsigned int i = 0; i < 2000; i++)
		worker_round(b->worker);
	rte_graph_foreach_node(count, off, b->worker->graph, node) before[n++] = node->total_cycles;
	for (unsigned int run = 0; run < RUNS; run++) {
		const uint64_t sent = b->sent;
		const uint64_t start = rte_rdtsc();
		uint64_t end;

		do {
			for (unsigned int i = 0; i < 16; i++)
				worker_walk(b->worker);
			end = rte_rdtsc();
		} while (end - start < span);
		cycles[run] = (double)(end - start) / (double)(b->sent - sent);
		packets += b->sent - sent;
	}
	for (unsigned int i = 0; i < DROP_COUNT; i++)
		if (b->worker->drops[i] != 0)
			printf("  %s: %lu dropped\n", drop_name(i), b->worker->drops[i]);
	qsort(cycles, RUNS, sizeof(cycles[0]), by_value);
	printf("%-40s %7.1f %7.1f ", name, cycles[RUNS / 10], cycles[RUNS / 2]);
	nodes_print(b, before, packets);
	b->port[in].ops = &sink_ops;
}

/* Receive and send alone: the floor. */
static void measure_io(struct bench *b)
{
	const uint64_t span = rte_get_tsc_hz() / 1000000 * RUN_US;
	struct rte_mbuf *pkts[PORT_BURST];
	static double cycles[RUNS];

	for (unsigned int run = 0; run < RUNS; run++) {
		const uint64_t start = rte_rdtsc(), sent = b->sent;
		uint64_t end;

		do {
			for (unsigned int i = 0; i < 32; i++)
				bench_tx(&b->port[UPLINK], 0, pkts,
					bench_rx(&b->port[ACCESS], 0, pkts, PORT_BURST));
			end = rte_rdtsc();
		} while (end - start < span);
		cycles[run] = (double)(end - start) / (double)(b->sent - sent);
	}
	qsort(cycles, RUNS, sizeof(cycles[0]), by_value);
	printf("%-40s %7.1f %7.1f\n", "io (no graph), 256 frames", cycles[RUNS / 10],
		cycles[RUNS / 2]);
}

static const char *only;

static bool wanted(const char *name)
{
	return only == NULL || strcmp(only, name) == 0;
}

static void run_all(struct bench *b)
{
	struct {
		const char *name, *text;
		uint32_t flows, macs;
	} const sizes[] = {
		{"small", "256 flows, 64 MACs", 256, 64},
		{"large", "64k flows, 10k MACs", 65536, 10000},
		{"huge", "64k flows, 500k + 500k MACs", 65536, 500000},
	};
	char text[64];

	printf("%-40s %7s %7s  cycles of nodes, all windows\n", "case, 64-octet frames", "best 10%",
		"median");
	if (wanted("io")) {
		bench_open(b, 64);
		frames_encap(b, 256, 64);
		measure_io(b);
		bench_close(b);
	}
	for (unsigned int i = 0; i < RTE_DIM(sizes); i++) {
		if (!wanted("encap") && !wanted(sizes[i].name))
			continue;
		bench_open(b, sizes[i].macs);
		frames_encap(b, sizes[i].flows, sizes[i].macs);
		snprintf(text, sizeof(text), "encapsulate, %s", sizes[i].text);
		measure(b, text, ACCESS);
		bench_close(b);
	}
	for (unsigned int i = 0; i < RTE_DIM(sizes); i++) {
		if (!wanted("decap") && !wanted(sizes[i].name))
			continue;
		bench_open(b, sizes[i].macs);
		frames_decap(b, sizes[i].flows, sizes[i].macs);
		snprintf(text, sizeof(text), "decapsulate, %s", sizes[i].text);
		measure(b, text, UPLINK);
		bench_close(b);
	}
	if (wanted("transit")) {
		bench_open(b, 64);
		frames_transit(b, 4096);
		measure(b, "transit, 1k routes, 4k flows", UPLINK);
		bench_close(b);
	}
	if (wanted("flood")) {
		bench_open(b, 64);
		frames_flood(b);
		measure(b, "flood to 8 VTEPs and a port, per copy", ACCESS);
		bench_close(b);
	}
}

int main(int argc, char **argv)
{
	struct eal_options options = {.memory_mb = 256};
	struct bench b = {0};

	if (eal_start(&options) < 0)
		return 1;
	b.pool = rte_pktmbuf_pool_create(
		"bench", 16383, 512, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	if (b.pool == NULL)
		return 1;
	if (argc <= 1)
		run_all(&b);
	for (int i = 1; i < argc; i++) {
		only = argv[i];
		run_all(&b);
	}
	return 0;
}
