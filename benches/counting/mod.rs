//! How often memory is asked for: by this thread, and in Rust. What the cryptographic library asks for in C is not seen.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

#[global_allocator]
static COUNTING: Counting = Counting;

// SAFETY: everything is handed on to the system's allocator; a number is counted beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
        // SAFETY: as above.
        unsafe { System.realloc(place, layout, size) }
    }
}

/// How often this thread asks for memory in one run, on average: what is done for many runs at once is shared among them.
pub(crate) fn allocations_of(run: impl FnMut()) -> f64 {
    const RUNS: u32 = 1000;
    allocations_in(RUNS, run) as f64 / f64::from(RUNS)
}

/// How often this thread asks for memory in so many runs, after a first one.
pub(crate) fn allocations_in(runs: u32, mut run: impl FnMut()) -> u64 {
    run();
    let before = COUNT.get();
    for _ in 0..runs {
        run();
    }
    COUNT.get() - before
}
