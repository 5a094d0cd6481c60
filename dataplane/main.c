/*
 * audums-dataplane: the forwarding process. Started by the port holder, which hands over
 * everything it works on; it opens nothing itself and needs no privilege.
 *
 * Order: receive, set up, learn the kernel's state (for a bounded time), READY, GO, forward. It
 * ends on SIGTERM or SIGINT, when the holder goes away, or when netlink breaks; the holder starts
 * it again.
 */
#include "dataplane/dpdk_compat.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <rte_eal.h>

#include "dataplane/api/api.h"
#include "dataplane/api/telemetry.h"
#include "dataplane/dataplane.h"
#include "dataplane/eal.h"
#include "dataplane/holder_link.h"
#include "dataplane/liveness.h"
#include "proto/lib/log.h"

#define HANDOVER_TIMEOUT_MS 10000
#define SYNC_TIMEOUT_MS     2000
#define SYNC_POLL_MS        2 /* a turn may end the dump and then wait */
#define GO_TIMEOUT_MS       5000
#define MEMORY_MB           64
#define MEMORY_ETHDEV_MB    32 /* more, a port */
#define EAL_ARGS_MAX        16

struct arguments {
	int handover_fd;
	const char *run_dir;
	int log_level;
	unsigned int workers;
	unsigned int mbufs;
	unsigned int memory_mb;
	unsigned int age_s;
	bool huge;
	const char *eal[EAL_ARGS_MAX + 1];
	unsigned int eal_n;
};

/* Everything of this process besides the dataplane itself. */
struct process {
	struct arguments args;
	struct holder_given given;
	struct holder_link holder;
	struct dataplane *dp;
	struct liveness liveness;
	struct loop_watch signal_watch;
	int signal_fd;
};

static const char usage[] =
	"Usage: audums-dataplane --handover-fd N [OPTION]...\n"
	"The forwarding process of an Audums node. audums-holder starts it; see audums-dataplane(8).\n"
	"\n"
	"  --handover-fd N    descriptor of the port holder's socket\n"
	"  --run DIR          run directory (for DPDK's files)\n"
	"  --log-level LEVEL  error, warn, info or debug (default info)\n"
	"  --workers N        forwarding threads; only 1 until ports have several queues\n"
	"  --mbufs N          packet buffers (default 4095, and 1536 for each DPDK device)\n"
	"  --memory MB        memory without hugepages (default 64, and 32 for each DPDK device)\n"
	"  --huge             use hugepages\n"
	"  --age SECONDS      forget a learnt MAC after this long (default 300)\n"
	"  --eal ARGUMENT     pass this to DPDK as well; may be repeated\n"
	"  -v                 as --log-level debug\n"
	"  --version, --help\n"
	"\n"
	"Example (done by the port holder):\n"
	"  audums-dataplane --handover-fd 3 --run /run/audums --log-level info\n";

/* A number within bounds, or -1 with a message. */
static long number(const char *option, const char *text, long min, long max)
{
	char *end;
	long v;

	errno = 0;
	v = strtol(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || v < min || v > max) {
		fprintf(stderr,
			"audums-dataplane: --%s: expected a number from %ld to %ld, got '%s'\n",
			option, min, max, text);
		return -1;
	}
	return v;
}

/* 0: go on; 1: done, end well; -1: wrong usage. */
static int arguments_parse(struct arguments *a, int argc, char **argv)
{
	enum { FD = 256, RUN, LEVEL, WORKERS, MBUFS, MEMORY, HUGE, AGE, EAL, VERSION, HELP };
	static const struct option options[] = {
		{"handover-fd", required_argument, NULL, FD},
		{"run", required_argument, NULL, RUN},
		{"log-level", required_argument, NULL, LEVEL},
		{"workers", required_argument, NULL, WORKERS},
		{"mbufs", required_argument, NULL, MBUFS},
		{"memory", required_argument, NULL, MEMORY},
		{"huge", no_argument, NULL, HUGE},
		{"age", required_argument, NULL, AGE},
		{"eal", required_argument, NULL, EAL},
		{"version", no_argument, NULL, VERSION},
		{"help", no_argument, NULL, HELP},
		{0},
	};
	int opt, index = 0;
	long v = 0;

	*a = (struct arguments){.handover_fd = -1, .log_level = LOG_LEVEL_INFO, .workers = 1};
	while ((opt = getopt_long(argc, argv, "vh", options, &index)) != -1) {
		switch (opt) {
		case FD:
			v = number("handover-fd", optarg, 0, 1 << 20);
			a->handover_fd = (int)v;
			break;
		case RUN:
			a->run_dir = optarg;
			break;
		case LEVEL:
			a->log_level = log_level_parse(optarg);
			if (a->log_level < 0) {
				fprintf(stderr,
					"audums-dataplane: --log-level: expected error, warn, "
					"info or debug, got '%s'\n",
					optarg);
				return -1;
			}
			break;
		case WORKERS:
			v = number("workers", optarg, 1, WORKER_MAX);
			if (v > 1) {
				fputs("audums-dataplane: --workers: only 1 is possible for now, "
				      "ports have one queue\n",
					stderr);
				return -1;
			}
			a->workers = (unsigned int)v;
			break;
		case MBUFS:
			v = number("mbufs", optarg, 1024, 1 << 24);
			a->mbufs = (unsigned int)v;
			break;
		case MEMORY:
			v = number("memory", optarg, 48, 1 << 20);
			a->memory_mb = (unsigned int)v;
			break;
		case AGE:
			v = number("age", optarg, 1, 1000000);
			a->age_s = (unsigned int)v;
			break;
		case HUGE:
			a->huge = true;
			break;
		case EAL:
			if (a->eal_n == EAL_ARGS_MAX) {
				fprintf(stderr, "audums-dataplane: at most %d times --eal\n",
					EAL_ARGS_MAX);
				return -1;
			}
			a->eal[a->eal_n++] = optarg;
			break;
		case 'v':
			a->log_level = LOG_LEVEL_DEBUG;
			break;
		case VERSION:
			puts("audums-dataplane " AUDUMS_VERSION);
			return 1;
		case 'h':
		case HELP:
			fputs(usage, stdout);
			return 1;
		default:
			fputs("Try 'audums-dataplane --help'.\n", stderr);
			return -1;
		}
		if (v < 0)
			return -1;
	}
	if (optind < argc) {
		fprintf(stderr, "audums-dataplane: unexpected argument '%s'\n", argv[optind]);
		return -1;
	}
	if (a->handover_fd < 0) {
		fputs("audums-dataplane: --handover-fd is missing; this program is started by "
		      "audums-holder\n",
			stderr);
		return -1;
	}
	return 0;
}

static void on_signal(struct loop_watch *watch, uint32_t events)
{
	struct process *p = watch->arg;
	struct signalfd_siginfo info;

	if (read(watch->fd, &info, sizeof(info)) != sizeof(info))
		return;
	log_info("signal", "number=%u", info.ssi_signo);
	p->dp->loop.stop = true;
}

/* Block the signals here (before threads are made, so for all) and read them from a descriptor. */
static int signals_setup(struct process *p)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	signal(SIGPIPE, SIG_IGN);
	p->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return p->signal_fd < 0 ? -errno : 0;
}

static int eal_setup(const struct process *p)
{
	struct eal_options o = {
		.workers = p->args.workers,
		.memory_mb = MEMORY_MB,
		.huge = p->args.huge,
		.run_dir = p->args.run_dir,
		.telemetry = 1,
		.more = p->args.eal,
	};

	for (unsigned int i = 0; i < p->given.port_count; i++) {
		const struct port_spec *spec = &p->given.ports[i];

		if (spec->backend != PORT_BACKEND_ETHDEV)
			continue;
		o.memory_mb += MEMORY_ETHDEV_MB;
		/* a PCI address begins with its domain in digits; a vdev with its driver's name */
		if (spec->device[0] >= '0' && spec->device[0] <= '9')
			o.pci = 1;
	}
	if (p->args.memory_mb != 0)
		o.memory_mb = p->args.memory_mb;
	return eal_start(&o);
}

static int learn_write_cb(void *ctx, const struct learn_write writes[], unsigned int n)
{
	struct process *p = ctx;

	return holder_link_write(&p->holder, writes, n);
}

static void probe_cb(void *ctx, const struct port *port, rte_be32_t addr)
{
	struct process *p = ctx;

	holder_link_probe(&p->holder, port->spec.tap_ifindex, addr);
}

static void tap_set_cb(void *ctx, const struct port *port)
{
	struct process *p = ctx;

	holder_link_tap_set(
		&p->holder, port->spec.tap_ifindex, port->mtu, port->mac, port->link_up);
}

static bool alive_cb(void *ctx)
{
	struct process *p = ctx;

	return liveness_check(&p->liveness, p->dp);
}

/* Everything up to the point where only READY and GO are missing. */
static int process_setup(struct process *p)
{
	struct dataplane_options options = {
		.workers = p->args.workers,
		.mbufs = p->args.mbufs,
		.learn_write = learn_write_cb,
		.probe = probe_cb,
		.tap_set = tap_set_cb,
		.ctx = p,
		.age_s = p->args.age_s,
	};
	struct holder_given *given = &p->given;
	struct handover_netlink netlink;
	int ret;

	for (unsigned int i = 0; i < given->port_count; i++)
		options.ethdev_ports += given->ports[i].backend == PORT_BACKEND_ETHDEV;
	p->dp = dataplane_create(&options);
	if (p->dp == NULL) {
		ret = -errno;
		log_error("setup_failed", "what=tables error=\"%s\"", strerror(-ret));
		return ret;
	}
	ret = loop_add(&p->dp->loop, &p->signal_watch, p->signal_fd, EPOLLIN, on_signal, p);
	if (ret == 0)
		ret = holder_link_start(&p->holder, &p->dp->loop, p->args.handover_fd);
	if (ret < 0)
		return ret;
	p->holder.learn = p->dp->learn;
	p->holder.alive = alive_cb;
	p->holder.ctx = p;
	for (unsigned int i = 0; i < given->port_count; i++) {
		struct port_spec *spec = &given->ports[i];

		ret = dataplane_port_add(p->dp, spec, -1);
		spec->tap_fd = spec->packet_fd = spec->link_fd = -1;
		/* one bad port does not take the others down */
		if (ret < 0)
			log_error(
				"port_failed", "port=%s error=\"%s\"", spec->name, strerror(-ret));
		else
			log_info("port_opened", "port=%s role=%s backend=%s", spec->name,
				port_role_name(spec->role), port_backend_name(spec->backend));
	}
	if (p->dp->port_count == 0) {
		log_error("setup_failed", "what=ports error=\"not one could be opened\"");
		return -ENODEV;
	}
	ret = dataplane_prepare(p->dp);
	if (ret < 0) {
		log_error("setup_failed", "what=workers error=\"%s\"", strerror(-ret));
		return ret;
	}
	netlink = given->netlink;
	given->netlink.event_fd = given->netlink.dump_fd = -1;
	ret = dataplane_netlink(p->dp, netlink.event_fd, netlink.dump_fd);
	if (ret < 0) {
		log_error("setup_failed", "what=netlink error=\"%s\"", strerror(-ret));
		return ret;
	}
	if (given->api_fd >= 0) {
		p->dp->api = api_open(p->dp, given->api_fd);
		given->api_fd = -1;
		if (p->dp->api == NULL)
			log_error("api_failed", "error=\"%s\"", strerror(errno));
	}
	ret = telemetry_open(p->dp);
	if (ret < 0)
		log_warn("telemetry_failed", "error=\"%s\"", strerror(-ret));
	return 0;
}

static bool process_ends(const struct process *p)
{
	return p->dp->loop.stop || p->holder.gone;
}

static bool synced(const struct process *p)
{
	struct mirror_sock_stats stats;

	mirror_sock_stats_get(p->dp->netlink, &stats);
	return stats.synced;
}

/* Learn the kernel's state, have the ports handed over, forward until the end. */
static int process_run(struct process *p)
{
	const int64_t start = loop_now_ms();
	int64_t deadline = start + SYNC_TIMEOUT_MS;
	int ret = 0;

	while (!synced(p) && loop_now_ms() < deadline) {
		ret = dataplane_turn(p->dp, SYNC_POLL_MS);
		if (ret < 0 || process_ends(p))
			return ret;
	}
	if (!synced(p))
		log_warn("not_synced", "waited_ms=%d", SYNC_TIMEOUT_MS);
	ret = holder_link_ready(&p->holder);
	if (ret < 0) {
		log_error("handover_failed", "error=\"%s\"", strerror(-ret));
		return ret;
	}
	deadline = loop_now_ms() + GO_TIMEOUT_MS;
	while (!p->holder.go) {
		ret = dataplane_turn(p->dp, 100);
		if (ret < 0 || process_ends(p))
			return ret;
		if (loop_now_ms() > deadline) {
			log_error("handover_failed", "error=\"no GO from the holder\"");
			return -ETIMEDOUT;
		}
	}
	ret = dataplane_start(p->dp);
	if (ret < 0) {
		log_error("setup_failed", "what=workers error=\"%s\"", strerror(-ret));
		return ret;
	}
	log_info("forwarding", "ports=%u workers=%u setup_ms=%d", p->dp->port_count,
		p->dp->worker_count, (int)(loop_now_ms() - start));
	while (ret == 0 && !process_ends(p))
		ret = dataplane_turn(p->dp, -1);
	return ret;
}

int main(int argc, char **argv)
{
	static struct process process;
	struct process *p = &process;
	int ret = arguments_parse(&p->args, argc, argv);
	int ret_eal;

	if (ret != 0)
		return ret < 0 ? 1 : 0;
	log_setup((enum log_level)p->args.log_level, STDERR_FILENO);
	prctl(PR_SET_TIMERSLACK, 1000UL);
	p->signal_fd = -1;
	p->holder.fd = p->signal_watch.fd = -1;
	ret = signals_setup(p);
	if (ret == 0)
		ret = holder_receive(p->args.handover_fd, HANDOVER_TIMEOUT_MS, &p->given);
	if (ret < 0)
		return 1;
	ret_eal = ret = eal_setup(p);
	if (ret < 0)
		log_error("eal_failed", "error=\"%s\"", strerror(-ret));
	else
		ret = process_setup(p);
	if (ret == 0)
		ret = process_run(p);
	if (p->dp != NULL) {
		loop_remove(&p->dp->loop, &p->signal_watch);
		if (p->holder.loop != NULL)
			holder_link_stop(&p->holder);
	}
	dataplane_destroy(p->dp);
	holder_given_close(&p->given);
	if (ret_eal == 0)
		rte_eal_cleanup();
	log_info("ended", "status=%d", ret < 0 ? 1 : 0);
	return ret < 0 ? 1 : 0;
}
