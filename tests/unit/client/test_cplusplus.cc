/* SPDX-License-Identifier: Apache-2.0 */
/* Every public function is declared for C++ and exported by the shared library: their addresses are taken. */
#include <lockd/admin.h>
#include <lockd/fence.h>
#include <lockd/lockd.h>

#include <cstddef>

int main() {
	const void *functions[] = {
	        reinterpret_cast<const void *>(lockd_open),
	        reinterpret_cast<const void *>(lockd_close),
	        reinterpret_cast<const void *>(lockd_last_error),
	        reinterpret_cast<const void *>(lockd_session_open),
	        reinterpret_cast<const void *>(lockd_session_close),
	        reinterpret_cast<const void *>(lockd_session_get_state),
	        reinterpret_cast<const void *>(lockd_session_remaining_ms),
	        reinterpret_cast<const void *>(lockd_session_id),
	        reinterpret_cast<const void *>(lockd_acquire),
	        reinterpret_cast<const void *>(lockd_acquire_async),
	        reinterpret_cast<const void *>(lockd_release),
	        reinterpret_cast<const void *>(lockd_release_async),
	        reinterpret_cast<const void *>(lockd_cancel),
	        reinterpret_cast<const void *>(lockd_resolve),
	        reinterpret_cast<const void *>(lockd_campaign),
	        reinterpret_cast<const void *>(lockd_resign),
	        reinterpret_cast<const void *>(lockd_observe),
	        reinterpret_cast<const void *>(lockd_observe_stop),
	        reinterpret_cast<const void *>(lockd_list),
	        reinterpret_cast<const void *>(lockd_show),
	        reinterpret_cast<const void *>(lockd_lock_list_free),
	        reinterpret_cast<const void *>(lockd_sessions),
	        reinterpret_cast<const void *>(lockd_session_list_free),
	        reinterpret_cast<const void *>(lockd_nodes),
	        reinterpret_cast<const void *>(lockd_node_list_free),
	        reinterpret_cast<const void *>(lockd_change_members),
	        reinterpret_cast<const void *>(lockd_transfer_leader),
	        reinterpret_cast<const void *>(lockd_status_name),
	        reinterpret_cast<const void *>(lockd_status_text),
	        reinterpret_cast<const void *>(lockd_status_outcome),
	};
	lockd_fence fence = {5};

	for (const void *function : functions)
		if (function == nullptr)
			return 1;
	return !lockd_fence_admit(&fence, 4) && lockd_fence_admit(&fence, 5) ? 0 : 2;
}
