/* libFuzzer: link messages of a wire's namespace, as the packet back end and the holder read them;
 * each record of the input (records.h) is a datagram. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dataplane/port/wirelink.h"
#include "tests/fuzz/records.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_state(const struct wirelink_state *state, void *arg)
{
	unsigned int *n = arg;

	if (memchr(state->name, '\0', sizeof(state->name)) == NULL)
		abort();
	++*n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct record records[RECORDS_MAX];
	const size_t n = records_split(data, size, records);
	unsigned int seen = 0;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0)
		abort();
	for (size_t i = 0; i < n; i++)
		if (records[i].len > 0)
			(void)send(pair[1], records[i].data, records[i].len, MSG_NOSIGNAL);
	if (wirelink_read(pair[0], on_state, &seen) != 0)
		abort();
	close(pair[0]);
	close(pair[1]);
	return 0;
}
