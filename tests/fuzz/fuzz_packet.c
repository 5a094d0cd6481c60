/*
 * libFuzzer: what an AF_PACKET socket may give to the packet back end: a virtio_net_hdr, a frame of
 * up to 64 kB, the tag that the kernel took off; taken out in bursts of any size.
 *
 * Input: flags (bit 0: a tag), burst, TPID and TCI (4), virtio_net_hdr (10), length (2, little
 * endian; the octets are repeated to that length), octets. The file under test is included, because
 * what is tested begins behind its system calls.
 */
#include "dataplane/port/packet.c"

#include "tests/packet/rig.h"

#define HEAD  18
#define BURST 32

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct port port = {.id = 1};
static struct packet_queue queue = {.fd = -1};

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	if (rig_group_setup(NULL) < 0)
		abort();
	port.pool = rte_pktmbuf_pool_create(
		"fuzz", 1023, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	if (port.pool == NULL)
		abort();
	port.priv = &queue;
	queue.room = RTE_MBUF_DEFAULT_DATAROOM;
	return 0;
}

/* Slot 0 as recvmmsg() would fill it. */
static void slot_fill(const uint8_t *data, size_t size, uint8_t *front, size_t len)
{
	struct slot *slot = &queue.slots[0];
	struct msghdr *mh = &queue.rx[0].msg_hdr;
	const size_t octets = size - HEAD;

	slot->linear = front + LINEAR_FRONT;
	if (slots_fill(&port, &queue, 1) != 1)
		abort();
	memcpy(&slot->vh, data + 6, sizeof(slot->vh));
	for (size_t i = 0; i < len; i++) {
		const uint8_t v = data[HEAD + i % octets];

		if (i < queue.room)
			rte_pktmbuf_mtod(slot->mbuf, uint8_t *)[i] = v;
		else
			slot->linear[i] = v;
	}
	queue.rx[0].msg_len = (unsigned int)(sizeof(slot->vh) + len);
	mh->msg_control = &slot->control;
	mh->msg_controllen = 0;
	if (data[0] & 1) {
		struct cmsghdr *cmsg;
		struct tpacket_auxdata aux = {.tp_status = TP_STATUS_VLAN_VALID};

		memcpy(&aux.tp_vlan_tpid, data + 2, 2);
		memcpy(&aux.tp_vlan_tci, data + 4, 2);
		if (data[0] & 2)
			aux.tp_status |= TP_STATUS_VLAN_TPID_VALID;
		mh->msg_controllen = sizeof(slot->control);
		cmsg = CMSG_FIRSTHDR(mh);
		cmsg->cmsg_level = SOL_PACKET;
		cmsg->cmsg_type = PACKET_AUXDATA;
		cmsg->cmsg_len = CMSG_LEN(sizeof(aux));
		memcpy(CMSG_DATA(cmsg), &aux, sizeof(aux));
	}
	queue.next = 0;
	queue.count = 1;
	queue.walking = false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rte_mbuf *pkts[BURST];
	uint8_t *front;
	uint16_t burst;
	size_t len;

	if (size <= HEAD)
		return 0;
	len = (size_t)data[16] | (size_t)data[17] << 8;
	burst = (uint16_t)(1 + data[1] % BURST);
	/* its own memory of just the length, so that a step beyond shows */
	front = malloc(LINEAR_FRONT + (len > queue.room ? len : queue.room));
	if (front == NULL)
		return 0;
	slot_fill(data, size, front, len);
	while (queue.next < queue.count) {
		const uint16_t n = packet_rx_burst(&port, 0, pkts, burst);

		for (uint16_t i = 0; i < n; i++) {
			if (pkts[i]->pkt_len < ETH_HLEN || pkts[i]->pkt_len > FRAME_MAX)
				abort();
			rte_mbuf_sanity_check(pkts[i], 1);
			rte_pktmbuf_free(pkts[i]);
		}
	}
	free(front);
	if (rte_mempool_in_use_count(port.pool) != (queue.slots[0].mbuf != NULL))
		abort();
	return 0;
}
