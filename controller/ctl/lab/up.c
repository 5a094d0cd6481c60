/*
 * Brings a lab up, in the order in which its parts need each other, and undoes all when one fails.
 */
#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "controller/ctl/lab/internal.h"

#define READY_MS          30000
#define RESTARTS_FATAL    3 /* a process that died so often will not come up */
#define FRR_READY_POLL_MS 20

static void step(FILE *progress, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void step(FILE *progress, const char *fmt, ...)
{
	va_list ap;

	if (!progress)
		return;
	va_start(ap, fmt);
	vfprintf(progress, fmt, ap);
	va_end(ap);
	fputc('\n', progress);
	fflush(progress);
}

static int make_dir(struct lab_err *err, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
static int make_dir(struct lab_err *err, const char *fmt, ...)
{
	char path[LAB_PATH_LEN * 2];
	va_list ap;
	int ret;

	va_start(ap, fmt);
	vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	ret = path_make(path);
	return ret ? lab_fail(err, ret, "cannot make %s: %s", path, strerror(-ret)) : 0;
}

/* FRR's daemons give root up: their directory must be theirs. */
static int make_frr_dir(const struct lab *lab, unsigned int node, struct lab_err *err)
{
	char netns[LAB_NETNS_LEN], path[LAB_PATH_LEN];
	struct passwd *frr = getpwnam("frr");
	bool parent = access(LAB_FRR_RUN, F_OK) == 0;
	int ret;

	lab_netns_node(lab, node, netns);
	snprintf(path, sizeof(path), "%s/%s", LAB_FRR_RUN, netns);
	ret = make_dir(err, "%s", path);
	if (ret)
		return ret;
	if (!frr)
		return lab_fail(err, -ENOENT, "there is no user frr: FRR is not installed whole");
	if ((!parent && chown(LAB_FRR_RUN, frr->pw_uid, frr->pw_gid)) ||
		chown(path, frr->pw_uid, frr->pw_gid) || chmod(path, 0755))
		return lab_fail(
			err, -errno, "cannot give %s to user frr: %s", path, strerror(errno));
	return 0;
}

static int make_dirs(const struct lab *lab, struct lab_err *err)
{
	int ret = make_dir(err, "%s/%s/workloads", LAB_RUN_ROOT, lab->name);

	if (!ret)
		ret = make_dir(err, "%s/%s/controller", LAB_STATE_ROOT, lab->name);
	for (unsigned int i = 0; !ret && i < lab->node_count; i++) {
		const char *node = lab->nodes[i].name;

		ret = make_dir(err, "%s/%s/%s", LAB_RUN_ROOT, lab->name, node);
		if (!ret)
			ret = make_dir(err, "%s/%s/%s", LAB_STATE_ROOT, lab->name, node);
		if (!ret && lab->parts & LAB_PART_FRR)
			ret = make_frr_dir(lab, i, err);
	}
	return ret;
}

/* The last line of a log, to say why a process does not come up. */
static void last_line(const char *path, char *out, size_t size)
{
	FILE *f = fopen(path, "re");
	char line[512];

	out[0] = '\0';
	if (!f)
		return;
	if (!fseek(f, -4096, SEEK_END) && !fgets(line, sizeof(line), f))
		line[0] = '\0';
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		if (line[0])
			snprintf(out, size, "%s", line);
	}
	fclose(f);
}

static bool service_ready(const struct service *s)
{
	return !*s->ready_path || !access(s->ready_path, F_OK);
}

/* Wait until all run and listen, or one has shown that it will not. */
static int wait_ready(
	const struct lab *lab, const struct service_list *services, struct lab_err *err)
{
	uint64_t deadline = clock_ms() + READY_MS;
	struct lab_process *list;
	unsigned int count;
	char line[512];

	for (;;) {
		const struct service *missing = NULL;
		int ret = lab_processes(lab->name, &list, &count, err);

		if (ret)
			return ret;
		for (unsigned int i = 0; i < services->count; i++) {
			const struct service *s = &services->items[i];
			const struct lab_process *p = NULL;

			for (unsigned int k = 0; k < count; k++)
				if (!strcmp(list[k].name, s->name))
					p = &list[k];
			if (!p || !p->pid || !service_ready(s))
				missing = s;
			if (p && p->restarts >= RESTARTS_FATAL) {
				last_line(s->log, line, sizeof(line));
				ret = lab_fail(err, -ECHILD,
					"%s does not come up (%s; its last line: %s)", s->name,
					p->last_exit, *line ? line : "none");
				break;
			}
		}
		free(list);
		if (ret || !missing)
			return ret;
		if (clock_ms() >= deadline) {
			last_line(missing->log, line, sizeof(line));
			return lab_fail(err, -ETIMEDOUT,
				"%s is not ready after %d s (its last line: %s)", missing->name,
				READY_MS / 1000, *line ? line : "none");
		}
		poll(NULL, 0, FRR_READY_POLL_MS);
	}
}

static int start_all(const struct lab *lab, FILE *progress, struct lab_err *err)
{
	char socket_path[LAB_PATH_LEN], log_path[LAB_PATH_LEN];
	struct service_list services;
	int ret = services_plan(lab, &services, err);

	if (ret)
		return ret;
	lab_run_path(lab->name, "supervisor.sock", socket_path);
	lab_run_path(lab->name, "supervisor.log", log_path);
	if (services.count)
		step(progress, "starting %u processes", services.count);
	ret = supervisor_start(&services, lab->name, socket_path, log_path, err);
	if (!ret)
		ret = wait_ready(lab, &services, err);
	services_free(&services);
	return ret;
}

/* Make the lab's run directory, which only one of two that begin at once can: the other would find
 * half of it in its way, and take it down. */
static int claim(const struct lab *lab, struct lab_err *err)
{
	char path[LAB_PATH_LEN];
	int ret = path_make(LAB_RUN_ROOT);

	lab_run_path(lab->name, NULL, path);
	if (!ret && mkdir(path, 0755))
		ret = -errno;
	if (ret == -EEXIST)
		return lab_fail(err, ret, "lab %s is being brought up by somebody else just now",
			lab->name);
	return ret ? lab_fail(err, ret, "cannot make %s: %s", path, strerror(-ret)) : 0;
}

int lab_up(const struct lab *lab, FILE *progress, struct lab_err *err)
{
	struct lab_err undo;
	struct lab_err own;
	int ret;

	if (!err)
		err = &own;
	ret = lab_check(lab, err);
	if (ret)
		return ret; /* nothing was made, nothing is undone */
	ret = claim(lab, err);
	if (ret)
		return ret; /* what is there is somebody else's */
	step(progress, "lab %s: %u nodes, %u links", lab->name, lab->node_count, lab->link_count);
	ret = make_dirs(lab, err);
	if (!ret) {
		ret = lab_save(lab);
		if (ret)
			lab_fail(err, ret, "cannot write the lab's plan: %s", strerror(-ret));
	}
	if (!ret) {
		step(progress, "making namespaces and wires");
		ret = lab_build(lab, err);
	}
	if (!ret)
		ret = lab_inventories(lab, err);
	if (!ret) {
		step(progress, "making certificates");
		ret = lab_pki(lab, err);
	}
	if (!ret)
		ret = start_all(lab, progress, err);
	if (ret && lab_down(lab->name, &undo))
		lab_err_add(err, "and what was made could not all be removed: %s", undo.text);
	return ret;
}
