/*
 * Two packet ports wired to each other: what one receives the other sends. A test drives it with
 * real kernels on both sides; every frame between is checked here as the graph would want it: no
 * longer than the MTU, TCP and UDP checksums right.
 *
 * usage: packet_bridge INTERFACE INTERFACE. Prints "ready", a line for each change of a link, and
 * counters when it is ended by SIGTERM.
 */
#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include "dataplane/port/packet.h"
#include "dataplane/port/port.h"

static volatile sig_atomic_t quit;
static unsigned long bad_length, bad_csum, checked, chained;

static void on_signal(int signal)
{
	quit = signal;
}

static struct port *open_one(uint16_t id, const char *name, struct rte_mempool *pool)
{
	const struct port_options options = {.pool = pool, .ethdev_id = -1};
	struct port_spec spec = {
		.id = id,
		.role = PORT_ROLE_ACCESS,
		.backend = PORT_BACKEND_PACKET,
		.tap_ifindex = 1,
		.wire_ifindex = if_nametoindex(name),
		.tap_fd = -1,
	};
	struct ifreq ifr = {0};
	struct port *port = NULL;
	const int fd = socket(AF_INET, SOCK_DGRAM, 0);
	int rc;

	snprintf(spec.name, sizeof(spec.name), "p%u", id);
	snprintf(spec.tap, sizeof(spec.tap), "p%u", id);
	snprintf(spec.device, sizeof(spec.device), "%s", name);
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%.15s", name);
	if (ioctl(fd, SIOCGIFMTU, &ifr) < 0)
		return NULL;
	spec.mtu = (uint32_t)ifr.ifr_mtu;
	if (ioctl(fd, SIOCGIFHWADDR, &ifr) < 0)
		return NULL;
	memcpy(spec.mac, ifr.ifr_hwaddr.sa_data, 6);
	close(fd);
	spec.packet_fd = packet_socket_open(spec.wire_ifindex);
	spec.link_fd = packet_link_socket_open();
	rc = port_open(&spec, &options, &port);
	if (rc < 0)
		fprintf(stderr, "%s: %s\n", name, strerror(-rc));
	return port;
}

/* The sum over data that holds its own right checksum is all ones. */
static bool sum_right(uint16_t pseudo, const void *l4, uint32_t len)
{
	uint32_t sum = (uint32_t)pseudo + rte_raw_cksum(l4, len);

	sum = (sum & 0xffff) + (sum >> 16);
	return sum == 0xffff;
}

/* Checks whole, untagged TCP and UDP packets that are no fragments. */
static void frame_check(const struct port *port, const struct rte_mbuf *m)
{
	static uint8_t copy[16384];
	const struct rte_ether_hdr *eth = (const struct rte_ether_hdr *)copy;
	const void *ip = eth + 1;
	int rc = 0;

	if (m->pkt_len > port->mtu + RTE_ETHER_HDR_LEN + RTE_VLAN_HLEN ||
		m->pkt_len > sizeof(copy) || m->port != port->id) {
		bad_length++;
		return;
	}
	chained += m->nb_segs > 1;
	memset(copy, 0, 128);
	if (rte_pktmbuf_read(m, 0, m->pkt_len, copy) != copy)
		memcpy(copy, rte_pktmbuf_mtod(m, void *), m->pkt_len);
	if (eth->ether_type == RTE_BE16(RTE_ETHER_TYPE_IPV4)) {
		const struct rte_ipv4_hdr *ip4 = ip;

		if ((ip4->fragment_offset & RTE_BE16(0x3fff)) != 0)
			return;
		if (rte_ipv4_cksum(ip4) != 0 && rte_ipv4_cksum(ip4) != 0xffff)
			rc = -1;
		if (ip4->next_proto_id == IPPROTO_TCP || ip4->next_proto_id == IPPROTO_UDP)
			rc |= !sum_right(rte_ipv4_phdr_cksum(ip4, 0), (const uint8_t *)ip + 20,
				rte_be_to_cpu_16(ip4->total_length) - 20U);
		else
			return;
	} else if (eth->ether_type == RTE_BE16(RTE_ETHER_TYPE_IPV6)) {
		const struct rte_ipv6_hdr *ip6 = ip;

		if (ip6->proto != IPPROTO_TCP && ip6->proto != IPPROTO_UDP)
			return;
		rc = !sum_right(
			rte_ipv6_phdr_cksum(ip6, 0), ip6 + 1, rte_be_to_cpu_16(ip6->payload_len));
	} else {
		return;
	}
	checked++;
	bad_csum += rc != 0;
}

static void forward(struct port *from, struct port *to)
{
	struct rte_mbuf *pkts[PORT_BURST];
	uint16_t n, i;

	do {
		n = port_rx_burst(from, 0, pkts, PORT_BURST);
		for (i = 0; i < n; i++)
			frame_check(from, pkts[i]);
		if (n > 0)
			port_tx_burst(to, 0, pkts, n);
	} while (n == PORT_BURST);
}

static void counters_print(struct port *port)
{
	const struct port_stats *s = &port->stats;

	port_stats_refresh(port);
	printf("port %s rx_packets=%lu tx_packets=%lu tx_drops=%lu rx_errors=%lu offload_bad=%lu "
	       "csum_finished=%lu super_frames=%lu segments=%lu tx_super_frames=%lu kernel_drops=%lu "
	       "no_mbuf=%lu\n",
		port->spec.device, s->rx_packets, s->tx_packets, s->tx_drops, s->rx_errors,
		s->rx_offload_bad, s->rx_csum_finished, s->rx_super_frames, s->rx_segments,
		s->tx_super_frames, s->rx_kernel_drops, s->rx_no_mbuf);
}

int main(int argc, char **argv)
{
	char *eal[] = {argv[0], (char *)"--no-pci", (char *)"--no-huge", (char *)"--no-shconf",
		(char *)"--no-telemetry", (char *)"-m", (char *)"64", (char *)"--lcores",
		(char *)"0@(0-1)", (char *)"--log-level=4", NULL};
	struct rte_mempool *pool;
	struct port *ports[2];
	unsigned int i;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc != 3 || rte_eal_init(10, eal) < 0)
		return 1;
	pool = rte_pktmbuf_pool_create("bridge", 2047, 64, 0, 2176, 0);
	if (pool == NULL)
		return 1;
	for (i = 0; i < 2; i++) {
		ports[i] = open_one((uint16_t)i, argv[1 + i], pool);
		if (ports[i] == NULL)
			return 1;
		printf("link %s %d\n", argv[1 + i], ports[i]->link_up);
	}
	signal(SIGTERM, on_signal);
	puts("ready");
	while (!quit) {
		struct pollfd fds[4];

		for (i = 0; i < 2; i++) {
			bool changed = false;

			forward(ports[i], ports[!i]);
			if (port_link_update(ports[i], &changed) < 0)
				printf("link %s error\n", argv[1 + i]);
			if (changed)
				printf("link %s %d\n", argv[1 + i], ports[i]->link_up);
			fds[2 * i] = (struct pollfd){ports[i]->rx_fd, POLLIN, 0};
			fds[2 * i + 1] = (struct pollfd){ports[i]->link_fd, POLLIN, 0};
		}
		if (port_sleep_arm(ports[0], 0) == 0 && port_sleep_arm(ports[1], 0) == 0)
			poll(fds, 4, 100);
	}
	for (i = 0; i < 2; i++) {
		counters_print(ports[i]);
		port_close(ports[i]);
	}
	printf("frames checked=%lu bad_length=%lu bad_csum=%lu chained=%lu mbufs_lost=%u\n",
		checked, bad_length, bad_csum, chained, rte_mempool_in_use_count(pool));
	rte_eal_cleanup();
	return 0;
}
