/*
 * Which processes a lab consists of, with their arguments. Called by up.c, run by supervisor.c.
 */
#include <errno.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "controller/ctl/lab/internal.h"

static struct service *service_add(
	struct service_list *list, const char *name, const char *netns, const char *log)
{
	struct service *s, *items;

	items = realloc(list->items, (list->count + 1) * sizeof(*items));
	if (!items)
		return NULL;
	list->items = items;
	s = &items[list->count++];
	memset(s, 0, sizeof(*s));
	snprintf(s->name, sizeof(s->name), "%s", name);
	snprintf(s->netns, sizeof(s->netns), "%s", netns);
	snprintf(s->log, sizeof(s->log), "%s", log);
	return s;
}

/* Append one argument; a list that is too long or memory that is short shows as argc < 0. */
static void service_arg(struct service *s, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
static void service_arg(struct service *s, const char *fmt, ...)
{
	char *text;
	va_list ap;
	int n;

	if (s->argc < 0)
		return;
	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0 || s->argc >= SERVICE_ARGS_MAX - 1) {
		if (n >= 0)
			free(text);
		for (int i = 0; i < s->argc; i++)
			free(s->argv[i]);
		s->argc = -1;
		return;
	}
	s->argv[s->argc++] = text;
}

static int service_end(struct service *s)
{
	return s->argc < 0 ? -ENOMEM : 0;
}

void services_free(struct service_list *list)
{
	for (unsigned int i = 0; i < list->count; i++)
		for (int k = 0; k < list->items[i].argc; k++)
			free(list->items[i].argv[k]);
	free(list->items);
	memset(list, 0, sizeof(*list));
}

/* A process of a node, its log beside the node's other files. */
static struct service *node_service(
	struct service_list *list, const struct lab *lab, unsigned int node, const char *part)
{
	char name[64], netns[LAB_NETNS_LEN], log[LAB_PATH_LEN], file[32];

	snprintf(name, sizeof(name), "%s/%s", lab->nodes[node].name, part);
	snprintf(file, sizeof(file), "%s.log", part);
	lab_netns_node(lab, node, netns);
	lab_node_path(lab, node, file, log);
	return service_add(list, name, netns, log);
}

static int plan_frr(struct service_list *list, const struct lab *lab, unsigned int node)
{
	static const char *const daemons[] = {"mgmtd", "zebra", "bgpd", "bfdd"};
	char netns[LAB_NETNS_LEN];

	/* the pathspace has the namespace's name */
	lab_netns_node(lab, node, netns);
	for (size_t i = 0; i < sizeof(daemons) / sizeof(daemons[0]); i++) {
		const char *d = daemons[i];
		char path[LAB_PATH_LEN];
		struct service *s;

		/* mgmtd exists since FRR 9 only; all others wait for zebra */
		if (frr_find(d, path)) {
			if (!strcmp(d, "mgmtd"))
				continue;
			return -ENOENT;
		}
		s = node_service(list, lab, node, d);
		if (!s)
			return -ENOMEM;
		snprintf(s->program, sizeof(s->program), "%s", path);
		snprintf(s->ready_path, sizeof(s->ready_path), "%s/%s/%s.vty", LAB_FRR_RUN, netns,
			d);
		service_arg(s, "%s", d);
		service_arg(s, "-N");
		service_arg(s, "%s", netns);
		service_arg(s, "-f");
		service_arg(s, "/dev/null");
		service_arg(s, "-i");
		service_arg(s, "%s/%s/%s.pid", LAB_FRR_RUN, netns, d);
		service_arg(s, "-P");
		service_arg(s, "0");
		service_arg(s, "--log");
		service_arg(s, "stdout");
		service_arg(s, "--log-level");
		service_arg(s, "notifications");
		if (!strcmp(d, "zebra")) {
			/* a receive buffer that holds a burst; what it installed survives it */
			service_arg(s, "-s");
			service_arg(s, "90000000");
			service_arg(s, "-K");
			service_arg(s, "60");
		} else if (strcmp(d, "mgmtd")) {
			snprintf(s->wait_path, sizeof(s->wait_path), "%s/%s/zserv.api", LAB_FRR_RUN,
				netns);
		}
		if (service_end(s))
			return -ENOMEM;
	}
	return 0;
}

/* The user that forwards: its own when the package made one, else one that owns nothing. */
static const char *forwarding_user(void)
{
	return getpwnam("audums") ? "audums" : "nobody";
}

static int plan_holder(struct service_list *list, const struct lab *lab, unsigned int node)
{
	struct service *s = node_service(list, lab, node, "holder");
	char run[LAB_PATH_LEN], dataplane[LAB_PATH_LEN * 2];
	int ret;

	if (!s)
		return -ENOMEM;
	ret = program_find("audums-holder", s->program);
	if (!ret)
		ret = program_find("audums-dataplane", dataplane);
	if (ret)
		return ret;
	lab_node_path(lab, node, NULL, run);
	lab_node_path(lab, node, "dataplane.sock", s->ready_path);
	service_arg(s, "audums-holder");
	service_arg(s, "--inventory");
	service_arg(s, "%s/ports.conf", run);
	service_arg(s, "--run");
	service_arg(s, "%s", run);
	service_arg(s, "--dataplane");
	service_arg(s, "%s", dataplane);
	service_arg(s, "--user");
	service_arg(s, "%s", forwarding_user());
	return service_end(s);
}

static int plan_agent(struct service_list *list, const struct lab *lab, unsigned int node)
{
	struct service *s = node_service(list, lab, node, "agent");
	char run[LAB_PATH_LEN], netns[LAB_NETNS_LEN], pki[LAB_PATH_LEN];
	const char *name = lab->nodes[node].name;

	if (!s)
		return -ENOMEM;
	if (program_find("audums-agent", s->program))
		return -ENOENT;
	lab_node_path(lab, node, NULL, run);
	lab_netns_node(lab, node, netns);
	lab_run_path(lab->name, "pki", pki);
	service_arg(s, "audums-agent");
	service_arg(s, "--node");
	service_arg(s, "%s", name);
	service_arg(s, "--run");
	service_arg(s, "%s", run);
	service_arg(s, "--state");
	service_arg(s, "%s/%s/%s", LAB_STATE_ROOT, lab->name, name);
	service_arg(s, "--ports");
	service_arg(s, "%s/ports.conf", run);
	service_arg(s, "--controller");
	service_arg(s, "%s:%d", LAB_CONTROLLER_ADDRESS, LAB_CONTROLLER_PORT);
	service_arg(s, "--ca");
	service_arg(s, "%s/ca.pem", pki);
	service_arg(s, "--cert");
	service_arg(s, "%s/node-%s.pem", pki, name);
	service_arg(s, "--key");
	service_arg(s, "%s/node-%s.key", pki, name);
	service_arg(s, "--frr-pathspace");
	service_arg(s, "%s", netns);
	return service_end(s);
}

static int plan_controller(struct service_list *list, const struct lab *lab)
{
	char netns[LAB_NETNS_LEN], log[LAB_PATH_LEN], run[LAB_PATH_LEN];
	struct service *s;

	lab_netns_role(lab, "ctl", netns);
	lab_run_path(lab->name, "controller.log", log);
	lab_run_path(lab->name, NULL, run);
	s = service_add(list, "controller", netns, log);
	if (!s)
		return -ENOMEM;
	if (program_find("audumsd", s->program))
		return -ENOENT;
	lab_run_path(lab->name, "audumsd.sock", s->ready_path);
	service_arg(s, "audumsd");
	service_arg(s, "--listen");
	service_arg(s, "0.0.0.0:%d", LAB_CONTROLLER_PORT);
	service_arg(s, "--listen-unix");
	service_arg(s, "%s", s->ready_path);
	service_arg(s, "--state");
	service_arg(s, "%s/%s/controller", LAB_STATE_ROOT, lab->name);
	service_arg(s, "--ca");
	service_arg(s, "%s/pki/ca.pem", run);
	service_arg(s, "--cert");
	service_arg(s, "%s/pki/controller.pem", run);
	service_arg(s, "--key");
	service_arg(s, "%s/pki/controller.key", run);
	service_arg(s, "--providers");
	service_arg(s, "%s", lab->providers);
	return service_end(s);
}

int services_plan(const struct lab *lab, struct service_list *list, struct lab_err *err)
{
	int ret = 0;

	memset(list, 0, sizeof(*list));
	if (lab->parts & LAB_PART_CONTROLLER)
		ret = plan_controller(list, lab);
	for (unsigned int i = 0; !ret && i < lab->node_count; i++) {
		if (lab->parts & LAB_PART_FRR)
			ret = plan_frr(list, lab, i);
		if (lab->nodes[i].unmanaged)
			continue;
		if (!ret && lab->parts & LAB_PART_HOLDER)
			ret = plan_holder(list, lab, i);
		if (!ret && lab->parts & LAB_PART_AGENT)
			ret = plan_agent(list, lab, i);
	}
	if (ret) {
		services_free(list);
		return lab_fail(err, ret, "cannot plan the lab's processes: %s", strerror(-ret));
	}
	return 0;
}
