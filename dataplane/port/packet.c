/*
 * The packet back end: bursts through an AF_PACKET socket with virtio headers.
 *
 * A message is received straight into an mbuf; what does not fit (super-frames, jumbo frames) goes
 * on into the slot's overflow buffer, whose front then takes the mbuf's part, so that the frame is
 * in one piece to be segmented or chained. Checksums are finished here, tags that the kernel took
 * off are put back, so that the graph sees whole, ordinary frames. On sending, frames of one flow
 * are put together again (coalesce.h).
 *
 * Invariant: slots [next, count) hold received messages that the graph has not had yet; `gso` walks
 * slot `next` when `walking`.
 */
#include "dataplane/port/port.h"
#include "dataplane/port/packet.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <arpa/inet.h>

#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/virtio_net.h>

#include "dataplane/port/coalesce.h"
#include "dataplane/port/mbuf_copy.h"
#include "dataplane/port/offload.h"
#include "dataplane/port/wirelink.h"
#include "proto/lib/log.h"

#define SLOTS        PORT_BURST
#define TX_IOVS      256           /* pieces of a batch of frames */
#define FRAME_MAX    (65536 + 128) /* the largest skb that is no BIG TCP */
#define LINEAR_FRONT 64            /* room for a tag before a frame in a linear buffer */
#define TAG_LEN      4

static_assert(PORT_BURST <= COALESCE_FRAMES, "a burst is coalesced at once");

struct slot {
	struct virtio_net_hdr vh;
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
	struct iovec iov[3]; /* virtio header, mbuf, overflow */
	struct rte_mbuf *mbuf;
	uint8_t *linear; /* an mbuf's room and then FRAME_MAX octets */
};

struct packet_queue {
	int fd;
	unsigned int next, count;
	bool walking;
	uint16_t room; /* of a fresh mbuf */
	struct offload_gso gso;
	struct mmsghdr rx[SLOTS];
	struct mmsghdr tx[SLOTS];
	struct iovec tx_iov[TX_IOVS];
	const struct coalesce_run *tx_run[SLOTS]; /* what message i is */
	struct coalesce co;
	struct coalesce_frame tx_frame[COALESCE_FRAMES];
	bool coalesce; /* the kernel takes super-frames */
	struct slot slots[SLOTS];
	uint8_t *buffers;
	size_t buffers_size;
};

/* Give every slot an mbuf; returns how many slots from the first have one. */
static unsigned int slots_fill(struct port *port, struct packet_queue *q, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		struct slot *slot = &q->slots[i];

		if (slot->mbuf == NULL) {
			slot->mbuf = rte_pktmbuf_alloc(port->pool);
			if (slot->mbuf == NULL) {
				port->stats.rx_no_mbuf++;
				break;
			}
			slot->iov[1].iov_base = rte_pktmbuf_mtod(slot->mbuf, void *);
		}
		q->rx[i].msg_hdr.msg_controllen = sizeof(slot->control);
		q->rx[i].msg_hdr.msg_flags = 0;
	}
	return i;
}

static void receive(struct port *port, struct packet_queue *q, unsigned int n)
{
	int got;

	q->next = 0;
	q->count = 0;
	n = slots_fill(port, q, n);
	if (n == 0)
		return;
	got = recvmmsg(q->fd, q->rx, n, MSG_DONTWAIT, NULL);
	if (got > 0)
		q->count = (unsigned int)got;
	else if (errno != EAGAIN && errno != EINTR && errno != ENETDOWN)
		port->stats.rx_errors++;
}

/* The tag that the kernel took off, as four octets in network order. */
static bool tag_of(struct msghdr *mh, uint8_t tag[TAG_LEN])
{
	struct cmsghdr *cmsg;

	for (cmsg = CMSG_FIRSTHDR(mh); cmsg != NULL; cmsg = CMSG_NXTHDR(mh, cmsg)) {
		struct tpacket_auxdata aux;
		uint16_t tpid = htons(ETH_P_8021Q), tci;

		if (cmsg->cmsg_level != SOL_PACKET || cmsg->cmsg_type != PACKET_AUXDATA ||
			cmsg->cmsg_len < CMSG_LEN(sizeof(aux)))
			continue;
		memcpy(&aux, CMSG_DATA(cmsg), sizeof(aux));
		if ((aux.tp_status & TP_STATUS_VLAN_VALID) == 0)
			return false;
		if ((aux.tp_status & TP_STATUS_VLAN_TPID_VALID) != 0)
			tpid = htons(aux.tp_vlan_tpid);
		tci = htons(aux.tp_vlan_tci);
		memcpy(tag, &tpid, sizeof(tpid));
		memcpy(tag + 2, &tci, sizeof(tci));
		return true;
	}
	return false;
}

/* A frame in a linear buffer, into a fresh chain. */
static struct rte_mbuf *chain_make(struct port *port, const uint8_t *head, uint32_t head_len,
	const uint8_t *rest, uint32_t rest_len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(port->pool);

	if (m == NULL || mbuf_append(m, port->pool, head, head_len) < 0 ||
		mbuf_append(m, port->pool, rest, rest_len) < 0) {
		rte_pktmbuf_free(m);
		port->stats.rx_no_mbuf++;
		return NULL;
	}
	return m;
}

/*
 * Make slot `next`'s message a frame in *out. Returns true when there is one; false when the
 * message was dropped, or is a super-frame whose walk has begun (q->walking).
 */
static bool slot_take(struct port *port, struct packet_queue *q, struct rte_mbuf **out)
{
	struct slot *slot = &q->slots[q->next];
	struct mmsghdr *mm = &q->rx[q->next];
	struct rte_mbuf *m = slot->mbuf;
	uint32_t len = mm->msg_len - (uint32_t)sizeof(slot->vh);
	uint8_t *frame = rte_pktmbuf_mtod(m, uint8_t *);
	bool in_mbuf = len <= q->room;
	uint8_t tag[TAG_LEN];

	if (mm->msg_len < sizeof(slot->vh) + ETH_HLEN || (mm->msg_hdr.msg_flags & MSG_TRUNC) != 0) {
		port->stats.rx_errors++;
		return false;
	}
	if (!in_mbuf) {
		memcpy(slot->linear, frame, q->room);
		frame = slot->linear;
	}
	if (tag_of(&mm->msg_hdr, tag)) {
		frame -= TAG_LEN;
		memmove(frame, frame + TAG_LEN, 2 * ETH_ALEN);
		memcpy(frame + 2 * ETH_ALEN, tag, TAG_LEN);
		len += TAG_LEN;
		slot->vh.csum_start = (uint16_t)(slot->vh.csum_start + TAG_LEN);
	}
	if (!offload_none(&slot->vh)) {
		if (slot->vh.gso_type != VIRTIO_NET_HDR_GSO_NONE) {
			if (offload_gso_init(&q->gso, &slot->vh, frame, len) < 0) {
				port->stats.rx_offload_bad++;
				return false;
			}
			/* VTEPs' packets had no checksum before they were one, and need none here
			 */
			if (port->spec.role == PORT_ROLE_UPLINK)
				offload_gso_vxlan_plain(&q->gso);
			port->stats.rx_super_frames++;
			q->walking = true;
			return false;
		}
		if (offload_csum_finish(frame, len, slot->vh.csum_start, slot->vh.csum_offset) <
			0) {
			port->stats.rx_offload_bad++;
			return false;
		}
		port->stats.rx_csum_finished++;
	}
	if (in_mbuf) {
		m->data_off = (uint16_t)(frame - (uint8_t *)m->buf_addr);
		m->data_len = (uint16_t)len;
		m->pkt_len = len;
		slot->mbuf = NULL;
	} else {
		m = chain_make(port, frame, len, NULL, 0);
		if (m == NULL)
			return false;
	}
	*out = m;
	return true;
}

/* The next segment of the super-frame in slot `next`. Returns false when the walk has ended. */
static bool segment_take(struct port *port, struct packet_queue *q, struct rte_mbuf **out)
{
	struct offload_segment segment;
	struct rte_mbuf *m = NULL;

	if (offload_gso_next(&q->gso, &segment))
		m = chain_make(port, segment.header, segment.header_len, segment.payload,
			segment.payload_len);
	if (m == NULL) { /* done, or no mbufs: the rest of it is lost, TCP will see */
		q->walking = false;
		return false;
	}
	port->stats.rx_segments++;
	*out = m;
	return true;
}

static uint16_t packet_rx_burst(
	struct port *port, uint16_t queue, struct rte_mbuf **pkts, uint16_t n)
{
	struct packet_queue *q = port->priv;
	uint64_t octets = 0;
	uint16_t got = 0, i;

	RTE_SET_USED(queue);
	if (q->next == q->count)
		receive(port, q, n < SLOTS ? n : SLOTS);
	while (got < n && q->next < q->count) {
		if (q->walking) {
			if (segment_take(port, q, &pkts[got]))
				got++;
			else
				q->next++;
			continue;
		}
		if (slot_take(port, q, &pkts[got]))
			got++;
		if (!q->walking)
			q->next++;
	}
	for (i = 0; i < got; i++) {
		pkts[i]->port = port->id;
		octets += pkts[i]->pkt_len;
	}
	port->stats.rx_packets += got;
	port->stats.rx_bytes += octets;
	return got;
}

/* The pieces of a run's message: virtio header, then a frame as it is or the one head of several
 * and their payloads. Returns how many. */
static unsigned int run_pieces(const struct coalesce *co, const struct coalesce_run *run,
	struct rte_mbuf *const *pkts, struct iovec *iov)
{
	unsigned int n = 0;

	iov[n++] = (struct iovec){(void *)(uintptr_t)&run->vh, sizeof(run->vh)};
	if (run->frames == 1) {
		for (const struct rte_mbuf *m = pkts[run->first]; m != NULL; m = m->next)
			iov[n++] = (struct iovec){rte_pktmbuf_mtod(m, void *), m->data_len};
		return n;
	}
	iov[n++] = (struct iovec){(void *)(uintptr_t)run->head, run->head_len};
	for (unsigned int i = run->first; i != COALESCE_FRAMES; i = co->next[i])
		iov[n++] = (struct iovec){rte_pktmbuf_mtod_offset(pkts[i], void *, run->head_len),
			(size_t)pkts[i]->data_len - run->head_len};
	return n;
}

/* Kernels before Linux 6.2 refuse UDP super-frames: never again, and these frames one by one. */
static unsigned int run_refused(struct port *port, struct packet_queue *q,
	const struct coalesce_run *run, struct rte_mbuf *const *pkts)
{
	static const struct virtio_net_hdr none;
	unsigned int sent = 0;

	if (q->coalesce)
		log_info("port_no_super_frames", "port=%s", port->spec.name);
	q->coalesce = false;
	for (unsigned int i = run->first; i != COALESCE_FRAMES; i = q->co.next[i]) {
		struct iovec iov[2] = {
			{(void *)(uintptr_t)&none, sizeof(none)},
			{rte_pktmbuf_mtod(pkts[i], void *), pkts[i]->data_len},
		};
		const struct msghdr mh = {.msg_iov = iov, .msg_iovlen = 2};

		sent += sendmsg(q->fd, &mh, MSG_DONTWAIT) > 0;
	}
	return sent;
}

/* Send the prepared messages. A frame that the kernel refuses is passed over. Returns how many
 * frames were sent. */
static unsigned int messages_send(
	struct port *port, struct packet_queue *q, struct rte_mbuf *const *pkts, unsigned int n)
{
	unsigned int at = 0, sent = 0;

	while (at < n) {
		const int r = sendmmsg(q->fd, q->tx + at, n - at, MSG_DONTWAIT);

		for (int i = 0; i < r; i++, at++) {
			sent += q->tx_run[at]->frames;
			port->stats.tx_super_frames += q->tx_run[at]->frames > 1;
		}
		if (r > 0 || (r < 0 && errno == EINTR))
			continue;
		if (r < 0 && errno == EINVAL && q->tx_run[at]->frames > 1)
			sent += run_refused(port, q, q->tx_run[at], pkts);
		/* EMSGSIZE and ENOBUFS concern this frame; the rest of a burst to a device that is
		 * down or to a full socket would only cost a call each */
		else if (r < 0 && errno != EMSGSIZE && errno != ENOBUFS && errno != EINVAL)
			break;
		at++;
	}
	return sent;
}

/* Sort a burst into runs; without coalescing, and frames in several mbufs, into runs of one. */
static void runs_make(
	struct port *port, struct packet_queue *q, struct rte_mbuf *const *pkts, unsigned int n)
{
	const enum coalesce_kind kind =
		port->spec.role == PORT_ROLE_ACCESS ? COALESCE_TCP : COALESCE_VXLAN;

	for (unsigned int i = 0; i < n; i++) {
		struct coalesce_frame *f = &q->tx_frame[i];

		f->octets = rte_pktmbuf_mtod(pkts[i], const uint8_t *);
		f->len = q->coalesce && n > 1 && pkts[i]->nb_segs == 1 ? pkts[i]->data_len : 0;
	}
	coalesce(&q->co, kind, q->tx_frame, n);
}

static uint16_t packet_tx_burst(
	struct port *port, uint16_t queue, struct rte_mbuf **pkts, uint16_t n)
{
	struct packet_queue *q = port->priv;
	unsigned int messages = 0, iovs = 0, sent = 0;
	uint64_t octets = 0;

	RTE_SET_USED(queue);
	runs_make(port, q, pkts, n);
	for (unsigned int i = 0; i < n; i++)
		octets += pkts[i]->pkt_len;
	for (unsigned int i = 0; i < q->co.n; i++) {
		const struct coalesce_run *run = &q->co.runs[i];
		const unsigned int most =
			2U + (run->frames > 1 ? run->frames : pkts[run->first]->nb_segs);

		if (most > TX_IOVS)
			continue; /* no frame is in so many pieces */
		if (iovs + most > TX_IOVS) {
			sent += messages_send(port, q, pkts, messages);
			messages = iovs = 0;
		}
		q->tx_run[messages] = run;
		q->tx[messages].msg_hdr.msg_iov = &q->tx_iov[iovs];
		q->tx[messages].msg_hdr.msg_iovlen =
			run_pieces(&q->co, run, pkts, &q->tx_iov[iovs]);
		iovs += (unsigned int)q->tx[messages++].msg_hdr.msg_iovlen;
	}
	sent += messages_send(port, q, pkts, messages);
	port->stats.tx_packets += sent;
	port->stats.tx_drops += (uint64_t)n - sent;
	if (sent == n)
		port->stats.tx_bytes += octets;
	else if (n > 0) /* which ones were refused is not worth tracking */
		port->stats.tx_bytes += octets * sent / n;
	rte_pktmbuf_free_bulk(pkts, n);
	return (uint16_t)sent;
}

static void link_state_take(const struct wirelink_state *state, void *arg)
{
	struct port *port = arg;

	if (state->ifindex != port->spec.wire_ifindex && !(state->deleted && state->ifindex == 0))
		return;
	port->link_up = state->up;
	if (state->mtu >= PORT_MTU_MIN && state->mtu <= PORT_MTU_MAX)
		port->mtu = state->mtu;
}

static int packet_link_update(struct port *port, bool *changed)
{
	const bool before = port->link_up;
	int rc = wirelink_read(port->link_fd, link_state_take, port);

	if (rc == -ENOBUFS) {
		rc = wirelink_request(port->link_fd, port->spec.wire_ifindex);
		if (rc == 0)
			rc = wirelink_read(port->link_fd, link_state_take, port);
	}
	if (rc < 0)
		port->link_up = false;
	if (changed != NULL)
		*changed = port->link_up != before;
	return rc;
}

static int packet_sleep_arm(struct port *port, uint16_t queue)
{
	const struct packet_queue *q = port->priv;

	RTE_SET_USED(queue);
	return q->next < q->count ? -EAGAIN : 0;
}

static void packet_stats_refresh(struct port *port)
{
	const struct packet_queue *q = port->priv;
	struct tpacket_stats stats;
	socklen_t size = sizeof(stats);

	/* reading resets the kernel's counters */
	if (getsockopt(q->fd, SOL_PACKET, PACKET_STATISTICS, &stats, &size) == 0)
		port->stats.rx_kernel_drops += stats.tp_drops;
}

static void packet_close(struct port *port)
{
	struct packet_queue *q = port->priv;
	unsigned int i;

	for (i = 0; i < SLOTS; i++)
		rte_pktmbuf_free(q->slots[i].mbuf);
	if (q->buffers != NULL)
		munmap(q->buffers, q->buffers_size);
	free(q);
	port->priv = NULL;
}

static const struct port_ops packet_ops = {
	.name = "packet",
	.rx_burst = packet_rx_burst,
	.tx_burst = packet_tx_burst,
	.link_update = packet_link_update,
	.sleep_arm = packet_sleep_arm,
	.stats_refresh = packet_stats_refresh,
	.close = packet_close,
};

static bool option_is(int fd, int level, int option, int value)
{
	int is = 0;
	socklen_t size = sizeof(is);

	return getsockopt(fd, level, option, &is, &size) == 0 && is == value;
}

/* The descriptors came from another process: they must be what packet_socket.c makes. */
static bool descriptors_valid(const struct port_spec *spec)
{
	struct sockaddr_ll address = {0};
	socklen_t size = sizeof(address);

	return option_is(spec->packet_fd, SOL_SOCKET, SO_DOMAIN, AF_PACKET) &&
	       getsockname(spec->packet_fd, (struct sockaddr *)&address, &size) == 0 &&
	       (uint32_t)address.sll_ifindex == spec->wire_ifindex &&
	       option_is(spec->packet_fd, SOL_PACKET, PACKET_VNET_HDR, 1) &&
	       option_is(spec->link_fd, SOL_SOCKET, SO_DOMAIN, AF_NETLINK) &&
	       option_is(spec->link_fd, SOL_SOCKET, SO_PROTOCOL, NETLINK_ROUTE);
}

static void queue_init(struct packet_queue *q, size_t linear_size)
{
	unsigned int i;

	for (i = 0; i < SLOTS; i++) {
		struct slot *slot = &q->slots[i];
		struct msghdr *mh = &q->rx[i].msg_hdr;

		slot->linear = q->buffers + i * linear_size + LINEAR_FRONT;
		slot->iov[0] = (struct iovec){&slot->vh, sizeof(slot->vh)};
		slot->iov[1] = (struct iovec){NULL, q->room};
		slot->iov[2] = (struct iovec){slot->linear + q->room, FRAME_MAX};
		mh->msg_iov = slot->iov;
		mh->msg_iovlen = 3;
		mh->msg_control = &slot->control;
	}
}

int packet_port_open(struct port *port, const struct port_options *options)
{
	const size_t linear_size = RTE_ALIGN_CEIL(
		LINEAR_FRONT + rte_pktmbuf_data_room_size(port->pool) + FRAME_MAX, 64);
	struct packet_queue *q;
	int rc = -ENOMEM;

	RTE_SET_USED(options);
	if (!descriptors_valid(&port->spec)) {
		log_error("packet_descriptors_invalid", "port=%s", port->spec.name);
		return -EINVAL;
	}
	q = calloc(1, sizeof(*q));
	if (q == NULL)
		return -ENOMEM;
	q->fd = port->spec.packet_fd;
	q->coalesce = true;
	q->room = (uint16_t)(rte_pktmbuf_data_room_size(port->pool) - RTE_PKTMBUF_HEADROOM);
	q->buffers_size = SLOTS * linear_size;
	q->buffers = mmap(NULL, q->buffers_size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (q->buffers == MAP_FAILED) {
		q->buffers = NULL;
		goto fail;
	}
	queue_init(q, linear_size);
	port->ops = &packet_ops;
	port->priv = q;
	port->rx_fd = q->fd;
	port->link_fd = port->spec.link_fd;
	rc = wirelink_request(port->link_fd, port->spec.wire_ifindex);
	if (rc == 0)
		rc = packet_link_update(port, NULL);
	if (rc < 0)
		goto fail;
	return 0;
fail:
	if (q->buffers != NULL)
		munmap(q->buffers, q->buffers_size);
	free(q);
	port->priv = NULL;
	port->rx_fd = port->link_fd = -1;
	return rc;
}
