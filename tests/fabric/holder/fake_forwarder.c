/*
 * A forwarding process for the holder's tests: takes the list, says READY (after
 * AUDUMS_TEST_READY_MS), then carries out what AUDUMS_TEST_REQUESTS asks once, and answers PINGs
 * (none with AUDUMS_TEST_MUTE). It forwards nothing, so what passes an uplink passes by the
 * holder's pump.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "dataplane/port/handover.h"
#include "proto/lib/log.h"

static struct port_spec ports[PORT_MAX];
static unsigned int n_ports;

static int list_take(int fd)
{
	struct handover_msg msg;
	int rc;

	for (;;) {
		rc = handover_recv_wait(fd, 5000, &msg);
		if (rc < 0)
			return rc;
		switch (msg.type) {
		case HANDOVER_HELLO:
			if (msg.version != HANDOVER_VERSION)
				return -EPROTO;
			break;
		case HANDOVER_PORT:
			ports[n_ports++] = msg.port;
			break;
		case HANDOVER_NETLINK:
		case HANDOVER_API:
			break;
		case HANDOVER_START:
			return 0;
		default:
			return -EPROTO;
		}
	}
}

/* Three writes: one for a port that may have it, one for an uplink, one for no port at all. */
static int requests_make(int fd)
{
	struct handover_msg msg = {.type = HANDOVER_FDB_WRITE};
	unsigned int i;
	int rc;

	msg.fdb.seq = 7;
	msg.fdb.n = 3;
	for (i = 0; i < 3; i++) {
		const uint8_t mac[6] = {0x02, 0xaa, 0, 0, 0, (uint8_t)i};

		msg.fdb.entries[i].op = HANDOVER_FDB_REPLACE;
		memcpy(msg.fdb.entries[i].mac, mac, sizeof(mac));
		msg.fdb.entries[i].tap_ifindex = 60000;
	}
	for (i = 0; i < n_ports; i++)
		msg.fdb.entries[ports[i].role == PORT_ROLE_ACCESS ? 0 : 1].tap_ifindex =
			ports[i].tap_ifindex;
	rc = handover_send(fd, &msg);
	if (rc == 0)
		rc = handover_recv_wait(fd, 5000, &msg);
	if (rc < 0)
		return rc;
	log_info("fake_result", "type=%s seq=%u failed=%u errors=%d,%d,%d",
		handover_type_name(msg.type), msg.result.seq, msg.result.failed,
		msg.result.error[0], msg.result.error[1], msg.result.error[2]);
	for (i = 0; i < n_ports; i++) {
		if (ports[i].role != PORT_ROLE_UPLINK)
			continue;
		msg = (struct handover_msg){.type = HANDOVER_NEIGH_PROBE};
		msg.probe.tap_ifindex = ports[i].tap_ifindex;
		msg.probe.address = (uint32_t)inet_addr("10.9.0.77");
		rc = handover_send(fd, &msg);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int main(int argc, char **argv)
{
	const char *delay = getenv("AUDUMS_TEST_READY_MS");
	const char *requests = getenv("AUDUMS_TEST_REQUESTS");
	struct handover_msg msg = {0};
	int fd = -1, i, rc;

	for (i = 1; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--handover-fd") == 0)
			fd = atoi(argv[i + 1]);
	}
	rc = list_take(fd);
	if (rc < 0)
		goto out;
	log_info("fake_list", "ports=%u uid=%u", n_ports, (unsigned int)getuid());
	if (delay != NULL)
		usleep((unsigned int)atoi(delay) * 1000);
	msg.type = HANDOVER_READY;
	rc = handover_send(fd, &msg);
	if (rc == 0)
		rc = handover_recv_wait(fd, 5000, &msg);
	if (rc == 0 && msg.type != HANDOVER_GO)
		rc = -EPROTO;
	if (rc == 0 && requests != NULL)
		rc = requests_make(fd);
	if (rc < 0)
		goto out;
	log_info("fake_running", "pid=%d", (int)getpid());
	while ((rc = handover_recv_wait(fd, -1, &msg)) == 0 && msg.type == HANDOVER_PING) {
		msg.type = HANDOVER_PONG;
		if (getenv("AUDUMS_TEST_MUTE") == NULL && handover_send(fd, &msg) == 0)
			log_info("fake_pong", "pid=%d", (int)getpid());
	}
out:
	log_info("fake_ends", "rc=%d", rc);
	return rc == -EPIPE ? 0 : 1;
}
