/*
 * The product between two DPDK devices, for measuring beside its peers, and what the peers need.
 *
 * The worker, its graph, its ports and tables are those of audums-dataplane: counters, drop
 * reasons, learning checks, age stamps and quiescent states are all on. Only the tables' content
 * comes from case.c instead of netlink. `run` reads commands on standard input, so that whoever
 * measures takes frames and CPU time of all programs in the same way.
 *
 * usage: bench-dataplane list | tsc | capture CASE FILE | rules CASE | run CASE CAPTURE
 */
#include "dataplane/dpdk_compat.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_graph_worker.h>

#include "bench/dataplane/capture.h"
#include "bench/dataplane/case.h"
#include "dataplane/eal.h"
#include "dataplane/worker.h"
#include "proto/lib/log.h"

#define MBUFS      131071 /* the capture's frames are kept in as many */
#define MBUF_CACHE 512
#define TURN_MS    10
#define NODES_MAX  32

struct product {
	const struct bench_case *c;
	struct tables *tables;
	struct rte_mempool *pool;
	struct port *ports[PORT_MAX];
	struct worker *worker;
};

/* The case's port as a DPDK device that exists. Returns 0 or a negative errno. */
static int port_make(struct product *p, enum case_port id)
{
	const struct port_options options = {.pool = p->pool,
		.ethdev_id = id == case_in(p->c)    ? 0
			     : id == case_out(p->c) ? 1
						    : 2};
	struct port_spec spec = {
		.id = (uint16_t)id,
		.role = id == CASE_UPLINK ? PORT_ROLE_UPLINK : PORT_ROLE_ACCESS,
		.backend = PORT_BACKEND_ETHDEV,
		.tap_ifindex = 100 + id,
		.mtu = 1600,
		.tap_fd = -1,
		.packet_fd = -1,
		.link_fd = -1,
	};
	struct rte_ether_addr mac;
	struct port *port;
	int rc;

	snprintf(spec.name, sizeof(spec.name), "port%u", id);
	snprintf(spec.tap, sizeof(spec.tap), "port%u", id);
	snprintf(spec.device, sizeof(spec.device), "device%d", options.ethdev_id);
	memcpy(spec.mac, case_mac[id], sizeof(spec.mac));
	rc = port_open(&spec, &options, &port);
	if (rc < 0)
		return rc;
	p->ports[id] = port;
	/* these devices keep an address of their own */
	memcpy(port->mac, case_mac[id], sizeof(port->mac));
	memcpy(&mac, case_mac[id], sizeof(mac));
	return port_tbl_add(&p->tables->ports, (uint16_t)id,
		id == CASE_UPLINK ? PORT_KIND_UPLINK : PORT_KIND_ACCESS, spec.name, spec.tap, &mac,
		1600);
}

static int product_open(struct product *p, const char *capture)
{
	struct tables_options tables = {.max_macs = case_fdb_size(p->c)};
	char pcap[512];
	const char *const more[] = {"--vdev", pcap, "--vdev", "net_null0,no-rx=1", "--vdev",
		"net_null1,no-rx=1", "--file-prefix=audums-bench", NULL};
	const struct eal_options eal = {
		.workers = 1, .memory_mb = 512, .huge = getenv("BENCH_HUGE") != NULL, .more = more};
	struct worker_options worker = {.lcore = 1, .main_fd = -1};
	int rc;

	snprintf(pcap, sizeof(pcap), "net_pcap0,rx_pcap=%s,infinite_rx=1", capture);
	rc = eal_start(&eal);
	if (rc < 0)
		return rc;
	tables.clock_hz = rte_get_tsc_hz();
	p->pool = rte_pktmbuf_pool_create(
		"frames", MBUFS, MBUF_CACHE, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	p->tables = tables_create(&tables);
	if (p->pool == NULL || p->tables == NULL || trace_register() < 0)
		return -ENOMEM;
	for (enum case_port id = 0; id < CASE_PORTS; id++) {
		rc = port_make(p, id);
		if (rc < 0)
			return rc;
	}
	case_tables(p->c, p->tables);
	worker.tables = p->tables;
	worker.ports = p->ports;
	worker.pool = p->pool;
	p->worker = worker_create(&worker);
	if (p->worker == NULL)
		return -errno;
	return worker_start(p->worker);
}

/* Frames that left, and every frame that did not, by its reason. */
static void counts_print(const struct product *p)
{
	printf("sent %lu", stat_read(&p->ports[case_out(p->c)]->stats.tx_packets));
	for (unsigned int i = 0; i < DROP_COUNT; i++)
		if (stat_read(&p->worker->drops[i]) != 0)
			printf(" %s %lu", drop_name(i), stat_read(&p->worker->drops[i]));
	printf("\n");
}

/* TSC cycles of each node, all so far. The worker writes meanwhile: each is a whole word. */
static void nodes_print(const struct product *p)
{
	struct rte_node *node;
	rte_graph_off_t off;
	rte_node_t count;

	rte_graph_foreach_node(count, off, p->worker->graph, node)
	{
		if (node->total_objs > 0)
			printf("%s %lu ", node->name, node->total_cycles);
	}
	printf("sent %lu\n", stat_read(&p->ports[case_out(p->c)]->stats.tx_packets));
}

/* Serve commands until the input ends. */
static void serve(struct product *p)
{
	struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
	char line[32];

	printf("ready\n");
	fflush(stdout);
	for (;;) {
		tables_poll(p->tables);
		if (poll(&input, 1, TURN_MS) <= 0)
			continue;
		if (fgets(line, sizeof(line), stdin) == NULL)
			return;
		if (strcmp(line, "count\n") == 0)
			counts_print(p);
		else if (strcmp(line, "nodes\n") == 0)
			nodes_print(p);
		else
			printf("unknown command\n");
		fflush(stdout);
	}
}

static int run(const struct bench_case *c, const char *capture)
{
	static struct product p;
	int rc;

	p.c = c;
	/* one command a line, read as soon as it is there */
	setvbuf(stdin, NULL, _IONBF, 0);
	rc = product_open(&p, capture);
	if (rc < 0)
		fprintf(stderr, "bench-dataplane: cannot start: %s\n", strerror(-rc));
	else
		serve(&p);
	worker_destroy(p.worker);
	for (unsigned int i = 0; i < CASE_PORTS; i++)
		port_close(p.ports[i]);
	tables_destroy(p.tables);
	rte_eal_cleanup();
	return rc < 0;
}

static int list(void)
{
	for (const struct bench_case *c = bench_cases; c->name != NULL; c++)
		printf("%s\t%.0f\t%u\t%s\n", c->name, c->aim, c->copies, c->text);
	return 0;
}

static int tsc(void)
{
	const struct eal_options eal = {.memory_mb = 16};

	if (eal_start(&eal) < 0)
		return 1;
	printf("%lu\n", rte_get_tsc_hz());
	return 0;
}

int main(int argc, char **argv)
{
	const struct bench_case *c = argc > 2 ? case_find(argv[2]) : NULL;

	log_setup(LOG_LEVEL_WARN, 2);
	if (argc == 2 && strcmp(argv[1], "list") == 0)
		return list();
	if (argc == 2 && strcmp(argv[1], "tsc") == 0)
		return tsc();
	if (argc == 4 && c != NULL && strcmp(argv[1], "capture") == 0)
		return capture_write(c, argv[3]) < 0;
	if (argc == 3 && c != NULL && strcmp(argv[1], "rules") == 0)
		return rules_write(c, stdout) < 0;
	if (argc == 4 && c != NULL && strcmp(argv[1], "run") == 0)
		return run(c, argv[3]);
	fprintf(stderr, "usage: bench-dataplane list | tsc | capture CASE FILE | rules CASE |"
			" run CASE CAPTURE\n");
	return 64;
}
