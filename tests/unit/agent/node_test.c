/*
 * The agent against a real kernel and real FRR daemons:
 *
 *	 this process                          audums-agent --watch
 *	 zebra bgpd bfdd                       zebra bgpd bfdd
 *	[ namespace 1: n1, p1 ] --up0 = up0-- [ namespace 2: n2 ]
 *
 * What must hold: a desired state of two segments is there in kernel and bgpd, the peer's VTEP in
 * the flood lists; a second agent that takes over writes nothing; what somebody changes by hand
 * comes back within a second and is told; a bgpd that dies and returns is configured again while
 *the kernel stays as it is; a port that vanishes and returns is attached again; removal leaves
 *nothing.
 */
#include "tests/unit/agent/support.h"

#include "controller/agent/agent.h"
#include "controller/agent/report.h"
#include "controller/rpc/loop.h"
#include "proto/lib/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define VNI 70001

struct world {
	char dir[64], ns[2][32];
	int home; /* the namespace we came from */
	struct loop *loop;
	struct agent *agent;
	pid_t peer;
	unsigned int kernel_drifts, frr_drifts;
	char last_object[64];
	bool bgpd_up;
	char gone[4][32];
	unsigned int gone_count;
};

static const char *agent_exe;

/* ---- daemons ---- */

static void frr_start(const struct world *w, unsigned int n, const char *name, const char *options)
{
	support_run("ip netns exec %s /usr/lib/frr/%s -N %s -d %s --log file:%s/%s-%u.log "
		    ">/dev/null 2>&1",
		w->ns[n], name, w->ns[n], options, w->dir, name, n);
}

static pid_t frr_pid(const struct world *w, unsigned int n, const char *name)
{
	char path[128];
	int pid = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/run/frr/%s/%s.pid", w->ns[n], name);
	f = fopen(path, "re");
	if (!f)
		return 0;
	if (fscanf(f, "%d", &pid) != 1)
		pid = 0;
	fclose(f);
	return pid;
}

static void frr_stop(const struct world *w, unsigned int n, const char *name, int signo)
{
	const pid_t pid = frr_pid(w, n, name);
	struct pollfd ends = {.events = POLLIN};

	if (pid <= 0)
		return;
	ends.fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (ends.fd < 0)
		return;
	if (kill(pid, signo) == 0 && poll(&ends, 1, 5000) != 1)
		fail_msg("%s (pid %d) does not end", name, (int)pid);
	close(ends.fd);
}

/* Type lines into bgpd of our node, as an engineer would. */
static void by_hand(const struct world *w, const char *lines)
{
	support_run("vtysh -N %s -d bgpd %s >/dev/null", w->ns[0], lines);
}

static void node_make(const struct world *w, unsigned int n)
{
	support_run("ip netns add %s && ip -n %s link set lo up", w->ns[n], w->ns[n]);
	support_run("mkdir -p /run/frr/%s /etc/frr/%s && chown frr:frr /run/frr/%s", w->ns[n],
		w->ns[n], w->ns[n]);
	support_run("touch /etc/frr/%s/vtysh.conf", w->ns[n]);
}

static void node_frr(const struct world *w, unsigned int n)
{
	frr_start(w, n, "zebra", "-s 90000000 -K 60");
	frr_start(w, n, "bgpd", "");
	frr_start(w, n, "bfdd", "");
}

static void node_destroy(const struct world *w, unsigned int n)
{
	frr_stop(w, n, "bgpd", SIGTERM);
	frr_stop(w, n, "bfdd", SIGTERM);
	frr_stop(w, n, "zebra", SIGTERM);
	support_try("ip netns del %s", w->ns[n]);
	support_try("rm -rf /run/frr/%s /etc/frr/%s", w->ns[n], w->ns[n]);
}

/* ---- the agents ---- */

static bool on_report(void *arg, const Audums__V1__Report *r)
{
	struct world *w = arg;

	for (size_t i = 0; i < r->n_components; i++)
		if (strcmp(r->components[i]->name, "bgpd") == 0)
			w->bgpd_up = r->components[i]->up;
	for (size_t i = 0; i < r->n_gone_segments && w->gone_count < 4; i++)
		snprintf(w->gone[w->gone_count++], sizeof(w->gone[0]), "%s", r->gone_segments[i]);
	return true;
}

static bool on_event(void *arg, const Audums__V1__AgentEvent *e)
{
	struct world *w = arg;

	w->kernel_drifts += strcmp(e->kind, "kernel_drift") == 0;
	w->frr_drifts += strcmp(e->kind, "frr_drift") == 0;
	snprintf(w->last_object, sizeof(w->last_object), "%s", e->object);
	return true;
}

static void agent_start(struct world *w)
{
	static char state_dir[128], vty_dir[128], ports[128];
	struct agent_options opt = {.node = "n1"};
	char error[256];

	snprintf(state_dir, sizeof(state_dir), "%s/state", w->dir);
	snprintf(vty_dir, sizeof(vty_dir), "/run/frr/%s", w->ns[0]);
	snprintf(ports, sizeof(ports), "%s/ports.conf", w->dir);
	opt.state_dir = state_dir;
	opt.vty_dir = vty_dir;
	opt.ports_file = ports;
	w->agent = calloc(1, sizeof(*w->agent));
	assert_non_null(w->agent);
	if (agent_open(w->agent, w->loop, &opt, error, sizeof(error)) < 0)
		fail_msg("%s", error);
	agent_listen(w->agent, on_report, on_event, w);
}

static void agent_stop(struct world *w)
{
	agent_close(w->agent);
	free(w->agent);
	w->agent = NULL;
}

static void take(struct world *w, Audums__V1__DesiredState *m)
{
	char error[256];

	if (agent_take(w->agent, m, error, sizeof(error)) < 0)
		fail_msg("%s", error);
	audums__v1__desired_state__free_unpacked(m, NULL);
}

static Audums__V1__DesiredState *two_segments(unsigned int node, uint64_t generation)
{
	Audums__V1__DesiredState *m = support_desired(node, generation, 2, VNI);

	if (node == 1)
		support_attach(m, 0, "w1", "p1");
	return m;
}

static void peer_start(struct world *w)
{
	Audums__V1__DesiredState *m = two_segments(2, 1);
	const size_t n = audums__v1__desired_state__get_packed_size(m);
	uint8_t *buf = malloc(n);
	char file[128], state_dir[128];
	FILE *f;

	assert_non_null(buf);
	audums__v1__desired_state__pack(m, buf);
	snprintf(file, sizeof(file), "%s/peer.pb", w->dir);
	snprintf(state_dir, sizeof(state_dir), "%s/peer-state", w->dir);
	f = fopen(file, "we");
	assert_non_null(f);
	assert_int_equal(fwrite(buf, 1, n, f), n);
	fclose(f);
	free(buf);
	audums__v1__desired_state__free_unpacked(m, NULL);
	w->peer = fork();
	assert_true(w->peer >= 0);
	if (w->peer == 0) {
		execlp("ip", "ip", "netns", "exec", w->ns[1], agent_exe, "--desired", file,
			"--watch", "--state", state_dir, "--run", w->dir, "--frr-pathspace",
			w->ns[1], "--log-level", "error", NULL);
		_exit(127);
	}
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	char path[128];
	FILE *f;
	int fd;

	assert_non_null(w);
	*state = w;
	log_setup(getenv("AGENT_TEST_LOG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR, 2);
	strcpy(w->dir, "/tmp/audums-agent-test-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	assert_int_equal(chmod(w->dir, 0777), 0); /* the daemons log as user frr */
	w->home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	for (unsigned int n = 0; n < 2; n++) {
		snprintf(w->ns[n], sizeof(w->ns[n]), "au-agent-%d-%u", (int)getpid(), n + 1);
		node_make(w, n);
	}
	support_run("ip -n %s link add up0 type veth peer name up0 netns %s", w->ns[0], w->ns[1]);
	for (unsigned int n = 0; n < 2; n++)
		node_frr(w, n);
	support_run("ip netns exec %s ip tuntap add p1 mode tap", w->ns[0]);
	snprintf(path, sizeof(path), "%s/ports.conf", w->dir);
	f = fopen(path, "we");
	assert_non_null(f);
	fputs("# ports of the test\nport up0 role=uplink\nport p1 role=access backend=packet\n", f);
	fclose(f);
	peer_start(w);
	snprintf(path, sizeof(path), "/run/netns/%s", w->ns[0]);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(setns(fd, CLONE_NEWNET), 0);
	close(fd);
	w->loop = loop_new();
	assert_non_null(w->loop);
	agent_start(w);
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	if (w->agent)
		agent_stop(w);
	loop_free(w->loop);
	if (w->peer > 0) {
		kill(w->peer, SIGTERM);
		waitpid(w->peer, NULL, 0);
	}
	setns(w->home, CLONE_NEWNET);
	close(w->home);
	node_destroy(w, 0);
	node_destroy(w, 1);
	support_try("rm -rf %s", w->dir);
	free(w);
	return 0;
}

/* ---- what is seen ---- */

static const struct klink *link_of(const struct world *w, const char *name)
{
	return kmodel_name(&w->agent->kernel.model, name);
}

static bool floods(const struct world *w, const char *name)
{
	const struct klink *l = link_of(w, name);

	return l && l->flood_count == 1 && l->flood[0].ip == 0x0afe0201;
}

static bool converged(const struct world *w)
{
	return agent_applied(w->agent) && floods(w, "vx70001") && floods(w, "vx70002");
}

static Audums__V1__ApplyState state_of(const struct world *w, const char *name)
{
	const char *message;

	return report_segment_state(w->agent, desired_find(&w->agent->desired, name), &message);
}

#define APPLIED AUDUMS__V1__APPLY_STATE__APPLY_STATE_APPLIED

static void up(struct world *w)
{
	take(w, two_segments(1, 1));
	wait_for(w->loop, converged(w));
}

/* ---- tests ---- */

static void test_apply(void **state)
{
	struct world *w = *state;
	const struct klink *l;
	struct segment *s;

	up(w);
	l = link_of(w, "vx70001");
	assert_string_equal(l->alias, "audums:seg0");
	assert_int_equal(l->vni, VNI);
	assert_int_equal(l->vxlan_local, 0x0afe0101);
	assert_int_equal(l->isolated, 1);
	assert_int_equal(l->learning, 0);
	assert_int_equal(l->vxlan_learning, 0);
	assert_int_equal(l->mtu, 1500);
	l = link_of(w, "br70001");
	assert_string_equal(l->alias, "audums:seg0");
	assert_int_equal(l->addrgenmode, 1);
	l = link_of(w, "p1");
	assert_int_equal(l->master, link_of(w, "br70001")->ifindex);
	assert_int_equal(l->isolated, 1);
	assert_int_equal(l->learning, 0);
	assert_true(klink_has_addr(link_of(w, "lo"), 0x0afe0101, 32));
	assert_true(klink_has_addr(link_of(w, "up0"), 0x0afd0100, 31));
	assert_int_equal(link_of(w, "up0")->mtu, 1600);
	s = desired_find(&w->agent->desired, "seg0");
	assert_string_equal(s->rd, "10.254.1.1:1");
	assert_true(s->attachments[0].attached);
	assert_false(s->attachments[0].link_up); /* nobody holds the TAP */
	wait_for(w->loop,
		rb_peers_find(&w->agent->frr.summary.ipv4, "10.253.1.1") &&
			rb_peers_find(&w->agent->frr.summary.ipv4, "10.253.1.1")->established);
	wait_for(w->loop, rb_bfd_find(&w->agent->frr.bfd, "10.253.1.1") &&
				  rb_bfd_find(&w->agent->frr.bfd, "10.253.1.1")->up);
	assert_int_equal(w->kernel_drifts + w->frr_drifts, 0);

	/* A second agent takes over and has nothing to do. */
	wait_for(w->loop, !w->agent->unsaved);
	agent_stop(w);
	agent_start(w);
	wait_for(w->loop, converged(w));
	assert_int_equal(w->agent->kernel.writes, 0);
	assert_int_equal(w->agent->frr.bgpd.commands, 0);
	assert_int_equal(w->agent->frr.bfdd.commands, 0);
	assert_int_equal(w->agent->frr.zebra.commands, 0);
	assert_int_equal(w->kernel_drifts + w->frr_drifts, 0);
}

/* What was changed by hand is as it was within a second (and the sanitisers' slowness). */
#define within_a_second(w, cond)                                                                   \
	do {                                                                                       \
		const uint64_t hand_at = loop_now_ms();                                            \
		wait_for((w)->loop, cond);                                                         \
		if (loop_now_ms() - hand_at > 1000)                                                \
			print_message("took %lu ms: %s\n",                                         \
				(unsigned long)(loop_now_ms() - hand_at), #cond);                  \
		assert_true(loop_now_ms() - hand_at <= 3000);                                      \
	} while (0)

static void test_drift(void **state)
{
	struct world *w = *state;
	int was;

	up(w);
	was = link_of(w, "vx70001")->ifindex;
	support_run("ip link del vx70001");
	within_a_second(w, link_of(w, "vx70001") && link_of(w, "vx70001")->ifindex != was &&
				   state_of(w, "seg0") == APPLIED && floods(w, "vx70001"));
	wait_for(w->loop, w->kernel_drifts >= 1);
	assert_string_equal(w->last_object, "segment/seg0");

	was = link_of(w, "br70001")->ifindex;
	support_run("ip link del br70001");
	within_a_second(w, link_of(w, "br70001") && link_of(w, "br70001")->ifindex != was &&
				   link_of(w, "p1")->master == link_of(w, "br70001")->ifindex &&
				   link_of(w, "p1")->isolated == 1 &&
				   state_of(w, "seg0") == APPLIED);

	support_run("bridge link set dev p1 isolated off learning on");
	support_run("ip link set br70001 alias ''");
	support_run("ip link set vx70002 nomaster");
	support_run("ip addr del 10.253.1.0/31 dev up0");
	loop_turn(w->loop, 0);
	within_a_second(
		w, link_of(w, "p1")->isolated == 1 && link_of(w, "p1")->learning == 0 &&
			   strcmp(link_of(w, "br70001")->alias, "audums:seg0") == 0 &&
			   link_of(w, "vx70002")->master == link_of(w, "br70002")->ifindex &&
			   klink_has_addr(link_of(w, "up0"), 0x0afd0100, 31));

	wait_for(w->loop, converged(w));
	by_hand(w, "-c 'configure terminal' -c 'router bgp 64511' "
		   "-c 'address-family l2vpn evpn' -c 'no vni 70002'");
	within_a_second(w, w->frr_drifts >= 1 && state_of(w, "seg1") == APPLIED);
	assert_string_equal(w->last_object, "segment/seg1");

	by_hand(w, "-c 'configure terminal' -c 'router bgp 64511' -c 'address-family l2vpn evpn' "
		   "-c 'vni 70001' -c 'route-target import 64511:9'");
	within_a_second(w, w->frr_drifts >= 2 && state_of(w, "seg0") == APPLIED);

	by_hand(w, "-c 'configure terminal' -c 'no router bgp 64511'");
	within_a_second(w, w->frr_drifts >= 3 && state_of(w, "seg0") == APPLIED &&
				   state_of(w, "seg1") == APPLIED);
	wait_for(w->loop, converged(w));
}

static void test_bgpd_dies(void **state)
{
	struct world *w = *state;
	int vx;

	up(w);
	vx = link_of(w, "vx70001")->ifindex;
	frr_stop(w, 0, "bgpd", SIGKILL);
	wait_for(w->loop, !w->bgpd_up && state_of(w, "seg0") != APPLIED);
	assert_true(link_of(w, "vx70001") && link_of(w, "vx70001")->ifindex == vx);
	/* what doesn't need bgpd works meanwhile */
	support_run("ip link del br70002");
	within_a_second(w, link_of(w, "br70002") &&
				   link_of(w, "vx70002")->master == link_of(w, "br70002")->ifindex);
	frr_start(w, 0, "bgpd", "");
	wait_for(w->loop, w->bgpd_up && converged(w));
	assert_int_equal(link_of(w, "vx70001")->ifindex, vx);

	frr_stop(w, 0, "zebra", SIGKILL);
	wait_for(w->loop, !w->agent->frr.zebra.up);
	frr_start(w, 0, "zebra", "-s 90000000 -K 60");
	wait_for(w->loop, w->agent->frr.zebra.up && converged(w));
}

static void test_port_returns(void **state)
{
	struct world *w = *state;
	struct segment *s;

	up(w);
	s = desired_find(&w->agent->desired, "seg0");
	support_run("ip link del p1");
	wait_for(w->loop, !s->attachments[0].attached && !link_of(w, "p1"));
	assert_int_equal(state_of(w, "seg0"), APPLIED);
	support_run("ip tuntap add p1 mode tap");
	within_a_second(w, s->attachments[0].attached);
	assert_int_equal(link_of(w, "p1")->addrgenmode, 1);
	assert_int_equal(link_of(w, "p1")->isolated, 1);
}

static void test_removal(void **state)
{
	struct world *w = *state;
	Audums__V1__DesiredState *m;
	char *text;

	support_run("ip -o link | sed 's/^[0-9]*: //;s/[@:].*//' | sort > %s/before", w->dir);
	up(w);
	m = two_segments(1, 2);
	support_drop(m, 0);
	take(w, m);
	wait_for(w->loop, agent_applied(w->agent) && w->gone_count == 1);
	assert_string_equal(w->gone[0], "seg0");
	assert_null(link_of(w, "vx70001"));
	assert_null(link_of(w, "br70001"));
	assert_int_equal(link_of(w, "p1")->master, 0);
	assert_true(floods(w, "vx70002"));
	assert_null(rb_vnis_find(&w->agent->frr.vnis, VNI));

	take(w, support_desired(1, 3, 0, VNI));
	wait_for(w->loop, agent_applied(w->agent) && w->gone_count == 2);
	support_run("ip -o link | sed 's/^[0-9]*: //;s/[@:].*//' | sort > %s/after", w->dir);
	support_run("cmp %s/before %s/after", w->dir, w->dir);
	support_run("vtysh -N %s -d bgpd -c 'show running-config' > %s/running", w->ns[0], w->dir);
	{
		char path[128];

		snprintf(path, sizeof(path), "%s/running", w->dir);
		text = support_read(path, NULL);
	}
	assert_non_null(strstr(text, "advertise-all-vni"));
	assert_null(strstr(text, "  vni "));
	assert_null(strstr(text, "route-target"));
	free(text);
	assert_int_equal(w->kernel_drifts + w->frr_drifts, 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_apply, setup, teardown),
		cmocka_unit_test_setup_teardown(test_drift, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bgpd_dies, setup, teardown),
		cmocka_unit_test_setup_teardown(test_port_returns, setup, teardown),
		cmocka_unit_test_setup_teardown(test_removal, setup, teardown),
	};
	const int skip = support_need_root();

	if (skip)
		return skip;
	if (access("/usr/lib/frr/bgpd", X_OK) < 0) {
		puts("skipped: needs FRR (package frr)");
		return 77;
	}
	if (argc < 2) {
		fputs("usage: node_test AUDUMS-AGENT\n", stderr);
		return 2;
	}
	agent_exe = argv[1];
	if (getenv("AGENT_TEST_ONLY"))
		cmocka_set_test_filter(getenv("AGENT_TEST_ONLY"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
