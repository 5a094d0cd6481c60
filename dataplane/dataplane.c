/*
 * The forwarding process's parts put together, and the main thread's turn. See dataplane.h.
 *
 * Invariant: a turn never waits but at its end; whatever the workers told is taken before sleeping
 * (main_sleeps is set first, then their rings and the trace are looked at once more).
 */
#include "dataplane/dpdk_compat.h"

#include "dataplane/dataplane.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_errno.h>
#include <rte_mbuf.h>

#include "dataplane/api/api.h"
#include "dataplane/api/telemetry.h"
#include "dataplane/capture.h"
#include "dataplane/counters.h"
#include "proto/lib/log.h"

#define MBUFS_DEFAULT   4095
#define MBUFS_ETHDEV    1536 /* descriptors of both rings and some in flight */
#define MBUF_CACHE      512  /* floods take many at once; what passes the cache comes back cold */
#define LINK_POLL_MS    100
#define EVENTS_A_TURN   256
#define TABLES_RETRY_MS 2

static void on_main_fd(struct loop_watch *watch, uint32_t events)
{
	uint64_t count;

	/* nothing but the wake-up matters */
	if (read(watch->fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		log_error("main_wake_failed", "error=%s", strerror(errno));
}

static void on_netlink(struct loop_watch *watch, uint32_t events)
{
	/* read in the turn: both descriptors are driven by one call */
}

static void on_resolve(void *ctx, uint16_t port, rte_be32_t addr)
{
	struct dataplane *dp = ctx;

	if (dp->options.probe != NULL && port < PORT_MAX && dp->ports[port] != NULL)
		dp->options.probe(dp->options.ctx, dp->ports[port], addr);
}

struct dataplane *dataplane_create(const struct dataplane_options *options)
{
	struct dataplane *dp = calloc(1, sizeof(*dp));
	struct mirror_options mirror_options = {.resolve = on_resolve};
	struct learn_options learn_options = {0};
	unsigned int mbufs;
	int ret;

	if (dp == NULL)
		return NULL;
	dp->options = *options;
	dp->loop.epoll_fd = -1;
	dp->main_watch.fd = dp->event_watch.fd = dp->dump_watch.fd = -1;
	for (unsigned int i = 0; i < PORT_MAX; i++)
		dp->port_watch[i].link.fd = -1;
	dp->started_ms = loop_now_ms();
	dp->main_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (dp->main_fd < 0) {
		ret = -errno;
		goto fail;
	}
	ret = loop_open(&dp->loop);
	if (ret < 0)
		goto fail;
	ret = loop_add(&dp->loop, &dp->main_watch, dp->main_fd, EPOLLIN, on_main_fd, dp);
	if (ret < 0)
		goto fail;
	mbufs = options->mbufs != 0 ? options->mbufs
				    : MBUFS_DEFAULT + options->ethdev_ports * MBUFS_ETHDEV;
	dp->pool = rte_pktmbuf_pool_create(
		"frames", mbufs, MBUF_CACHE, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	if (dp->pool == NULL) {
		ret = -rte_errno;
		goto fail;
	}
	ret = trace_register();
	if (ret < 0)
		goto fail;
	dp->options.tables.max_workers = WORKER_MAX;
	dp->options.tables.clock_hz = rte_get_tsc_hz();
	dp->tables = tables_create(&dp->options.tables);
	if (dp->tables == NULL) {
		ret = -errno;
		goto fail;
	}
	dp->counters = counters_create(dp);
	if (dp->counters == NULL) {
		ret = -ENOMEM;
		goto fail;
	}
	mirror_options.tables = dp->tables;
	mirror_options.ctx = dp;
	dp->mirror = mirror_create(&mirror_options);
	if (dp->mirror == NULL) {
		ret = -errno;
		goto fail;
	}
	if (options->learn_write != NULL) {
		learn_options.write = options->learn_write;
		learn_options.ctx = options->ctx;
		learn_options.age_s = options->age_s;
		learn_options.damp_moves = options->damp_moves;
		dp->learn = learn_create(dp->mirror, &learn_options);
		if (dp->learn == NULL) {
			ret = -errno;
			goto fail;
		}
	}
	return dp;
fail:
	dataplane_destroy(dp);
	errno = -ret;
	return NULL;
}

void dataplane_destroy(struct dataplane *dp)
{
	if (dp == NULL)
		return;
	for (unsigned int i = 0; i < dp->worker_count; i++)
		worker_stop(dp->workers[i]);
	if (dp->trace != NULL)
		dataplane_trace_end(dp);
	dataplane_capture_end(dp);
	api_close(dp->api);
	telemetry_close(dp);
	for (unsigned int i = 0; i < dp->worker_count; i++)
		worker_destroy(dp->workers[i]);
	loop_remove(&dp->loop, &dp->event_watch);
	loop_remove(&dp->loop, &dp->dump_watch);
	loop_remove(&dp->loop, &dp->main_watch);
	if (dp->netlink != NULL)
		mirror_sock_destroy(dp->netlink);
	if (dp->learn != NULL)
		learn_destroy(dp->learn);
	if (dp->mirror != NULL)
		mirror_destroy(dp->mirror);
	for (unsigned int i = 0; i < PORT_MAX; i++) {
		loop_remove(&dp->loop, &dp->port_watch[i].link);
		port_close(dp->ports[i]);
	}
	counters_destroy(dp->counters);
	tables_destroy(dp->tables);
	rte_mempool_free(dp->pool);
	if (dp->main_fd >= 0)
		close(dp->main_fd);
	loop_close(&dp->loop);
	free(dp);
}

void dataplane_port_link(struct dataplane *dp, struct port *port)
{
	const uint32_t old_mtu = port->mtu;
	bool changed = false;
	int ret = port_link_update(port, &changed);

	if (ret < 0)
		log_warn("port_link_unknown", "port=%s error=%s", port->spec.name, strerror(-ret));
	if (port->mtu != old_mtu && port->mtu <= UINT16_MAX) {
		port_set_mtu(&dp->tables->ports, port->id, (uint16_t)port->mtu);
		log_info("port_mtu", "port=%s mtu=%u", port->spec.name, port->mtu);
		mirror_port_changed(dp->mirror, port->id);
	}
	if (!changed)
		return;
	log_info("port_link", "port=%s up=%d", port->spec.name, port->link_up);
	ret = tables_port_link(dp->tables, port->id, port->link_up);
	if (ret < 0)
		log_error("port_link_tables", "port=%s error=%s", port->spec.name, strerror(-ret));
	mirror_port_changed(dp->mirror, port->id);
	mirror_settle(dp->mirror);
	if (dp->options.tap_set != NULL && port->spec.backend == PORT_BACKEND_ETHDEV)
		dp->options.tap_set(dp->options.ctx, port);
}

static void on_link(struct loop_watch *watch, uint32_t events)
{
	struct dataplane_port *p = watch->arg;

	dataplane_port_link(p->dp, p->port);
}

int dataplane_port_add(struct dataplane *dp, const struct port_spec *spec, int ethdev_id)
{
	const struct port_options options = {.pool = dp->pool, .ethdev_id = ethdev_id};
	struct dataplane_port *watch;
	struct rte_ether_addr mac;
	struct port *port;
	int ret = port_open(spec, &options, &port);

	if (ret < 0)
		return ret;
	memcpy(&mac, port->mac, sizeof(mac));
	ret = port_tbl_add(&dp->tables->ports, port->id,
		port->spec.role == PORT_ROLE_ACCESS ? PORT_KIND_ACCESS : PORT_KIND_UPLINK,
		port->spec.name, port->spec.tap, &mac, (uint16_t)RTE_MIN(port->mtu, UINT16_MAX));
	if (ret < 0) {
		port_close(port);
		return ret;
	}
	port_set_tap_ifindex(&dp->tables->ports, port->id, port->spec.tap_ifindex);
	dp->ports[port->id] = port;
	dp->port_count++;
	watch = &dp->port_watch[port->id];
	watch->dp = dp;
	watch->port = port;
	if (port->link_fd >= 0) {
		ret = loop_add(&dp->loop, &watch->link, port->link_fd, EPOLLIN, on_link, watch);
		if (ret < 0)
			return ret; /* dataplane_destroy() closes the port */
	} else {
		dp->link_poll_ms = loop_now_ms() + LINK_POLL_MS;
	}
	if (dp->options.tap_set != NULL && port->spec.backend == PORT_BACKEND_ETHDEV)
		dp->options.tap_set(dp->options.ctx, port);
	tables_port_link(dp->tables, port->id, port->link_up);
	mirror_port_changed(dp->mirror, port->id);
	dataplane_port_link(dp, port);
	return 0;
}

int dataplane_prepare(struct dataplane *dp)
{
	const unsigned int n = RTE_MAX(dp->options.workers, 1U);

	if (n > WORKER_MAX)
		return -EINVAL;
	/* two workers on one queue would corrupt it */
	for (unsigned int i = 0; i < PORT_MAX; i++) {
		if (dp->ports[i] != NULL && dp->ports[i]->queues < n) {
			log_error("workers_refused", "workers=%u port=%s queues=%u", n,
				dp->ports[i]->spec.name, dp->ports[i]->queues);
			return -ENOTSUP;
		}
	}
	for (unsigned int i = 0; i < n; i++) {
		const struct worker_options options = {
			.id = i,
			.lcore = i + 1,
			.tables = dp->tables,
			.ports = dp->ports,
			.pool = dp->pool,
			.rates = dp->options.punt,
			.main_fd = dp->main_fd,
			.main_sleeps = &dp->main_sleeps,
		};

		dp->workers[i] = worker_create(&options);
		if (dp->workers[i] == NULL)
			return -errno;
		dp->worker_count++;
	}
	return 0;
}

int dataplane_start(struct dataplane *dp)
{
	for (unsigned int i = 0; i < dp->worker_count; i++) {
		int ret = worker_start(dp->workers[i]);

		if (ret < 0)
			return ret;
	}
	dp->forwarding = true;
	return 0;
}

int dataplane_netlink(struct dataplane *dp, int event_fd, int dump_fd)
{
	int ret;

	dp->netlink = mirror_sock_create(dp->mirror, event_fd, dump_fd);
	if (dp->netlink == NULL) {
		ret = -errno;
		close(event_fd);
		close(dump_fd);
		return ret;
	}
	return loop_add(&dp->loop, &dp->dump_watch, mirror_sock_dump_fd(dp->netlink), EPOLLIN,
		on_netlink, dp);
}

/* Watch the event descriptor only while it is read. Returns 0 or a negative errno. */
static int events_watch(struct dataplane *dp)
{
	const bool want = mirror_sock_wants_events(dp->netlink);

	if (want == dp->event_watched)
		return 0;
	dp->event_watched = want;
	if (!want) {
		loop_remove(&dp->loop, &dp->event_watch);
		return 0;
	}
	return loop_add(&dp->loop, &dp->event_watch, mirror_sock_event_fd(dp->netlink), EPOLLIN,
		on_netlink, dp);
}

/* The nearer of two times to wait, -1 being never. */
static int sooner(int a, int b)
{
	if (a < 0)
		return b;
	if (b < 0)
		return a;
	return RTE_MIN(a, b);
}

static void probe_adj(struct dataplane *dp, uint16_t index)
{
	const struct adj *adj = adj_get(&dp->tables->adjs, index);

	if (adj != NULL && !adj->resolved)
		on_resolve(dp, adj->port, adj->addr);
}

/* Take what a worker told; false when its ring was empty. */
static bool events_take(struct dataplane *dp, struct worker *w, uint64_t now)
{
	struct worker_event events[EVENTS_A_TURN];
	struct learn_event learn[EVENTS_A_TURN];
	const unsigned int n = worker_events_take(w, events, EVENTS_A_TURN);
	unsigned int k = 0;

	for (unsigned int i = 0; i < n; i++) {
		const struct worker_event *e = &events[i];

		if (e->type == WORKER_EVENT_PROBE)
			probe_adj(dp, (uint16_t)e->key);
		else
			learn[k++] =
				(struct learn_event){.key = e->key, .saw = e->saw, .ac = e->ac};
	}
	if (k > 0 && dp->learn != NULL)
		learn_events(dp->learn, learn, k, now);
	return n > 0;
}

static bool events_waiting(const struct dataplane *dp)
{
	for (unsigned int i = 0; i < dp->worker_count; i++)
		if (!rte_ring_empty(dp->workers[i]->events))
			return true;
	return false;
}

/* A trace is complete, and whoever asked for it has not taken it yet. */
static bool trace_complete(const struct dataplane *dp)
{
	const struct trace *t = dp->trace != NULL ? &dp->trace->trace : NULL;

	return t != NULL && __atomic_load_n(&t->finished, __ATOMIC_ACQUIRE) >= t->count;
}

static void links_poll(struct dataplane *dp, int64_t now)
{
	if (dp->link_poll_ms == 0 || now < dp->link_poll_ms)
		return;
	dp->link_poll_ms = now + LINK_POLL_MS;
	for (unsigned int i = 0; i < PORT_MAX; i++)
		if (dp->ports[i] != NULL && dp->ports[i]->link_fd < 0)
			dataplane_port_link(dp, dp->ports[i]);
}

int dataplane_turn(struct dataplane *dp, int max_ms)
{
	const int64_t now = loop_now_ms();
	int wait = sooner(max_ms, -1);
	bool more = false;
	int ret;

	__atomic_store_n(&dp->main_sleeps, 0, __ATOMIC_RELAXED);
	if (dp->netlink != NULL) {
		ret = mirror_sock_run(dp->netlink, (uint64_t)now);
		if (ret < -1) {
			log_error("netlink_broken", "error=%s", strerror(-ret));
			return ret;
		}
		wait = sooner(wait, ret);
		ret = events_watch(dp);
		if (ret < 0)
			return ret;
	}
	for (unsigned int i = 0; i < dp->worker_count; i++)
		more = events_take(dp, dp->workers[i], (uint64_t)now) || more;
	links_poll(dp, now);
	if (dp->learn != NULL)
		wait = sooner(wait, learn_poll(dp->learn, (uint64_t)now));
	wait = sooner(wait, mirror_poll(dp->mirror, (uint64_t)now));
	mirror_settle(dp->mirror);
	counters_turn(dp->counters, dp);
	if (tables_poll(dp->tables))
		wait = sooner(wait, TABLES_RETRY_MS);
	wait = sooner(wait, api_turn(dp->api, now));
	if (dp->link_poll_ms != 0)
		wait = sooner(wait, (int)RTE_MAX(dp->link_poll_ms - now, 0));

	__atomic_store_n(&dp->main_sleeps, 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (more || events_waiting(dp) || trace_complete(dp))
		wait = 0;
	return loop_once(&dp->loop, wait);
}

struct trace *dataplane_trace_begin(
	struct dataplane *dp, uint16_t port, const struct rte_ether_addr *mac, uint32_t count)
{
	struct dataplane_trace *t;

	if (dp->trace != NULL || dp->trace_leaving) {
		errno = EBUSY;
		return NULL;
	}
	t = calloc(1, sizeof(*t));
	if (t == NULL)
		return NULL;
	t->trace.port = port;
	t->trace.any_mac = mac == NULL;
	if (mac != NULL)
		t->trace.mac = *mac;
	t->trace.count = RTE_MIN(count, (uint32_t)TRACE_FRAMES_MAX);
	dp->trace = t;
	for (unsigned int i = 0; i < dp->worker_count; i++)
		__atomic_store_n(&dp->workers[i]->trace, &t->trace, __ATOMIC_RELEASE);
	return &t->trace;
}

static void trace_free(struct rcu_entry *entry)
{
	struct dataplane_trace *t =
		(struct dataplane_trace *)((char *)entry - offsetof(struct dataplane_trace, rcu));

	*t->leaving = false;
	free(t);
}

void dataplane_trace_end(struct dataplane *dp)
{
	struct dataplane_trace *t = dp->trace;

	if (t == NULL)
		return;
	for (unsigned int i = 0; i < dp->worker_count; i++)
		__atomic_store_n(&dp->workers[i]->trace, NULL, __ATOMIC_RELEASE);
	dp->trace = NULL;
	dp->trace_leaving = true;
	t->leaving = &dp->trace_leaving;
	rcu_defer(&dp->tables->rcu, &t->rcu, trace_free);
}
