/*
 * Repairs of a bgpd that accepts all and shows nothing of it: each is tried at once, then less and
 * less often, and once the residue has gone a new one is repaired at once again.
 *
 *	[frr.c] --vty socket-- [a bgpd that lies, in this process]
 */
#include "tests/unit/agent/support.h"

#include "controller/agent/desired.h"
#include "controller/agent/frr/frr.h"
#include "controller/rpc/loop.h"
#include "proto/lib/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PEERS                                                                                      \
	"\"ipv4Unicast\":{\"as\":64511,\"routerId\":\"10.254.1.1\",\"peers\":{"                    \
	"\"10.253.1.1\":{\"remoteAs\":64512,\"state\":\"Idle\"}}},"                                \
	"\"l2VpnEvpn\":{\"as\":64511,\"routerId\":\"10.254.1.1\",\"peers\":{"                      \
	"\"10.254.2.1\":{\"remoteAs\":64512,\"state\":\"Idle\"}}}"
#define NO_PEER                                                                                    \
	"\"ipv4Unicast\":{\"as\":64511,\"routerId\":\"10.254.1.1\",\"peers\":{"                    \
	"\"10.253.1.1\":{\"remoteAs\":64512,\"state\":\"Idle\"}}}"

struct world {
	struct loop *loop;
	char dir[64], path[96];
	int listener, client;
	struct loop_fd *accept_watch, *read_watch;
	char input[65536];
	size_t input_len;
	const char *summary;
	unsigned int neighbors, drifts;
	struct desired desired;
	struct frr frr;
};

static void answer(struct world *w, const char *command)
{
	char out[1024];
	size_t n = 0;

	if (strcmp(command, "show bgp summary json") == 0)
		n = (size_t)snprintf(out, sizeof(out) - 4, "{%s}", w->summary);
	else if (strcmp(command, "show bgp l2vpn evpn vni json") == 0)
		n = (size_t)snprintf(out, sizeof(out) - 4, "{\"advertiseAllVnis\":\"Enabled\"}");
	else if (strcmp(command, "neighbor 10.254.2.1 remote-as 64512") == 0)
		w->neighbors++;
	memset(out + n, 0, 4);
	assert_true(send(w->client, out, n + 4, MSG_NOSIGNAL) == (ssize_t)(n + 4));
}

static void on_read(void *arg, int fd, unsigned int ready)
{
	struct world *w = arg;
	const ssize_t n = recv(fd, w->input + w->input_len, sizeof(w->input) - w->input_len, 0);
	char *zero;

	assert_true(n > 0);
	w->input_len += (size_t)n;
	while ((zero = memchr(w->input, 0, w->input_len))) {
		const size_t len = (size_t)(zero - w->input) + 1;
		char command[512];

		assert_true(len <= sizeof(command));
		memcpy(command, w->input, len);
		memmove(w->input, zero + 1, w->input_len - len);
		w->input_len -= len;
		answer(w, command);
	}
}

static void on_accept(void *arg, int fd, unsigned int ready)
{
	struct world *w = arg;

	w->client = accept(fd, NULL, NULL);
	assert_true(w->client >= 0);
	w->read_watch = loop_fd_add(w->loop, w->client, LOOP_IN, on_read, w);
}

static void changed(void *arg)
{
}

static void drift(void *arg, const char *object, const char *message)
{
	struct world *w = arg;

	w->drifts++;
}

static bool has_vni(void *arg, uint32_t vni)
{
	return false;
}

static void turn_for(struct world *w, uint64_t ms)
{
	const uint64_t until = loop_now_ms() + ms;

	while (loop_now_ms() < until)
		assert_true(loop_turn(w->loop, 10) >= 0);
}

static void test_repairs_back_off(void **state)
{
	struct world w = {.listener = -1, .client = -1, .summary = PEERS};
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	Audums__V1__DesiredState *m = support_desired(1, 1, 0, 70001);
	unsigned int neighbors;
	char error[200];

	log_setup(LOG_LEVEL_ERROR, 2);
	strcpy(w.dir, "/tmp/audums-repair-test-XXXXXX");
	assert_non_null(mkdtemp(w.dir));
	w.loop = loop_new();
	snprintf(w.path, sizeof(w.path), "%s/bgpd.vty", w.dir);
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", w.path);
	w.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(w.listener, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(w.listener, 4), 0);
	w.accept_watch = loop_fd_add(w.loop, w.listener, LOOP_IN, on_accept, &w);
	assert_int_equal(desired_merge(&w.desired, m, error, sizeof(error)), 0);
	audums__v1__desired_state__free_unpacked(m, NULL);
	w.frr = (struct frr){
		.changed = changed, .drift = drift, .kernel_has_vni = has_vni, .arg = &w};
	assert_int_equal(frr_open(&w.frr, w.loop, w.dir, NULL, &w.desired), 0);
	assert_int_equal(frr_apply(&w.frr), 0);
	wait_for(w.loop, w.neighbors == 1 && w.frr.have_summary && !w.frr.bgpd.in_flight);
	turn_for(&w, 300);
	assert_int_equal(w.neighbors, 1);
	assert_int_equal(w.drifts, 0);

	/* a peer that does not come back, whatever is said: after 0, 250, 750, 1750 ms */
	w.summary = NO_PEER;
	frr_hurry(&w.frr);
	turn_for(&w, 1500);
	if (w.neighbors < 3 || w.neighbors > 5 || w.drifts > 4)
		fail_msg("%u attempts, %u events", w.neighbors, w.drifts);

	/* it heals, and the next loss is repaired at once */
	w.summary = PEERS;
	wait_for(w.loop, w.frr.repair_delay_ms == 0);
	neighbors = w.neighbors;
	w.summary = NO_PEER;
	frr_hurry(&w.frr);
	turn_for(&w, 200);
	assert_int_equal(w.neighbors, neighbors + 1);

	frr_close(&w.frr);
	desired_clear(&w.desired);
	loop_fd_remove(w.accept_watch);
	loop_fd_remove(w.read_watch);
	close(w.listener);
	close(w.client);
	loop_free(w.loop);
	unlink(w.path);
	rmdir(w.dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_repairs_back_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
