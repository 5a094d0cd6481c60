/*
 * Moves control traffic between uplinks and their TAPs while there is no forwarding process, so
 * that BFD and BGP sessions do not notice. Tenants' traffic (VXLAN) is dropped, in both directions.
 *
 * Invariant: a bounded number of frames a millisecond and port is moved; what is over it is read
 * and dropped, so that neither queue holds old frames when the forwarding process takes over.
 */
#include "dataplane/holder/holder.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/virtio_net.h>

#include "dataplane/port/octets.h"
#include "dataplane/port/offload.h"
#include "dataplane/port/tapdev.h"

#define VXLAN_PORT    4789
#define FRAME_MAX     (65536 + 128)
#define BATCH         64 /* frames of one descriptor before others get a turn */
#define TOKENS_REFILL 10 /* frames a port and millisecond */
#define TOKENS_MAX    500
#define STALE_MAX     65536

#define NELEM(a)      (sizeof(a) / sizeof((a)[0]))

/* The kernel spares us the tenants' traffic: accept all but UDP to 4789 and its fragments. */
static const struct sock_filter control_only[] = {
	/* not what had a VLAN tag: the kernel took it off, and the TAP would get it untagged */
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_VLAN_TAG_PRESENT)),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 14),
	BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 12),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x86dd, 8, 0),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x0800, 0, 12),
	BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 23),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 17, 0, 10),
	BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 20),
	BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x1fff, 7, 0),
	BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 14),
	BPF_STMT(BPF_LD | BPF_H | BPF_IND, 16),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, VXLAN_PORT, 4, 5),
	BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 20), /* IPv6 */
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 17, 0, 3),
	BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 56),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, VXLAN_PORT, 0, 1),
	BPF_STMT(BPF_RET | BPF_K, 0),
	BPF_STMT(BPF_RET | BPF_K, 0x7fffffff),
};

static const struct sock_filter nothing[] = {BPF_STMT(BPF_RET | BPF_K, 0)};

static void filter_set(const struct holder_port *port, const struct sock_filter *filter, size_t n)
{
	const struct sock_fprog program = {
		.len = (unsigned short)n, .filter = (struct sock_filter *)filter};
	const int unused = 0;
	int rc;

	if (filter != NULL)
		rc = setsockopt(port->spec.packet_fd, SOL_SOCKET, SO_ATTACH_FILTER, &program,
			sizeof(program));
	else
		rc = setsockopt(port->spec.packet_fd, SOL_SOCKET, SO_DETACH_FILTER, &unused,
			sizeof(unused));
	if (rc < 0)
		log_warn("pump_filter", "port=%s error=\"%s\"", port->spec.name, strerror(errno));
}

/* Throw away what waits in a packet socket. */
static void packet_flush(const struct holder_port *port)
{
	uint8_t scratch[64];
	unsigned int i;

	for (i = 0; i < STALE_MAX; i++) {
		if (recv(port->spec.packet_fd, scratch, sizeof(scratch), MSG_DONTWAIT) < 0 &&
			errno != EINTR)
			break;
	}
}

/* True for UDP to the VXLAN port, and for later fragments of any UDP, of which nobody can tell. */
static bool is_tenants(const uint8_t *frame, size_t len)
{
	const uint8_t *ip = frame + ETH_HLEN;
	size_t hlen;

	if (len < ETH_HLEN + 20)
		return false;
	if (get16(frame + 12) == ETH_P_IP) {
		hlen = (ip[0] & 0xfU) * 4;
		if (ip[9] != 17)
			return false;
		return (get16(ip + 6) & 0x1fff) != 0 ||
		       (ETH_HLEN + hlen + 4 <= len && get16(ip + hlen + 2) == VXLAN_PORT);
	}
	return get16(frame + 12) == ETH_P_IPV6 && len >= ETH_HLEN + 40 + 4 && ip[6] == 17 &&
	       get16(ip + 42) == VXLAN_PORT;
}

static bool token_take(struct holder *h, struct holder_port *port)
{
	const int64_t now = holder_now();

	if (now > h->pump_refill) {
		const int64_t add = (now - h->pump_refill) * TOKENS_REFILL;
		unsigned int i;

		for (i = 0; i < h->n_ports; i++) {
			const int64_t tokens = h->ports[i].tokens + add;

			h->ports[i].tokens = tokens > TOKENS_MAX ? TOKENS_MAX : (uint32_t)tokens;
		}
		h->pump_refill = now;
	}
	if (port->tokens == 0)
		return false;
	port->tokens--;
	return true;
}

static void tap_write(struct holder_port *port, const void *head, size_t head_len, const void *rest,
	size_t rest_len)
{
	const struct iovec iov[2] = {{(void *)head, head_len}, {(void *)rest, rest_len}};

	if (writev(port->spec.tap_fd, iov, rest_len > 0 ? 2 : 1) > 0)
		port->pump.to_kernel++;
	else
		port->pump.dropped++;
}

static void frame_to_kernel(struct holder *h, struct holder_port *port,
	const struct virtio_net_hdr *vh, uint8_t *frame, size_t len)
{
	struct offload_gso gso;
	struct offload_segment segment;

	if (vh->gso_type != VIRTIO_NET_HDR_GSO_NONE) {
		if (offload_gso_init(&gso, vh, frame, len) < 0) {
			port->pump.dropped++;
			return;
		}
		while (offload_gso_next(&gso, &segment)) {
			if (!token_take(h, port)) {
				port->pump.dropped++;
				break;
			}
			tap_write(port, segment.header, segment.header_len, segment.payload,
				segment.payload_len);
		}
		return;
	}
	if (!token_take(h, port) ||
		((vh->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0 &&
			offload_csum_finish(frame, len, vh->csum_start, vh->csum_offset) < 0)) {
		port->pump.dropped++;
		return;
	}
	tap_write(port, frame, len, NULL, 0);
}

/* One frame from the wire. Returns false when there is none. */
static bool wire_one(struct holder *h, struct holder_port *port)
{
	struct virtio_net_hdr vh;
	struct iovec iov[2] = {{&vh, sizeof(vh)}, {h->pump_buffer, FRAME_MAX}};
	struct msghdr mh = {.msg_iov = iov, .msg_iovlen = 2};
	const ssize_t n = recvmsg(port->spec.packet_fd, &mh, MSG_DONTWAIT);

	if (n < 0)
		return errno == EINTR;
	if (n < (ssize_t)(sizeof(vh) + ETH_HLEN) || (mh.msg_flags & MSG_TRUNC) != 0)
		port->pump.dropped++;
	else if (is_tenants(h->pump_buffer, (size_t)n - sizeof(vh)))
		port->pump.tenants++;
	else
		frame_to_kernel(h, port, &vh, h->pump_buffer, (size_t)n - sizeof(vh));
	return true;
}

/* One frame from the kernel. Returns false when there is none. */
static bool tap_one(struct holder *h, struct holder_port *port)
{
	struct virtio_net_hdr vh = {0};
	struct iovec iov[2] = {{&vh, sizeof(vh)}, {h->pump_buffer, 0}};
	const struct msghdr mh = {.msg_iov = iov, .msg_iovlen = 2};
	const ssize_t n = read(port->spec.tap_fd, h->pump_buffer, FRAME_MAX);

	if (n <= 0)
		return n < 0 && errno == EINTR;
	iov[1].iov_len = (size_t)n;
	if (is_tenants(h->pump_buffer, (size_t)n))
		port->pump.tenants++;
	else if (!token_take(h, port) || sendmsg(port->spec.packet_fd, &mh, MSG_DONTWAIT) < 0)
		port->pump.dropped++;
	else
		port->pump.to_wire++;
	return true;
}

void pump_event(struct holder *h, unsigned int index, bool from_wire)
{
	struct holder_port *port = &h->ports[index];
	unsigned int i;

	if (!port->pumping)
		return;
	for (i = 0; i < BATCH; i++) {
		if (!(from_wire ? wire_one(h, port) : tap_one(h, port)))
			break;
	}
}

int pump_open(struct holder *h)
{
	h->pump_buffer = malloc(FRAME_MAX);
	return h->pump_buffer == NULL ? -ENOMEM : 0;
}

void pump_start(struct holder *h)
{
	unsigned int i;

	if (h->pump_since != 0 || h->stopping)
		return;
	h->pump_since = h->pump_refill = holder_now();
	for (i = 0; i < h->n_ports; i++) {
		struct holder_port *port = &h->ports[i];
		int rc;

		/* ethdev, or a wire or TAP that is not there */
		if (port->spec.packet_fd < 0 || port->spec.tap_fd < 0)
			continue;
		if (port->spec.role != PORT_ROLE_UPLINK) {
			filter_set(port, nothing, NELEM(nothing));
			continue;
		}
		filter_set(port, control_only, NELEM(control_only));
		memset(&port->pump, 0, sizeof(port->pump));
		port->tokens = TOKENS_MAX;
		port->pumping = true;
		rc = holder_watch(h, port->spec.packet_fd, SOURCE_PUMP_WIRE, i);
		if (rc == 0)
			rc = holder_watch(h, port->spec.tap_fd, SOURCE_PUMP_TAP, i);
		if (rc < 0)
			log_error("pump_failed", "port=%s error=\"%s\"", port->spec.name,
				strerror(-rc));
	}
}

void pump_stop(struct holder *h)
{
	unsigned int i;

	if (h->pump_since == 0)
		return;
	for (i = 0; i < h->n_ports; i++) {
		struct holder_port *port = &h->ports[i];

		if (port->pumping) {
			/* what waits is fresh: hand it over */
			port->pumping = false;
			holder_unwatch(h, port->spec.packet_fd);
			holder_unwatch(h, port->spec.tap_fd);
			log_info("pump_stopped",
				"port=%s ms=%ld to_kernel=%lu to_wire=%lu tenants=%lu dropped=%lu",
				port->spec.name, (long)(holder_now() - h->pump_since),
				(unsigned long)port->pump.to_kernel,
				(unsigned long)port->pump.to_wire,
				(unsigned long)port->pump.tenants,
				(unsigned long)port->pump.dropped);
		} else {
			/* nobody has read these, they are as old as the death */
			(void)tap_flush(port->spec.tap_fd);
			if (port->spec.packet_fd >= 0)
				packet_flush(port);
		}
		if (port->spec.packet_fd >= 0)
			filter_set(port, NULL, 0);
	}
	h->pump_since = 0;
}
