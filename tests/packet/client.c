/* A client of the rig's API; see client.h. */
#include "dataplane/dpdk_compat.h"

#include "tests/packet/client.h"
#include "tests/packet/kernel.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "dataplane/api/api.h"

#define TURNS 2000

void client_serve(struct client_server *server, struct rig *rig)
{
	const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memset(server, 0, sizeof(*server));
	server->rig = rig;
	server->addr.sun_family = AF_UNIX;
	/* an abstract name of the kernel's choice */
	assert_int_equal(bind(fd, (struct sockaddr *)&server->addr, sizeof(sa_family_t)), 0);
	server->addr_len = sizeof(server->addr);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&server->addr, &server->addr_len), 0);
	assert_int_equal(listen(fd, 32), 0);
	rig->dp->api = api_open(rig->dp, fd);
	assert_non_null(rig->dp->api);
}

void client_connect(const struct client_server *server, struct client *c)
{
	c->rig = server->rig;
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(c->fd >= 0);
	assert_int_equal(
		connect(c->fd, (const struct sockaddr *)&server->addr, server->addr_len), 0);
	frame_decoder_init(&c->decoder, FRAME_MAX_BYTES);
}

void client_close(struct client *c)
{
	close(c->fd);
	frame_decoder_free(&c->decoder);
}

void client_send(struct client *c, const Audums__V1__DataplaneRequest *request)
{
	uint8_t *out;
	size_t len;

	assert_int_equal(frame_encode(&request->base, FRAME_MAX_BYTES, &out, &len), 0);
	assert_int_equal(send(c->fd, out, len, 0), len);
	free(out);
}

Audums__V1__DataplaneReply *client_recv(struct client *c)
{
	for (unsigned int i = 0; i < TURNS; i++) {
		uint8_t buf[65536];
		struct frame frame;
		ssize_t n;

		assert_return_code(dataplane_turn(c->rig->dp, 0), 0);
		n = recv(c->fd, buf, RTE_MIN(sizeof(buf), frame_decoder_missing(&c->decoder)),
			MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno == ECONNRESET))
			return NULL;
		if (n < 0)
			continue;
		assert_int_equal(frame_decoder_feed(&c->decoder, buf, (size_t)n, &frame), n);
		if (frame.data != NULL) {
			Audums__V1__DataplaneReply *r =
				audums__v1__dataplane_reply__unpack(NULL, frame.len, frame.data);

			assert_non_null(r);
			return r;
		}
	}
	fail_msg("no reply");
	return NULL;
}

int client_site_setup(void **state)
{
	static struct site site;

	memset(&site, 0, sizeof(site));
	site.rig = rig_open(NULL);
	kernel_site(site.rig);
	client_serve(&site.server, site.rig);
	client_connect(&site.server, &site.client);
	*state = &site;
	return 0;
}

int client_site_teardown(void **state)
{
	struct site *s = *state;

	client_close(&s->client);
	rig_close(s->rig);
	return 0;
}
