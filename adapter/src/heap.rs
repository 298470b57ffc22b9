//! The heap: which allocator, and how much of it is in use.
//!
//! A call is some hundred small allocations that live for its length, made and freed on one thread
//! among those of other calls. glibc's allocator spends more on joining freed neighbours than on
//! all else; jemalloc keeps them apart by size and returns what is idle to the system by itself.

use tikv_jemalloc_ctl::{epoch, stats};
use tikv_jemallocator::Jemalloc;

#[global_allocator]
static HEAP: Jemalloc = Jemalloc;

/// Sets the gauge `ifbus_heap_allocated_bytes`: what the program has asked for and not given back.
pub(crate) fn measure() {
    // Figures are of the last epoch; a failure would leave an old one, which is better than none.
    let allocated = epoch::advance().and_then(|_| stats::allocated::read());
    if let Ok(bytes) = allocated {
        metrics::gauge!("ifbus_heap_allocated_bytes").set(bytes as f64);
    }
}
