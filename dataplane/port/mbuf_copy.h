/*
 * Octets into mbuf chains. Private to this folder: packet.c and tap.c.
 */
#pragma once

#include <errno.h>
#include <stdint.h>

#include <rte_mbuf.h>
#include <rte_memcpy.h>

/*
 * Append `len` octets to the chain `head`, with further mbufs of `pool` as needed. Returns 0, or
 * -ENOMEM: the chain is then valid but short, and still the caller's.
 */
static inline int mbuf_append(
	struct rte_mbuf *head, struct rte_mempool *pool, const uint8_t *octets, uint32_t len)
{
	struct rte_mbuf *last = rte_pktmbuf_lastseg(head);

	while (len > 0) {
		uint16_t room = rte_pktmbuf_tailroom(last);

		if (room == 0) {
			struct rte_mbuf *m = rte_pktmbuf_alloc(pool);

			if (m == NULL)
				return -ENOMEM;
			last->next = m;
			head->nb_segs++;
			last = m;
			room = rte_pktmbuf_tailroom(last);
			if (room == 0)
				return -ENOMEM;
		}
		if (room > len)
			room = (uint16_t)len;
		rte_memcpy(rte_pktmbuf_mtod_offset(last, uint8_t *, last->data_len), octets, room);
		last->data_len = (uint16_t)(last->data_len + room);
		head->pkt_len += room;
		octets += room;
		len -= room;
	}
	return 0;
}
