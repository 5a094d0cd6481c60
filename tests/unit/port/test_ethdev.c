/*
 * The ethdev back end on DPDK's ring device, which gives back what it is given: opening by name, by
 * id and by probing, bursts, counters, and what such a device cannot do. No root.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <cmocka.h>

#include "dataplane/port/port.h"

static struct rte_mempool *pool;

static struct port_spec spec_of(const char *device)
{
	struct port_spec spec = {
		.id = 7,
		.role = PORT_ROLE_UPLINK,
		.backend = PORT_BACKEND_ETHDEV,
		.name = "up0",
		.tap = "up0",
		.tap_ifindex = 1,
		.mtu = 1500,
		.tap_fd = -1,
		.packet_fd = -1,
		.link_fd = -1,
	};

	snprintf(spec.device, sizeof(spec.device), "%s", device);
	return spec;
}

static void bursts_check(struct port *port)
{
	struct rte_mbuf *pkts[PORT_BURST];
	uint16_t i, n;

	assert_int_equal(rte_pktmbuf_alloc_bulk(pool, pkts, PORT_BURST), 0);
	for (i = 0; i < PORT_BURST; i++)
		assert_non_null(rte_pktmbuf_append(pkts[i], 60));
	assert_int_equal(port_tx_burst(port, 0, pkts, PORT_BURST), PORT_BURST);
	n = port_rx_burst(port, 0, pkts, PORT_BURST);
	assert_int_equal(n, PORT_BURST);
	for (i = 0; i < n; i++)
		assert_int_equal(pkts[i]->port, 7);
	rte_pktmbuf_free_bulk(pkts, n);
	assert_int_equal(port_rx_burst(port, 0, pkts, PORT_BURST), 0);
	assert_int_equal(port->stats.tx_packets, PORT_BURST);
	assert_int_equal(port->stats.rx_bytes, PORT_BURST * 60);
	assert_int_equal(port->stats.tx_drops, 0);
}

static void test_open_ways(void **state)
{
	const struct {
		const char *device;
		bool by_id;
	} ways[] = {{"net_ring0", false}, {"anything", true}, {"net_ring7", false}};
	struct port *port;
	uint16_t id;
	size_t i;

	(void)state;
	assert_int_equal(rte_eth_dev_get_port_by_name("net_ring0", &id), 0);
	for (i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		const struct port_options options = {
			.pool = pool, .ethdev_id = ways[i].by_id ? id : -1};
		const struct port_spec spec = spec_of(ways[i].device);
		bool changed = true;

		assert_int_equal(port_open(&spec, &options, &port), 0);
		assert_int_equal(port->id, 7);
		assert_int_equal(port->tap.fd, -1);
		assert_true(port->link_up);
		assert_int_equal(port_link_update(port, &changed), 0);
		assert_false(changed);
		assert_int_equal(port->rx_fd, -1);
		assert_int_equal(port_sleep_arm(port, 0), -ENOTSUP);
		bursts_check(port);
		port_stats_refresh(port);
		port_close(port);
		assert_int_equal(rte_mempool_in_use_count(pool), 0);
	}
}

static void test_full(void **state)
{
	/* what the device does not take is freed and counted */
	const struct port_options options = {.pool = pool, .ethdev_id = -1};
	const struct port_spec spec = spec_of("net_ring0");
	struct rte_mbuf *pkts[PORT_BURST];
	struct port *port;
	uint64_t sent = 0;
	int i;

	(void)state;
	assert_int_equal(port_open(&spec, &options, &port), 0);
	for (i = 0; i < 40; i++) {
		assert_int_equal(rte_pktmbuf_alloc_bulk(pool, pkts, PORT_BURST), 0);
		sent += port_tx_burst(port, 0, pkts, PORT_BURST);
	}
	assert_int_equal(port->stats.tx_packets, sent);
	assert_int_equal(port->stats.tx_drops, 40 * PORT_BURST - sent);
	assert_in_range(port->stats.tx_drops, 1, 40 * PORT_BURST);
	assert_int_equal(rte_mempool_in_use_count(pool), sent);
	while ((i = port_rx_burst(port, 0, pkts, PORT_BURST)) > 0)
		rte_pktmbuf_free_bulk(pkts, (unsigned int)i);
	assert_int_equal(rte_mempool_in_use_count(pool), 0);
	port_close(port);
}

static void test_refused(void **state)
{
	struct port_options options = {.pool = pool, .ethdev_id = -1};
	struct port_spec spec = spec_of("net_nosuchdriver0");
	struct port *port = (struct port *)&options;
	int fds[2];

	(void)state;
	assert_true(port_open(&spec, &options, &port) < 0);
	assert_null(port);
	options.ethdev_id = RTE_MAX_ETHPORTS - 1;
	assert_int_equal(port_open(&spec, &options, &port), -ENODEV);
	spec = spec_of("net_ring0");
	spec.mtu = 1;
	options.ethdev_id = -1;
	/* descriptors are closed also when the spec is bad, or they are not what they should be */
	assert_int_equal(pipe(fds), 0);
	spec.tap_fd = fds[0];
	assert_int_equal(port_open(&spec, &options, &port), -EINVAL);
	assert_int_equal(close(fds[0]), -1);
	spec = spec_of("net_ring0");
	spec.tap_fd = fds[1];
	assert_int_equal(port_open(&spec, &options, &port), -EINVAL);
	assert_int_equal(close(fds[1]), -1);
	assert_int_equal(pipe(fds), 0);
	spec = spec_of("p1");
	spec.backend = PORT_BACKEND_PACKET;
	spec.wire_ifindex = 1;
	spec.mac[5] = 1;
	spec.packet_fd = fds[0];
	spec.link_fd = fds[1];
	assert_int_equal(port_open(&spec, &options, &port), -EINVAL);
	assert_int_equal(close(fds[0]), -1);
	assert_int_equal(close(fds[1]), -1);
	port_close(NULL);
}

int main(int argc, char **argv)
{
	char *eal[] = {argv[0], (char *)"--no-pci", (char *)"--no-huge", (char *)"--no-shconf",
		(char *)"--no-telemetry", (char *)"-m", (char *)"64", (char *)"--lcores",
		(char *)"0@(0-1)", (char *)"--log-level=4", (char *)"--vdev=net_ring0", NULL};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_open_ways),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_refused),
	};

	(void)argc;
	if (rte_eal_init(11, eal) < 0)
		return 1;
	pool = rte_pktmbuf_pool_create("test", 2047, 0, 0, 2176, 0);
	if (pool == NULL)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
