/* A worker's life: made, launched, walking, asleep, stopped. See worker.h. */
#include "dataplane/dpdk_compat.h"

#include "dataplane/worker.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_errno.h>
#include <rte_graph.h>
#include <rte_graph_worker.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_ring_elem.h>

#include "dataplane/nodes/node.h"
#include "proto/lib/log.h"

#define LEARN_PAUSE_MS 100 /* until the same MAC at the same port is told again */
#define PROBE_PAUSE_MS 200 /* until the same neighbour is asked for again */
#define BUSY_POLL_US   50  /* descriptors are looked at this often while frames come */
#define ERRORS_TO_PARK 16  /* wake-ups by an error alone before a descriptor is left out */
#define PARK_MS        100 /* for so long */
#define NSEC_PER_MSEC  1000000L

static const char *const node_names[] = {
	"port_rx",
	"tap_rx",
	"access_input",
	"flood",
	"vxlan_encap",
	"underlay_input",
	"vxlan_decap",
	"ip4_forward",
	"too_big",
	"punt",
	"port_tx",
	"drop",
};

static int graph_open(struct worker *w)
{
	struct rte_graph_param param = {
		.socket_id = SOCKET_ID_ANY,
		.nb_node_patterns = RTE_DIM(node_names),
		.node_patterns = (const char **)(uintptr_t)node_names,
	};
	struct rte_node *node;
	rte_graph_off_t off;
	rte_node_t count;
	char name[32];

	snprintf(name, sizeof(name), "worker%u", w->id);
	w->graph_id = rte_graph_create(name, &param);
	if (w->graph_id == RTE_GRAPH_ID_INVALID)
		return rte_errno != 0 ? -rte_errno : -EINVAL;
	w->graph = rte_graph_lookup(name);
	rte_graph_foreach_node(count, off, w->graph, node) memcpy(node->ctx, &w, sizeof(w));
	return 0;
}

struct worker *worker_create(const struct worker_options *o)
{
	struct worker *w =
		aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_ALIGN_CEIL(sizeof(*w), RTE_CACHE_LINE_SIZE));
	const uint64_t hz = rte_get_tsc_hz();
	char name[32];
	int ret = -ENOMEM;

	if (w == NULL)
		return NULL;
	memset(w, 0, sizeof(*w));
	w->id = o->id;
	w->lcore = o->lcore;
	w->tables = o->tables;
	w->ports = o->ports;
	w->pool = o->pool;
	w->main_fd = o->main_fd;
	w->main_sleeps = o->main_sleeps;
	w->rates = o->rates != NULL ? *o->rates : policer_default;
	control_times_init(&w->control, hz, WORKER_TICK_SHIFT);
	w->graph_id = RTE_GRAPH_ID_INVALID;
	w->tick_learn = (uint32_t)((hz / 1000 * LEARN_PAUSE_MS) >> WORKER_TICK_SHIFT);
	w->tick_probe = (uint32_t)((hz / 1000 * PROBE_PAUSE_MS) >> WORKER_TICK_SHIFT);
	w->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (w->wake_fd < 0) {
		ret = -errno;
		goto out;
	}
	w->segments = calloc((size_t)o->tables->bds->max + 1, sizeof(*w->segments));
	w->vteps = calloc((size_t)o->tables->vteps.max + 1, sizeof(*w->vteps));
	w->probed = calloc((size_t)o->tables->adjs.max + 1, sizeof(*w->probed));
	w->answers = calloc((size_t)o->tables->bds->max + 1, sizeof(*w->answers));
	w->punts = calloc(PORT_MAX, sizeof(*w->punts));
	w->storms = calloc(PORT_MAX, sizeof(*w->storms));
	w->macs = calloc(PORT_MAX, sizeof(*w->macs));
	w->filter = calloc(WORKER_FILTER_SLOTS, sizeof(*w->filter));
	w->out = calloc(PORT_MAX, sizeof(*w->out));
	w->policers = calloc(PORT_MAX, sizeof(*w->policers));
	w->fds = calloc(1 + 2 * PORT_MAX, sizeof(*w->fds));
	w->fd_info = calloc(1 + 2 * PORT_MAX, sizeof(*w->fd_info));
	if (w->segments == NULL || w->vteps == NULL || w->probed == NULL || w->answers == NULL ||
		w->punts == NULL || w->storms == NULL || w->macs == NULL || w->filter == NULL ||
		w->out == NULL || w->policers == NULL || w->fds == NULL || w->fd_info == NULL)
		goto out;
	for (unsigned int i = 0; i < PORT_MAX; i++) {
		ret = policer_init(&w->policers[i], &w->rates);
		if (ret < 0)
			goto out;
	}
	snprintf(name, sizeof(name), "events%u", w->id);
	w->events = rte_ring_create_elem(name, sizeof(struct worker_event), WORKER_EVENTS,
		SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
	if (w->events == NULL) {
		ret = -rte_errno;
		goto out;
	}
	ret = graph_open(w);
	if (ret < 0)
		goto out;
	ret = worker_ports_changed(w);
out:
	if (ret < 0) {
		worker_destroy(w);
		errno = -ret;
		return NULL;
	}
	return w;
}

void worker_destroy(struct worker *w)
{
	if (w == NULL)
		return;
	worker_stop(w);
	if (w->graph_id != RTE_GRAPH_ID_INVALID)
		rte_graph_destroy(w->graph_id);
	rte_ring_free(w->events);
	if (w->wake_fd >= 0)
		close(w->wake_fd);
	free(w->segments);
	free(w->vteps);
	free(w->probed);
	free(w->answers);
	free(w->punts);
	free(w->storms);
	free(w->macs);
	free(w->filter);
	free(w->out);
	free(w->policers);
	free(w->fds);
	free(w->fd_info);
	free(w);
}

static void fd_add(struct worker *w, int fd, uint16_t port, bool tap)
{
	w->fds[w->fd_n] = (struct pollfd){.fd = fd, .events = POLLIN};
	w->fd_info[w->fd_n] = (struct worker_fd){.fd = fd, .port = port, .tap = tap};
	w->fd_n++;
}

int worker_ports_changed(struct worker *w)
{
	w->fd_n = 0;
	w->fd_parked = 0;
	w->can_sleep = true;
	w->must_arm = false;
	w->must_reread = false;
	memset(w->ready, 0, sizeof(w->ready));
	memset(w->tap_ready, 0, sizeof(w->tap_ready));
	memset(w->polled, 0, sizeof(w->polled));
	fd_add(w, w->wake_fd, PORT_NONE, false);
	for (uint16_t i = 0; i < PORT_MAX; i++) {
		const struct port *port = w->ports[i];
		uint8_t mac[8] = {0};

		w->macs[i] = 0;
		if (port == NULL)
			continue;
		memcpy(mac, port->mac, sizeof(port->mac));
		w->macs[i] = node_mac(mac);
		if (port->rx_fd >= 0) {
			fd_add(w, port->rx_fd, i, false);
			w->ready[i / 64] |= 1ULL << i % 64;
			w->must_arm = w->must_arm || port->ops->sleep_arm != NULL;
			w->must_reread = w->must_reread || port->ops->sleep_disarm != NULL;
		} else {
			w->polled[i / 64] |= 1ULL << i % 64;
			w->can_sleep = false;
		}
		if (port->tap.fd >= 0) {
			fd_add(w, port->tap.fd, i, true);
			w->tap_ready[i / 64] |= 1ULL << i % 64;
		}
	}
	return 0;
}

/* Wake the main thread if it may be asleep; the fence pairs with its look at the rings. */
static void main_wake(struct worker *w)
{
	const uint64_t one = 1;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (w->main_fd < 0 || w->main_sleeps == NULL ||
		__atomic_load_n(w->main_sleeps, __ATOMIC_RELAXED) == 0)
		return;
	if (write(w->main_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		stat_add(&w->events_overflow, 1);
}

void worker_walk(struct worker *w)
{
	const uint64_t start = rte_rdtsc();
	struct trace *trace;

	w->work = 0;
	w->now = tables_now();
	w->tick = (uint32_t)(start >> WORKER_TICK_SHIFT);
	rte_graph_walk(w->graph);
	stat_add(&w->walks, 1);
	if (w->work > 0) {
		const uint64_t cycles = rte_rdtsc() - start;

		stat_add(&w->packets, w->work);
		stat_add(&w->busy_walks, 1);
		stat_add(&w->busy_cycles, cycles);
		latency_add(&w->latency, cycles);
	}
	if (unlikely(w->traced)) {
		w->traced = false;
		trace = node_trace(w);
		if (trace != NULL && trace_finish(trace, (uint16_t)w->id) > 0)
			w->told++;
	}
	rcu_worker_quiescent(&w->tables->rcu, w->id);
	if (unlikely(w->told > 0)) {
		w->told = 0;
		main_wake(w);
	}
}

/* An error that comes without frames again and again would keep us awake: leave it out a while. */
static void fd_error(struct worker *w, unsigned int i)
{
	if (w->fd_info[i].errors < ERRORS_TO_PARK) {
		w->fd_info[i].errors++;
		return;
	}
	w->fds[i].fd = -1;
	w->fd_parked++;
	w->park_until = rte_rdtsc() + rte_get_tsc_hz() / 1000 * PARK_MS;
}

static void fds_unpark(struct worker *w)
{
	for (unsigned int i = 0; i < w->fd_n; i++) {
		w->fds[i].fd = w->fd_info[i].fd;
		w->fd_info[i].errors = 0;
	}
	w->fd_parked = 0;
}

/* Look at (or, with timeout NULL, wait for) descriptors and note who is ready. */
static void fds_poll(struct worker *w, const struct timespec *timeout)
{
	uint64_t count;
	int n;

	if (unlikely(w->fd_parked > 0) && rte_rdtsc() >= w->park_until)
		fds_unpark(w);
	n = ppoll(w->fds, w->fd_n, timeout, NULL);
	for (unsigned int i = 0; n > 0 && i < w->fd_n; i++) {
		const struct worker_fd *info = &w->fd_info[i];
		const short events = w->fds[i].revents;

		if (events == 0)
			continue;
		n--;
		if (i == 0) {
			if (read(w->wake_fd, &count, sizeof(count)) < 0)
				continue;
			continue;
		}
		if (unlikely(!(events & POLLIN)))
			fd_error(w, i);
		else
			w->fd_info[i].errors = 0;
		/* reading also clears a pending error */
		if (info->tap)
			w->tap_ready[info->port / 64] |= 1ULL << info->port % 64;
		else
			w->ready[info->port / 64] |= 1ULL << info->port % 64;
	}
}

uint32_t worker_round(struct worker *w)
{
	static const struct timespec now = {0, 0};

	fds_poll(w, &now);
	worker_walk(w);
	return w->work;
}

/* Have the ports whose driver must be asked wake us by their descriptor. Returns false when one
 * cannot now, as it has frames. Those whose arming tells of later frames only (which is then
 * undone) are to be read once more in any case; a socket's descriptor tells of earlier ones too. */
static bool ports_arm(struct worker *w)
{
	bool ok = true;

	for (unsigned int i = 1; i < w->fd_n; i++) {
		const uint16_t port = w->fd_info[i].port;

		if (w->fd_info[i].tap || w->ports[port]->ops->sleep_arm == NULL)
			continue;
		if (port_sleep_arm(w->ports[port], 0) < 0)
			ok = false;
		else if (w->ports[port]->ops->sleep_disarm == NULL)
			continue;
		w->ready[port / 64] |= 1ULL << port % 64;
	}
	return ok;
}

static void ports_disarm(struct worker *w)
{
	for (unsigned int i = 1; i < w->fd_n; i++)
		if (!w->fd_info[i].tap)
			port_sleep_disarm(w->ports[w->fd_info[i].port], 0);
}

/* Nothing came: look once more where that is needed, then sleep until something comes. */
static void worker_sleep(struct worker *w)
{
	static const struct timespec park = {0, PARK_MS * NSEC_PER_MSEC};
	bool quiet = true;

	if (w->must_arm) {
		quiet = ports_arm(w);
		if (!quiet || w->must_reread) {
			worker_walk(w);
			quiet = quiet && w->work == 0;
		}
	}
	if (quiet) {
		stat_add(&w->sleeps, 1);
		rcu_worker_offline(&w->tables->rcu, w->id);
		fds_poll(w, w->fd_parked > 0 ? &park : NULL);
		rcu_worker_online(&w->tables->rcu, w->id);
	}
	if (w->must_arm)
		ports_disarm(w);
}

/* Is anything left that a walk would read without looking at descriptors first? */
static bool worker_is_ready(const struct worker *w)
{
	uint64_t bits = 0;

	for (unsigned int i = 0; i < WORKER_READY_WORDS; i++)
		bits |= w->ready[i] | w->tap_ready[i];
	return bits != 0;
}

static int worker_main(void *arg)
{
	static const struct timespec now = {0, 0};
	struct worker *w = arg;
	const uint64_t busy = rte_get_tsc_hz() / 1000000 * BUSY_POLL_US;

	rcu_worker_online(&w->tables->rcu, w->id);
	while (!__atomic_load_n(&w->stop, __ATOMIC_ACQUIRE)) {
		worker_walk(w);
		/* what came meanwhile ends the sleep at once: no need to look before */
		if (w->can_sleep && (w->must_reread ? w->work == 0 : !worker_is_ready(w))) {
			worker_sleep(w);
		} else if (rte_rdtsc() >= w->poll_next) {
			fds_poll(w, &now);
			w->poll_next = rte_rdtsc() + busy;
		}
	}
	rcu_worker_offline(&w->tables->rcu, w->id);
	return 0;
}

int worker_start(struct worker *w)
{
	int ret = rcu_worker_register(&w->tables->rcu, w->id);

	if (ret < 0)
		return ret;
	w->stop = 0;
	ret = rte_eal_remote_launch(worker_main, w, w->lcore);
	if (ret < 0) {
		rcu_worker_unregister(&w->tables->rcu, w->id);
		return ret;
	}
	w->running = true;
	return 0;
}

void worker_wake(struct worker *w)
{
	const uint64_t one = 1;

	if (write(w->wake_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		log_error("worker_wake_failed", "worker=%u error=%s", w->id, strerror(errno));
}

void worker_stop(struct worker *w)
{
	if (!w->running)
		return;
	__atomic_store_n(&w->stop, 1, __ATOMIC_RELEASE);
	worker_wake(w);
	rte_eal_wait_lcore(w->lcore);
	rcu_worker_unregister(&w->tables->rcu, w->id);
	w->running = false;
}

static void event_put(struct worker *w, struct worker_event *event)
{
	if (rte_ring_sp_enqueue_elem(w->events, event, sizeof(*event)) < 0) {
		stat_add(&w->events_overflow, 1);
		return;
	}
	w->told++;
}

void node_tell_learn(struct worker *w, uint64_t key, uint32_t saw, uint16_t ac)
{
	const uint64_t mix = key * 0x9e3779b97f4a7c15ULL;
	struct worker_filter *slot = &w->filter[mix >> 52];
	struct worker_event event = {
		.key = key,
		.type = WORKER_EVENT_LEARN,
		.ac = ac,
		.saw = saw,
	};

	static_assert(WORKER_FILTER_SLOTS == 1 << 12, "the shift above takes 12 bits");
	if (slot->key == key && slot->ac == ac && slot->saw == saw &&
		w->tick - slot->when < w->tick_learn)
		return;
	*slot = (struct worker_filter){.key = key, .when = w->tick, .saw = saw, .ac = ac};
	stat_add(&w->events_told, 1);
	event_put(w, &event);
}

void node_tell_probe(struct worker *w, uint16_t adj)
{
	struct worker_event event = {
		.key = adj,
		.type = WORKER_EVENT_PROBE,
		.ac = AC_NONE,
	};

	/* 0 = never yet */
	if (w->probed[adj] != 0 && w->tick - w->probed[adj] < w->tick_probe)
		return;
	w->probed[adj] = w->tick != 0 ? w->tick : UINT32_MAX;
	event_put(w, &event);
}

unsigned int worker_events_take(struct worker *w, struct worker_event *events, unsigned int n)
{
	return rte_ring_sc_dequeue_burst_elem(w->events, events, sizeof(*events), n, NULL);
}
