/* audums-agent: command line and life of the process. */
#include "controller/agent/agent.h"
#include "controller/agent/session.h"
#include "controller/agent/standalone.h"
#include "controller/agent/text.h"
#include "controller/rpc/loop.h"
#include "proto/lib/log.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ONCE_MS       30000
#define DEFAULT_PORTS "/etc/audums/ports.conf"

struct options {
	struct agent_options agent;
	struct session_options session;
	const char *desired;
	bool once, watch;
	unsigned int timeout_ms;
	char vty_dir[128];
};

static const char usage[] =
	"Usage: audums-agent --node NAME --controller ADDRESS:PORT --ca FILE --cert FILE --key FILE\n"
	"       audums-agent --desired FILE.yaml|FILE.pb [--once | --watch]\n"
	"\n"
	"Makes the kernel of its network namespace and the FRR daemons equal to the desired state that\n"
	"the controller (or a file) gives, and reports what really is. Ending it changes nothing.\n"
	"\n"
	"  --node NAME            this node's name\n"
	"  --run DIR              run directory with dataplane.sock [/run/audums]\n"
	"  --state DIR            where the desired state is kept [/var/lib/audums]\n"
	"  --ports FILE           port inventory [/etc/audums/ports.conf; none: ports are devices]\n"
	"  --controller TARGET    ADDRESS:PORT or unix:PATH of audumsd\n"
	"  --ca, --cert, --key F  PEM files: authority, our certificate, its key\n"
	"  --frr-pathspace NAME   the FRR daemons run with -N NAME\n"
	"  --frr-vty-dir DIR      directory of their vty sockets [/run/frr[/NAME]]\n"
	"  --desired FILE         work from this file, without a controller\n"
	"  --once                 end when it is applied (exit 0) or after --timeout (exit 1), and\n"
	"                         print the report\n"
	"  --watch                go on, and take the file again when it changes (default)\n"
	"  --timeout SECONDS      for --once [30]\n"
	"  --log-level LEVEL      error, warn, info or debug [info]\n"
	"  --help, --version\n"
	"\n"
	"Example: ip netns exec site audums-agent --desired node.yaml --once --frr-pathspace site\n";

enum option_id {
	OPT_NODE = 256,
	OPT_RUN,
	OPT_STATE,
	OPT_PORTS,
	OPT_CONTROLLER,
	OPT_CA,
	OPT_CERT,
	OPT_KEY,
	OPT_PATHSPACE,
	OPT_VTY_DIR,
	OPT_DESIRED,
	OPT_ONCE,
	OPT_WATCH,
	OPT_TIMEOUT,
	OPT_LOG_LEVEL,
	OPT_HELP,
	OPT_VERSION,
};

static const struct option long_options[] = {
	{"node", required_argument, NULL, OPT_NODE},
	{"run", required_argument, NULL, OPT_RUN},
	{"state", required_argument, NULL, OPT_STATE},
	{"ports", required_argument, NULL, OPT_PORTS},
	{"controller", required_argument, NULL, OPT_CONTROLLER},
	{"ca", required_argument, NULL, OPT_CA},
	{"cert", required_argument, NULL, OPT_CERT},
	{"key", required_argument, NULL, OPT_KEY},
	{"frr-pathspace", required_argument, NULL, OPT_PATHSPACE},
	{"frr-vty-dir", required_argument, NULL, OPT_VTY_DIR},
	{"desired", required_argument, NULL, OPT_DESIRED},
	{"once", no_argument, NULL, OPT_ONCE},
	{"watch", no_argument, NULL, OPT_WATCH},
	{"timeout", required_argument, NULL, OPT_TIMEOUT},
	{"log-level", required_argument, NULL, OPT_LOG_LEVEL},
	{"help", no_argument, NULL, OPT_HELP},
	{"version", no_argument, NULL, OPT_VERSION},
	{NULL, 0, NULL, 0},
};

static int wrong(const char *what)
{
	fprintf(stderr, "audums-agent: %s\nTry \"audums-agent --help\".\n", what);
	return 2;
}

static int set_vty_dir(struct options *o, const char *prefix, const char *name)
{
	if (snprintf(o->vty_dir, sizeof(o->vty_dir), "%s%s", prefix, name) >=
		(int)sizeof(o->vty_dir))
		return wrong("path of the vty sockets is too long");
	return -1;
}

/* Returns -1 to go on, or an exit status. */
static int parse(struct options *o, int argc, char **argv)
{
	uint32_t seconds;
	int c, level;

	while ((c = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
		switch (c) {
		case OPT_NODE:
			o->agent.node = o->session.node = optarg;
			break;
		case OPT_RUN:
			o->agent.run_dir = optarg;
			break;
		case OPT_STATE:
			o->agent.state_dir = optarg;
			break;
		case OPT_PORTS:
			o->agent.ports_file = optarg;
			break;
		case OPT_CONTROLLER:
			o->session.target = optarg;
			break;
		case OPT_CA:
			o->session.ca = optarg;
			break;
		case OPT_CERT:
			o->session.cert = optarg;
			break;
		case OPT_KEY:
			o->session.key = optarg;
			break;
		case OPT_PATHSPACE:
			if (strchr(optarg, '/') || !optarg[0])
				return wrong("--frr-pathspace: not a name");
			c = set_vty_dir(o, "/run/frr/", optarg);
			if (c >= 0)
				return c;
			break;
		case OPT_VTY_DIR:
			c = set_vty_dir(o, "", optarg);
			if (c >= 0)
				return c;
			break;
		case OPT_DESIRED:
			o->desired = optarg;
			break;
		case OPT_ONCE:
			o->once = true;
			break;
		case OPT_WATCH:
			o->watch = true;
			break;
		case OPT_TIMEOUT:
			if (!text_u32(optarg, 86400, &seconds))
				return wrong("--timeout: expected seconds");
			o->timeout_ms = seconds * 1000;
			break;
		case OPT_LOG_LEVEL:
			level = log_level_parse(optarg);
			if (level < 0)
				return wrong("--log-level: expected error, warn, info or debug");
			log_setup((enum log_level)level, 2);
			break;
		case 'h':
		case OPT_HELP:
			fputs(usage, stdout);
			return 0;
		case OPT_VERSION:
			puts("audums-agent " AUDUMS_VERSION);
			return 0;
		default:
			fputs("Try \"audums-agent --help\".\n", stderr);
			return 2;
		}
	}
	if (!o->agent.ports_file && access(DEFAULT_PORTS, F_OK) == 0)
		o->agent.ports_file = DEFAULT_PORTS;
	if (optind < argc)
		return wrong("unexpected argument");
	if (!o->desired == !o->session.target)
		return wrong("expected either --controller or --desired");
	if (o->once && o->watch)
		return wrong("--once and --watch exclude each other");
	if (o->session.target &&
		(!o->session.node || !o->session.ca || !o->session.cert || !o->session.key))
		return wrong("--controller needs --node, --ca, --cert and --key");
	return -1;
}

static void on_signal(void *arg, int signo)
{
	log_info("stopping", "signal=%d", signo);
	loop_stop(arg, 0);
}

int main(int argc, char **argv)
{
	struct options o = {
		.agent = {.run_dir = "/run/audums", .state_dir = "/var/lib/audums"},
		.timeout_ms = ONCE_MS,
		.vty_dir = "/run/frr",
	};
	struct agent *agent = NULL;
	struct session *session = NULL;
	struct standalone *standalone = NULL;
	struct loop *loop = NULL;
	char error[512] = "out of memory";
	int status = parse(&o, argc, argv);

	if (status >= 0)
		return status;
	status = 1;
	o.agent.vty_dir = o.vty_dir;
	umask(077); /* what is kept of the tenants is not for everyone to read */
	signal(SIGPIPE, SIG_IGN);
	loop = loop_new();
	agent = calloc(1, sizeof(*agent));
	if (!loop || !agent || !loop_signal_add(loop, SIGTERM, on_signal, loop) ||
		!loop_signal_add(loop, SIGINT, on_signal, loop))
		goto out;
	if (agent_open(agent, loop, &o.agent, error, sizeof(error)) < 0) {
		free(agent);
		agent = NULL;
		goto out;
	}
	if (o.desired)
		standalone = standalone_open(
			loop, agent, o.desired, o.once, o.timeout_ms, error, sizeof(error));
	else
		session = session_open(loop, agent, &o.session, error, sizeof(error));
	if (!standalone && !session)
		goto out;
	log_info(
		"started", "version=%s node=%s", AUDUMS_VERSION, o.agent.node ? o.agent.node : "-");
	error[0] = '\0';
	status = loop_run(loop);
	if (status < 0) {
		snprintf(error, sizeof(error), "loop: %s", strerror(-status));
		status = 1;
	}
out:
	if (error[0])
		fprintf(stderr, "audums-agent: %s\n", error);
	standalone_close(standalone);
	session_close(session);
	if (agent)
		agent_close(agent);
	free(agent);
	loop_free(loop);
	return status;
}
