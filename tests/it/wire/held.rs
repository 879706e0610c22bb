//! How much memory an answer takes while it is read.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::Write;
use std::sync::Arc;

use scopegate::{FetchError, FetchLimits};

use super::host::{Host, fetch_with, hear, ok, on_loopback};
use super::tls::Authority;

/// The system's memory, and what each thread has of it: an exchange that is waited for runs on the thread that waits.
struct Counted;

#[global_allocator]
static COUNTED: Counted = Counted;

thread_local! {
    /// Octets that this thread holds, and the most that it held.
    static HELD: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

fn count(octets: isize) {
    // A thread that ends may still give something back.
    let _ = HELD.try_with(|held| {
        let (now, most) = held.get();
        held.set((now + octets, most.max(now + octets)));
    });
}

fn size(octets: usize) -> isize {
    octets.try_into().unwrap_or(isize::MAX)
}

// SAFETY: it is the system's allocator that does all the work.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(size(layout.size()));
        // SAFETY: as the caller says.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count(-size(layout.size()));
        // SAFETY: as the caller says.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, wanted: usize) -> *mut u8 {
        // Both may be there at a time.
        count(size(wanted));
        count(-size(layout.size()));
        // SAFETY: as the caller says.
        unsafe { System.realloc(place, layout, wanted) }
    }
}

/// What this thread holds at most while it does this, beyond what it held before.
fn most_held<T>(work: impl FnOnce() -> T) -> (usize, T) {
    let (before, _) = HELD.get();
    HELD.set((before, before));
    let result = work();
    let (_, most) = HELD.get();
    ((most - before).try_into().unwrap(), result)
}

const ENDLESS: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n{\"padding\":\"";
static PIECE: [u8; 64 * 1024] = [b'x'; 64 * 1024];

#[test]
fn memory_is_counted() {
    let (held, kept) = most_held(|| {
        drop(vec![1_u8; 1 << 20]);
        vec![1_u8; 1 << 10]
    });
    assert!((1 << 20..(1 << 20) + 4096).contains(&held), "{held}");
    drop(kept);
}

/// The body is kept once. What the HTTP client reads it with are buffers of 408 KiB at most, one that is on its way to us and one
/// that is being filled, and nothing of `reqwest` makes them smaller.
#[test]
fn row_j08_fault_row_10_of_a_body_without_an_end_no_more_than_a_mebibyte_and_a_half_is_held() {
    const MOST: usize = 1536 * 1024;
    let authority = Authority::new();
    let config = Arc::new(authority.leaf(|_| {}).config());
    let secure = Host::raw(move |stream, _, heard| {
        let mut connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut tls = rustls::Stream::new(&mut connection, stream);
        let _ = hear(&mut tls, heard);
        let _ = tls.write_all(ENDLESS);
        while tls.write_all(&PIECE).is_ok() {}
    });
    let plain = Host::new(|stream| {
        let _ = stream.write_all(ENDLESS);
        while stream.write_all(&PIECE).is_ok() {}
    });
    let trusting = authority.trusted().into_iter().next().unwrap();
    for (fetch, url) in [(on_loopback(), plain.url()), (trusting, secure.secure_url())] {
        // The first of them makes the client.
        for _ in 0..4 {
            let (held, answer) = most_held(|| fetch_with(&fetch, &url, FetchLimits::default()));
            assert!(matches!(answer, Err(FetchError::TooLarge { limit: 524_288 })), "{answer:?}");
            assert!((512 * 1024..=MOST).contains(&held), "{held} bytes for {url}");
        }
    }
}

#[test]
fn an_answer_that_does_not_say_how_long_it_is_takes_no_more_than_it_is_once_it_is_there() {
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
    for answer in [chunked.to_owned(), "HTTP/1.1 200 OK\r\n\r\n{}".to_owned(), ok("{}")] {
        let host = Host::saying(answer.clone());
        let body = fetch_with(&on_loopback(), &host.url(), FetchLimits::default()).unwrap().into_body();
        assert_eq!(body, "{}", "{answer}");
        assert!(body.try_into_mut().unwrap().capacity() <= 64, "{answer}");
    }
}
