/*
 * Asks an FRR daemon for the output of one command, over its vty socket.
 *
 * The protocol: a command ends in a zero octet; the answer is text, then three zero octets and one
 * with the status. Read-only use, for snapshots; the agent has its own client for changes.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "controller/ctl/lab/internal.h"

#define ANSWER_MAX (16 << 20)

static char *vty_answer(int fd)
{
	size_t used = 0, size = 16384;
	char *text = malloc(size), *grown;

	while (text) {
		ssize_t n;

		if (used + 4096 > size) {
			grown = size < ANSWER_MAX ? realloc(text, size * 2) : NULL;
			if (!grown)
				break;
			text = grown;
			size *= 2;
		}
		n = recv(fd, text + used, 4096, 0);
		if (n <= 0)
			break;
		used += (size_t)n;
		if (used >= 4 && !memcmp(text + used - 4, "\0\0\0", 3))
			return text; /* the first of the zero octets ends it */
	}
	free(text);
	return NULL;
}

char *vty_show(const char *pathspace, const char *daemon, const char *command)
{
	const char *commands[] = {"enable", command};
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	struct timeval limit = {.tv_sec = 5};
	char *answer = NULL;
	int fd;

	if (snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/%s/%s.vty", LAB_FRR_RUN, pathspace,
		    daemon) >= (int)sizeof(sa.sun_path))
		return NULL;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return NULL;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (!connect(fd, (struct sockaddr *)&sa, sizeof(sa)))
		for (int i = 0; i < 2; i++) {
			free(answer);
			answer = NULL;
			if (send(fd, commands[i], strlen(commands[i]) + 1, MSG_NOSIGNAL) < 0)
				break;
			answer = vty_answer(fd);
			if (!answer)
				break;
		}
	close(fd);
	return answer;
}
