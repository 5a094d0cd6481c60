/*
 * Cycles a packet through the real graph, in one process: memory ports in, memory ports out.
 *
 * A port here copies a prepared frame into a fresh mbuf and frees what is sent, as net_pcap
 * (infinite_rx) and net_null do; the row "io" is those two alone, the floor. All of the product is
 * on: counters, drops, ageing, RCU. TSC cycles over many short windows: the best tenth (what the
 * code costs when nobody takes the core away) and the median; and the nodes' parts of the best
 * windows.
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

#include "bench/dataplane/case.h"
#include "dataplane/eal.h"
#include "dataplane/worker.h"

#define RUNS       500
#define RUN_US     1000
#define FRAME_ROOM 128
#define NODES_MAX  32

struct bench {
	struct tables *tables;
	struct rte_mempool *pool;
	struct port *ports[PORT_MAX];
	struct port port[CASE_PORTS];
	struct worker *worker;
	/* what the receiving port gives, round and round */
	uint8_t (*frames)[FRAME_ROOM];
	uint16_t frame_len;
	uint32_t frame_n, frame_at;
	uint64_t sent;
};

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
	memcpy(p->mac, case_mac[id], 6);
	memcpy(&mac, case_mac[id], 6);
	b->ports[id] = p;
	port_tbl_add(&b->tables->ports, id,
		role == PORT_ROLE_ACCESS ? PORT_KIND_ACCESS : PORT_KIND_UPLINK, p->spec.name,
		p->spec.name, &mac, 9000);
}

static void frames_make(struct bench *b, const struct bench_case *c)
{
	struct frame_bytes f;

	b->frames = rte_malloc(NULL, (size_t)c->flows * FRAME_ROOM, 64);
	assert_non_null(b->frames);
	b->frame_n = c->flows;
	b->frame_at = 0;
	for (uint32_t i = 0; i < c->flows; i++) {
		case_frame(c, i, &f);
		assert_true(f.len <= FRAME_ROOM);
		memcpy(b->frames[i], f.data, f.len);
		b->frame_len = (uint16_t)f.len;
	}
}

static void bench_open(struct bench *b, const struct bench_case *c)
{
	const struct tables_options options = {
		.max_macs = case_fdb_size(c), .clock_hz = rte_get_tsc_hz()};
	struct worker_options wo = {.ports = b->ports, .main_fd = -1};

	b->tables = tables_create(&options);
	assert_non_null(b->tables);
	port_init(b, CASE_ACCESS, PORT_ROLE_ACCESS);
	port_init(b, CASE_UPLINK, PORT_ROLE_UPLINK);
	port_init(b, CASE_ACCESS_OUT, PORT_ROLE_ACCESS);
	case_tables(c, b->tables);
	wo.tables = b->tables;
	wo.pool = b->pool;
	b->worker = worker_create(&wo);
	assert_non_null(b->worker);
	rcu_worker_register(&b->tables->rcu, 0);
	rcu_worker_online(&b->tables->rcu, 0);
	frames_make(b, c);
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

static int by_value(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* One window of time: what a packet cost in it, and each node's part. */
struct window {
	double cycles;
	double nodes[NODES_MAX];
};

static int by_cycles(const void *a, const void *b)
{
	const struct window *x = a, *y = b;

	return x->cycles < y->cycles ? -1 : x->cycles > y->cycles;
}

static void nodes_get(const struct bench *b, uint64_t cycles[])
{
	struct rte_node *node;
	rte_graph_off_t off;
	rte_node_t count;
	unsigned int i = 0;

	rte_graph_foreach_node(count, off, b->worker->graph, node) cycles[i++] = node->total_cycles;
}

/* The nodes' parts in the best tenth of the windows. */
static void nodes_print(const struct bench *b, const struct window windows[])
{
	struct rte_node *node;
	rte_graph_off_t off;
	rte_node_t count;
	unsigned int i = 0;

	rte_graph_foreach_node(count, off, b->worker->graph, node)
	{
		double sum = 0;

		for (unsigned int k = 0; k < RUNS / 10; k++)
			sum += windows[k].nodes[i];
		i++;
		if (sum > 1)
			printf("  %s %.1f", node->name, sum / (RUNS / 10));
	}
	printf("\n");
}

/* Walk for a while, RUNS times; `in` is the receiving port. */
static void measure(struct bench *b, const char *name, uint16_t in)
{
	const uint64_t span = rte_get_tsc_hz() / 1000000 * RUN_US;
	static struct window windows[RUNS];
	uint64_t before[NODES_MAX], after[NODES_MAX];

	b->port[in].ops = &bench_ops;
	assert_int_equal(worker_ports_changed(b->worker), 0);
	assert_true(b->worker->graph->nb_nodes <= NODES_MAX);
	for (unsigned int i = 0; i < 2000; i++)
		worker_round(b->worker);
	for (unsigned int run = 0; run < RUNS; run++) {
		const uint64_t sent = b->sent;
		const uint64_t start = rte_rdtsc();
		double packets;
		uint64_t end;

		nodes_get(b, before);
		do {
			for (unsigned int i = 0; i < 16; i++)
				worker_walk(b->worker);
			end = rte_rdtsc();
		} while (end - start < span);
		nodes_get(b, after);
		packets = (double)(b->sent - sent);
		windows[run].cycles = (double)(end - start) / packets;
		for (unsigned int i = 0; i < NODES_MAX; i++)
			windows[run].nodes[i] = (double)(after[i] - before[i]) / packets;
	}
	for (unsigned int i = 0; i < DROP_COUNT; i++)
		if (b->worker->drops[i] != 0)
			printf("  %s: %lu dropped\n", drop_name(i), b->worker->drops[i]);
	qsort(windows, RUNS, sizeof(windows[0]), by_cycles);
	printf("%-40s %7.1f %7.1f ", name, windows[RUNS / 10].cycles, windows[RUNS / 2].cycles);
	nodes_print(b, windows);
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
				bench_tx(&b->port[CASE_UPLINK], 0, pkts,
					bench_rx(&b->port[CASE_ACCESS], 0, pkts, PORT_BURST));
			end = rte_rdtsc();
		} while (end - start < span);
		cycles[run] = (double)(end - start) / (double)(b->sent - sent);
	}
	qsort(cycles, RUNS, sizeof(cycles[0]), by_value);
	printf("%-40s %7.1f %7.1f\n", "io (no graph), 256 frames", cycles[RUNS / 10],
		cycles[RUNS / 2]);
}

static void run_case(struct bench *b, const struct bench_case *c)
{
	bench_open(b, c);
	measure(b, c->text, (uint16_t)case_in(c));
	bench_close(b);
}

static void run_io(struct bench *b)
{
	bench_open(b, &bench_cases[0]);
	measure_io(b);
	bench_close(b);
}

int main(int argc, char **argv)
{
	struct eal_options options = {.memory_mb = 256};
	const struct bench_case *c;
	struct bench b = {0};

	if (eal_start(&options) < 0)
		return 1;
	b.pool = rte_pktmbuf_pool_create(
		"bench", 16383, 512, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	if (b.pool == NULL)
		return 1;
	printf("%-40s %7s %7s  nodes, best 10%%\n", "case, 64-octet frames", "best 10%", "median");
	if (argc <= 1) {
		run_io(&b);
		for (c = bench_cases; c->name != NULL; c++)
			run_case(&b, c);
		for (c = bench_cases_tagged; c->name != NULL; c++)
			run_case(&b, c);
	}
	for (int i = 1; i < argc; i++) {
		c = case_find(argv[i]);
		if (c != NULL)
			run_case(&b, c);
		else if (strcmp(argv[i], "io") == 0)
			run_io(&b);
		else
			fprintf(stderr, "bench-cycles: no case \"%s\"\n", argv[i]);
	}
	return 0;
}
