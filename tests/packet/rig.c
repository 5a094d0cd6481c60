/* The rig; see rig.h. */
#include "dataplane/dpdk_compat.h"

#include "tests/packet/rig.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <rte_eal.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_ring.h>

#include "dataplane/eal.h"
#include "proto/lib/log.h"

#define RING_SIZE 4096
#define ROUNDS    64

/* What lives as long as the process: ports and rings cannot be made twice under one name. */
static struct rig_world {
	struct rte_ring *rx[RIG_PORTS], *tx[RIG_PORTS];
	int ethdev[RIG_PORTS];
	char dir[64];
} world;

static const char *const port_names[RIG_PORTS] = {"up0", "up1", "p1", "p2", "p3"};

const uint8_t *rig_mac(unsigned int port)
{
	static const uint8_t macs[RIG_PORTS][6] = {
		{0x02, 0xaa, 0, 0, 0, 1},
		{0x02, 0xaa, 0, 0, 0, 2},
		{0x02, 0xaa, 0, 0, 1, 1},
		{0x02, 0xaa, 0, 0, 1, 2},
		{0x02, 0xaa, 0, 0, 1, 3},
	};

	return macs[port];
}

static int world_open(bool telemetry)
{
	const char *const more[] = {"--log-level=*:error", NULL};
	struct eal_options options = {
		.workers = 1,
		.memory_mb = 128,
		.run_dir = world.dir,
		.telemetry = telemetry,
		.more = more,
	};
	char name[32];

	snprintf(world.dir, sizeof(world.dir), "/tmp/audums-packet-XXXXXX");
	if (mkdtemp(world.dir) == NULL)
		return -1;
	log_setup(LOG_LEVEL_WARN, 2);
	if (eal_start(&options) < 0)
		return -1;
	for (unsigned int i = 0; i < RIG_PORTS; i++) {
		snprintf(name, sizeof(name), "rx-%s", port_names[i]);
		world.rx[i] = rte_ring_create(name, RING_SIZE, SOCKET_ID_ANY, 0);
		snprintf(name, sizeof(name), "tx-%s", port_names[i]);
		world.tx[i] = rte_ring_create(name, RING_SIZE, SOCKET_ID_ANY, 0);
		if (world.rx[i] == NULL || world.tx[i] == NULL)
			return -1;
		world.ethdev[i] =
			rte_eth_from_rings(port_names[i], &world.rx[i], 1, &world.tx[i], 1, 0);
		if (world.ethdev[i] < 0)
			return -1;
	}
	return 0;
}

int rig_group_setup(void **state)
{
	return world_open(false);
}

int rig_group_setup_telemetry(void **state)
{
	return world_open(true);
}

const char *rig_dir(void)
{
	return world.dir;
}

int rig_group_teardown(void **state)
{
	char path[128];

	rte_eal_cleanup();
	snprintf(path, sizeof(path), "%s/dpdk/rte/dpdk_telemetry.v2", world.dir);
	unlink(path);
	snprintf(path, sizeof(path), "%s/dpdk/rte", world.dir);
	rmdir(path);
	snprintf(path, sizeof(path), "%s/dpdk", world.dir);
	rmdir(path);
	rmdir(world.dir);
	return 0;
}

static int on_write(void *ctx, const struct learn_write writes[], unsigned int n)
{
	struct rig *rig = ctx;

	for (unsigned int i = 0; i < n; i++)
		if (rig->write_n < RIG_WRITES)
			rig->writes[rig->write_n++] = writes[i];
	return (int)n;
}

static void on_probe(void *ctx, const struct port *port, rte_be32_t addr)
{
	struct rig *rig = ctx;

	rig->probe_n++;
	rig->probe_port = port->id;
	rig->probe_addr = addr;
}

static int port_add(struct rig *rig, unsigned int i)
{
	struct port_spec spec = {
		.id = (uint16_t)i,
		.role = i == UP0 || i == UP1 ? PORT_ROLE_UPLINK : PORT_ROLE_ACCESS,
		.backend = PORT_BACKEND_ETHDEV,
		.tap_ifindex = 100 + i,
		.mtu = i == UP0 || i == UP1 ? 1600 : 1500,
		.tap_fd = -1,
		.packet_fd = -1,
		.link_fd = -1,
	};
	int pair[2], ret;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	rig->tap[i] = pair[0];
	snprintf(spec.name, sizeof(spec.name), "%s", port_names[i]);
	snprintf(spec.tap, sizeof(spec.tap), "%s", port_names[i]);
	snprintf(spec.device, sizeof(spec.device), "ring,%s", port_names[i]);
	memcpy(spec.mac, rig_mac(i), sizeof(spec.mac));
	ret = dataplane_port_add(rig->dp, &spec, world.ethdev[i]);
	if (ret < 0)
		return ret;
	/* a port takes nothing but a real TAP from a spec */
	ret = tap_init(&rig->dp->ports[i]->tap, pair[1]);
	if (ret < 0)
		return ret;
	/* net_ring has no address of its own and takes none */
	memcpy(rig->dp->ports[i]->mac, rig_mac(i), 6);
	memcpy(&rig->dp->tables->ports.ports[i].mac, rig_mac(i), 6);
	return 0;
}

struct rig *rig_open(const struct rig_options *options)
{
	static const struct policer_rates generous = {
		.pps = {[0 ... PUNT_CLASSES - 1] = 1000000},
		.burst = {[0 ... PUNT_CLASSES - 1] = 100000},
	};
	static const struct storm_pps unlimited = {
		.pps = {STORM_PPS_MAX, STORM_PPS_MAX, STORM_PPS_MAX},
	};
	struct rig *rig = calloc(1, sizeof(*rig));
	struct dataplane_options o = {
		.mbufs = options != NULL && options->mbufs != 0 ? options->mbufs : 2047,
		.punt = options != NULL && options->punt != NULL ? options->punt : &generous,
		.learn_write = options != NULL && options->no_learn ? NULL : on_write,
		.probe = on_probe,
		.damp_moves = UINT32_MAX, /* tests move MACs as they like */
		.ctx = rig,
	};

	assert_non_null(rig);
	if (options != NULL)
		o.tables.max_macs = options->max_macs;
	rig->dp = dataplane_create(&o);
	assert_non_null(rig->dp);
	if (options == NULL || !options->storm)
		storm_set_default(&rig->dp->tables->limits.storm, &unlimited, &unlimited);
	for (unsigned int i = 0; i < RIG_PORTS; i++) {
		rig->rx[i] = world.rx[i];
		rig->tx[i] = world.tx[i];
		rte_eth_dev_set_link_up((uint16_t)world.ethdev[i]);
		assert_return_code(port_add(rig, i), 0);
	}
	assert_return_code(dataplane_prepare(rig->dp), 0);
	rig->worker = rig->dp->workers[0];
	rig->pool = rte_pktmbuf_pool_create(
		"test", 8191, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	assert_non_null(rig->pool);
	assert_int_equal(rcu_worker_register(&rig->dp->tables->rcu, 0), 0);
	rcu_worker_online(&rig->dp->tables->rcu, 0);
	return rig;
}

void rig_hand_over(struct rig *rig)
{
	rcu_worker_offline(&rig->dp->tables->rcu, 0);
	rcu_worker_unregister(&rig->dp->tables->rcu, 0);
	rig->handed_over = true;
}

void rig_close(struct rig *rig)
{
	void *m;

	for (unsigned int i = 0; i < RIG_PORTS; i++) {
		while (rte_ring_dequeue(rig->rx[i], &m) == 0)
			rte_pktmbuf_free(m);
		while (rte_ring_dequeue(rig->tx[i], &m) == 0)
			rte_pktmbuf_free(m);
	}
	assert_int_equal(rig_mbufs(rig), 0);
	if (!rig->handed_over)
		rig_hand_over(rig);
	dataplane_destroy(rig->dp);
	rte_mempool_free(rig->pool);
	for (unsigned int i = 0; i < RIG_PORTS; i++)
		close(rig->tap[i]);
	free(rig);
}

void rig_send(struct rig *rig, unsigned int port, const struct frame_bytes *frame)
{
	rig_send_chain(rig, port, frame, FRAME_SIZE);
}

void rig_send_chain(struct rig *rig, unsigned int port, const struct frame_bytes *frame, size_t seg)
{
	struct rte_mbuf *head = NULL;
	size_t at = 0;

	do {
		struct rte_mbuf *m = rte_pktmbuf_alloc(rig->pool);
		size_t n = frame->len - at;
		char *to;

		assert_non_null(m);
		n = RTE_MIN(n, seg);
		n = RTE_MIN(n, (size_t)rte_pktmbuf_tailroom(m));
		to = rte_pktmbuf_append(m, (uint16_t)n);
		memcpy(to, frame->data + at, n);
		at += n;
		if (head == NULL)
			head = m;
		else
			assert_int_equal(rte_pktmbuf_chain(head, m), 0);
	} while (at < frame->len);
	assert_int_equal(rte_ring_enqueue(rig->rx[port], head), 0);
}

void rig_tap_send(struct rig *rig, unsigned int port, const struct frame_bytes *frame)
{
	assert_int_equal(send(rig->tap[port], frame->data, frame->len, 0), frame->len);
}

void rig_run(struct rig *rig)
{
	unsigned int i = 0;

	while (worker_round(rig->worker) > 0)
		assert_true(++i < ROUNDS);
	assert_return_code(dataplane_turn(rig->dp, 0), 0);
}

void rig_link(struct rig *rig, unsigned int port, bool up)
{
	const uint16_t id = (uint16_t)world.ethdev[port];

	assert_return_code(up ? rte_eth_dev_set_link_up(id) : rte_eth_dev_set_link_down(id), 0);
	dataplane_port_link(rig->dp, rig->dp->ports[port]);
}

bool rig_recv(struct rig *rig, unsigned int port, struct frame_bytes *frame)
{
	struct rte_mbuf *m;

	if (rte_ring_dequeue(rig->tx[port], (void **)&m) < 0)
		return false;
	frame_reset(frame);
	for (const struct rte_mbuf *s = m; s != NULL; s = s->next)
		frame_put(frame, rte_pktmbuf_mtod(s, const void *), s->data_len);
	assert_int_equal(frame->len, m->pkt_len);
	assert_false(trace_marked(m));
	rte_pktmbuf_free(m);
	return true;
}

bool rig_tap_recv(struct rig *rig, unsigned int port, struct frame_bytes *frame)
{
	const ssize_t n = recv(rig->tap[port], frame->data, FRAME_SIZE, MSG_DONTWAIT);

	if (n < 0)
		return false;
	frame->len = (size_t)n;
	return true;
}

void rig_drain(struct rig *rig)
{
	struct frame_bytes got;

	for (unsigned int i = 0; i < RIG_PORTS; i++)
		while (rig_recv(rig, i, &got) || rig_tap_recv(rig, i, &got))
			;
}

void rig_assert_silent(struct rig *rig, const char *file, int line)
{
	struct frame_bytes f;
	bool heard = false;

	for (unsigned int i = 0; i < RIG_PORTS; i++) {
		while (rig_recv(rig, i, &f)) {
			fprintf(stderr, "%zu octets left by %s\n", f.len, port_names[i]);
			heard = true;
		}
		while (rig_tap_recv(rig, i, &f)) {
			fprintf(stderr, "%zu octets to the kernel by %s\n", f.len, port_names[i]);
			heard = true;
		}
	}
	if (heard)
		_fail(file, line);
}

uint64_t rig_drops(const struct rig *rig, enum drop_reason reason)
{
	return stat_read(&rig->worker->drops[reason]);
}

uint64_t rig_drops_all(const struct rig *rig)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < DROP_COUNT; i++)
		sum += rig_drops(rig, i);
	return sum;
}

unsigned int rig_mbufs(const struct rig *rig)
{
	return rte_mempool_in_use_count(rig->dp->pool) + rte_mempool_in_use_count(rig->pool);
}
