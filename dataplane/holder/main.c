/*
 * audums-holder: options, signals, the loop. See README.md and holder.h.
 */
#include "dataplane/holder/holder.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char usage[] =
	"usage: audums-holder [options]\n"
	"\n"
	"Opens the ports of this node, makes their TAPs, starts the forwarding process without\n"
	"privileges and keeps both alive. Run it as root in the site's network namespace.\n"
	"\n"
	"  -i, --inventory FILE   the node's ports (default /etc/audums/ports.conf)\n"
	"  -r, --run DIR          run directory, for dataplane.sock (default /run/audums)\n"
	"  -d, --dataplane PATH   the forwarding program (default: the audums-dataplane of this one)\n"
	"  -u, --user NAME        its user (default audums, or nobody when that does not exist)\n"
	"  -k, --keep             leave the TAPs, with addresses and routes, when ending\n"
	"  -l, --log-level LEVEL  error, warn, info or debug (default info)\n"
	"  -h, --help             this text\n"
	"  -V, --version          the version\n"
	"\n"
	"The inventory has a line a port:\n"
	"  port up0 role=uplink backend=packet netns=/run/netns/wire device=eth1\n"
	"  port p1  role=access backend=packet netns=/run/netns/wire device=eth2\n"
	"  port up1 role=uplink backend=ethdev pci=0000:03:00.0\n"
	"\n"
	"Signals: TERM, INT end it. HUP is refused with a line in the log: a changed inventory\n"
	"needs a restart (with --keep, addresses and routes stay).\n"
	"\n"
	"Example:\n"
	"  ip netns exec site1 audums-holder --inventory ports.conf --run /run/audums/site1\n";

int64_t holder_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int holder_watch(struct holder *h, int fd, enum holder_source source, uint32_t index)
{
	struct epoll_event event = {
		.events = EPOLLIN,
		.data.u64 = (uint64_t)source << 32 | index,
	};

	return epoll_ctl(h->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

void holder_unwatch(struct holder *h, int fd)
{
	(void)epoll_ctl(h->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

static int inventory_load(struct holder *h)
{
	const char *path = h->options.inventory;
	FILE *file = fopen(path, "re");
	char *text = malloc(INVENTORY_SIZE_MAX + 1);
	size_t size;
	int rc = -ENOMEM;

	if (file == NULL) {
		rc = -errno;
		log_error("inventory", "file=%s error=\"%s\"", path, strerror(-rc));
		goto out;
	}
	if (text == NULL)
		goto out;
	size = fread(text, 1, INVENTORY_SIZE_MAX + 1, file);
	if (ferror(file)) {
		rc = -EIO;
		log_error("inventory", "file=%s error=\"cannot be read\"", path);
		goto out;
	}
	rc = inventory_parse(path, text, size, &h->inventory, stderr);
out:
	free(text);
	if (file != NULL)
		fclose(file);
	return rc;
}

/* RUN, and in it a place where the forwarding process may write (EAL's runtime directory). */
static int run_directory(const struct holder *h)
{
	if (mkdir(h->options.run, 0755) < 0 && errno != EEXIST) {
		log_error("run_directory", "path=%s error=\"%s\"", h->options.run, strerror(errno));
		return -errno;
	}
	return 0;
}

static int run_directory_forwarding(const struct holder *h)
{
	char path[PATH_MAX + 8];

	snprintf(path, sizeof(path), "%s/dpdk", h->run_path);
	if ((mkdir(path, 0700) < 0 && errno != EEXIST) ||
		lchown(path, h->child.uid, h->child.gid) < 0) {
		log_error("run_directory", "path=%s error=\"%s\"", path, strerror(errno));
		return -errno;
	}
	return 0;
}

/* The forwarding process's listening socket; it outlives that process, clients wait in its queue.
 */
static int api_open(struct holder *h)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const int n =
		snprintf(h->api_path, sizeof(h->api_path), "%s/dataplane.sock", h->options.run);
	int rc;

	if (n < 0 || (size_t)n >= sizeof(address.sun_path)) {
		log_error("api_socket", "run=%s error=\"path too long\"", h->options.run);
		h->api_path[0] = '\0';
		return -ENAMETOOLONG;
	}
	memcpy(address.sun_path, h->api_path, (size_t)n + 1);
	if (unlink(h->api_path) < 0 && errno != ENOENT)
		goto fail;
	h->api_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (h->api_fd < 0 || bind(h->api_fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
		chmod(h->api_path, 0660) < 0 || chown(h->api_path, (uid_t)-1, h->child.gid) < 0 ||
		listen(h->api_fd, 32) < 0)
		goto fail;
	return 0;
fail:
	rc = -errno;
	log_error("api_socket", "path=%s error=\"%s\"", h->api_path, strerror(-rc));
	return rc;
}

static int loop_open(struct holder *h)
{
	sigset_t signals;

	signal(SIGPIPE, SIG_IGN); /* a log that nobody reads any more is no reason to end */
	sigemptyset(&signals);
	sigaddset(&signals, SIGCHLD);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &signals, NULL) < 0)
		return -errno;
	h->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	h->signal_fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
	h->site_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (h->epoll_fd < 0 || h->signal_fd < 0 || h->site_fd < 0)
		return -errno;
	return holder_watch(h, h->signal_fd, SOURCE_SIGNAL, 0);
}

static int holder_open(struct holder *h)
{
	int rc = loop_open(h);

	if (rc == 0)
		rc = kernel_open(h);
	if (rc == 0)
		rc = pump_open(h);
	if (rc < 0) {
		log_error("start", "error=\"%s\"", strerror(-rc));
		return rc;
	}
	rc = inventory_load(h);
	if (rc == 0)
		rc = run_directory(h);
	if (rc == 0)
		rc = child_prepare(h);
	if (rc == 0)
		rc = run_directory_forwarding(h);
	if (rc == 0)
		rc = wires_open(h);
	if (rc == 0)
		rc = taps_watch(h);
	if (rc == 0)
		rc = api_open(h);
	return rc;
}

static void holder_close(struct holder *h)
{
	wires_close(h);
	if (h->api_fd >= 0) {
		close(h->api_fd);
		unlink(h->api_path);
	}
	if (h->nl_fd >= 0)
		close(h->nl_fd);
	if (h->epoll_fd >= 0)
		close(h->epoll_fd);
	if (h->signal_fd >= 0)
		close(h->signal_fd);
	if (h->site_link_fd >= 0)
		close(h->site_link_fd);
	if (h->site_fd >= 0)
		close(h->site_fd);
	free(h->pump_buffer);
}

static void signals_read(struct holder *h)
{
	struct signalfd_siginfo info;
	int status;

	while (read(h->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		switch (info.ssi_signo) {
		case SIGTERM:
		case SIGINT:
			if (!h->stopping) {
				log_info("holder_stopping", "signal=%u", info.ssi_signo);
				pump_stop(h);
				h->stopping = true;
				child_stop(h, "holder_stopping");
			}
			break;
		case SIGHUP:
			log_warn("reload_refused",
				"reason=\"a changed inventory needs a restart of the holder\"");
			break;
		default:
			break;
		}
	}
	if (h->child.pid > 0 && waitpid(h->child.pid, &status, WNOHANG) == h->child.pid)
		child_reaped(h, status);
}

static void dispatch(struct holder *h, const struct epoll_event *event)
{
	const uint32_t index = (uint32_t)event->data.u64;

	switch ((enum holder_source)(event->data.u64 >> 32)) {
	case SOURCE_SIGNAL:
		signals_read(h);
		break;
	case SOURCE_CHILD:
		child_event(h, event->events);
		break;
	case SOURCE_SITE:
		taps_event(h);
		break;
	case SOURCE_WIRE:
		wires_event(h, index);
		break;
	case SOURCE_PUMP_WIRE:
		pump_event(h, index, true);
		break;
	case SOURCE_PUMP_TAP:
		pump_event(h, index, false);
		break;
	}
}

static int holder_run(struct holder *h)
{
	pump_start(h);
	while (!h->stopping || h->child.pid > 0) {
		struct epoll_event events[64];
		const int wait = child_tick(h);
		const int n = epoll_wait(h->epoll_fd, events, 64, wait);
		int i;

		if (n < 0 && errno != EINTR) {
			log_error("loop", "error=\"%s\"", strerror(errno));
			return -errno;
		}
		for (i = 0; i < n; i++)
			dispatch(h, &events[i]);
	}
	return 0;
}

/* The default forwarding program: beside us, where it is built, or where it is installed. */
static const char *dataplane_find(char *buf, size_t size)
{
	static const char *const places[] = {"", "../", "../libexec/audums/", "../lib/audums/"};
	char self[PATH_MAX];
	const ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	unsigned int i;

	if (n > 0) {
		self[n] = '\0';
		*(strrchr(self, '/') + 1) = '\0';
		for (i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
			const int len =
				snprintf(buf, size, "%s%saudums-dataplane", self, places[i]);

			if (len > 0 && (size_t)len < size && access(buf, X_OK) == 0)
				return buf;
		}
	}
	return "/usr/libexec/audums/audums-dataplane";
}

/* Returns -1 to go on, else the exit code. */
static int options_read(int argc, char **argv, struct holder_options *o)
{
	static const struct option longs[] = {
		{"inventory", required_argument, NULL, 'i'},
		{"run", required_argument, NULL, 'r'},
		{"dataplane", required_argument, NULL, 'd'},
		{"user", required_argument, NULL, 'u'},
		{"keep", no_argument, NULL, 'k'},
		{"log-level", required_argument, NULL, 'l'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{NULL, 0, NULL, 0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "i:r:d:u:kl:hV", longs, NULL)) != -1) {
		switch (c) {
		case 'i':
			o->inventory = optarg;
			break;
		case 'r':
			o->run = optarg;
			break;
		case 'd':
			o->dataplane = optarg;
			break;
		case 'u':
			o->user = optarg;
			break;
		case 'k':
			o->keep = true;
			break;
		case 'l':
			o->log_level = optarg;
			if (log_level_parse(optarg) < 0) {
				fprintf(stderr, "audums-holder: unknown log level \"%s\"\n",
					optarg);
				return 1;
			}
			break;
		case 'h':
			fputs(usage, stdout);
			return 0;
		case 'V':
			puts("audums-holder " AUDUMS_VERSION);
			return 0;
		default:
			fputs("try audums-holder --help\n", stderr);
			return 1;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "audums-holder: unexpected \"%s\", try --help\n", argv[optind]);
		return 1;
	}
	return -1;
}

int main(int argc, char **argv)
{
	struct holder *h = calloc(1, sizeof(*h));
	char found[2 * PATH_MAX];
	int rc;

	if (h == NULL)
		return 1;
	h->epoll_fd = h->signal_fd = h->site_fd = h->site_link_fd = -1;
	h->nl_fd = h->api_fd = h->child.fd = -1;
	h->options = (struct holder_options){
		.inventory = "/etc/audums/ports.conf",
		.run = "/run/audums",
		.dataplane = dataplane_find(found, sizeof(found)),
		.log_level = "info",
	};
	rc = options_read(argc, argv, &h->options);
	if (rc >= 0) {
		free(h);
		return rc;
	}
	log_setup((enum log_level)log_level_parse(h->options.log_level), STDERR_FILENO);
	rc = holder_open(h);
	if (rc == 0) {
		log_info("holder_started", "version=%s ports=%u", AUDUMS_VERSION, h->n_ports);
		rc = holder_run(h);
		log_info("holder_ended", "restarts=%lu", (unsigned long)h->child.restarts);
	}
	holder_close(h);
	free(h);
	return rc == 0 ? 0 : 1;
}
