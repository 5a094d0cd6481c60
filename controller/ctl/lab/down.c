/*
 * Finds and removes everything of a lab by name alone, so that it works from any half state.
 *
 * What belongs to a lab: namespaces au-LAB-*, processes that live in one or carry AUDUMS_LAB=LAB,
 * the directories below LAB_RUN_ROOT and LAB_STATE_ROOT, FRR's directories au-LAB-*. Lab names have
 * no hyphen: the prefix "au-LAB-" is one lab's only.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <libmnl/libmnl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "controller/ctl/lab/internal.h"
#include "controller/ctl/lab/rtnl.h"

#define NETNS_MAX 600 /* nodes twice, workloads, three more */
#define KILL_MS   5000

struct netns_set {
	ino_t host; /* the machine's own namespace is no lab's, whatever name it was given */
	unsigned int count;
	struct {
		char name[LAB_NETNS_LEN];
		ino_t inode;
	} items[NETNS_MAX];
};

static struct netns_set *netns_set_read(const char *lab)
{
	struct netns_set *set = calloc(1, sizeof(*set));
	char prefix[LAB_NETNS_LEN];
	struct dirent *entry;
	struct stat st;
	DIR *dir;

	if (!set)
		return NULL;
	if (!stat("/proc/1/ns/net", &st))
		set->host = st.st_ino;
	snprintf(prefix, sizeof(prefix), "au-%s-", lab);
	dir = opendir(LAB_NETNS_DIR);
	while (dir && (entry = readdir(dir)) && set->count < NETNS_MAX) {
		if (strncmp(entry->d_name, prefix, strlen(prefix)) ||
			strlen(entry->d_name) >= LAB_NETNS_LEN)
			continue;
		strcpy(set->items[set->count].name, entry->d_name);
		set->items[set->count++].inode = netns_inode(entry->d_name);
	}
	if (dir)
		closedir(dir);
	return set;
}

/* ---- processes ---------------------------------------------------------------------------- */

static bool process_in(const struct netns_set *set, const char *pid)
{
	char path[300];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%s/ns/net", pid);
	if (stat(path, &st))
		return false;
	for (unsigned int i = 0; i < set->count; i++)
		if (set->items[i].inode == st.st_ino && st.st_ino != set->host)
			return true;
	return false;
}

static bool process_marked(const char *pid, const char *mark)
{
	char path[300], *text, *p, *end;
	bool marked = false;
	const size_t max = 65536;
	FILE *f;
	size_t n;

	snprintf(path, sizeof(path), "/proc/%s/environ", pid);
	text = malloc(max + 1);
	f = fopen(path, "re");
	if (text && f) {
		n = fread(text, 1, max, f);
		text[n] = '\0';
		end = text + n;
		for (p = text; p < end && !marked; p += strlen(p) + 1)
			marked = !strcmp(p, mark);
	}
	if (f)
		fclose(f);
	free(text);
	return marked;
}

/* Whether `pid` is the calling process or one that started it. */
static bool process_is_ours(pid_t pid)
{
	pid_t p = getpid();

	while (p > 1) {
		char path[64], *text, *s;

		if (p == pid)
			return true;
		snprintf(path, sizeof(path), "/proc/%d/stat", (int)p);
		text = file_read(path, 4096);
		s = text ? strrchr(text, ')') : NULL;
		p = 0;
		if (s)
			sscanf(s + 1, " %*c %d", &p);
		free(text);
	}
	return false;
}

typedef void process_fn(void *arg, pid_t pid);

static unsigned int processes_each(
	const char *lab, const struct netns_set *set, process_fn *fn, void *arg)
{
	unsigned int count = 0;
	struct dirent *entry;
	char mark[64];
	DIR *dir = opendir("/proc");

	snprintf(mark, sizeof(mark), "AUDUMS_LAB=%s", lab);
	while (dir && (entry = readdir(dir))) {
		pid_t pid;

		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		pid = (pid_t)atoi(entry->d_name);
		if (!process_in(set, entry->d_name) && !process_marked(entry->d_name, mark))
			continue;
		if (process_is_ours(pid))
			continue;
		count++;
		if (fn)
			fn(arg, pid);
	}
	if (dir)
		closedir(dir);
	return count;
}

static void process_end(void *arg, pid_t pid)
{
	kill(pid, *(int *)arg);
}

/* Zombies of a foreign parent have neither a namespace nor an environment, so they do not count. */
static int processes_end(const char *lab, const struct netns_set *set, struct lab_err *err)
{
	uint64_t deadline = clock_ms() + KILL_MS;
	unsigned int left;
	int sig = SIGKILL;

	while ((left = processes_each(lab, set, process_end, &sig))) {
		if (clock_ms() >= deadline)
			return lab_fail(
				err, -EBUSY, "%u processes of lab %s do not end", left, lab);
		poll(NULL, 0, 10);
	}
	return 0;
}

/* Whether it has ended; its parent may take its time to collect it. */
static bool process_gone(pid_t pid)
{
	char path[64], *text, *s;
	bool gone;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	text = file_read(path, 1024);
	s = text ? strrchr(text, ')') : NULL;
	gone = !s || s[2] == 'Z';
	free(text);
	return gone;
}

/* The supervisor ends its processes in order; whoever is left then is killed. */
static void supervisor_quit(const char *lab)
{
	uint64_t deadline = clock_ms() + 4000;
	char path[LAB_PATH_LEN];
	json_t *reply;
	pid_t pid;

	lab_run_path(lab, "supervisor.sock", path);
	if (access(path, F_OK) || supervisor_ask(path, "status", &reply, NULL))
		return;
	pid = (pid_t)json_integer_value(json_object_get(reply, "pid"));
	json_decref(reply);
	if (pid <= 1 || supervisor_ask(path, "quit", &reply, NULL))
		return;
	json_decref(reply);
	while (!process_gone(pid) && clock_ms() < deadline)
		poll(NULL, 0, 5);
}

/* ---- everything --------------------------------------------------------------------------- */

static bool name_plausible(const char *lab)
{
	for (const char *p = lab; *p; p++)
		if (!islower((unsigned char)*p) && !isdigit((unsigned char)*p))
			return false;
	return *lab && strlen(lab) < LAB_NAME_LEN;
}

/* Call fn for each FRR directory of the lab; returns how many. */
static unsigned int frr_dirs_each(
	const char *lab, void (*fn)(void *arg, const char *path), void *arg)
{
	char prefix[LAB_NETNS_LEN], path[LAB_PATH_LEN * 3];
	unsigned int count = 0;
	struct dirent *entry;
	DIR *dir = opendir(LAB_FRR_RUN);

	snprintf(prefix, sizeof(prefix), "au-%s-", lab);
	while (dir && (entry = readdir(dir))) {
		if (strncmp(entry->d_name, prefix, strlen(prefix)))
			continue;
		snprintf(path, sizeof(path), "%s/%s", LAB_FRR_RUN, entry->d_name);
		count++;
		if (fn)
			fn(arg, path);
	}
	if (dir)
		closedir(dir);
	return count;
}

static void remove_path(void *arg, const char *path)
{
	path_remove(path);
}

int lab_down(const char *name, struct lab_err *err)
{
	struct netns_set *set;
	char run[LAB_PATH_LEN], state[LAB_PATH_LEN];
	int ret = 0, one;

	if (!name_plausible(name))
		return lab_fail(err, -EINVAL, "\"%s\" cannot be a lab's name", name);
	if (geteuid())
		return lab_fail(err, -EPERM,
			"removing a lab needs root (sudo audumsctl lab down %s)", name);
	supervisor_quit(name);
	set = netns_set_read(name);
	if (!set)
		return lab_fail(err, -ENOMEM, "out of memory");
	ret = processes_end(name, set, err);
	for (unsigned int i = 0; i < set->count; i++) {
		one = netns_delete(set->items[i].name);
		if (one && !ret)
			ret = lab_fail(err, one, "cannot remove namespace %s: %s",
				set->items[i].name, strerror(-one));
	}
	free(set);
	frr_dirs_each(name, remove_path, NULL);
	lab_run_path(name, NULL, run);
	snprintf(state, sizeof(state), "%s/%s", LAB_STATE_ROOT, name);
	one = path_remove(run);
	if (!one)
		one = path_remove(state);
	if (one && !ret)
		ret = lab_fail(err, one, "cannot remove %s or %s: %s", run, state, strerror(-one));
	/* the parents too when nobody else's lab is in them */
	rmdir(LAB_RUN_ROOT);
	rmdir("/run/audums");
	rmdir(LAB_STATE_ROOT);
	rmdir("/var/lib/audums");
	return ret;
}

/* ---- census ------------------------------------------------------------------------------- */

struct census {
	lab_trace_fn *fn;
	void *arg;
	const char *netns;
	unsigned int count;
};

static void trace_say(struct census *c, enum lab_trace_kind kind, const char *what)
{
	c->count++;
	if (c->fn)
		c->fn(c->arg, kind, what);
}

static void trace_process(void *arg, pid_t pid)
{
	char path[64], what[300], *comm;

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	comm = file_read(path, 64);
	if (comm)
		comm[strcspn(comm, "\n")] = '\0';
	snprintf(what, sizeof(what), "%d %s", (int)pid, comm ? comm : "?");
	free(comm);
	trace_say(arg, LAB_TRACE_PROCESS, what);
}

static int trace_attr(const struct nlattr *attr, void *arg)
{
	struct census *c = arg;
	char what[LAB_NETNS_LEN + 32];

	if (mnl_attr_get_type(attr) != IFLA_IFNAME || !strcmp(mnl_attr_get_str(attr), "lo"))
		return MNL_CB_OK;
	snprintf(what, sizeof(what), "%s %s", c->netns, mnl_attr_get_str(attr));
	trace_say(c, LAB_TRACE_DEVICE, what);
	return MNL_CB_OK;
}

static int trace_device(void *arg, const struct nlmsghdr *nlh)
{
	mnl_attr_parse(nlh, sizeof(struct ifinfomsg), trace_attr, arg);
	return 0;
}

static void trace_file(void *arg, const char *path)
{
	trace_say(arg, LAB_TRACE_FILE, path);
}

static void trace_dir(struct census *c, const char *root, const char *lab)
{
	char path[LAB_PATH_LEN];

	snprintf(path, sizeof(path), "%s/%s", root, lab);
	if (!access(path, F_OK))
		trace_say(c, LAB_TRACE_FILE, path);
}

unsigned int lab_traces(const char *name, lab_trace_fn *fn, void *arg)
{
	struct census c = {.fn = fn, .arg = arg};
	struct netns_set *set;
	struct rtnl *nl;

	if (!name_plausible(name))
		return 0;
	set = netns_set_read(name);
	if (!set)
		return 0;
	for (unsigned int i = 0; i < set->count; i++) {
		c.netns = set->items[i].name;
		trace_say(&c, LAB_TRACE_NAMESPACE, c.netns);
		if (rtnl_open(&nl, c.netns))
			continue;
		rtnl_dump(nl, RTM_GETLINK, AF_UNSPEC, trace_device, &c);
		rtnl_close(nl);
	}
	processes_each(name, set, trace_process, &c);
	trace_dir(&c, LAB_RUN_ROOT, name);
	trace_dir(&c, LAB_STATE_ROOT, name);
	frr_dirs_each(name, trace_file, &c);
	free(set);
	return c.count;
}
