/*
 * nghttp2's callbacks: from frames to calls; see rpc_internal.h.
 *
 * Invariant: a stream's user data is its call exactly while the call is not over; flow control is
 * ours: the connection's window is given back at once (a call that is held up must not hold up
 * others), a stream's when its octets have been delivered.
 */
#include <errno.h>
#include <string.h>

#include "controller/rpc/rpc_internal.h"

static struct rpc_call *call_of(struct rpc_conn *c, int32_t stream)
{
	return nghttp2_session_get_stream_user_data(c->session, stream);
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *f, void *arg)
{
	struct rpc_conn *c = arg;
	struct rpc_call *call;

	c->block_octets = 0;
	if (!c->server || f->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	call = rpc_call_new(c, &rpc_server_call_ops, f->hd.stream_id);
	if (!call)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	nghttp2_session_set_stream_user_data(session, f->hd.stream_id, call);
	return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *f, const uint8_t *name,
	size_t name_len, const uint8_t *value, size_t len, uint8_t flags, void *arg)
{
	struct rpc_conn *c = arg;
	struct rpc_call *call = call_of(c, f->hd.stream_id);

	/* As RFC 9113, 6.5.2 counts. A little too much is told to the caller; a block that unfolds
	 * to a multiple is an attack (a few octets can stand for a whole table entry). */
	c->block_octets += name_len + len + 32;
	if (c->block_octets > 4 * c->limits->header_bytes) {
		rpc_conn_close(c, FAULT_FLOOD, "header list too long");
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	}
	if (!call)
		return 0;
	if (c->block_octets > c->limits->header_bytes)
		call->headers_too_long = true;
	else
		call->ops->header(call, name, name_len, value, len);
	return 0;
}

static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *arg)
{
	struct rpc_conn *c = arg;

	switch (hd->type) {
	case NGHTTP2_DATA:
		if (hd->length > 0 || (hd->flags & NGHTTP2_FLAG_END_STREAM))
			return 0;
		break;
	case NGHTTP2_PRIORITY:
	case NGHTTP2_RST_STREAM:
	case NGHTTP2_SETTINGS:
	case NGHTTP2_PING:
		break;
	default:
		return 0;
	}
	return rpc_conn_flood_check(c) ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *f, void *arg)
{
	static const uint8_t drain[8] = "drain...";
	struct rpc_conn *c = arg;
	struct rpc_call *call;

	switch (f->hd.type) {
	case NGHTTP2_SETTINGS:
		if (!(f->hd.flags & NGHTTP2_FLAG_ACK))
			rpc_conn_settings_received(c);
		return 0;
	case NGHTTP2_PING:
		if ((f->hd.flags & NGHTTP2_FLAG_ACK) && c->draining && !c->drain_final &&
			memcmp(f->ping.opaque_data, drain, sizeof(drain)) == 0) {
			c->drain_final = true;
			nghttp2_submit_goaway(session, NGHTTP2_FLAG_NONE,
				nghttp2_session_get_last_proc_stream_id(session), NGHTTP2_NO_ERROR,
				NULL, 0);
		}
		return 0;
	case NGHTTP2_GOAWAY:
		c->goaway = true;
		c->goaway_code = f->goaway.error_code;
		if (c->ops->goaway)
			c->ops->goaway(c);
		return 0;
	case NGHTTP2_HEADERS:
		call = call_of(c, f->hd.stream_id);
		if (call)
			call->ops->headers(call, f->hd.flags & NGHTTP2_FLAG_END_STREAM);
		break;
	case NGHTTP2_DATA:
		break;
	default:
		return 0;
	}
	if (f->hd.flags & NGHTTP2_FLAG_END_STREAM) {
		call = call_of(c, f->hd.stream_id);
		if (call)
			rpc_call_remote_end(call);
	}
	return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *p,
	size_t n, void *arg)
{
	struct rpc_conn *c = arg;
	struct rpc_call *call = call_of(c, stream);

	nghttp2_session_consume_connection(session, n);
	if (call)
		rpc_call_receive(call, p, n);
	return c->closing ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_stream_close(nghttp2_session *session, int32_t stream, uint32_t error_code, void *arg)
{
	struct rpc_call *call = call_of(arg, stream);

	if (call)
		call->ops->closed(call, error_code);
	return 0;
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *f, void *arg)
{
	struct rpc_conn *c = arg;
	const struct rpc_call *call;

	/* A server that has answered before it has read everything ends the stream (RFC 9113, 8.1).
	 */
	if (!c->server || f->hd.type != NGHTTP2_HEADERS || !(f->hd.flags & NGHTTP2_FLAG_END_STREAM))
		return 0;
	call = call_of(c, f->hd.stream_id);
	if (call && !call->remote_end)
		nghttp2_submit_rst_stream(
			session, NGHTTP2_FLAG_NONE, f->hd.stream_id, NGHTTP2_NO_ERROR);
	return 0;
}

static ssize_t read_data(nghttp2_session *session, int32_t stream, uint8_t *p, size_t len,
	uint32_t *flags, nghttp2_data_source *source, void *arg)
{
	struct rpc_call *call = call_of(arg, stream);

	return call ? rpc_call_read(call, p, len, flags) : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

nghttp2_data_provider rpc_h2_data_provider(void)
{
	return (nghttp2_data_provider){.read_callback = read_data};
}

int rpc_h2_session_new(struct rpc_conn *c)
{
	const nghttp2_settings_entry settings[] = {
		{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, c->server ? c->limits->streams : 0},
		{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW_BYTES},
		{NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)c->limits->header_bytes},
		{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
	};
	nghttp2_session_callbacks *cb = NULL;
	nghttp2_option *option = NULL;
	int ret = -ENOMEM;

	if (nghttp2_session_callbacks_new(&cb) != 0 || nghttp2_option_new(&option) != 0)
		goto out;
	nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_begin_frame_callback(cb, on_begin_frame);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame_recv);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
	nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_send);
	nghttp2_option_set_no_auto_window_update(option, 1);
	nghttp2_option_set_max_outbound_ack(option, 256);
	nghttp2_option_set_max_send_header_block_length(option, 128 * 1024);
	nghttp2_option_set_no_closed_streams(option, 1);
	nghttp2_option_set_peer_max_concurrent_streams(option, 100);
	ret = c->server ? nghttp2_session_server_new2(&c->session, cb, c, option)
			: nghttp2_session_client_new2(&c->session, cb, c, option);
	if (ret == 0)
		ret = nghttp2_submit_settings(
			c->session, NGHTTP2_FLAG_NONE, settings, c->server ? 3 : 4);
	if (ret == 0)
		ret = nghttp2_session_set_local_window_size(
			c->session, NGHTTP2_FLAG_NONE, 0, CONNECTION_WINDOW_BYTES);
	ret = ret == 0 ? 0 : -ENOMEM;
out:
	nghttp2_option_del(option);
	nghttp2_session_callbacks_del(cb);
	return ret;
}
