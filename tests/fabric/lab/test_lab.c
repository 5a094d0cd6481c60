/*
 * Labs come and go without a trace: up and down, twice, from half states, and after a failure in
 * the middle; wires behave as wires, links break as they are told to.
 *
 *     wire of node A -- up0 == bridge in au-LAB-bb == up0 -- wire of node B
 *
 * What must hold: after `down` nothing of the lab is left on the machine, whatever had happened to
 * it. Needs root, and FRR; argv[1] is the source tree.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <dirent.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "controller/ctl/lab/internal.h"
#include "controller/ctl/lab/rtnl.h"
#include "topology/load.h"

#define NAME        "labtest"
#define DEADLINE_MS 5000

static const char *source_dir;

static void plan_file(struct lab *lab, const char *file, unsigned int parts)
{
	struct topology topology = {0};
	struct problems problems;
	char path[512];
	const char *paths[] = {path};
	struct lab_err err;

	snprintf(path, sizeof(path), "%s/topology/%s", source_dir, file);
	problems_init(&problems);
	if (topology_load(paths, 1, TOPOLOGY_STANDALONE, &topology, &problems)) {
		problems_print(&problems, stderr);
		fail_msg("%s does not load", path);
	}
	if (lab_plan(lab, NAME, topology.document, &err))
		fail_msg("%s", err.text);
	lab->parts = parts;
	topology_free(&topology);
	problems_free(&problems);
}

static void say_trace(void *arg, enum lab_trace_kind kind, const char *what)
{
	print_message("left: %d %s\n", kind, what);
}

/* Sorted names of a directory, to be compared. */
static char *listing(const char *dir)
{
	struct dirent **names;
	int n = scandir(dir, &names, NULL, alphasort);
	char *text;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	for (int i = 0; i < n; i++) {
		if (strstr(names[i]->d_name, NAME))
			fprintf(f, "%s\n", names[i]->d_name);
		free(names[i]);
	}
	if (n >= 0)
		free(names);
	fclose(f);
	return text;
}

static void assert_no_trace(void)
{
	static const char *const dirs[] = {
		LAB_NETNS_DIR, LAB_RUN_ROOT, LAB_STATE_ROOT, LAB_FRR_RUN, "/sys/class/net"};

	assert_int_equal(lab_traces(NAME, say_trace, NULL), 0);
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		char *text = listing(dirs[i]);

		assert_string_equal(text, "");
		free(text);
	}
}

static void up(const struct lab *lab)
{
	struct lab_err err;

	if (lab_up(lab, NULL, &err))
		fail_msg("%s", err.text);
}

static void down(void)
{
	struct lab_err err;

	if (lab_down(NAME, &err))
		fail_msg("%s", err.text);
	assert_no_trace();
}

static int clean(void **state)
{
	struct lab_err err;

	*state = calloc(1, sizeof(struct lab));
	return lab_down(NAME, &err);
}

static int tidy(void **state)
{
	struct lab_err err;

	free(*state);
	return lab_down(NAME, &err);
}

/* ---- coming and going --------------------------------------------------------------------- */

static void test_up_down_twice(void **state)
{
	struct lab *lab = *state, *again = calloc(1, sizeof(*again));
	struct lab_process *list;
	unsigned int count;
	struct lab_err err;

	plan_file(lab, "single.yaml", LAB_PART_ALL);
	for (int i = 0; i < 2; i++) {
		up(lab);
		assert_true(lab_traces(NAME, NULL, NULL) > 10);
		/* what is needed later is read back equal */
		assert_int_equal(lab_open(again, NAME, &err), 0);
		assert_memory_equal(lab, again, sizeof(*lab));
		assert_int_equal(lab_processes(NAME, &list, &count, &err), 0);
		assert_true(count >= 7);
		for (unsigned int k = 0; k < count; k++) {
			assert_true(list[k].pid > 0);
			assert_string_equal(list[k].state, "running");
		}
		free(list);
		/* a second one of that name is refused and changes nothing */
		assert_int_equal(lab_up(lab, NULL, &err), -EEXIST);
		assert_true(lab_traces(NAME, NULL, NULL) > 10);
		down();
	}
	down(); /* nothing there is fine */
	free(again);
}

/* Of two that begin at once one brings the lab up, and the other leaves it alone. */
static void test_up_at_once(void **state)
{
	struct lab *lab = *state;
	struct lab_err err;
	int status, ret;
	pid_t pid;

	plan_file(lab, "single.yaml", 0);
	for (int i = 0; i < 3; i++) {
		pid = fork();
		if (!pid)
			_exit(lab_up(lab, NULL, &err) ? 1 : 0);
		assert_true(pid > 0);
		ret = lab_up(lab, NULL, &err);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(!ret + !status, 1);
		assert_true(!ret || ret == -EEXIST);
		assert_true(lab_traces(NAME, NULL, NULL) > 10);
		down();
	}
}

static pid_t supervisor_pid(void)
{
	char path[LAB_PATH_LEN];
	struct lab_err err;
	json_t *reply;
	pid_t pid;

	lab_run_path(NAME, "supervisor.sock", path);
	assert_int_equal(supervisor_ask(path, "status", &reply, &err), 0);
	pid = (pid_t)json_integer_value(json_object_get(reply, "pid"));
	json_decref(reply);
	return pid;
}

/* The supervisor killed, its socket and the plan lost. */
static void test_down_without_supervisor(void **state)
{
	struct lab *lab = *state;
	char path[LAB_PATH_LEN];

	plan_file(lab, "single.yaml", LAB_PART_FRR);
	up(lab);
	kill(supervisor_pid(), SIGKILL);
	lab_run_path(NAME, NULL, path);
	path_remove(path);
	assert_true(lab_traces(NAME, NULL, NULL) > 0);
	down();
}

/* Names of namespaces gone while processes live in them, and a process of ours that is not in any.
 */
static void test_down_from_pieces(void **state)
{
	struct lab *lab = *state;
	char name[LAB_NETNS_LEN];
	pid_t pid;

	plan_file(lab, "single.yaml", LAB_PART_FRR);
	up(lab);
	kill(supervisor_pid(), SIGSTOP);
	lab_netns_node(lab, 0, name);
	assert_int_equal(netns_delete(name), 0);
	pid = fork();
	if (!pid) {
		int back = lab_netns_enter("au-" NAME "-ctl");

		if (back >= 0)
			execlp("sleep", "sleep", "1000", NULL);
		_exit(1);
	}
	/* only when it is there is it a trace */
	for (uint64_t deadline = clock_ms() + DEADLINE_MS; clock_ms() < deadline;
		poll(NULL, 0, 5)) {
		char path[64], *comm;
		bool there;

		snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
		comm = file_read(path, 32);
		there = comm && !strncmp(comm, "sleep", 5);
		free(comm);
		if (there)
			break;
	}
	down();
	assert_int_equal(waitpid(pid, NULL, WNOHANG), pid);
}

/* A controller that refuses its command line: what was made before is undone. */
static void test_failed_up_is_undone(void **state)
{
	struct lab *lab = *state;
	struct lab_err err;

	plan_file(lab, "single.yaml", LAB_PART_ALL);
	strcpy(lab->providers, "");
	assert_int_not_equal(lab_up(lab, NULL, &err), 0);
	if (!strstr(err.text, "controller"))
		fail_msg("%s", err.text);
	assert_no_trace();
}

/* What is missing is said before anything is made. */
static void test_refused_before(void **state)
{
	struct lab *lab = *state;
	struct lab_err err;

	plan_file(lab, "single.yaml", LAB_PART_ALL);
	if (seteuid(65534))
		fail();
	int ret = lab_up(lab, NULL, &err);

	if (seteuid(0))
		fail();
	assert_int_equal(ret, -EPERM);
	assert_non_null(strstr(err.text, "root"));
	assert_no_trace();
}

/* Topologies of all shapes; without processes this is quick. */
static void test_shapes(void **state)
{
	static const char *const files[] = {
		"single.yaml", "chain3.yaml", "parallel2.yaml", "star5.yaml", "latvia.yaml"};
	struct lab *lab = *state;

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		plan_file(lab, files[i], 0);
		up(lab);
		down();
	}
}

/* ---- processes ---------------------------------------------------------------------------- */

static void test_process_comes_back(void **state)
{
	struct lab *lab = *state;
	struct lab_process *list;
	unsigned int count;
	char process[64];
	struct lab_err err;
	pid_t pid;

	plan_file(lab, "single.yaml", LAB_PART_FRR);
	up(lab);
	snprintf(process, sizeof(process), "%s/bfdd", lab->nodes[0].name);
	assert_int_equal(lab_processes(NAME, &list, &count, &err), 0);
	pid = list[count - 1].pid;
	assert_string_equal(list[count - 1].name, process);
	free(list);
	assert_int_equal(lab_process_kill(NAME, process, SIGKILL, &err), 0);
	if (lab_process_wait(NAME, process, pid, DEADLINE_MS, &err))
		fail_msg("%s", err.text);
	assert_int_equal(lab_process_kill(NAME, "nobody/zebra", SIGKILL, &err), -EINVAL);
	down();
}

/* ---- links -------------------------------------------------------------------------------- */

/* A packet socket on a port, in the wire namespace of one end of a link. */
static int wire_open(const struct lab *lab, const struct lab_link_end *end)
{
	struct sockaddr_ll sa = {.sll_family = AF_PACKET, .sll_protocol = htons(0x88b5)};
	char netns[LAB_NETNS_LEN];
	int back, fd;

	lab_netns_wire(lab, end->node, netns);
	back = lab_netns_enter(netns);
	assert_true(back >= 0);
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(0x88b5));
	sa.sll_ifindex = (int)if_nametoindex(end->port);
	lab_netns_leave(back);
	assert_true(fd >= 0 && sa.sll_ifindex > 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return fd;
}

static bool wire_carrier(const struct lab *lab, const struct lab_link_end *end)
{
	char netns[LAB_NETNS_LEN];
	struct rtnl_link link;
	struct rtnl *nl;

	lab_netns_wire(lab, end->node, netns);
	assert_int_equal(rtnl_open(&nl, netns), 0);
	assert_int_equal(rtnl_link_get(nl, end->port, &link), 0);
	rtnl_close(nl);
	return link.flags & 0x10000; /* IFF_LOWER_UP */
}

/* Whether a frame that goes in at one end comes out at the other within `ms`. */
static bool wire_passes(int from, int to, int ms)
{
	static uint32_t serial;
	uint64_t deadline = clock_ms() + (uint64_t)ms;
	uint8_t frame[64] = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5}, got[64];

	serial++;
	memcpy(frame + 14, &serial, sizeof(serial));
	if (send(from, frame, sizeof(frame), 0) != sizeof(frame))
		return false;
	while (clock_ms() < deadline) {
		struct pollfd pfd = {.fd = to, .events = POLLIN};

		if (poll(&pfd, 1, 5) <= 0)
			continue;
		if (recv(to, got, sizeof(got), MSG_DONTWAIT) == sizeof(got) &&
			!memcmp(got, frame, sizeof(frame)))
			return true;
	}
	return false;
}

static void link_check(
	const struct lab *lab, unsigned int link, const int fd[2], enum lab_link_state wanted)
{
	enum lab_link_state state;
	struct lab_err err;

	if (lab_link_set(lab, lab->links[link].name, wanted, &err))
		fail_msg("%s", err.text);
	assert_int_equal(lab_link_get(lab, lab->links[link].name, &state, &err), 0);
	assert_int_equal(state, wanted);
	for (int e = 0; e < 2; e++) {
		assert_int_equal(
			wire_carrier(lab, &lab->links[link].end[e]), wanted != LAB_LINK_DOWN);
		/* a veth is up at once; what does not pass does not pass later */
		assert_int_equal(
			wire_passes(fd[e], fd[!e], wanted == LAB_LINK_UP ? DEADLINE_MS : 50),
			wanted == LAB_LINK_UP);
	}
}

static void test_links(void **state)
{
	struct lab *lab = *state;
	struct lab_err err;
	int fd[2];

	plan_file(lab, "parallel2.yaml", 0);
	up(lab);
	for (int e = 0; e < 2; e++)
		fd[e] = wire_open(lab, &lab->links[0].end[e]);
	link_check(lab, 0, fd, LAB_LINK_UP);
	link_check(lab, 0, fd, LAB_LINK_SILENT);
	link_check(lab, 0, fd, LAB_LINK_UP);
	link_check(lab, 0, fd, LAB_LINK_DOWN);
	link_check(lab, 0, fd, LAB_LINK_SILENT);
	link_check(lab, 0, fd, LAB_LINK_DOWN);
	link_check(lab, 0, fd, LAB_LINK_UP);
	assert_int_equal(lab_link_set(lab, "nothing", LAB_LINK_UP, &err), -ENOENT);
	for (int e = 0; e < 2; e++)
		close(fd[e]);
	down();
}

/* ---- workloads ---------------------------------------------------------------------------- */

static void test_workloads(void **state)
{
	struct lab_workload w = {.name = "one", .port = "p1", .address_count = 2}, got, *list;
	struct lab *lab = *state;
	struct lab_err err;
	unsigned int count;

	plan_file(lab, "single.yaml", 0);
	up(lab);
	strcpy(w.node, lab->nodes[0].name);
	strcpy(w.addresses[0], "192.0.2.1/24");
	strcpy(w.addresses[1], "2001:db8::1/64");
	assert_int_equal(lab_workload_add(lab, &w, &err), 0);
	assert_int_equal(lab_workload_add(lab, &w, &err), -EEXIST);
	strcpy(w.name, "two");
	assert_int_equal(lab_workload_add(lab, &w, &err), -EBUSY);
	assert_non_null(strstr(err.text, "one"));
	strcpy(w.port, "p9");
	assert_int_equal(lab_workload_add(lab, &w, &err), -ENOENT);
	strcpy(w.port, "p2");
	strcpy(w.addresses[0], "192.0.2.2");
	assert_int_equal(lab_workload_add(lab, &w, &err), -EINVAL);
	strcpy(w.addresses[0], "192.0.2.2/24");
	assert_int_equal(lab_workload_add(lab, &w, &err), 0);

	assert_int_equal(lab_workload_move(lab, "one", w.node, "p2", &err), -EBUSY);
	for (int i = 0; i < 10; i++)
		if (lab_workload_move(lab, "one", w.node, i % 2 ? "p1" : "p3", &err))
			fail_msg("%s", err.text);
	assert_int_equal(lab_workload_get(lab, "one", &got, &err), 0);
	assert_string_equal(got.port, "p1");
	assert_int_equal(got.address_count, 2);
	assert_int_equal(lab_workload_list(lab, &list, &count, &err), 0);
	assert_int_equal(count, 2);
	assert_string_equal(list[0].name, "one");
	free(list);
	assert_int_equal(lab_workload_remove(lab, "one", &err), 0);
	assert_int_equal(lab_workload_remove(lab, "one", &err), -ENOENT);
	strcpy(w.name, "three");
	strcpy(w.port, "p1");
	assert_int_equal(lab_workload_add(lab, &w, &err), 0);
	down();
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_refused_before, clean, tidy),
		cmocka_unit_test_setup_teardown(test_shapes, clean, tidy),
		cmocka_unit_test_setup_teardown(test_links, clean, tidy),
		cmocka_unit_test_setup_teardown(test_workloads, clean, tidy),
		cmocka_unit_test_setup_teardown(test_up_down_twice, clean, tidy),
		cmocka_unit_test_setup_teardown(test_up_at_once, clean, tidy),
		cmocka_unit_test_setup_teardown(test_down_without_supervisor, clean, tidy),
		cmocka_unit_test_setup_teardown(test_down_from_pieces, clean, tidy),
		cmocka_unit_test_setup_teardown(test_failed_up_is_undone, clean, tidy),
		cmocka_unit_test_setup_teardown(test_process_comes_back, clean, tidy),
	};

	if (argc != 2) {
		fprintf(stderr, "usage: %s SOURCE_DIR\n", argv[0]);
		return 2;
	}
	if (geteuid()) {
		fprintf(stderr, "needs root\n");
		return 77; /* skipped */
	}
	source_dir = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
