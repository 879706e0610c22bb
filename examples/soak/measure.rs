//! What a process holds: memory, threads, sockets.

use std::alloc::{GlobalAlloc, Layout, System};
use std::error::Error;
use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counts what this program has allocated and not given back, to the octet. What the cryptographic library allocates for itself is
/// in the memory that is resident alone.
struct Counting;

static LIVE: AtomicU64 = AtomicU64::new(0);

// SAFETY: all is the system's own allocator's doing; only sizes are added up beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the promises that the system's allocator asks for.
        let memory = unsafe { System.alloc(layout) };
        if !memory.is_null() {
            LIVE.fetch_add(octets(layout), Ordering::Relaxed);
        }
        memory
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        LIVE.fetch_sub(octets(layout), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn octets(layout: Layout) -> u64 {
    u64::try_from(layout.size()).unwrap_or(u64::MAX)
}

/// Octets that are allocated, once there are no more than `goal`, or as many as there are after 5 s: what the thread that fetches
/// is at is not done at once.
pub(crate) fn live(goal: u64) -> u64 {
    for _ in 0..500 {
        if LIVE.load(Ordering::Relaxed) <= goal {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    LIVE.load(Ordering::Relaxed)
}

/// Octets of memory in use.
pub(crate) fn resident() -> Result<u64, Box<dyn Error>> {
    status("VmRSS:")
}

/// Octets of address space in use.
pub(crate) fn address_space() -> Result<u64, Box<dyn Error>> {
    status("VmSize:")
}

fn status(name: &str) -> Result<u64, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).ok_or("the system does not say so")?;
    let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kibibytes.saturating_mul(1024))
}

/// From here on this process gets so many octets of address space and no more.
pub(crate) fn limit_address_space(octets: u64) -> Result<(), Box<dyn Error>> {
    let limit = libc::rlimit { rlim_cur: octets, rlim_max: octets };
    // SAFETY: the limit is read where it lies, and outlives the call.
    if unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) } == 0 {
        Ok(())
    } else {
        Err(std::io::Error::last_os_error().into())
    }
}

/// Has the system's allocator give all threads memory from one place, where it can.
pub(crate) fn keep_one_arena() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes two numbers, and may be called at any time.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Threads and sockets, once there are no more than these, or as many as there are after 5 s.
pub(crate) fn settled(goal: (usize, usize)) -> Result<(usize, usize), Box<dyn Error>> {
    let mut found = (usize::MAX, usize::MAX);
    for _ in 0..500 {
        let is_socket =
            |path: &std::path::Path| fs::read_link(path).is_ok_and(|to| to.to_string_lossy().starts_with("socket:"));
        let sockets = fs::read_dir("/proc/self/fd")?.flatten().filter(|entry| is_socket(&entry.path())).count();
        found = (fs::read_dir("/proc/self/task")?.count(), sockets);
        if found.0 <= goal.0 && found.1 <= goal.1 {
            break;
        }
        std::thread::sleep(Duration::from_millis(if goal == (0, 0) { 1 } else { 10 }));
    }
    Ok(found)
}
