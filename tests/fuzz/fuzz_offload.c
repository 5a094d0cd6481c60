/* Offload completion on an arbitrary virtio header and frame: nothing outside the frame is touched,
 * and a walk's payload is the frame's. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/port/offload.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct virtio_net_hdr vh;
	struct offload_gso gso;
	struct offload_segment segment;
	uint8_t *frame;
	size_t total = 0;

	if (size < sizeof(vh) + 1)
		return 0;
	memcpy(&vh, data, sizeof(vh));
	size -= sizeof(vh);
	frame = malloc(size);
	if (frame == NULL)
		return 0;
	memcpy(frame, data + sizeof(vh), size);
	if (offload_gso_init(&gso, &vh, frame, size) == 0) {
		while (offload_gso_next(&gso, &segment))
			total += segment.payload_len;
		if (total != size - gso.header_len)
			abort();
	}
	(void)offload_csum_finish(frame, size, vh.csum_start, vh.csum_offset);
	free(frame);
	return 0;
}
