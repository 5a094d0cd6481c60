/*
 * libFuzzer: what a client may send to the forwarding process's unix socket, in pieces (the first
 * octet says of what size). It is answered, or the connection is closed; nothing is left of it.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "dataplane/api/api.h"
#include "tests/packet/kernel.h"
#include "tests/packet/rig.h"

#define TURNS 40

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct rig *rig;
static struct sockaddr_un address = {.sun_family = AF_UNIX};

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (rig_group_setup(NULL) < 0)
		abort();
	rig = rig_open(NULL);
	kernel_site(rig);
	/* an abstract name: nothing to remove */
	snprintf(
		address.sun_path + 1, sizeof(address.sun_path) - 1, "audums-fuzz-api-%d", getpid());
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 8) < 0)
		abort();
	rig->dp->api = api_open(rig->dp, fd);
	if (rig->dp->api == NULL)
		abort();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	static uint8_t sink[65536];
	size_t piece, at = 1;

	if (size < 2 || fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		goto out;
	piece = data[0] % 16 == 0 ? size : data[0];
	for (unsigned int turn = 0; turn < TURNS && (at < size || turn < 6); turn++) {
		const size_t n = piece < size - at ? piece : size - at;

		if (n > 0 && send(fd, data + at, n, MSG_NOSIGNAL) > 0)
			at += n;
		if (dataplane_turn(rig->dp, 0) < 0)
			abort();
		while (recv(fd, sink, sizeof(sink), 0) > 0)
			;
	}
out:
	if (fd >= 0)
		close(fd);
	/* its end is seen */
	for (int i = 0; i < 3; i++)
		if (dataplane_turn(rig->dp, 0) < 0)
			abort();
	if (rig->dp->trace != NULL)
		abort();
	return 0;
}
